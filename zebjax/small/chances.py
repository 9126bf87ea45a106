"""Features of a move by what the mover believes of the hidden tiles (`beliefs`).

How likely it is that a later seat beats the tile that wins after the move, that the partner holds
each unseen tile with points, and, for each tile that is kept, that the partner holds all better
tiles of its suit, if any. Probabilities are divided into equal ranges, one feature each.
"""

import numpy as np

from zebjax import tiles
from zebjax.small.features import OF_SUIT
from zebjax.small.rules import DECLARATION, N_LAID, POINTS_OF_RANK, SUIT_OF_RANK, TRICK
from zebjax.small.view import COUNT_TILES, N_TAKERS, View, taker_after
from zebjax.solver.bounds import above, lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import TRUMPS, WINS

_FINE, _COARSE = 16, 8  # ranges of a probability
_WINNERS = 3  # whose tile wins after the move: the mover's, the partner's, an opponent's
_OPPONENTS_BEAT = 0
_PARTNER_BEATS = _OPPONENTS_BEAT + 2 * _WINNERS * _FINE
_PARTNER_HAS = _PARTNER_BEATS + 2 * _WINNERS * _FINE
_KEPT = _PARTNER_HAS + 5 * _COARSE * N_TAKERS
N_FEATURES = _KEPT + 2 * 3 * _COARSE
MAX_ACTIVE = 2 + 5 + tiles.N_TILES - 1
"""More than can be active at once: two chances, tiles with points, kept tiles."""


@compiled
def _none_of(likely: np.ndarray, other: int, mask: int) -> float:
    """Return P(a seat holds none of some tiles), as if its tiles were independent."""
    none = 1.0
    while mask:
        none *= 1.0 - likely[other, lowest(mask)]
        mask &= mask - 1
    return none


@compiled
def _beats(likely: np.ndarray, other: int, in_suit: int, others: int, suit: int) -> float:
    """Return P(a seat can beat the best tile of the trick).

    With one of the better tiles `in_suit`; or with one of the `others`, trumps, if it has no tile
    of the suit that was led, `suit`.
    """
    p = 1.0 - _none_of(likely, other, in_suit)
    if others:
        none = _none_of(likely, other, suit)
        if none > 0:
            p += none * (1.0 - _none_of(likely, other, others))
    return p


@compiled
def _range(p: float, n: int) -> int:
    # A little more: a probability at a border is in the same range however its sums are rounded.
    return min(max(int(p * n + 1e-4), 0), n - 1)


@compiled
def add_chances(
    row: np.ndarray, view: View, move: tuple, likely: np.ndarray, out: np.ndarray, n: int
) -> int:
    """Append the features of a legal move to `out[:n]`; return the new number.

    Args:
        row: the game.
        view: what the seat to move sees.
        move: rank; see `view.outcome_of`; number of the first of these features.
        likely: from `beliefs.believe`.
        out: int64, has room for `MAX_ACTIVE` more.
        n: number of features so far.
    """
    rank, outcome, first = move
    declaration, n_laid = row[DECLARATION], row[N_LAID]
    trumps = TRUMPS[declaration]
    led = row[TRICK] if n_laid else rank
    wins = WINS[declaration, led]
    leads = 1 if n_laid == 0 else 0
    does_win = rank > view.best and wins >> rank & 1
    winner = 0 if does_win else (1 if view.partner_wins else 2)
    top = rank if does_win else view.best
    suit = view.unseen & OF_SUIT[declaration, SUIT_OF_RANK[declaration, led]]
    beaters = view.unseen & wins & above(top)
    in_suit, others = beaters & suit, beaters & ~suit
    if n_laid < 3:
        p = _beats(likely, 0, in_suit, others, suit)
        if n_laid == 0:
            p = 1 - (1 - p) * (1 - _beats(likely, 2, in_suit, others, suit))
        out[n] = first + _OPPONENTS_BEAT + (winner * 2 + leads) * _FINE + _range(p, _FINE)
        n += 1
        if n_laid < 2:
            p = _beats(likely, 1, in_suit, others, suit)
            out[n] = first + _PARTNER_BEATS + (winner * 2 + leads) * _FINE + _range(p, _FINE)
            n += 1
    taker = taker_after(outcome)
    for index in range(5):
        tile = COUNT_TILES[declaration, index]
        if view.unseen >> tile & 1:
            kind = index * N_TAKERS + taker
            out[n] = first + _PARTNER_HAS + kind * _COARSE + _range(likely[1, tile], _COARSE)
            n += 1
    left = view.hand & ~(1 << rank)
    while left:
        tile = lowest(left)
        left &= left - 1
        beaten_by = view.unseen & OF_SUIT[declaration, SUIT_OF_RANK[declaration, tile]]
        beaten_by &= above(tile)
        p = 1.0
        while beaten_by:
            p *= likely[1, lowest(beaten_by)]
            beaten_by &= beaten_by - 1
        kind = POINTS_OF_RANK[declaration, tile] // 5 * 2 + (trumps >> tile & 1)
        out[n] = first + _KEPT + kind * _COARSE + _range(p, _COARSE)
        n += 1
    return n
