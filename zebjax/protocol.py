"""The line protocol of programs that play, see engine.md: requests and replies as JSON data.

`zebjax engine` answers requests; the player `ext:COMMAND` sends them. Both use this module, so that
they agree; another program needs only the description.
"""

import dataclasses
import json
from typing import Any

from zebjax import bidding, position_json, special, tiles
from zebjax.bidding import Bidding, Call, Seen
from zebjax.position import Position
from zebjax.position_json import refuse

VERSION = 1
HELLO, PLAY, BID, DECLARE = KINDS = "hello", "play", "bid", "declare"
MAX_SEED = 2**32 - 1
_ERROR = 160
"""Characters that are shown of another program's error."""
Id = str | int | None


@dataclasses.dataclass(frozen=True)
class Request:
    """A request to choose a tile, a bid or a declaration, or a greeting."""

    id: Id
    kind: str
    """One of `KINDS`."""
    position: Position | None = None
    """Of `PLAY`: what the seat to move knows."""
    seed: int = 0
    """Of the program's random choices."""
    auction: Seen | None = None
    """Of `BID` and `DECLARE`: what the seat to speak, or the highest bidder, knows."""


def check_view(position: Position) -> None:
    """Raise ValueError unless a position is one that a player may be asked about."""
    if position.is_over:
        raise ValueError("position: the game is over; expected one with a move to play")
    for seat, hand in enumerate(position.hands):
        if bool(hand) != (seat == position.mover):
            expected = "the seven tiles of the seat to play" if not hand else "null: it is hidden"
            raise ValueError(f"position: hands[{seat}]: expected {expected}")


def check_auction(kind: str, auction: Seen) -> None:
    """Raise ValueError unless the round of bids is open for a bid, and over for a declaration."""
    calls = len(auction.bidding.calls)
    if auction.bidding.is_over != (kind == DECLARE):
        raise ValueError(
            f"auction: expected {'four' if kind == DECLARE else 'fewer than four'} calls for "
            f"{kind}, got {calls}"
        )


def write_request(request: Request) -> str:
    """One line of JSON.

    Raises:
        ValueError: if the position has another hand than the mover's.
    """
    data: dict[str, Any] = {"id": request.id, "request": request.kind, "version": VERSION}
    if request.position is not None:
        check_view(request.position)
        data |= {"position": position_json.write(request.position), "seed": request.seed}
    if request.auction is not None:
        check_auction(request.kind, request.auction)
        held = request.auction
        data["auction"] = {
            "hand": position_json.names(held.hand),
            "dealer": held.bidding.dealer,
            "calls": [bidding.name(call) for call in held.bidding.calls],
        }
        if held.bidding.options:
            data["auction"]["options"] = list(held.bidding.options)
        data["seed"] = request.seed
    return _line(data)


def read_request(data: dict[str, Any]) -> Request:
    """Make a request of JSON data.

    Raises:
        ValueError: if it is not one; the message names the field.
    """
    made = position_json.id_of(data)
    position_json.check_keys(data, ("id", "request", "version", "position", "auction", "seed"))
    if data.get("version") != VERSION or type(data["version"]) is not int:
        refuse("version", str(VERSION), data.get("version"))
    kind = data.get("request")
    if kind == HELLO:
        return Request(made, HELLO)
    if kind not in KINDS:
        refuse("request", f"one of {', '.join(KINDS)}", kind)
    seed = position_json.integer(data, "seed", 0, MAX_SEED, 0)
    if kind != PLAY:
        auction = _auction(data.get("auction"))
        check_auction(kind, auction)
        return Request(made, kind, seed=seed, auction=auction)
    try:
        position = position_json.read(data.get("position"))
    except ValueError as error:
        raise ValueError(f"position: {str(error).removeprefix('position: ')}") from None
    check_view(position)
    return Request(made, PLAY, position, seed)


def _auction(data: Any) -> Seen:
    if not isinstance(data, dict):
        refuse("auction", "an object with hand, dealer and calls", data)
    position_json.check_keys(data, ("hand", "dealer", "calls", "options"), "auction.")
    calls = data.get("calls")
    if not isinstance(calls, list) or not all(map(position_json.is_word, calls)):
        refuse("auction.calls", 'a list of bids as in ["pass", "31", "2 marks"]', calls)
    if len(calls) > tiles.N_PLAYERS:
        raise ValueError(f"auction.calls: expected at most four, got {len(calls)}")
    options = data.get("options", [])
    if not isinstance(options, list) or not all(map(position_json.is_word, options)):
        refuse("auction.options", 'a list of names as in ["nello", "plunge"]', options)
    try:
        dealer = position_json.integer(data, "dealer", 0, 3)
        return Seen(
            position_json.tiles_of("hand", data.get("hand"), tiles.HAND_SIZE),
            Bidding(dealer, tuple(map(bidding.read, calls)), tuple(options)),
        )
    except ValueError as error:
        raise ValueError(f"auction: {error}") from None


def write_play(request: Request, tile: int) -> str:
    """The reply to a request to choose a tile."""
    assert request.position is not None
    return _line(
        {
            "id": request.id,
            "move": tiles.TILE_NAMES[tile],
            "leader": request.position.trick_leader,
            "points": list(request.position.points),
        }
    )


def write_bid(request: Request, call: Call) -> str:
    """The reply to a request for a bid."""
    return _line({"id": request.id, "bid": bidding.name(call)})


def write_declaration(request: Request, declaration: int) -> str:
    """The reply to a request for a declaration."""
    return _line({"id": request.id, "declaration": special.DECLARATION_NAMES[declaration]})


def write_hello(made: Id, name: str) -> str:
    """The reply to a greeting."""
    return _line({"id": made, "name": name, "version": VERSION})


def write_error(made: Id, error: str) -> str:
    """The reply to a request that is wrong."""
    return _line({"id": made, "error": error})


def read_reply(line: bytes, request: Request) -> int:
    """The tile that a program has chosen; 0 for a greeting that was answered.

    Raises:
        ValueError: if the reply is not one to this request, is an error, has a tile that may not be
            played, or another leader or other points than ours; the message says what.
    """
    data = _reply(line, request)
    if request.position is None:
        if data.get("version") != VERSION:
            refuse("version", str(VERSION), data.get("version"))
        return 0
    legal = position_json.names(request.position.legal)
    for field, expected in (
        ("leader", request.position.trick_leader),
        ("points", list(request.position.points)),
    ):
        if data.get(field) != expected:
            refuse(field, json.dumps(expected), data.get(field))
    if data.get("move") not in legal:
        refuse("move", f"a legal tile ({', '.join(legal)})", data.get("move"))
    return tiles.TILE_NAMES.index(data["move"])


def read_bid(line: bytes, request: Request) -> Call:
    """The bid that a program makes, or `bidding.PASS`.

    Raises:
        ValueError: if the reply is not one to this request, is an error, or has a bid that is not
            allowed.
    """
    data = _reply(line, request)
    assert request.auction is not None
    allowed = {bidding.name(call): call for call in request.auction.allowed}
    word = data.get("bid")
    if not isinstance(word, str) or word not in allowed:
        refuse("bid", f"one of {', '.join(allowed)}", word)
    return allowed[word]


def read_declaration(line: bytes, request: Request) -> int:
    """The declaration that a program chooses, one of those that the bids allow.

    Raises:
        ValueError: if the reply is not one to this request, is an error, or has none.
    """
    data = _reply(line, request)
    assert request.auction is not None
    allowed = request.auction.bidding.declarations
    names = {special.DECLARATION_NAMES[each]: each for each in allowed}
    word = data.get("declaration")
    if not isinstance(word, str) or word not in names:
        refuse("declaration", f"one of {', '.join(names)}", word)
    return names[word]


def _reply(line: bytes, request: Request) -> dict[str, Any]:
    """A reply to this request that is no error."""
    data = position_json.parse(line)
    if data.get("id") != request.id:
        refuse("id", json.dumps(request.id), data.get("id"))
    if "error" in data:
        raise ValueError(f"its answer is an error: {position_json.shown(data['error'], _ERROR)}")
    return data


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
