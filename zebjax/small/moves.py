"""The sparse features of one move, the same for all tiles and declarations.

What makes a move good is often the same for many tiles: it wins the trick whatever follows, or
gives points to a partner who wins it. The outputs by tile learn that for each tile anew; these
features learn it once.
"""

from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.small.features import ALL, OF_SUIT
from zebjax.small.rules import (
    DECLARATION,
    HANDS,
    LEADER,
    N_LAID,
    PLY,
    POINTS_OF_RANK,
    SEEN,
    SUIT_OF_RANK,
    TRICK,
    VOIDS,
    best_laid,
    legal_tiles,
)
from zebjax.solver.bounds import above, count, lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FOLLOWS, TILE_OF_RANK, TRUMPS, WINS

# Numbers of `_outcome`. The move wins, and no later opponent can beat it, or only with a trump, or
# with one, two, three or more tiles of the suit. The tile of the partner wins, likewise, but for
# one, two or more. An opponent wins. An opponent wins, but the partner may still beat that.
_WINS, _PARTNER_WINS, _LOSES, _MAY_STILL_WIN, _OUTCOMES = 0, 5, 9, 10, 11
# An outcome by place in the trick, points of the tile, points on the table, and trick.
_BY_PLACE = 0
_BY_POINTS = _BY_PLACE + 4 * _OUTCOMES
_BY_TABLE = _BY_POINTS + 3 * _OUTCOMES
_BY_TRICK = _BY_TABLE + 8 * _OUTCOMES
_KIND = _BY_TRICK + tiles.N_TRICKS * _OUTCOMES  # led, following or not; trump; double
# Tiles of the same suit: others in the hand, and, led or not, unseen ones, higher ones, lower ones.
_IN_HAND = _KIND + 12
_UNSEEN = _IN_HAND + 8
_HIGHER = _UNSEEN + 16
_LOWER = _HIGHER + 16
_VOID = _LOWER + 16  # of a tile that is led: who has none of its suit
_MAY_HOLD_HIGHER = _VOID + 8  # led or not; the partner; an opponent
_TRUMPS_OUT = _MAY_HOLD_HIGHER + 8
_TILE = _TRUMPS_OUT + 32
_RANK = _TILE + tiles.N_TILES
_N_LEGAL = _RANK + tiles.N_TILES
_LOW_SUIT = _N_LEGAL + 8  # tiles in the hand of the suit of its lower end
N_MOVE_FEATURES = _LOW_SUIT + 8
MAX_ACTIVE = 16
"""The most that can be active at once."""

_TILES = TILE_OF_RANK.astype(np.int64)
_IS_DOUBLE = np.asarray(tiles.IS_DOUBLE).astype(np.int64)[_TILES]
_LOW = np.asarray(tiles.LOW).astype(np.int64)[_TILES]


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
def _outcome(row: np.ndarray, view: View, rank: int) -> int:
    """Return what is known of the trick after the move, see `_WINS`."""
    trumps, n_laid = TRUMPS[row[DECLARATION]], row[N_LAID]
    wins = WINS[row[DECLARATION], row[TRICK] if n_laid else rank]
    does_win = rank > view.best and wins >> rank & 1
    if not does_win and not view.partner_wins:
        may_win = n_laid == 1 and view.partner & wins & above(view.best)
        return _MAY_STILL_WIN if may_win else _LOSES
    top = rank if does_win else view.best
    beaten_by = view.later & wins & above(top)
    if beaten_by == 0:
        return _WINS if does_win else _PARTNER_WINS
    in_suit = beaten_by if trumps >> top & 1 else beaten_by & ~trumps
    if does_win:
        return _WINS + 1 + min(count(in_suit), 3)
    return _PARTNER_WINS + 1 + min(count(in_suit), 2)


@compiled
def move_features(row: np.ndarray, view: View, rank: int, out: np.ndarray) -> int:
    """Write the features of the legal move `rank` to `out`; return their number."""
    declaration, n_laid = row[DECLARATION], row[N_LAID]
    trumps = TRUMPS[declaration]
    is_trump, is_double = trumps >> rank & 1, _IS_DOUBLE[declaration, rank]
    leads, manner = 1, 0
    if n_laid:
        leads = 0
        manner = 1 if FOLLOWS[declaration, row[TRICK]] >> rank & 1 else 2
    of_suit = OF_SUIT[declaration, SUIT_OF_RANK[declaration, rank]]
    unseen = view.unseen & of_suit
    higher = unseen & above(rank)
    outcome = _outcome(row, view, rank)
    out[0] = _BY_PLACE + n_laid * _OUTCOMES + outcome
    out[1] = _BY_POINTS + POINTS_OF_RANK[declaration, rank] // 5 * _OUTCOMES + outcome
    out[2] = _BY_TABLE + min(view.table // 5, 7) * _OUTCOMES + outcome
    out[3] = _BY_TRICK + (row[PLY] >> 2) * _OUTCOMES + outcome
    out[4] = _KIND + 4 * manner + 2 * is_trump + is_double
    out[5] = _IN_HAND + count(view.hand & of_suit) - 1
    out[6] = _UNSEEN + 8 * leads + min(count(unseen), 7)
    out[7] = _HIGHER + 8 * leads + min(count(higher), 7)
    out[8] = _LOWER + 8 * leads + min(count(unseen & ~higher), 7)
    out[9] = _MAY_HOLD_HIGHER + 4 * leads
    if view.partner & higher:
        out[9] += 1
    if (view.left | view.right) & higher:
        out[9] += 2
    out[10] = _TRUMPS_OUT + 16 * leads + 8 * is_trump + min(count(view.unseen & trumps), 7)
    out[11] = _TILE + _TILES[declaration, rank]
    out[12] = _RANK + rank
    out[13] = _N_LEGAL + count(view.legal)
    n = 14
    if leads:
        out[n] = _VOID
        if view.partner & of_suit == 0:
            out[n] += 1
        if view.left & of_suit == 0:
            out[n] += 2
        if view.right & of_suit == 0:
            out[n] += 4
        n += 1
    if not is_double and not is_trump:
        out[n] = _LOW_SUIT + count(view.hand & OF_SUIT[declaration, _LOW[declaration, rank]])
        n += 1
    return n
