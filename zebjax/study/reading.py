"""Positions from files: the notation, and record files."""

import sys
from pathlib import Path

from zebjax import notation
from zebjax.position import Position

RECORDS = ".safetensors"


def read(path: str) -> list[Position]:
    """Read all games of a file.

    Args:
        path: a file in the notation, a record file (`*.safetensors`), or `-` for the notation on
            standard input.

    Raises:
        ValueError: the message names the file, and the line and column if there are any.
        OSError: if it cannot be read.
    """
    if path.endswith(RECORDS):
        # Imported here, because they import jax, which takes a second.
        from zebjax import contract_record

        return contract_record.positions(Path(path))
    name = "standard input" if path == "-" else path
    if path == "-":
        data = sys.stdin.buffer.read(notation.MAX_BYTES + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(notation.MAX_BYTES + 1)
    try:
        games = notation.read_all(data.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{name}: expected text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not games:
        raise ValueError(f"{name}: expected a game or position, the text has none")
    return games


def read_one(path: str, number: int | None = None) -> Position:
    """Read one game of a file.

    Args:
        path: as for `read`.
        number: of the game, from 1; None for the only one.

    Raises:
        ValueError: as `read`; also if there is no such game, or there are several and none is
            chosen.
    """
    games = read(path)
    if number is None and len(games) > 1:
        raise ValueError(f"{path}: it has {len(games):,} games; choose one with --game")
    if number is not None and not 1 <= number <= len(games):
        raise ValueError(f"--game: expected 1..{len(games)}, got {number}")
    return games[(number or 1) - 1]


def read_at(path: str, number: int | None = None, ply: int | None = None) -> Position:
    """Read one position: that after `ply` plays of one game; None for all plays.

    Raises:
        ValueError: as `read_one`; also if the game has fewer plays.
    """
    position = read_one(path, number)
    if ply is not None and ply > len(position.plays):
        raise ValueError(f"--ply: this game has {len(position.plays)} plays, got {ply}")
    return position if ply is None else position.before(ply)
