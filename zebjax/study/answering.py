"""`zebjax engine`: a player that answers the lines of the protocol, see engine.md."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from zebjax import bidding, position_arrays, position_json, protocol
from zebjax.players import Player, special
from zebjax.players.auction import Bidder
from zebjax.players.special_bids import SpecialBidder
from zebjax.position import Position
from zebjax.protocol import Request
from zebjax.study.analysis import raw_keys

SEES_ALL = "cheat"


def check_spec(spec: str) -> None:
    """Raise ValueError for a player that reads hidden hands: no request has them."""
    if spec.partition(":")[0] == SEES_ALL:
        raise ValueError(
            f"player {spec!r} sees all hands; expected one that uses what its seat has seen"
        )


def answer(lines: Iterable[bytes], player: Player, bidder: Bidder | None = None) -> Iterator[str]:
    """Answer requests together, in their order; empty lines are ignored.

    Args:
        lines: requests.
        player: plays; nello and sevens are played by `players.special` instead.
        bidder: bids and declares; None for the usual one.

    Yields:
        One line of JSON for each.
    """
    bidder = bidder or SpecialBidder()
    parsed = [_read(line) for line in lines if line.strip()]
    asked = [
        part
        for part in parsed
        if isinstance(part, Request) and part.position and not special.is_known(part.position)
    ]
    replies = dict(zip(map(id, asked), _play(asked, player), strict=True))
    for part in parsed:
        if isinstance(part, str):
            yield part
        elif part.auction is not None:
            yield _bid(part, bidder)
        elif part.position is None:
            yield protocol.write_hello(part.id, f"zebjax {player.spec}")
        elif id(part) in replies:
            yield replies[id(part)]
        else:
            yield _play_special(part)


def _read(line: bytes) -> Request | str:
    """A request, or the reply that says what is wrong."""
    made: protocol.Id = None
    try:
        data = position_json.parse(line)
        made = position_json.id_of(data)
        return protocol.read_request(data)
    except ValueError as error:
        return protocol.write_error(made, str(error))


def _bid(request: Request, bidder: Bidder) -> str:
    assert request.auction is not None
    try:
        if request.kind == protocol.BID:
            return protocol.write_bid(request, bidder.call(request.auction, request.seed))
        return protocol.write_declaration(request, bidder.declare(request.auction, request.seed))
    except ValueError as error:  # such as a partner's hand that cannot have plunged
        return protocol.write_error(request.id, str(error))


def _play_special(request: Request) -> str:
    assert request.position is not None
    if bidding.winner(request.position) is not None:
        return protocol.write_error(request.id, "position: the contract is decided")
    return protocol.write_play(request, special.choose(request.position, request.seed))


def _play(requests: list[Request], player: Player) -> list[str]:
    """The replies to requests for a tile, in their order."""
    views = [request.position for request in requests if request.position is not None]
    replies: dict[int, str] = {}
    for rows, contracts in position_arrays.by_contract(views):
        places = rows.tolist()
        asked, some = [requests[row] for row in places], [views[row] for row in places]
        keys = raw_keys([request.seed for request in asked])
        try:
            slots = player.slots(position_arrays.to_states(some), contracts, keys)
            said = _replies(asked, some, slots)
        except ValueError as error:  # such as criterion=make in a game without a contract
            said = [protocol.write_error(request.id, str(error)) for request in asked]
        replies |= dict(zip(places, said, strict=True))
    return [replies[row] for row in range(len(requests))]


def _replies(
    requests: Sequence[Request], views: Sequence[Position], slots: np.ndarray
) -> list[str]:
    replies = []
    for request, view, slot in zip(requests, views, slots, strict=True):
        tile = view.hands[view.mover][int(slot)] if slot >= 0 else -1
        if tile in view.legal:
            replies.append(protocol.write_play(request, tile))
        else:
            replies.append(protocol.write_error(request.id, "the player has chosen no legal tile"))
    return replies
