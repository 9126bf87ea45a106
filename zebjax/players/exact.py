"""Players on top of the exact solver: E[Q], and the double-dummy player that sees all hands.

E[Q] plays the move that is best on average over sampled worlds. For each decision it samples n
worlds consistent with what the mover has seen (all of them if there are fewer), solves every legal
move in each world exactly, and averages. This is the Monte Carlo card play of bridge programs
(Ginsberg 2001, "GIB: Imperfect information in a computationally challenging game"). It assumes that
all hands are known after the move, so it neither hides information nor plays to gain any.

Nearly all time goes into the solver, most of it in the first trick. So every function here takes
many games at once, which gives the solver thousands of positions to divide over the cores.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import numba
import numpy as np

from zebjax import game, solver, tiles, worlds
from zebjax.common import parsing
from zebjax.common.arrays import check
from zebjax.common.jax_settings import PRNG
from zebjax.players import Player, base, special
from zebjax.players.base import ENOUGH as ENOUGH
from zebjax.players.spec import CRITERIA, MAX_WORLDS

TIES_FROM_PLY = 8
"""First ply at which mean points break ties of P(win); in earlier tricks they cost too much."""
_POSITIONS_A_CORE = 4096
"""Positions per core in one call of the solver: a few seconds in the first trick. Ctrl-C waits for
the call."""
_MAX_DECISIONS = 256


@dataclasses.dataclass(frozen=True)
class Values:
    """Results of each move over the sampled worlds of N decisions.

    A result is the points of the mover's team at the end of the game, those already taken included,
    if all play after the move is perfect with all hands known.
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
        """Points summed over worlds, int64 `[N, 7]`; exact, so use these to compare moves."""
        return self.counts @ np.arange(tiles.TOTAL_POINTS + 1)

    @property
    def wins(self) -> np.ndarray:
        """Number of worlds in which the team gets more points than the other, int64 `[N, 7]`."""
        return self.counts[..., ENOUGH:].sum(-1)

    def wins_with(self, need: np.ndarray) -> np.ndarray:
        """Number of worlds in which the team gets `need` points or more, int64 `[N, 7]`.

        Args:
            need: integers `[N]`.
        """
        enough = np.arange(tiles.TOTAL_POINTS + 1) >= need[:, None]
        return np.asarray((self.counts * enough[:, None]).sum(-1))

    @property
    def mean_points(self) -> np.ndarray:
        """Mean points at the end, float64 `[N, 7]`; nan where not legal."""
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
        """Return the slot with the most mean points, then the highest P(win), then the lowest slot.

        int32 `[N]`.
        """
        return best_of(self.legal, self.points, self.wins)


def best_of(legal: np.ndarray, *scores: np.ndarray) -> np.ndarray:
    """Return the legal slot with the highest first score, int32 `[N]`.

    On ties the next scores decide, then the lowest slot.

    Args:
        legal: bool `[N, 7]`.
        *scores: integers `[N, 7]`, 0 or more. Integers, so that equal moves compare as equal.
    """
    best = legal
    for score in scores:
        score = np.where(best, score, -1)
        best = best & (score == score.max(-1, keepdims=True))
    return best.argmax(-1).astype(np.int32)


@functools.partial(jax.jit, static_argnames="n")
def sample_or_all(states: game.GameState, keys: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(
        lambda state, key: worlds.sample_or_all(jax.random.wrap_key_data(key, impl=PRNG), state, n)
    )(states, keys)


@jax.jit
def legal_slots(states: game.GameState, keys: jax.Array) -> jax.Array:
    return jax.vmap(game.legal_slots)(states)


def worlds_of(
    states: game.GameState, keys: np.ndarray, n: int
) -> Iterator[tuple[np.ndarray, game.GameState]]:
    """Sample worlds for many decisions, in blocks of bounded size.

    Args:
        states: N games, NumPy arrays.
        keys: uint32 `[N, 2]`, one raw random key per game.
        n: worlds per decision.

    Yields:
        The number of each world's decision, int64 `[M]`, and the state in that world, leading
        axis M.

    Raises:
        ValueError: for a decision without a consistent world.
    """
    block = min(_MAX_DECISIONS, max(1, _POSITIONS_A_CORE * numba.config.NUMBA_NUM_THREADS // n))
    for start in range(0, len(keys), block):
        # Always the same shape, for one compiled program; rows past the end are dropped below.
        rows = np.arange(start, start + block)
        hands, counts = sample_or_all(
            base.gather(states, rows), np.take(keys, rows, axis=0, mode="clip"), n
        )
        counts = np.asarray(counts) & (rows < len(keys))[:, None]
        if len(impossible := np.flatnonzero(~counts.any(1) & (rows < len(keys)))):
            place = int(rows[impossible[0]])
            raise ValueError(
                f"decision {place}: no hands fit what its mover has seen; expected a position that "
                "a game can reach"
            )
        decision = np.repeat(rows, counts.sum(1))
        yield decision, base.gather(states, decision)._replace(hands=np.asarray(hands)[counts])


def _by_size(
    states: game.GameState, n: int, n_trick1: int | None
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield groups of decisions: their rows `[M]`, and the worlds to sample for each."""
    early = np.asarray(states.ply) < tiles.N_PLAYERS
    for rows, size in (
        (np.flatnonzero(early), n if n_trick1 is None else n_trick1),
        (np.flatnonzero(~early), n),
    ):
        if len(rows):
            yield rows, size


def mover_points(states: game.GameState) -> np.ndarray:
    """Return the points that the mover's team has taken, int64 `[N]`."""
    points = np.take_along_axis(np.asarray(states.points), base.movers(states)[:, None] % 2, 1)
    return points[:, 0].astype(np.int64)


def eq_values(
    states: game.GameState,
    keys: np.ndarray,
    n: int = 100,
    n_trick1: int | None = None,
    threads: int | None = None,
) -> Values:
    """Compute the results of every move over worlds consistent with what the mover has seen.

    The results depend on what the mover has seen and on the key alone, not on hidden hands and not
    on the place in the batch.

    Args:
        states: N games, NumPy arrays with a leading axis. Hidden tiles are not read.
        keys: uint32 `[N, 2]`, one raw random key per game.
        n: worlds per decision; if there are fewer, each world once.
        n_trick1: worlds per decision in the first trick; None for n.
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
            values = solver.solve(positions, threads) + mover_points(positions)[:, None]
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
    need: np.ndarray | int = ENOUGH,
) -> np.ndarray:
    """Count the worlds in which each move wins, int64 `[N, 7]`.

    The result is that of `eq_values(...).wins`, in about a fifth of the time. Arguments and errors
    are the same. `need` is the number of points at the end with which the mover's team wins, one
    integer or `[N]`.
    """
    return count_wins_and_worlds(states, keys, n, n_trick1, threads, need)[0]


def count_wins_and_worlds(
    states: game.GameState,
    keys: np.ndarray,
    n: int = 100,
    n_trick1: int | None = None,
    threads: int | None = None,
    need: np.ndarray | int = ENOUGH,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `count_wins` does, and the number of worlds of each decision, int64 `[N]`."""
    # Faster, because the solver answers one yes-or-no question per move instead of finding a value.
    _check_sizes(n, n_trick1)
    check("keys", keys, ("N", 2), int)
    game.check_state(states, (len(keys),), "states")
    states = jax.tree.map(np.asarray, states)
    wins = np.zeros((len(keys), tiles.HAND_SIZE), np.int64)
    n_worlds = np.zeros(len(keys), np.int64)
    needs = np.broadcast_to(np.asarray(need, np.int64), len(keys))
    for rows, size in _by_size(states, n, n_trick1):
        for decision, positions in worlds_of(base.gather(states, rows), keys[rows], size):
            enough = solver.at_least(positions, needs[rows[decision]], threads)
            np.add.at(wins, rows[decision], enough)
            n_worlds += np.bincount(rows[decision], minlength=len(n_worlds))
    return wins, n_worlds


def _check_sizes(n: int, n_trick1: int | None) -> None:
    for name, size in (("n", n), ("n_trick1", n_trick1)):
        if size is not None and not 1 <= size <= MAX_WORLDS:
            raise ValueError(f"{name}: expected 1 to {MAX_WORLDS:,} worlds, got {size}")


def _choose_points(
    states: game.GameState,
    legal: np.ndarray,
    keys: np.ndarray,
    n: int,
    n_trick1: int | None,
    need: np.ndarray,
) -> np.ndarray:
    del legal, need  # `eq_values` knows which slots are legal, and no point is enough
    return eq_values(states, keys, n, n_trick1).best_slots()


def _choose_win(
    states: game.GameState,
    legal: np.ndarray,
    keys: np.ndarray,
    n: int,
    n_trick1: int | None,
    need: np.ndarray,
) -> np.ndarray:
    wins = np.where(legal, count_wins(states, keys, n, n_trick1, need=need), -1)
    slots = best_of(legal, wins)
    # Points cost five times as much as wins, so compute them only for ties.
    is_tie = (wins == wins.max(-1, keepdims=True)).sum(-1) > 1
    tied = np.flatnonzero(is_tie & (states.ply >= TIES_FROM_PLY))
    if len(tied):
        points = eq_values(base.gather(states, tied), keys[tied], n, n_trick1).points
        slots[tied] = best_of(legal[tied], wins[tied], points)
    return slots


def player(n: int = 100, criterion: str = "win", n_trick1: int | None = None) -> Player:
    """Make the E[Q] player.

    Args:
        n: worlds per decision, see `eq_values`.
        criterion: "win" chooses the highest P(more points than the other team at the end); from the
            third trick on the most mean points decide among equals. "points" chooses the most mean
            points; the highest P(win) decides among equals. "make" is "win" in a game with a
            contract, where the bidder's team wins by making it and the other by setting it; it
            cannot play a game without one. At last the lowest slot.
        n_trick1: worlds per decision in the first trick, where they cost most; None for n.

    Raises:
        ValueError: if a number of worlds is out of range or the criterion is unknown.
    """
    _check_sizes(n, n_trick1)
    if criterion not in CRITERIA:
        raise ValueError(f"criterion: expected {parsing.either(CRITERIA)}, got {criterion!r}")
    best = _choose_points if criterion == "points" else _choose_win

    def choose_needing(
        states: game.GameState, keys: np.ndarray, need: np.ndarray | int
    ) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        legal = base.in_chunks(legal_slots, states, keys)
        slots = np.array(game.forced_slot(legal))
        rows = np.flatnonzero(slots < 0)
        if len(rows):
            needs = np.broadcast_to(need, len(keys))[rows]
            some = base.gather(states, rows)
            slots[rows] = best(some, legal[rows], keys[rows], n, n_trick1, needs)
        return slots

    early = "" if n_trick1 is None else f",n_trick1={n_trick1}"
    spec = f"eq:n={n},criterion={criterion}{early}"

    def p_win(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        if not len(keys):
            return np.zeros((0, tiles.HAND_SIZE))
        wins, n_worlds = count_wins_and_worlds(states, keys, n, n_trick1)
        legal = base.in_chunks(legal_slots, states, keys)
        return np.where(legal, wins / np.maximum(n_worlds, 1)[:, None], np.nan)

    choose, choose_in_contract = base.by_need(choose_needing, criterion, spec)
    return Player(
        spec,
        choose,
        identity=spec,
        choose_in_contract=choose_in_contract,
        choose_special=functools.partial(special.choose, n=n),
        p_win=p_win if criterion == "win" else None,
    )


def cheat() -> Player:
    """Make the player that sees all four hands: most points by exact play, then the lowest slot.

    It is an upper bound for other players, and the only one that may read hidden hands. It wins
    85.7 +- 0.5 % of games against random.
    """

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        return np.nan_to_num(solver.solve(states), nan=-1).argmax(-1).astype(np.int32)

    return Player("cheat", choose)
