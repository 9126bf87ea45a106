"""Metrics as series of numbers over cycles."""

import re
from collections.abc import Sequence

import numpy as np

from zebjax.operations.recap.text import number
from zebjax.training.metrics import Row

WIN, WIN_CI = "eval/vs_random_win_rate", "eval/vs_random_win_rate_ci95"
POLICY, VALUE, BELIEF = (f"train/{name}_loss" for name in ("policy", "value", "belief"))
MOVES, DIFFERENCES = "train/move_value_error", "train/move_value_spread_error"
ACCURACY = "train/belief_accuracy"
GAMES, BUFFER = "stats/total_games", "stats/replay_buffer_selfplay"
WALL, SPEED = "perf/cycle_wall_time_s", "perf/games_per_s"
POINTS = 400
"""Points that a line of a chart has at most."""
_OPPONENT = re.compile(r"eval/vs_(\w+)_win_rate")


def of(rows: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the cycles and values of the rows that hold a finite number under a name."""
    found = [(row["cycle"], value) for row in rows if (value := number(row.get(name))) is not None]
    pairs = np.array(found, float).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def first_known(rows: Sequence[Row], *names: str) -> str | None:
    """The first of the names that any row holds a number under; None if there is none."""
    for name in names:
        if any(number(row.get(name)) is not None for row in rows):
            return name
    return None


def last(rows: Sequence[Row], *names: str) -> float | None:
    """The newest number under the first of these names that has one."""
    name = first_known(rows, *names)
    return None if name is None else float(of(rows, name)[1][-1])


def mean(rows: Sequence[Row], name: str) -> float | None:
    """The mean of all numbers under a name; None if there are none."""
    values = of(rows, name)[1]
    return float(values.mean()) if len(values) else None


def thin(values: np.ndarray, at_most: int = POINTS) -> np.ndarray:
    """Replace a long series by the means of groups of neighbours.

    Args:
        values: `[n]`.
        at_most: number of groups.

    Returns:
        `[min(n, at_most)]`.
    """
    if len(values) <= at_most:
        return values
    return np.array([group.mean() for group in np.array_split(values, at_most)])


def opponents(rows: Sequence[Row]) -> dict[str, str]:
    """The opponents of the run's evaluations: metric -> name, `random` first."""
    found = {
        match[0]: match[1]
        for row in rows
        for name in row
        if (match := _OPPONENT.fullmatch(name)) and number(row[name]) is not None
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != WIN, item[0])))
