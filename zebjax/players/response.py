"""The player `br`: best response to random players, the 42 player Walt at level 0.

It counts for each move in how many worlds its team wins, see `solver.response`. It is about as
strong as E[Q] of 100 worlds, and nothing that is measured against it was made with it. It plays for
more points, also in a game with a contract.
"""

import numpy as np

from zebjax import game
from zebjax.common.arrays import check
from zebjax.players import base, exact
from zebjax.players.base import Player, gather
from zebjax.players.spec import MAX_WORLDS
from zebjax.small import batch
from zebjax.solver import cached_code, positions, response

_TIE_WORLDS = 50
"""Worlds of the exact points by which equal moves are chosen."""
_PLAY = 5
"""Stream of random numbers, see `batch.seeds_of`."""


def worlds_won(
    states: game.GameState,
    keys: np.ndarray,
    asked: np.ndarray,
    n: int,
    threads: int | None = None,
) -> np.ndarray:
    """Count the worlds that moves win.

    Args:
        states: N games that are not over, NumPy arrays. Hidden tiles are not read.
        keys: uint32 `[N, 2]`, one raw random key per game.
        asked: bool `[N, 7]`, the slots that are searched, all of them legal.
        n: worlds per decision, uniform. If there are fewer, each is taken several times, and the
            others play differently in each of them. 1 or more.
        threads: as for `batch.in_threads`.

    Returns:
        int64 `[N, 7]`; exact for the slots that win most worlds, less than that for the others; -1
        if not asked.

    Raises:
        ValueError: if an argument has a wrong shape, or no game can reach a state.
    """
    check("asked", asked, ("N", 7), bool)
    check("keys", keys, (len(asked), 2), int)
    if n < 1:
        raise ValueError(f"n: expected 1 or more worlds, got {n}")
    out = np.full(asked.shape, -1, np.int64)
    for decision, worlds in exact.worlds_of(states, keys, n):
        numbers, first, sizes = np.unique(decision, return_index=True, return_counts=True)
        row, place = np.divmod(np.arange(len(numbers) * n), n)
        drawn = first[row] + place * sizes[row] // n
        seeds = batch.split(batch.seeds_of(keys[numbers], _PLAY)[row], place)
        starts, won = np.arange(len(numbers) + 1) * n, out[numbers]
        arguments = ((positions.read(worlds), drawn, seeds, starts), asked[numbers], won)
        cached_code.announce("zebjax", "the best response", "15 s", response.worlds_won)
        batch.in_threads(response.worlds_won, len(numbers), arguments, threads, piece=1)
        out[numbers] = won
    return out


def player(n: int = 800) -> Player:
    """Make the player of the spec `br[:n=800]`.

    It plays the move that wins in most worlds; among equals that of the most mean points of exact
    solutions, then the lowest slot.

    Args:
        n: worlds per decision.

    Raises:
        ValueError: if n is out of range.
    """
    if not 1 <= n <= MAX_WORLDS:
        raise ValueError(f"n: expected 1 to {MAX_WORLDS:,} worlds, got {n}")

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        best = np.array(base.in_chunks(exact.legal_slots, states, keys))
        if len(rows := np.flatnonzero(best.sum(-1) > 1)):
            won = worlds_won(gather(states, rows), keys[rows], best[rows], n)
            best[rows] = won == won.max(-1, keepdims=True)
        slots = best.argmax(-1).astype(np.int32)
        if len(rows := np.flatnonzero(best.sum(-1) > 1)):
            points = exact.eq_values(gather(states, rows), keys[rows], _TIE_WORLDS).points
            slots[rows] = exact.best_of(best[rows], points)
        return slots

    spec = f"br:n={n}"
    return Player(spec, choose, identity=spec)
