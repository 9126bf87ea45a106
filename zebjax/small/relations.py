"""More features of a move from the third trick on: what may still happen after it.

Few tiles are left then, and which of them beats which decides the game. The features are the
scores if this trick goes to either team, where the five tiles with points are, and of what kind the
tiles are that the mover keeps and those that it has not seen. Several tiles of a kind count several
times.
"""

import numpy as np

from zebjax import tiles
from zebjax.small.features import OF_SUIT
from zebjax.small.rules import (
    DECLARATION,
    LEADER,
    N_LAID,
    PLY,
    POINTS,
    POINTS_OF_RANK,
    SUIT_OF_RANK,
    TRICK,
)
from zebjax.small.view import COUNT_TILES, N_TAKERS, View, taker_after
from zebjax.solver.bounds import above, count, lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import TRUMPS, WINS

FIRST_PLY = 8
"""The features begin here: in the first two tricks they gave nothing that could be measured."""
_STAGES = tiles.N_TRICKS - 1 - FIRST_PLY // tiles.N_PLAYERS  # in the last trick nobody has a choice
_NEED = 24  # points that a team still needs to win the game, if it wins this trick: 0 to 21
_LEFT = 8  # points of tiles that are left after the move, in fives
_WHO = 4  # who may hold a tile: bit 0 the partner, bit 1 an opponent
_BEATERS = 4  # unseen tiles of its suit that beat a kept tile: 0, 1, 2, or 3 and more
_TRUMPS = 3  # unseen trumps that may beat it: 0, 1, or 2 and more
_RELATIONS = 4  # of an unseen tile: bit 0 it may beat the move, bit 1 a kept tile beats it
_VALUES = 3  # points of a tile: 0, 5 or 10
_PLACES = 3  # of a tile with points: played, kept, unseen

_WE_NEED = 0
_THEY_NEED = _WE_NEED + N_TAKERS * _NEED * _LEFT
_KEPT = _THEY_NEED + N_TAKERS * _NEED * _LEFT
_UNSEEN = _KEPT + _STAGES * _BEATERS * _TRUMPS * _VALUES * _WHO
_WHERE = _UNSEEN + _STAGES * _RELATIONS * _VALUES * _WHO
N_FEATURES = _WHERE + _PLACES**5 * N_TAKERS
MAX_ACTIVE = 3 + tiles.N_TILES - 1
"""More than can be active at once: a tile is kept, or unseen, or neither."""

_TO_WIN = tiles.TOTAL_POINTS // 2 + 1


@compiled
def _who(view: View, unseen: int) -> int:
    """Return which others may hold at least one of some unseen tiles."""
    who = 1 if view.partner & unseen else 0
    return who + 2 if (view.left | view.right) & unseen else who


@compiled
def add_relations(
    row: np.ndarray, view: View, rank: int, outcome: int, first: int, out: np.ndarray, n: int
) -> int:
    """Append the features of the legal move `rank` to `out[:n]`; return the new number.

    Args:
        row: the game, at `FIRST_PLY` or later.
        view: what the seat to move sees.
        rank: the move.
        outcome: see `view.outcome_of`.
        first: number of the first of these features.
        out: int64, has room for `MAX_ACTIVE` more.
        n: number of features so far.
    """
    declaration = row[DECLARATION]
    stage = min((row[PLY] - FIRST_PLY) >> 2, _STAGES - 1)  # nobody asks in the last trick
    me, trumps = (row[LEADER] + row[N_LAID]) & 3, TRUMPS[declaration]
    kept = view.hand & ~(1 << rank)
    taker = taker_after(outcome)
    code, points_left = 0, 0
    for index in range(5):
        tile = COUNT_TILES[declaration, index]
        state = 1 if kept >> tile & 1 else (2 if view.unseen >> tile & 1 else 0)
        code = _PLACES * code + state
        if state:
            points_left += POINTS_OF_RANK[declaration, tile] // 5
    out[n] = first + _WHERE + code * N_TAKERS + taker
    trick = view.table + POINTS_OF_RANK[declaration, rank] + 1
    need = max(0, _TO_WIN - row[POINTS + (me & 1)] - trick)
    out[n + 1] = first + _WE_NEED + (taker * _NEED + need) * _LEFT + points_left
    need = max(0, _TO_WIN - row[POINTS + (~me & 1)] - trick)
    out[n + 2] = first + _THEY_NEED + (taker * _NEED + need) * _LEFT + points_left
    n += 3
    trumps_out = min(count(view.unseen & trumps), 2)
    left = kept
    while left:
        tile = lowest(left)
        left &= left - 1
        suit = OF_SUIT[declaration, SUIT_OF_RANK[declaration, tile]]
        beaten_by = view.unseen & suit & above(tile)
        kind = stage * _BEATERS + min(count(beaten_by), 3)
        kind = kind * _TRUMPS + (0 if trumps >> tile & 1 else trumps_out)
        kind = kind * _VALUES + POINTS_OF_RANK[declaration, tile] // 5
        out[n] = first + _KEPT + kind * _WHO + _who(view, beaten_by)
        n += 1
    wins = WINS[declaration, row[TRICK] if row[N_LAID] else rank]
    beats = wins & above(max(rank, view.best) if wins >> rank & 1 else view.best)
    left = view.unseen
    while left:
        tile = lowest(left)
        left &= left - 1
        suit = OF_SUIT[declaration, SUIT_OF_RANK[declaration, tile]]
        kind = stage * _RELATIONS + (beats >> tile & 1) + (2 if kept & suit & above(tile) else 0)
        kind = kind * _VALUES + POINTS_OF_RANK[declaration, tile] // 5
        out[n] = first + _UNSEEN + kind * _WHO + _who(view, 1 << tile)
        n += 1
    return n
