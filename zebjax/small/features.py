"""The sparse features that the small network reads: what one seat has seen, as a list of numbers.

About 35 of the features are 1 and all others 0, so the first layer is a sum of a few rows of its
table ("efficiently updatable" networks of computer shogi and chess, Nasu 2018). Ranks stand for
tiles. The table has one part for each declaration, so the declaration is no feature.

Public features are those that every other seat knows too. In many worlds with the same plays only
the private ones differ.
"""

import numpy as np

from zebjax import tiles
from zebjax.small.rules import (
    DECLARATION,
    FOLLOWED,
    HANDS,
    LEADER,
    LED,
    N_LAID,
    PLY,
    POINTS,
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
from zebjax.solver.ranks import RANK_OF_TILE, TRUMPS, WINS

_TILES, _OTHERS = tiles.N_TILES, 3
ALL = (1 << tiles.N_TILES) - 1
"""The set of all tiles."""
# Private: the mover's tiles, those that may follow, those that would win the trick so far, those
# that no unseen tile beats when led, those that only trumps beat; suits it has none of; the number
# of unseen trumps.
_HAND = 0
_LEGAL = _HAND + _TILES
_BEATS = _LEGAL + _TILES
_SURE = _BEATS + _TILES
_BOSS = _SURE + _TILES
_LACKS = _BOSS + _TILES
_TRUMPS_OUT = _LACKS + tiles.N_SUITS
# Public, others relative to the mover: tiles played before, led or not; the trick on the table.
_MINE = _TRUMPS_OUT + 8
_OTHERS_LED = _MINE + _TILES
_OTHERS_FOLLOWED = _OTHERS_LED + _OTHERS * _TILES
_LAID = _OTHERS_FOLLOWED + _OTHERS * _TILES
_LEAD = _LAID + _OTHERS * _TILES
_BEST = _LEAD + _TILES
_PARTNER_WINS = _BEST + _TILES
_TABLE = _PARTNER_WINS + 2  # points on the table in fives, for each team that may be winning
_VOID = _TABLE + 2 * 8
_VOID_IN_LEAD = _VOID + _OTHERS * tiles.N_SUITS
_PLACE = _VOID_IN_LEAD + _OTHERS
_OURS = _PLACE + 4 * tiles.N_TRICKS
_THEIRS = _OURS + tiles.TOTAL_POINTS + 1
N_FEATURES = _THEIRS + tiles.TOTAL_POINTS + 1
MAX_ACTIVE = 128
"""More than can be active at once."""

OF_SUIT = np.where(tiles.CAN_FOLLOW, np.int64(1) << RANK_OF_TILE[:, None], 0).sum(-1)
"""The tiles that follow each suit, int64 `[10, 8]`."""


def tile_features() -> np.ndarray:
    """First features of the groups with one feature per rank, int64 `[groups]`.

    Training shares weights between declarations by rank and by tile.
    """
    groups = [_HAND, _LEGAL, _BEATS, _SURE, _BOSS, _MINE, _LEAD, _BEST]
    for first in (_OTHERS_LED, _OTHERS_FOLLOWED, _LAID):
        groups += [first + other * _TILES for other in range(_OTHERS)]
    return np.array(sorted(groups), np.int64)


@compiled
def private_features(row: np.ndarray, out: np.ndarray, n: int) -> int:
    """Append the private features of the seat to move to `out[:n]`; return the new number."""
    declaration = row[DECLARATION]
    hand = row[HANDS + ((row[LEADER] + row[N_LAID]) & 3)]
    unseen = ALL & ~row[SEEN] & ~hand
    trumps = TRUMPS[declaration]
    left = hand
    while left:
        rank = lowest(left)
        left &= left - 1
        out[n] = _HAND + rank
        n += 1
        beaten_by = unseen & WINS[declaration, rank] & above(rank)
        if beaten_by & ~trumps == 0:
            out[n] = (_BOSS if beaten_by else _SURE) + rank
            n += 1
    for suit in range(8):
        if hand & OF_SUIT[declaration, suit] == 0:
            out[n] = _LACKS + suit
            n += 1
    out[n] = _TRUMPS_OUT + count(unseen & trumps)
    n += 1
    if row[N_LAID]:
        left = legal_tiles(row)
        winning = WINS[declaration, row[TRICK]] & above(best_laid(row))
        while left:
            rank = lowest(left)
            left &= left - 1
            out[n] = _LEGAL + rank
            n += 1
            if winning >> rank & 1:
                out[n] = _BEATS + rank
                n += 1
    return n


@compiled
def _ranks(mask: int, first: int, out: np.ndarray, n: int) -> int:
    while mask:
        out[n] = first + lowest(mask)
        mask &= mask - 1
        n += 1
    return n


@compiled
def public_features(row: np.ndarray, out: np.ndarray, n: int) -> int:
    """Append the public features to `out[:n]`; return the new number."""
    declaration, n_laid = row[DECLARATION], row[N_LAID]
    me = (row[LEADER] + n_laid) & 3
    on_table = 0
    for index in range(n_laid):
        on_table |= 1 << row[TRICK + index]
    n = _ranks(row[LED + me] | row[FOLLOWED + me], _MINE, out, n)
    for other in range(3):
        seat = (me + 1 + other) & 3
        n = _ranks(row[LED + seat] & ~on_table, _OTHERS_LED + 28 * other, out, n)
        n = _ranks(row[FOLLOWED + seat] & ~on_table, _OTHERS_FOLLOWED + 28 * other, out, n)
        n = _ranks(row[VOIDS + seat], _VOID + 8 * other, out, n)
        # Only seats that play after the mover in this trick: a void there may mean a trump.
        if n_laid and other + n_laid < 3:
            suit = SUIT_OF_RANK[declaration, row[TRICK]]
            if row[VOIDS + seat] >> suit & 1:
                out[n] = _VOID_IN_LEAD + other
                n += 1
    if n_laid:
        best, table, partner_wins = best_laid(row), 0, 0
        for index in range(n_laid):
            rank = row[TRICK + index]
            other = (row[LEADER] + index - me - 1) & 3
            out[n] = _LAID + 28 * other + rank
            n += 1
            table += POINTS_OF_RANK[declaration, rank]
            if rank == best and other == 1:
                partner_wins = 1
        out[n] = _LEAD + row[TRICK]
        out[n + 1] = _BEST + best
        out[n + 2] = _PARTNER_WINS + partner_wins
        out[n + 3] = _TABLE + 8 * partner_wins + min(table // 5, 7)
        n += 4
    out[n] = _PLACE + row[PLY]
    out[n + 1] = _OURS + row[POINTS + (me & 1)]
    out[n + 2] = _THEIRS + row[POINTS + (~me & 1)]
    return n + 3
