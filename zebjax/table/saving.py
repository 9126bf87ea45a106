"""Finished hands as files: a GameRecord, and text in the notation."""

import datetime
from pathlib import Path

from zebjax import notation, position_arrays, record
from zebjax.common import files
from zebjax.record import Metadata
from zebjax.table.state import Table


def save(table: Table, folder: Path) -> Path:
    """Write a finished hand as `DATE-TIME.safetensors` and, in the notation, `DATE-TIME.txt`.

    Args:
        table: its hand must be over.
        folder: is created.

    Returns:
        The path of the text.

    Raises:
        ValueError: if the hand is not over or the folder cannot be made.
        OSError: if a file cannot be written.
    """
    made = position_arrays.to_record([table.game])
    facts = {
        "players": list(table.game.players),
        "seat": table.seat,
        "seed": table.seed,
        "undone": table.undone,
    }
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    path = files.unused_name(folder / f"{now:%Y%m%d-%H%M%S}.safetensors")
    record.write(path, made, Metadata(record.TABLE, "table", 0, facts))
    text = path.with_suffix(".txt")
    files.write_text(text, as_text(table))
    return text


def as_text(table: Table) -> str:
    """A hand in the notation, finished or not, with all four hands."""
    return notation.write(table.game)
