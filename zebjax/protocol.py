"""The line protocol of programs that play, see engine.md: requests and replies as JSON data.

`zebjax engine` answers requests; the player `ext:COMMAND` sends them. Both use this module, so that
they agree; another program needs only the description.
"""

import dataclasses
import json
from typing import Any

from zebjax import position_json, tiles
from zebjax.position import Position
from zebjax.position_json import refuse

VERSION = 1
HELLO, PLAY = "hello", "play"
MAX_SEED = 2**32 - 1
Id = str | int | None


@dataclasses.dataclass(frozen=True)
class Request:
    """A request to choose a tile, or a greeting."""

    id: Id
    kind: str
    """`HELLO` or `PLAY`."""
    position: Position | None = None
    """What the seat to move knows."""
    seed: int = 0
    """Of the program's random choices."""


def check_view(position: Position) -> None:
    """Raise ValueError unless a position is one that a player may be asked about."""
    if position.is_over:
        raise ValueError("position: the game is over; expected one with a move to play")
    for seat, hand in enumerate(position.hands):
        if bool(hand) != (seat == position.mover):
            expected = "the seven tiles of the seat to play" if not hand else "null: it is hidden"
            raise ValueError(f"position: hands[{seat}]: expected {expected}")


def write_request(request: Request) -> str:
    """One line of JSON.

    Raises:
        ValueError: if the position has another hand than the mover's.
    """
    data: dict[str, Any] = {"id": request.id, "request": request.kind, "version": VERSION}
    if request.position is not None:
        check_view(request.position)
        data |= {"position": position_json.write(request.position), "seed": request.seed}
    return _line(data)


def read_request(data: dict[str, Any]) -> Request:
    """Make a request of JSON data.

    Raises:
        ValueError: if it is not one; the message names the field.
    """
    made = position_json.id_of(data)
    position_json.check_keys(data, ("id", "request", "version", "position", "seed"))
    if data.get("version") != VERSION or type(data["version"]) is not int:
        refuse("version", str(VERSION), data.get("version"))
    kind = data.get("request")
    if kind == HELLO:
        return Request(made, HELLO)
    if kind != PLAY:
        refuse("request", f"{HELLO} or {PLAY}", kind)
    try:
        position = position_json.read(data.get("position"))
    except ValueError as error:
        raise ValueError(f"position: {str(error).removeprefix('position: ')}") from None
    check_view(position)
    return Request(made, PLAY, position, position_json.integer(data, "seed", 0, MAX_SEED, 0))


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
    data = position_json.parse(line)
    if data.get("id") != request.id:
        refuse("id", json.dumps(request.id), data.get("id"))
    if "error" in data:
        raise ValueError(f"it answers the error {position_json.shown(data['error'])}")
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


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))
