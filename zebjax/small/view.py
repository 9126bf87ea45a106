"""What the seat to move sees, as masks over ranks, and what is known of the trick after a move."""

from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.small.features import ALL, OF_SUIT
from zebjax.small.rules import (
    DECLARATION,
    HANDS,
    LEADER,
    N_LAID,
    POINTS_OF_RANK,
    SEEN,
    TRICK,
    VOIDS,
    best_laid,
    legal_tiles,
)
from zebjax.solver.bounds import above, count, lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import RANK_OF_TILE, TRUMPS, WINS

# Numbers of `outcome_of`. The move wins, and no later opponent can beat it, or only with a trump,
# or with one, two, three or more tiles of the suit. The tile of the partner wins, likewise, but for
# one, two or more. An opponent wins. An opponent wins, but the partner may still beat that.
MOVE_SURELY_WINS, PARTNER_SURELY_WINS, LOSES, MAY_STILL_WIN, N_OUTCOMES = 0, 5, 9, 10, 11
N_TAKERS = 3
"""Numbers of `taker_after`."""

COUNT_TILES = RANK_OF_TILE[:, tiles.POINTS > 0].astype(np.int64)
"""Ranks of the tiles with points, int64 `[10, 5]`."""


class View(NamedTuple):
    """What the moves of a decision share; sets of tiles are masks over ranks."""

    hand: int
    legal: int
    unseen: int
    left: int
    """Unseen tiles that the seat to the left may hold; likewise the next two."""
    partner: int
    right: int
    later: int
    """Unseen tiles that opponents who play later in this trick may hold."""
    best: int
    """Rank of the tile that wins so far; -1 if none is on the table."""
    partner_wins: int
    """1 if the partner played it, else 0."""
    table: int
    """Points on the table."""


@compiled
def _may_hold(row: np.ndarray, seat: int, unseen: int) -> int:
    voids = row[VOIDS + seat]
    while voids:
        unseen &= ~OF_SUIT[row[DECLARATION], lowest(voids)]
        voids &= voids - 1
    return unseen


@compiled
def view_of(row: np.ndarray) -> View:
    """Return what the seat to move sees."""
    n_laid = row[N_LAID]
    me = (row[LEADER] + n_laid) & 3
    hand = row[HANDS + me]
    unseen = ALL & ~row[SEEN] & ~hand
    left = _may_hold(row, (me + 1) & 3, unseen)
    partner = _may_hold(row, (me + 2) & 3, unseen)
    right = _may_hold(row, (me + 3) & 3, unseen)
    # The opponent to the right plays later only if the mover leads.
    later = left | right if n_laid == 0 else (left if n_laid < 3 else 0)
    best, partner_wins, table = -1, 0, 0
    if n_laid:
        best = best_laid(row)
        for index in range(n_laid):
            table += POINTS_OF_RANK[row[DECLARATION], row[TRICK + index]]
            if row[TRICK + index] == best and (row[LEADER] + index - me) & 3 == 2:
                partner_wins = 1
    return View(
        hand, legal_tiles(row), unseen, left, partner, right, later, best, partner_wins, table
    )


@compiled
def taker_after(outcome: int) -> int:
    """Return who takes the trick: surely the mover's team, 0, unsure, 1, surely the other, 2."""
    if outcome in (MOVE_SURELY_WINS, PARTNER_SURELY_WINS):
        return 0
    return 2 if outcome == LOSES else 1


@compiled
def outcome_of(row: np.ndarray, view: View, rank: int) -> int:
    """Return what is known of the trick after the move, one of `N_OUTCOMES` numbers."""
    trumps, n_laid = TRUMPS[row[DECLARATION]], row[N_LAID]
    wins = WINS[row[DECLARATION], row[TRICK] if n_laid else rank]
    does_win = rank > view.best and wins >> rank & 1
    if not does_win and not view.partner_wins:
        may_win = n_laid == 1 and view.partner & wins & above(view.best)
        return MAY_STILL_WIN if may_win else LOSES
    top = rank if does_win else view.best
    beaten_by = view.later & wins & above(top)
    if beaten_by == 0:
        return MOVE_SURELY_WINS if does_win else PARTNER_SURELY_WINS
    in_suit = beaten_by if trumps >> top & 1 else beaten_by & ~trumps
    if does_win:
        return MOVE_SURELY_WINS + 1 + min(count(in_suit), 3)
    return PARTNER_SURELY_WINS + 1 + min(count(in_suit), 2)
