"""Finished hands as files: a GameRecord, and text in the notation."""

import datetime
from pathlib import Path

from zebjax import bidding, contract_record, notation, position_arrays, record, special
from zebjax.common import files
from zebjax.position import Position
from zebjax.record import Metadata
from zebjax.table.state import Table


def save(table: Table, folder: Path, earlier: Path | None = None) -> Path:
    """Write a finished hand as `DATE-TIME.safetensors` and, in the notation, `DATE-TIME.txt`.

    A hand with a contract is over when it is made or set, but a record holds 28 plays. So its
    record goes on with the first legal tiles, which cannot change the value; the metadata says as
    `played` how many plays are the table's, as `dealer` and `calls` what was bid, and as `marks`
    those of both teams before the hand. The text has the plays of the table alone.

    A record cannot hold nello or sevens: such a hand is saved as text alone. The contract of a
    plunge or splash stands in the name of the partner that led; `calls` tells who bid it.

    Args:
        table: its hand must be over.
        folder: is created.
        earlier: the text of the same hand, saved before its end was taken back and played again.
            Its files are replaced.

    Returns:
        The path of the text.

    Raises:
        ValueError: if the hand is not over or the folder cannot be made.
        OSError: if a file cannot be written.
    """
    if not table.is_over:
        raise ValueError("save: expected a finished game")
    facts = {
        "players": list(table.game.players),
        "seat": table.seat,
        "seed": table.seed,
        "undone": table.undone,
    }
    if table.bidding is not None:
        facts |= {
            "played": len(table.game.plays),
            "dealer": table.bidding.dealer,
            "calls": [bidding.name(call) for call in table.bidding.calls],
            "marks": list(table.won),
        }
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    if special.is_special(table.game.declaration):
        text = earlier or files.unused_name(folder / f"{now:%Y%m%d-%H%M%S}.txt")
        files.write_text(text, as_text(table))
        if earlier is not None:  # a record of what was declared before would be another hand
            text.with_suffix(".safetensors").unlink(missing_ok=True)
        return text
    path = files.unused_name(folder / f"{now:%Y%m%d-%H%M%S}.safetensors")
    if earlier is not None:
        path = earlier.with_suffix(".safetensors")
    made = position_arrays.to_record([played_out(table.game)])
    metadata = Metadata(record.TABLE, "table", 0, facts)
    if table.game.bid is None:
        record.write(path, made, metadata)
    else:
        contracts = position_arrays.contracts([table.game])
        contract_record.write(path, made, contracts, metadata)
    text = path.with_suffix(".txt")
    files.write_text(text, as_text(table))
    return text


def played_out(game: Position) -> Position:
    """The game with all 28 plays; those that are missing are the first legal tiles."""
    while not game.is_over:
        game = game.play(game.legal[0])
    return game


def as_text(table: Table) -> str:
    """A hand in the notation, finished or not, with all four hands."""
    return notation.write(table.game)
