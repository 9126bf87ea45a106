"""The rules for compiled play: one game is a short row of integers, changed in place.

Tiles are ranks and sets of tiles are masks over ranks, as in the solver (see `solver.ranks`).
"""

import numpy as np

from zebjax import tiles
from zebjax.solver.bounds import above, highest, legal
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FOLLOWS, RANK_OF_TILE, TILE_OF_RANK, WINS

# Columns of a row of int64. The first four groups have one column per seat.
HANDS = 0  # unplayed tiles
LED = 4  # tiles that the seat has led
FOLLOWED = 8  # tiles that the seat has played as a follower
VOIDS = 12  # bit s: the seat has failed to follow suit s
DECLARATION, LEADER, N_LAID, PLY, SEEN = 16, 17, 18, 19, 20
POINTS = 21  # of finished tricks, by team
TRICK = 23  # ranks of the trick on the table, in the order of play
PAST = 27  # by ply: what was played and in which situation, see `manner_of`
SIZE = PAST + tiles.N_TILES
N_MANNERS = 18
"""Situations of a play, see `manner_of`."""

SUIT_OF_RANK = np.take_along_axis(tiles.LED_SUIT.astype(np.int64), TILE_OF_RANK, 1)
"""The suit that a tile leads, int64 `[10, 28]`."""
POINTS_OF_RANK = tiles.POINTS.astype(np.int64)[TILE_OF_RANK]
RANKS = RANK_OF_TILE.astype(np.int64)
"""Rank of each tile id, int64 `[10, 28]`."""


@compiled
def start(row: np.ndarray, hands: np.ndarray, declaration: int, leader: int) -> None:
    """Set a row to a new game; `hands` are tile ids `[4, 7]`."""
    row[:] = 0
    for seat in range(4):
        for slot in range(7):
            row[HANDS + seat] |= 1 << RANKS[declaration, hands[seat, slot]]
    row[DECLARATION], row[LEADER] = declaration, leader


@compiled
def mover(row: np.ndarray) -> int:
    """Return the seat to move."""
    return (row[LEADER] + row[N_LAID]) & 3


@compiled
def legal_tiles(row: np.ndarray) -> int:
    """Return the mover's legal tiles as a mask."""
    hand = row[HANDS + ((row[LEADER] + row[N_LAID]) & 3)]
    if row[N_LAID] == 0:
        return hand
    return legal(hand, FOLLOWS[row[DECLARATION], row[TRICK]])


@compiled
def best_laid(row: np.ndarray) -> int:
    """Return the rank that wins the trick so far; a tile must be on the table."""
    laid = 0
    for index in range(row[N_LAID]):
        laid |= 1 << row[TRICK + index]
    return highest(laid & WINS[row[DECLARATION], row[TRICK]])


@compiled
def manner_of(row: np.ndarray, rank: int) -> int:
    """Return in which situation the mover plays a legal tile, one of N_MANNERS numbers.

    A lead is 0, or 1 if no unplayed tile of its suit is higher. Later plays begin at 2: bit 0, the
    tile wins so far; bit 1, it follows suit; bit 2, the partner was winning; bit 3, it is the last.
    """
    declaration, n = row[DECLARATION], row[N_LAID]
    if n == 0:
        return (FOLLOWS[declaration, rank] & above(rank) & ~row[SEEN]) == 0
    best = best_laid(row)
    manner = 2
    if rank > best and WINS[declaration, row[TRICK]] >> rank & 1:
        manner += 1
    if FOLLOWS[declaration, row[TRICK]] >> rank & 1:
        manner += 2
    if n >= 2 and row[TRICK + n - 2] == best:
        manner += 4
    return manner + (8 if n == 3 else 0)


@compiled
def play(row: np.ndarray, rank: int) -> None:
    """Play a tile of the mover, which must be legal."""
    declaration, n = row[DECLARATION], row[N_LAID]
    seat = (row[LEADER] + n) & 3
    tile = 1 << rank
    row[PAST + row[PLY]] = (seat * N_MANNERS + manner_of(row, rank)) * tiles.N_TILES + rank
    if n == 0:
        row[LED + seat] |= tile
    else:
        row[FOLLOWED + seat] |= tile
        if FOLLOWS[declaration, row[TRICK]] & tile == 0:
            row[VOIDS + seat] |= 1 << SUIT_OF_RANK[declaration, row[TRICK]]
    row[HANDS + seat] &= ~tile
    row[SEEN] |= tile
    row[TRICK + n] = rank
    row[N_LAID] = n + 1
    row[PLY] += 1
    if n == 3:
        best = best_laid(row)
        gain = 1
        winner = 0
        for index in range(4):
            gain += POINTS_OF_RANK[declaration, row[TRICK + index]]
            if row[TRICK + index] == best:
                winner = index
        row[LEADER] = (row[LEADER] + winner) & 3
        row[POINTS + (row[LEADER] & 1)] += gain
        row[N_LAID] = 0
