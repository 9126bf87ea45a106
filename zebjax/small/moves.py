"""The sparse features of one move, the same for all tiles and declarations.

What makes a move good is often the same for many tiles: it wins the trick whatever follows, or
gives points to a partner who wins it. The outputs by tile learn that for each tile anew; these
features learn it once.
"""

import numpy as np

from zebjax import tiles
from zebjax.small import chances, relations
from zebjax.small.features import OF_SUIT
from zebjax.small.rules import DECLARATION, N_LAID, PLY, POINTS_OF_RANK, SUIT_OF_RANK, TRICK
from zebjax.small.view import N_OUTCOMES, View, outcome_of
from zebjax.solver.bounds import above, count
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FOLLOWS, TILE_OF_RANK, TRUMPS

# An outcome by place in the trick, points of the tile, points on the table, and trick.
_BY_PLACE = 0
_BY_POINTS = _BY_PLACE + 4 * N_OUTCOMES
_BY_TABLE = _BY_POINTS + 3 * N_OUTCOMES
_BY_TRICK = _BY_TABLE + 8 * N_OUTCOMES
_KIND = _BY_TRICK + tiles.N_TRICKS * N_OUTCOMES  # led, following or not; trump; double
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
N_ALWAYS = _LOW_SUIT + 8
"""The features above occur in every trick, those of `relations` from their first ply on."""
N_RELATED = N_ALWAYS + relations.N_FEATURES
"""Those of `chances` follow, which occur in every trick."""
N_MOVE_FEATURES = N_RELATED + chances.N_FEATURES
MAX_ACTIVE = 16 + relations.MAX_ACTIVE + chances.MAX_ACTIVE
"""The most that can be active at once."""

_TILES = TILE_OF_RANK.astype(np.int64)
_IS_DOUBLE = np.asarray(tiles.IS_DOUBLE).astype(np.int64)[_TILES]
_LOW = np.asarray(tiles.LOW).astype(np.int64)[_TILES]


@compiled
def move_features(
    row: np.ndarray, view: View, rank: int, likely: np.ndarray, out: np.ndarray
) -> int:
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
    outcome = outcome_of(row, view, rank)
    out[0] = _BY_PLACE + n_laid * N_OUTCOMES + outcome
    out[1] = _BY_POINTS + POINTS_OF_RANK[declaration, rank] // 5 * N_OUTCOMES + outcome
    out[2] = _BY_TABLE + min(view.table // 5, 7) * N_OUTCOMES + outcome
    out[3] = _BY_TRICK + (row[PLY] >> 2) * N_OUTCOMES + outcome
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
    if row[PLY] >= relations.FIRST_PLY:
        n = relations.add_relations(row, view, rank, outcome, N_ALWAYS, out, n)
    return chances.add_chances(row, view, (rank, outcome, N_RELATED), likely, out, n)
