"""`zebjax engine`: a player that answers the lines of the protocol, see engine.md."""

from collections.abc import Iterable, Iterator

from zebjax import position_arrays, position_json, protocol
from zebjax.players import Player
from zebjax.protocol import Request
from zebjax.study.analysis import raw_keys

SEES_ALL = "cheat"


def check_spec(spec: str) -> None:
    """Raise ValueError for a player that reads hidden hands: no request has them."""
    if spec.partition(":")[0] == SEES_ALL:
        raise ValueError(
            f"player {spec!r} sees all hands; expected one that uses what its seat has seen"
        )


def answer(lines: Iterable[bytes], player: Player) -> Iterator[str]:
    """Answer requests together, in their order; empty lines are ignored.

    Yields:
        One line of JSON for each.
    """
    parsed = [_read(line) for line in lines if line.strip()]
    asked = [part for part in parsed if isinstance(part, Request) and part.position is not None]
    replies = dict(zip(map(id, asked), _play(asked, player), strict=True))
    for part in parsed:
        if isinstance(part, str):
            yield part
        elif part.position is None:
            yield protocol.write_hello(part.id, f"zebjax {player.spec}")
        else:
            yield replies[id(part)]


def _read(line: bytes) -> Request | str:
    """A request, or the reply that says what is wrong."""
    made: protocol.Id = None
    try:
        data = position_json.parse(line)
        made = position_json.id_of(data)
        return protocol.read_request(data)
    except ValueError as error:
        return protocol.write_error(made, str(error))


def _play(requests: list[Request], player: Player) -> list[str]:
    if not requests:
        return []
    views = [request.position for request in requests if request.position is not None]
    states = position_arrays.to_states(views)
    slots = player.choose(states, raw_keys([request.seed for request in requests]))
    replies = []
    for request, view, slot in zip(requests, views, slots, strict=True):
        tile = view.hands[view.mover][int(slot)] if slot >= 0 else -1
        if tile in view.legal:
            replies.append(protocol.write_play(request, tile))
        else:
            replies.append(protocol.write_error(request.id, "the player has chosen no legal tile"))
    return replies
