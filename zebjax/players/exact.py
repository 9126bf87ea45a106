"""E[Q]: play the move that is best on average over sampled worlds, each solved exactly; and the
double-dummy player, which sees all hands.

A decision draws n worlds consistent with what the mover has seen (all of them, if there are fewer),
solves every legal move in each exactly, and averages. This is the Monte Carlo card play of bridge
programs (Ginsberg 2001, "GIB: Imperfect information in a computationally challenging game"). It
assumes that all hands are known after the move, so it neither hides nor looks for information.

Nearly all the time is spent in the solver, most of it in the first trick. Everything here takes
many games at once, so that the solver has thousands of positions to divide over the cores.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import numba
import numpy as np

from zebjax import game, solver, tiles, worlds
from zebjax.common.arrays import check
from zebjax.common.jax_settings import PRNG
from zebjax.players import Player, base
from zebjax.players.spec import CRITERIA, MOST_WORLDS

ENOUGH = tiles.TOTAL_POINTS // 2 + 1
"""Points at the end with which a team has more than the other."""
TIES_FROM_PLY = 8
"""From the third trick on, mean points are cheap enough to break ties of P(win)."""
_POSITIONS_A_CORE = 4096
"""Positions in one call of the solver: seconds of work in the first trick, so that Ctrl-C works."""
_MAX_DECISIONS = 256


@dataclasses.dataclass(frozen=True)
class Values:
    """Values of each move over the worlds of N decisions: points of the mover's team at the end of
    the game.

    Points already taken are included. All play after the move is perfect, with all hands known.
    """

    counts: np.ndarray
    """int32 `[N, 7, 43]`: number of worlds in which each slot leads to 0..42 points; all 0 for a
    slot that is not legal."""
    n_worlds: np.ndarray
    """int32 `[N]`: number of worlds; 0 if the game is over."""

    @property
    def legal(self) -> np.ndarray:
        """True for legal slots, bool `[N, 7]`."""
        return np.asarray(self.counts.any(-1))

    @property
    def points(self) -> np.ndarray:
        """Points summed over worlds, int64 `[N, 7]`: exact, to compare moves."""
        return self.counts @ np.arange(tiles.TOTAL_POINTS + 1)

    @property
    def wins(self) -> np.ndarray:
        """Number of worlds in which the team gets more points than the other, int64 `[N, 7]`."""
        return self.counts[..., ENOUGH:].sum(-1)

    @property
    def mean_points(self) -> np.ndarray:
        """Float64 `[N, 7]`; nan where not legal."""
        return self._share(self.points)

    @property
    def p_win(self) -> np.ndarray:
        """P(more points than the other team), float64 `[N, 7]`; nan where not legal."""
        return self._share(self.wins)

    @property
    def value(self) -> np.ndarray:
        """P(more points) - P(fewer), in [-1, 1], float64 `[N, 7]`; nan where not legal."""
        return self._share(self.wins - self.counts[..., : tiles.TOTAL_POINTS - ENOUGH + 1].sum(-1))

    def _share(self, sums: np.ndarray) -> np.ndarray:
        return np.where(self.legal, sums / np.maximum(self.n_worlds, 1)[:, None], np.nan)

    def best_slots(self) -> np.ndarray:
        """The slot of most mean points, then of most P(win), then the lowest; int32 `[N]`."""
        return _best(self.legal, self.points, self.wins)


def _best(legal: np.ndarray, *scores: np.ndarray) -> np.ndarray:
    """Legal slot with the highest first score, int32 `[N]`; on ties the next scores decide, then
    the lowest slot.

    Args:
        legal: bool `[N, 7]`.
        *scores: integers `[N, 7]`, 0 or more; integers, so that equal moves are exactly equal.
    """
    best = legal
    for score in scores:
        score = np.where(best, score, -1)
        best = best & (score == score.max(-1, keepdims=True))
    return best.argmax(-1).astype(np.int32)


@functools.partial(jax.jit, static_argnames="n")
def _sample(states: game.GameState, keys: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(
        lambda state, key: worlds.sample_or_all(jax.random.wrap_key_data(key, impl=PRNG), state, n)
    )(states, keys)


@jax.jit
def _legal_slots(states: game.GameState, keys: jax.Array) -> jax.Array:
    return jax.vmap(game.legal_slots)(states)


def worlds_of(
    states: game.GameState, keys: np.ndarray, n: int
) -> Iterator[tuple[np.ndarray, game.GameState]]:
    """Draw the worlds of many decisions, in blocks of bounded size.

    Args:
        states: N games, NumPy arrays.
        keys: uint32 `[N, 2]`.
        n: worlds a decision.

    Yields:
        int64 `[M]`, the decision of each world; and its state in that world, leading axis M.

    Raises:
        ValueError: for a decision without a consistent world.
    """
    block = min(_MAX_DECISIONS, max(1, _POSITIONS_A_CORE * numba.config.NUMBA_NUM_THREADS // n))
    for start in range(0, len(keys), block):
        # Always the same shape, for one compiled program; rows past the end are dropped again.
        rows = np.arange(start, start + block)
        hands, counts = _sample(
            base.gather(states, rows), np.take(keys, rows, axis=0, mode="clip"), n
        )
        counts = np.asarray(counts) & (rows < len(keys))[:, None]
        if len(impossible := np.flatnonzero(~counts.any(1) & (rows < len(keys)))):
            place = int(rows[impossible[0]])
            raise ValueError(
                f"decision {place}: no hands fit what its mover has seen; it is no position of a "
                "game"
            )
        decision = np.repeat(rows, counts.sum(1))
        yield decision, base.gather(states, decision)._replace(hands=np.asarray(hands)[counts])


def _by_size(
    states: game.GameState, n: int, n_trick1: int | None
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the decisions `[M]` that have the same number of worlds, and that number."""
    early = np.asarray(states.ply) < tiles.N_PLAYERS
    for rows, size in (
        (np.flatnonzero(early), n if n_trick1 is None else n_trick1),
        (np.flatnonzero(~early), n),
    ):
        if len(rows):
            yield rows, size


def _mover_points(states: game.GameState) -> np.ndarray:
    """Points that the mover's team has taken, int64 `[N]`."""
    ply = np.asarray(states.ply)[:, None]
    trick = np.minimum(ply // 4, tiles.N_TRICKS - 1)
    team = (np.take_along_axis(np.asarray(states.trick_leaders), trick, 1) + ply) % 2
    return np.take_along_axis(np.asarray(states.points), team, 1)[:, 0].astype(np.int64)


def eq_values(
    states: game.GameState,
    keys: np.ndarray,
    n: int = 100,
    n_trick1: int | None = None,
    threads: int | None = None,
) -> Values:
    """Values of every move over worlds consistent with what the mover has seen.

    The same state with the same key has the same values at any place in the batch, whatever the
    hidden hands are.

    Args:
        states: N games, NumPy arrays with a leading axis. Hidden tiles are not read.
        keys: uint32 `[N, 2]`, one raw random key a game.
        n: worlds a decision; all of them, each once, if there are fewer.
        n_trick1: the same for decisions in the first trick; None for n.
        threads: as for `solver.solve`.

    Raises:
        ValueError: if no game can reach a state, n or n_trick1 is not in 1..100,000, or an argument
            has a wrong shape or dtype.
    """
    _check_sizes(n, n_trick1)
    check("keys", keys, ("N", 2), int)
    game.check_state(states, (len(keys),), "states")
    states = jax.tree.map(np.asarray, states)
    total = np.zeros(len(keys) * tiles.HAND_SIZE * (tiles.TOTAL_POINTS + 1), np.int64)
    n_worlds = np.zeros(len(keys), np.int32)
    for rows, size in _by_size(states, n, n_trick1):
        for decision, positions in worlds_of(base.gather(states, rows), keys[rows], size):
            values = solver.solve(positions, threads) + _mover_points(positions)[:, None]
            world, slot = np.nonzero(~np.isnan(values))
            place = rows[decision[world]] * tiles.HAND_SIZE + slot
            at = place * (tiles.TOTAL_POINTS + 1) + values[world, slot].astype(np.int64)
            total += np.bincount(at, minlength=len(total))
            over = np.asarray(positions.ply) >= game.N_PLIES
            n_worlds += np.bincount(rows[decision[~over]], minlength=len(n_worlds)).astype(np.int32)
    return Values(
        total.reshape(-1, tiles.HAND_SIZE, tiles.TOTAL_POINTS + 1).astype(np.int32), n_worlds
    )


def count_wins(
    states: game.GameState,
    keys: np.ndarray,
    n: int = 100,
    n_trick1: int | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Number of worlds in which each move wins, int64 `[N, 7]`.

    This is `eq_values(...).wins` in about a fifth of the time, with the same arguments and errors.
    """
    # Faster because the solver answers one yes-or-no question a move instead of finding its value.
    _check_sizes(n, n_trick1)
    check("keys", keys, ("N", 2), int)
    game.check_state(states, (len(keys),), "states")
    states = jax.tree.map(np.asarray, states)
    wins = np.zeros((len(keys), tiles.HAND_SIZE), np.int64)
    for rows, size in _by_size(states, n, n_trick1):
        for decision, positions in worlds_of(base.gather(states, rows), keys[rows], size):
            np.add.at(wins, rows[decision], solver.at_least(positions, ENOUGH, threads))
    return wins


def _check_sizes(n: int, n_trick1: int | None) -> None:
    for name, size in (("n", n), ("n_trick1", n_trick1)):
        if size is not None and not 1 <= size <= MOST_WORLDS:
            raise ValueError(f"{name}: expected 1 to {MOST_WORLDS:,} worlds, got {size}")


def _choose_points(
    states: game.GameState, legal: np.ndarray, keys: np.ndarray, n: int, n_trick1: int | None
) -> np.ndarray:
    del legal  # known from the values
    return eq_values(states, keys, n, n_trick1).best_slots()


def _choose_win(
    states: game.GameState, legal: np.ndarray, keys: np.ndarray, n: int, n_trick1: int | None
) -> np.ndarray:
    wins = np.where(legal, count_wins(states, keys, n, n_trick1), -1)
    slots = _best(legal, wins)
    # Points cost five times as much as wins, so they are computed for ties only.
    is_tie = (wins == wins.max(-1, keepdims=True)).sum(-1) > 1
    tied = np.flatnonzero(is_tie & (states.ply >= TIES_FROM_PLY))
    if len(tied):
        points = eq_values(base.gather(states, tied), keys[tied], n, n_trick1).points
        slots[tied] = _best(legal[tied], wins[tied], points)
    return slots


def player(n: int = 100, criterion: str = "win", n_trick1: int | None = None) -> Player:
    """Make the E[Q] player. A forced move costs it nothing.

    Args:
        n: worlds a decision, see `eq_values`.
        criterion: "win": the highest P(more points than the other team at the end), and from the
            third trick on the most mean points among equals. "points": the most mean points, and
            the highest P(win) among equals. Then the lowest slot.
        n_trick1: worlds a decision in the first trick, where they cost most; None for n.

    Raises:
        ValueError: if an argument is not as above.
    """
    _check_sizes(n, n_trick1)
    if criterion not in CRITERIA:
        raise ValueError(f"criterion: expected {' or '.join(CRITERIA)}, got {criterion!r}")
    best = {"win": _choose_win, "points": _choose_points}[criterion]

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        legal = base.in_chunks(_legal_slots, states, keys)
        slots = np.array(game.forced_slot(legal))
        rows = np.flatnonzero(slots < 0)
        if len(rows):
            slots[rows] = best(base.gather(states, rows), legal[rows], keys[rows], n, n_trick1)
        return slots

    early = "" if n_trick1 is None else f",n_trick1={n_trick1}"
    spec = f"eq:n={n},criterion={criterion}{early}"
    return Player(spec, choose, identity=spec)


def cheat() -> Player:
    """Make the player that sees all four hands: most points by exact play, then the lowest slot.

    It is a ceiling to compare others with, and the only player that may read hidden hands. It wins
    85.7 +- 0.5 % against random.
    """

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        return np.nan_to_num(solver.solve(states), nan=-1).argmax(-1).astype(np.int32)

    return Player("cheat", choose)
