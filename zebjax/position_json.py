"""A `Position` as plain JSON data, and back.

    {"hands": [null, null, ["6-6", "6-5", "6-4", "5-0", "3-2", "3-1", "0-0"], null],
     "declaration": "trump 6", "leader": 2, "plays": ["6-6", "6-1"],
     "bid": {"seat": 2, "points": 31, "marks": 1}}

The fields mean what they mean in the text, see `notation`: a hand is the seven tiles dealt, those
played included, or null if it is not known; `bid` is null or left out in a game without a contract.
"""

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn, TypeGuard

from zebjax import special, suits, tiles
from zebjax.common.parsing import nearest
from zebjax.position import Bid, Impossible, Position, four

MAX_LINE_BYTES = 1 << 16
MAX_ID = 200
"""Maximum length of the id of a request."""
_SHOWN = 40


def shown(value: Any, most: int = _SHOWN) -> str:
    """A value of JSON for a message, cut to `most` characters."""
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def is_word(value: Any) -> TypeGuard[str]:
    """True for a text that is short enough for a name or a bid.

    A longer one is refused unread: to find the name nearest to 64 kB takes seconds.
    """
    return isinstance(value, str) and len(value) <= _SHOWN


def refuse(field: str, expected: str, value: Any) -> NoReturn:
    """Raise ValueError for the value of a field."""
    raise ValueError(f"{field}: expected {expected}, got {shown(value)}")


def parse(line: bytes) -> dict[str, Any]:
    """Read one line of JSON, which must be an object.

    Raises:
        ValueError: if it is not one, or has more than 64 kB.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"line: expected at most {MAX_LINE_BYTES:,} bytes")
    try:
        data = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:100]
        raise ValueError(f"line: expected one object of JSON ({reason})") from None
    if not isinstance(data, dict):
        refuse("line", "an object of JSON", data)
    return data


def id_of(data: dict[str, Any]) -> str | int | None:
    """The id of a request: a text or an integer; None without one.

    Raises:
        ValueError: if it is something else, or too long.
    """
    value = data.get("id")
    is_text = isinstance(value, str) and len(value) <= MAX_ID
    is_number = type(value) is int and abs(value) < 2**63
    if value is not None and not is_text and not is_number:
        refuse("id", f"a text of at most {MAX_ID} characters or an integer", value)
    return value


def check_keys(data: dict[str, Any], known: Collection[str], field: str = "") -> None:
    """Raise ValueError for a key that is not known; a typing error must not be ignored."""
    for key in data:
        if key not in known:
            guess = nearest(key[:_SHOWN], known)
            raise ValueError(f"{field}{key[:_SHOWN]!r}: unknown key; did you mean {guess!r}?")


def integer(
    data: dict[str, Any], name: str, low: int, high: int, default: int | None = None
) -> int:
    """The integer of a key; `default` if the key is missing.

    Raises:
        ValueError: if it is not an integer from low to high.
    """
    value = data.get(name, default)
    if type(value) is not int or not low <= value <= high:
        refuse(name, f"an integer {low}..{high}", value)
    return value


def _tile(field: str, value: Any) -> int:
    match = re.fullmatch("([0-6])-([0-6])", value) if isinstance(value, str) else None
    if not match:
        refuse(field, "a tile as in 6-4", value)
    return tiles.tile_id(int(match[1]), int(match[2]))


def tiles_of(field: str, value: Any, most: int) -> tuple[int, ...]:
    """The tile ids of a list of names.

    Raises:
        ValueError: if it is none, or has more than `most` tiles.
    """
    if not isinstance(value, list) or len(value) > most:
        refuse(field, f"a list of at most {most} tiles", value)
    return tuple(_tile(f"{field}[{place}]", each) for place, each in enumerate(value))


def _bid(value: Any) -> Bid | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        refuse("bid", "an object with seat and points, or null", value)
    check_keys(value, Bid._fields, "bid.")
    limits = {"seat": (0, 3), "points": (30, 42), "marks": (1, 7)}
    try:
        return Bid(
            *(
                integer(value, name, *limits[name], default=1 if name == "marks" else None)
                for name in Bid._fields
            )
        )
    except ValueError as error:
        raise ValueError(f"bid.{error}") from None


def read(data: Any) -> Position:
    """Make a position of JSON data.

    Raises:
        ValueError: if it is not one; the message names the field.
    """
    if not isinstance(data, dict):
        refuse("position", "an object", data)
    check_keys(data, ("hands", "declaration", "leader", "plays", "bid"))
    hands = data.get("hands")
    if not isinstance(hands, list) or len(hands) != 4:
        refuse("hands", "a list of four hands, each seven tiles or null", hands)
    declaration = data.get("declaration")
    try:
        declared = suits.read(declaration if is_word(declaration) else "")
    except ValueError:
        refuse("declaration", f"one of {', '.join(special.DECLARATION_NAMES)}", declaration)
    try:
        return Position(
            four(
                () if hand is None else tiles_of(f"hands[{seat}]", hand, tiles.HAND_SIZE)
                for seat, hand in enumerate(hands)
            ),
            declared,
            integer(data, "leader", 0, 3),
            tiles_of("plays", data.get("plays", []), tiles.N_TILES),
            _bid(data.get("bid")),
        )
    except Impossible as error:
        kind, first, second = error.place
        field = {"hand": f"hands[{first}][{second}]", "play": f"plays[{first}]"}.get(kind, kind)
        reason = str(error).removeprefix(f"{kind}: ")
        raise ValueError(f"{field}: {reason}") from None


def write(position: Position) -> dict[str, Any]:
    """Return a position as JSON data; names of players are not part of it."""
    bid = position.bid
    return {
        "hands": [names(hand) if hand else None for hand in position.hands],
        "declaration": special.DECLARATION_NAMES[position.declaration],
        "leader": position.leader,
        "plays": names(position.plays),
        "bid": None if bid is None else bid._asdict(),
    }


def names(ids: Collection[int]) -> list[str]:
    """Names of tiles."""
    return [tiles.TILE_NAMES[tile] for tile in ids]
