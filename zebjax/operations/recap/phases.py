"""Phases of a run: where its losses and its win rate change their course.

The rule is a penalised fit of continuous straight pieces to all series at once, see `find`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zebjax.operations.recap import series
from zebjax.training.metrics import Row

MEASURES = {
    series.POLICY: "policy loss",
    series.VALUE: "value loss",
    series.BELIEF: "belief loss",
    series.WIN: "win rate",
}
"""The series in which phases are looked for, and their names."""
_BINS = 50
_NOISE = 0.01
"""Share of a series' variance that is not worth a bend."""
_MAX_BENDS = 5
_MIN_ROWS = 6
_MOVES = 0.25
"""A measure moves in a phase if it changes by this share of its range over the run."""
RULE = (
    f"Rule: {', '.join(MEASURES.values())} over cycles, each scaled to variance 1 and averaged in "
    f"at most {_BINS} groups of rows, are fitted together by continuous straight pieces. The "
    "number of bends minimises the mean over the series of log(unexplained variance + "
    f"{100 * _NOISE:.0f} %) + bends × log 2: a bend is kept if it halves what the pieces do not "
    f"explain. At most {_MAX_BENDS} bends, and at most one for every three groups."
)


class Move(NamedTuple):
    """The change of one measure in a phase."""

    name: str
    """A key of `MEASURES`."""
    before: float
    after: float
    share: float
    """The change as a share of the measure's range over the run; negative if it falls."""


class Phase(NamedTuple):
    """A stretch of cycles in which no measure changes its course."""

    first: int
    """Its first cycle."""
    last: int
    """Its last cycle, which is the first of the next phase."""
    moves: tuple[Move, ...]

    def moving(self) -> list[Move]:
        """The measures that change much in this phase, the largest change first."""
        return sorted(
            (move for move in self.moves if abs(move.share) >= _MOVES),
            key=lambda move: -abs(move.share),
        )

    def title(self) -> str:
        """What happens in it, such as `belief loss falls, win rate rises`."""
        words = [
            f"{MEASURES[move.name]} {'rises' if move.share > 0 else 'falls'}"
            for move in self.moving()
        ]
        return ", ".join(words) or "little changes"


def find(rows: Sequence[Row]) -> list[Phase]:
    """Find the phases of a run by the rule in `RULE`.

    Bends are added one at a time, each where it helps most, and all are moved after each addition
    until no move helps (a linear spline with free knots).

    Args:
        rows: the metrics, by cycle.

    Returns:
        The phases in order; none if there are fewer than six rows with these measures.
    """
    names = [name for name in MEASURES if series.first_known(rows, name)]
    rows = [row for row in rows if any(name in row for name in names)]
    if len(rows) < _MIN_ROWS:
        return []
    cycles, values = _groups(rows, names)
    scale = values.std(0)
    varying = scale > 1e-12
    knots = _bends(cycles, (values[:, varying] - values[:, varying].mean(0)) / scale[varying])
    edges = [0, *knots, len(cycles) - 1]
    at = [int(row["cycle"]) for row in rows]
    places = [at[0], *(min(at, key=lambda c: abs(c - cycles[knot])) for knot in knots), at[-1]]
    reach = np.maximum(np.ptp(values, axis=0), 1e-12)
    return [
        Phase(
            places[i],
            places[i + 1],
            tuple(
                Move(name, float(before), float(after), float((after - before) / width))
                for name, before, after, width in zip(
                    names, values[edges[i]], values[edges[i + 1]], reach, strict=True
                )
            ),
        )
        for i in range(len(edges) - 1)
    ]


def _groups(rows: Sequence[Row], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cycle `[n]` and the mean of each measure `[n, measures]` of groups of rows.

    A group without a measure, as between two evaluations, gets it by interpolation.
    """
    groups = np.array_split(np.arange(len(rows)), min(_BINS, len(rows)))
    cycles = np.array([np.mean([rows[i]["cycle"] for i in group]) for group in groups])
    values = np.empty((len(groups), len(names)))
    for column, name in enumerate(names):
        found = [series.mean([rows[i] for i in group], name) for group in groups]
        known = [place for place, value in enumerate(found) if value is not None]
        means = [value for value in found if value is not None]
        values[:, column] = np.interp(cycles, cycles[known], means)
    return cycles, values


def _bends(cycles: np.ndarray, values: np.ndarray) -> list[int]:
    """Return the groups at which the pieces meet, ascending.

    Args:
        cycles: `[n]`, ascending.
        values: `[n, measures]`, each measure with mean 0 and variance 1.
    """
    x = (cycles - cycles[0]) / max(cycles[-1] - cycles[0], 1e-12)
    if not values.shape[1] or x[-1] == 0:
        return []
    candidates = range(1, len(x) - 1)

    def misfit(knots: list[int]) -> float:
        return _misfit(x, values, knots)

    def best_with(others: list[int]) -> list[int]:
        return min(([*others, place] for place in candidates if place not in others), key=misfit)

    knots: list[int] = []
    best, best_cost = knots, misfit(knots)
    for n_bends in range(1, min(_MAX_BENDS, len(x) // 3) + 1):
        knots = best_with(knots)
        has_moved = True
        while has_moved:
            has_moved = False
            for knot in list(knots):
                moved = best_with([other for other in knots if other != knot])
                if misfit(moved) < misfit(knots) - 1e-9:
                    knots, has_moved = moved, True
                    break
        cost = misfit(knots) + n_bends * math.log(2)
        if cost < best_cost:
            best, best_cost = knots, cost
    return sorted(best)


def _misfit(x: np.ndarray, values: np.ndarray, knots: list[int]) -> float:
    """Return the mean over the measures of log(unexplained share of the variance + noise)."""
    hinges = [np.maximum(0, x - x[knot]) for knot in knots]
    basis = np.stack([np.ones_like(x), x, *hinges], 1)
    fitted = basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    return float(np.log(((values - fitted) ** 2).mean(0) + _NOISE).mean())
