"""What the seat to move believes of the hidden tiles: P(each other seat holds each of them).

A seat that plays a low tile while its partner wins probably has no tile with points. So each play
of a seat, together with the situation in which it was made, adds a learned number to the log-odds
of each tile that the seat may still hold ("naive Bayes"). Then the odds are scaled until every tile
has one holder and every seat as many tiles as it holds (iterative proportional fitting, Deming and
Stephan 1940). Training learns the numbers from the true hands, see `add_gradient`.
"""

import numpy as np

from zebjax import tiles
from zebjax.small.rules import DECLARATION, HANDS, LEADER, N_LAID, N_MANNERS, PAST, PLY
from zebjax.small.view import View, view_of
from zebjax.solver.bounds import count
from zebjax.solver.cached_code import compiled, inlined

N_PLAYS = N_MANNERS * tiles.N_TILES
"""Kinds of plays: the situation and the rank, see `rules.manner_of`."""
_STEPS = 2
"""Of the scaling. One gives 0.001 nats a tile more log-loss, three 0.0005 less."""
_LEAST, _MOST = np.float32(0.5), np.float32(2)
"""Limits of the 64th root of odds."""
_TINY = np.float32(1e-30)


@compiled
def believe(table: np.ndarray, row: np.ndarray, view: View, likely: np.ndarray) -> None:
    """Write P(a seat holds a tile) by the plays seen so far.

    Args:
        table: float32 `[10, N_PLAYS, 28]`, log-odds by declaration, play, and tile.
        row: the game; only what the mover has seen is read.
        view: what the mover sees.
        likely: float32 `[3, 28]`, by seat from the left of the mover on, and rank; overwritten.
    """
    declaration, me = row[DECLARATION], (row[LEADER] + row[N_LAID]) & 3
    for other in range(3):
        for rank in range(tiles.N_TILES):
            likely[other, rank] = 0
    for ply in range(row[PLY]):
        seat = row[PAST + ply] // N_PLAYS
        play, other = row[PAST + ply] - seat * N_PLAYS, (seat - me - 1) & 3
        if other < 3:
            for rank in range(tiles.N_TILES):
                likely[other, rank] += table[declaration, play, rank]
    # Tiles that each seat holds: one fewer if it has played in this trick, as the last n_laid have.
    most = np.float32(tiles.HAND_SIZE - ((row[PLY] - row[N_LAID]) >> 2))
    need0, need1 = most - (row[N_LAID] > 2), most - (row[N_LAID] > 1)
    need2 = most - (row[N_LAID] > 0)
    scale0 = scale1 = scale2 = np.float32(1)
    _to_odds(likely, 0, view.left)
    _to_odds(likely, 1, view.partner)
    _to_odds(likely, 2, view.right)
    for _ in range(_STEPS):
        sum0 = sum1 = sum2 = np.float32(1e-9)
        for rank in range(tiles.N_TILES):
            a = scale0 * likely[0, rank]
            b = scale1 * likely[1, rank]
            c = scale2 * likely[2, rank]
            one = np.float32(1) / (a + b + c + _TINY)
            sum0 += a * one
            sum1 += b * one
            sum2 += c * one
        scale0 *= need0 / sum0
        scale1 *= need1 / sum1
        scale2 *= need2 / sum2
    for rank in range(tiles.N_TILES):
        a, b, c = scale0 * likely[0, rank], scale1 * likely[1, rank], scale2 * likely[2, rank]
        one = np.float32(1) / (a + b + c + _TINY)
        likely[0, rank], likely[1, rank], likely[2, rank] = a * one, b * one, c * one


@inlined
def _to_odds(likely: np.ndarray, other: int, may_hold: int) -> None:
    """Turn the log-odds of a seat into odds, 0 where it cannot hold a tile."""
    for rank in range(tiles.N_TILES):
        # (1 + x / 64)^64 instead of exp(x): as good here, and a loop of products is fast.
        base = np.float32(1) + likely[other, rank] * np.float32(1 / 64)
        odds = min(max(base, _LEAST), _MOST)
        for _ in range(6):
            odds *= odds
        likely[other, rank] = odds * np.float32(may_hold >> rank & 1)


@compiled
def add_gradient(table: np.ndarray, row: np.ndarray, likely: np.ndarray, grad: np.ndarray) -> float:
    """Add the gradient of the log-loss of the beliefs on the true hands of the others.

    It is that of the sum over unseen tiles, so early decisions weigh more. The odds count as
    exp(log-odds) without limits, and the scales as constants.

    Args:
        table: as for `believe`.
        row: the game, with all hands.
        likely: float32 `[3, 28]`, a buffer.
        grad: float32 `[N_PLAYS, 28]`, of the declaration.

    Returns:
        The log-loss in nats, mean over the unseen tiles.
    """
    view = view_of(row)
    believe(table, row, view, likely)
    me, loss = (row[LEADER] + row[N_LAID]) & 3, 0.0
    for other in range(3):
        hand = row[HANDS + ((me + 1 + other) & 3)]
        for rank in range(tiles.N_TILES):
            if hand >> rank & 1:
                loss -= np.log(likely[other, rank] + 1e-6)
            likely[other, rank] -= np.float32(hand >> rank & 1)
    for ply in range(row[PLY]):
        seat = row[PAST + ply] // N_PLAYS
        play, other = row[PAST + ply] - seat * N_PLAYS, (seat - me - 1) & 3
        if other < 3:
            for rank in range(tiles.N_TILES):
                grad[play, rank] += likely[other, rank]
    return loss / max(1, count(view.unseen))
