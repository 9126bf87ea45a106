"""The decision request: all that a player is told when it must choose a tile.

A request has the seat's own hand, the public record of the game and a seed. Hidden hands are not
part of it, so a player that chooses from a request cannot depend on them.
"""

import dataclasses
import json
from typing import Any

from zebjax import position, tiles
from zebjax.position import Position

VERSION = 1
MAX_CHARACTERS = 4096


@dataclasses.dataclass(frozen=True)
class Request:
    """What one seat has seen when it is to play."""

    seen: Position
    """With the hand of the mover alone, and without names."""
    seed: tuple[int, int]
    """Two words of 32 bits, the raw random key of this decision. It says nothing of the deal."""

    @property
    def seat(self) -> int:
        """The seat that decides."""
        return self.seen.mover

    @property
    def hand(self) -> tuple[int, ...]:
        """The seven tile ids that were dealt to the seat, in their slots."""
        return self.seen.hands[self.seat]

    def to_json(self) -> str:
        """One line of JSON."""
        fields = {
            "version": VERSION,
            "decision": "play",  # with bidding there are others
            "seat": self.seat,
            "hand": self.hand,
            "declaration": self.seen.declaration,
            "leader": self.seen.leader,
            "plays": self.seen.plays,
            "seed": self.seed,
        }
        return json.dumps(fields, separators=(",", ":"))


def from_json(text: str) -> Request:
    """Read a request.

    Raises:
        ValueError: if it is not a request, or no game leads to what the seat has seen; the message
            names the field.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"request: expected at most {MAX_CHARACTERS:,} characters")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("request: expected JSON") from None
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise ValueError(f"request: expected an object with version {VERSION}")
    if fields.get("decision") != "play":
        raise ValueError(f"decision: expected 'play', got {fields.get('decision')!r:.40}")
    seat = _number("seat", fields.get("seat"), tiles.N_PLAYERS)
    hand = _numbers("hand", fields.get("hand"), tiles.N_TILES)
    first, second = _numbers("seed", fields.get("seed"), 2**32, 2)
    seen = Position(
        position.four(hand if at == seat else position.UNKNOWN for at in range(tiles.N_PLAYERS)),
        _number("declaration", fields.get("declaration"), tiles.N_DECLARATIONS),
        _number("leader", fields.get("leader"), tiles.N_PLAYERS),
        _numbers("plays", fields.get("plays"), tiles.N_TILES),
    )
    if seen.mover != seat or not hand:
        raise ValueError(f"seat: expected the seat to play, {seen.mover}, with its hand")
    return Request(seen, (first, second))


def _number(name: str, value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise ValueError(f"{name}: expected an integer 0..{limit - 1}, got {value!r:.40}")
    return value


def _numbers(name: str, values: Any, limit: int, n: int | None = None) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) != (len(values) if n is None else n):
        raise ValueError(f"{name}: expected a list of integers")
    return tuple(_number(name, value, limit) for value in values)
