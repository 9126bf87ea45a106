"""How many worlds a decision gets, and for which of its moves.

The moves of a decision race (Maron and Moore 1994, "Hoeffding races"): all are judged in the same
worlds, a block at a time. A move that is behind is dropped when it cannot win any more, or when
more worlds are not worth their time. So most time goes to moves that are close.
"""

import math
from collections.abc import Callable

import numpy as np

from zebjax import tiles

_FIRST, _GROWTH = 20, 1.4
"""Worlds in the first block, and the growth of the number of judged worlds with each block."""

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Judges moves in worlds, from the numbers of the worlds, int64 `[K]`, and the moves to judge in
each, bool `[K, 7]`. Returns scores in [0, 1], `[K, 7]`; those of other moves mean nothing."""


def opportunity_cost(lead: float, error: float) -> float:
    """Return what is lost on average if the leader is played although another move may be better.

    The expected opportunity cost, with a lead that has a normal error (Chick and Inoue 2001, "New
    two-stage and sequential procedures for selecting the best simulated system").

    Args:
        lead: mean score of the leader less that of the other move.
        error: its standard error, above 0.

    >>> round(opportunity_cost(0.0, 0.1), 4), round(opportunity_cost(0.2, 0.1), 6)
    (0.0399, 0.000849)
    """
    z = lead / error
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return error * (density - z * math.erfc(z / math.sqrt(2)) / 2)


def run(
    judge: Judge, decision: np.ndarray, weights: np.ndarray, legal: np.ndarray, worth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Judge the moves of N decisions, each in as many of its worlds as it needs.

    Args:
        judge: see `Judge`.
        decision: int64 `[M]`, ascending: the decision of each world. The worlds of a decision are
            in random order.
        weights: float64 `[M]`; those of a decision sum to 1.
        legal: bool `[N, 7]`.
        worth: float64 `[N]`: the gain of score for which one move is judged in one more world.

    Returns:
        bool `[M]`, the worlds that have been judged, the first ones of each decision; and bool
        `[N, 7]`, the moves that have been judged in all of these.
    """
    ends = np.searchsorted(decision, np.arange(len(legal) + 1))
    sizes, done = np.diff(ends), np.zeros(len(legal), np.int64)
    scores, left = np.zeros((len(decision), tiles.HAND_SIZE)), legal.copy()
    racing = np.flatnonzero(sizes > 0)
    target = _FIRST
    while len(racing):
        until = np.minimum(sizes, target)
        rows = np.concatenate([np.arange(ends[i] + done[i], ends[i] + until[i]) for i in racing])
        scores[rows] = judge(rows, left[decision[rows]])
        done[racing] = until[racing]
        goes_on = np.zeros(len(racing), bool)
        for place, i in enumerate(racing):
            judged = slice(ends[i], ends[i] + done[i])
            left[i], goes_on[place] = drop(scores[judged], weights[judged], left[i], worth[i])
        racing = racing[goes_on & (done < sizes)[racing]]
        target = int(target * _GROWTH)
    return np.arange(len(decision)) - ends[decision] < done[decision], left


def drop(
    scores: np.ndarray, weights: np.ndarray, left: np.ndarray, worth: float
) -> tuple[np.ndarray, bool]:
    """Drop the moves whose result is clear.

    One more world makes the expected loss L after n worlds smaller by about L / (2 * n), as its
    error falls with sqrt(n). A move is dropped if that is less than `worth`, or if it cannot reach
    the leader in the worlds that are left. Moves that are equal to the leader are never dropped;
    what is chosen among them is decided elsewhere.

    Args:
        scores: float64 `[n, 7]`, in the worlds so far.
        weights: float64 `[n]`; their sum is the share of the worlds so far.
        left: bool `[7]`, the moves in the race.
        worth: as for `run`, of this decision.

    Returns:
        bool `[7]`, the moves that are still in the race; and True if more worlds are worth it.
    """
    n, share = len(weights), weights.sum()
    sums = np.where(left, weights @ scores, -1.0)
    leads = (sums.max() - sums).round(12)
    ahead = scores[:, [int(sums.argmax())]] - scores
    squares = np.square(weights)
    # The error of the lead comes from the differences in the same worlds, which have much less
    # spread than the scores. One world more, with a difference of 1: after few worlds none is sure.
    spread = squares @ np.square(ahead - leads / share) + squares.sum() / n
    left, open_moves = left.copy(), 0
    for slot in np.flatnonzero(left):
        if slot == sums.argmax():
            continue
        loss = opportunity_cost(leads[slot] / share, math.sqrt(spread[slot]) / share)
        if loss >= worth * 2 * n and leads[slot] <= 1 - share + 1e-12:
            open_moves += 1
        elif leads[slot] > 0:
            left[slot] = False
    return left, open_moves > 0
