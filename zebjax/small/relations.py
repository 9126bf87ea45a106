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
from zebjax.small.view import LOSES, MOVE_WINS, PARTNER_WINS, View
from zebjax.solver.bounds import above, count, lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import RANK_OF_TILE, TRUMPS, WINS

FIRST_PLY = 8
"""The features begin here. In the first two tricks they gave a tenth as much, for as much time."""
_STAGES = tiles.N_TRICKS - 1 - FIRST_PLY // tiles.N_PLAYERS  # in the last trick nobody has a choice
_TRICK = 3  # whose trick it is: surely the mover's team's, unsure, surely the other team's
_NEED = 24  # points that a team still needs to win the game, if it wins this trick: 0 to 23
_LEFT = 8  # points of tiles that are left after the move, in fives
_WHO = 4  # who may hold a tile: bit 0 the partner, bit 1 an opponent
_KINDS = 3  # points of a tile: 0, 5 or 10

_WE_NEED = 0
_THEY_NEED = _WE_NEED + _TRICK * _NEED * _LEFT
_KEPT = _THEY_NEED + _TRICK * _NEED * _LEFT
_UNSEEN = _KEPT + _STAGES * 4 * 3 * _KINDS * _WHO
_COUNTS = _UNSEEN + _STAGES * 4 * _KINDS * _WHO
N_FEATURES = _COUNTS + 3**5 * _TRICK
MAX_ACTIVE = 3 + 4 + 15
"""The most that can be active at once: at the first ply 4 tiles are kept and 15 unseen."""

_COUNT_TILES = RANK_OF_TILE[:, tiles.POINTS > 0].astype(np.int64)
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
    declaration, stage = row[DECLARATION], (row[PLY] - FIRST_PLY) >> 2
    me, trumps = (row[LEADER] + row[N_LAID]) & 3, TRUMPS[declaration]
    kept = view.hand & ~(1 << rank)
    goes = 1
    if outcome in (MOVE_WINS, PARTNER_WINS):
        goes = 0
    elif outcome == LOSES:
        goes = 2
    code, points_left = 0, 0
    for index in range(5):
        tile = _COUNT_TILES[declaration, index]
        state = 1 if kept >> tile & 1 else (2 if view.unseen >> tile & 1 else 0)
        code = 3 * code + state
        if state:
            points_left += POINTS_OF_RANK[declaration, tile] // 5
    out[n] = first + _COUNTS + code * _TRICK + goes
    trick = view.table + POINTS_OF_RANK[declaration, rank] + 1
    need = max(0, _TO_WIN - row[POINTS + (me & 1)] - trick)
    out[n + 1] = first + _WE_NEED + (goes * _NEED + need) * _LEFT + points_left
    need = max(0, _TO_WIN - row[POINTS + (~me & 1)] - trick)
    out[n + 2] = first + _THEY_NEED + (goes * _NEED + need) * _LEFT + points_left
    n += 3
    trumps_out = min(count(view.unseen & trumps), 2)
    left = kept
    while left:
        tile = lowest(left)
        left &= left - 1
        suit = OF_SUIT[declaration, SUIT_OF_RANK[declaration, tile]]
        beaten_by = view.unseen & suit & above(tile)
        kind = stage * 4 + min(count(beaten_by), 3)
        kind = kind * 3 + (0 if trumps >> tile & 1 else trumps_out)
        kind = kind * _KINDS + POINTS_OF_RANK[declaration, tile] // 5
        out[n] = first + _KEPT + kind * _WHO + _who(view, beaten_by)
        n += 1
    wins = WINS[declaration, row[TRICK] if row[N_LAID] else rank]
    beats = wins & above(max(rank, view.best) if wins >> rank & 1 else view.best)
    left = view.unseen
    while left:
        tile = lowest(left)
        left &= left - 1
        suit = OF_SUIT[declaration, SUIT_OF_RANK[declaration, tile]]
        kind = stage * 4 + (beats >> tile & 1) + (2 if kept & suit & above(tile) else 0)
        kind = kind * _KINDS + POINTS_OF_RANK[declaration, tile] // 5
        out[n] = first + _UNSEEN + kind * _WHO + _who(view, 1 << tile)
        n += 1
    return n
