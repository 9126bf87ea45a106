"""Milestones of a run: the rows worth a line in a table, and the best evaluation."""

from collections.abc import Sequence
from typing import NamedTuple

from zebjax.operations.recap import series, text
from zebjax.training.metrics import Row

AT_MOST = 12


def choose(rows: Sequence[Row], at_most: int = AT_MOST) -> list[Row]:
    """Choose the first and the last row, the peak, and evaluations evenly spaced between them.

    Args:
        rows: the metrics, by cycle.
        at_most: number of rows to return at most, 3 or more.

    Returns:
        Rows in order. If no row has an evaluation, rows with losses are chosen.
    """
    known = [row for row in rows if series.WIN in row] or [r for r in rows if series.POLICY in r]
    if rows and series.POLICY in rows[-1] and known and known[-1] is not rows[-1]:
        known.append(rows[-1])
    if len(known) <= at_most:
        return known
    best = peak(rows)
    first, width = known[0]["cycle"], known[-1]["cycle"] - known[0]["cycle"]
    n = at_most - 1
    chosen = {id(row) for row in (known[0], known[-1])}
    chosen |= {id(row) for row in known if best is not None and row["cycle"] == best.cycle}
    for place in range(1, n - 1):
        wanted = first + width * place / (n - 1)
        chosen.add(id(min(known, key=lambda row: abs(row["cycle"] - wanted))))
    return [row for row in known if id(row) in chosen]


class Peak(NamedTuple):
    """The best evaluation against random."""

    cycle: int
    win_rate: float
    row: Row


def peak(rows: Sequence[Row]) -> Peak | None:
    """Return the row with the highest win rate, the first of equals; None without evaluations."""
    evaluated = [row for row in rows if text.number(row.get(series.WIN)) is not None]
    if not evaluated:
        return None
    best = max(evaluated, key=lambda row: row[series.WIN])
    return Peak(int(best["cycle"]), float(best[series.WIN]), best)
