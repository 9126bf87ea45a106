"""The table of a run's last cycles, which fits the width of the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich takes 0.1 s to import, and `--help` does not need it
    from rich.table import Table

_ESSENTIAL_FIRST = (
    "cycle",
    "% vs random",
    "value",
    "policy",
    "games",
    "left",
    "hidden % (counted)",
    "belief",
    "moves",
    "games/s",
    "% vs others",
    "warnings",
    "mix(self/eval)",
    "buffer",
    "updates/s",
)
"""Column names; where not all fit, the last of these are left out first, unknown ones before."""
_GAP = 2
"""Characters between two columns."""


def fitting(rows: Sequence[dict[str, str]], width: int) -> list[str]:
    """Return the names of the columns to show, in the order of the rows.

    A column that is empty in every row is left out; then the least essential ones, until the rest
    fits. The first essential column always stays.

    Args:
        rows: cells by column name, the same names in each.
        width: characters of the terminal.
    """
    widths = {
        name: max(len(text) for text in [*_heading(name).split("\n"), *cells])
        for name in (rows[0] if rows else ())
        if any(cells := [row[name] for row in rows])
    }
    known = [name for name in _ESSENTIAL_FIRST if name in widths]
    by_worth = known + [name for name in widths if name not in known]
    kept = set(by_worth)
    while len(kept) > 1 and sum(widths[name] + _GAP for name in kept) > width:
        kept.remove(by_worth.pop())
    return [name for name in widths if name in kept]


def table(title: str, rows: Sequence[dict[str, str]], n_shown: int, width: int) -> "Table":
    """Make the table.

    Args:
        title: the text above it.
        rows: the cells of every cycle so far; they decide which columns there are.
        n_shown: number of the newest rows to show.
        width: characters of the terminal.
    """
    import rich.box
    from rich.table import Table

    names = fitting(rows, width)
    hidden = [name for name in (rows[0] if rows else ()) if name not in names]
    hidden = [name for name in hidden if any(row[name] for row in rows)]
    made = Table(
        title=title,
        caption=f"too narrow for: {', '.join(hidden)}" if hidden else None,
        box=rich.box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in names:
        made.add_column(_heading(name), justify="right", no_wrap=True)
    for row in rows[-n_shown:]:
        made.add_row(*(row[name] for name in names))
    return made


def _heading(name: str) -> str:
    """Return a column's name on two lines if it has several words: its numbers are shorter."""
    return "\n".join(name.rsplit(" ", 1))
