"""E[Q] over worlds that are weighted by what the others have played, and by honest rollouts.

The others' plays tell about their hands. So a world counts as much as it makes their plays likely
under a model of them, the small network: Bayes' rule with the uniform distribution over consistent
worlds as prior. The weighted worlds are solved exactly, as in `exact`. An exact solution lets every
seat see all hands after the move ("strategy fusion", Frank and Basin 1998). Rollouts by a policy do
not, but play worse; the two err differently, so a blend of both is stronger than either.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from zebjax import game, solver, tiles
from zebjax.common.arrays import check
from zebjax.players import Player, base, exact
from zebjax.players.small import digest
from zebjax.small import batch, storage
from zebjax.small.network import Net, scorer

_POINTS = tiles.TOTAL_POINTS + 1
_DECISIONS_AT_ONCE = 64
"""Decisions that are solved together."""
_DRAWN_AT_ONCE = 16
"""Decisions whose candidates are drawn by one compiled call."""
_GROWTH = (1, 4, 16)
"""Candidates of a decision in units of the setting, until enough of them have weight."""
_RESAMPLE, _ROLL = 2, 3
"""Streams of random numbers, see `batch.seeds_of`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How worlds are weighted and moves judged."""

    n: int = 100
    """Worlds per decision that are solved."""
    n_trick1: int | None = None
    """The same in the first trick; None for n."""
    candidates: int = 500
    """Uniform worlds from which those are drawn by weight. A decision whose effective number of
    candidates is less than n draws 4 times as many, then 16 times."""
    floor: float = 0.1
    """Share of uniformly random plays in the model of the others. It bounds what one play that the
    model does not expect can take from the true world."""
    power: float = 1.0
    """Exponent of the likelihood; 0 makes all weights equal."""
    temperature: float = 0.07
    """Of the others' plays, in units of the score."""
    doubt: float = 0.1
    """Probability before the first play that the partner plays at random instead of by the model;
    the same for the opponents together. What has been seen of them decides."""
    points: float = 0.02
    """Weight of one mean point beside P(win)."""
    blend: float = 0.5
    """Share of rollouts in the result of a move, the rest is exact."""
    rollout_temperature: float = 0.02

    def __post_init__(self) -> None:
        for name in ("n", "n_trick1", "candidates"):
            size = getattr(self, name)
            if size is not None and not 1 <= size <= exact.MAX_WORLDS:
                raise ValueError(f"{name}: expected 1 to {exact.MAX_WORLDS:,} worlds, got {size}")
        if self.candidates < max(self.n, self.n_trick1 or 0):
            raise ValueError(
                f"candidates: expected at least n, {max(self.n, self.n_trick1 or 0)}, "
                f"got {self.candidates}"
            )


class Models(NamedTuple):
    """How the others play: networks with 28 scores (`network.scorer`)."""

    partner: Net
    opponents: Net


@dataclasses.dataclass(frozen=True)
class Worlds:
    """Weighted worlds of N decisions, one after the other; M in all."""

    decision: np.ndarray
    """int64 `[M]`, ascending."""
    hands: np.ndarray
    """int8 `[M, 4, 7]`."""
    weights: np.ndarray
    """float64 `[M]`; those of a decision sum to 1."""
    effective: np.ndarray
    """float64 `[N]`: effective number of candidates, (sum w)^2 / sum w^2 (Kish 1965)."""


@dataclasses.dataclass(frozen=True)
class Values:
    """Results of each move over the weighted worlds of N decisions."""

    exact: np.ndarray | None
    """float64 `[N, 7, 43]`: P(the mover's team ends with 0..42 points) by exact solutions; all 0
    for a slot that is not legal. None if only rollouts count."""
    rollouts: np.ndarray | None
    """The same by rollouts; None without them."""
    effective: np.ndarray
    """See `Worlds`."""

    @property
    def shares(self) -> np.ndarray:
        """The exact results if there are any, else those of rollouts."""
        shares = self.rollouts if self.exact is None else self.exact
        if shares is None:
            raise ValueError("values: expected exact results or rollouts")
        return shares

    @property
    def legal(self) -> np.ndarray:
        """True for legal slots, bool `[N, 7]`."""
        return np.asarray(self.shares.any(-1))

    def scores(self, settings: Settings) -> np.ndarray:
        """Return P(win) + points * mean points, blended, float64 `[N, 7]`; nan where not legal."""
        per_result = (np.arange(_POINTS) >= exact.ENOUGH) + settings.points * np.arange(_POINTS)
        scores = self.shares @ per_result
        if self.exact is not None and self.rollouts is not None:
            scores += settings.blend * (self.rollouts @ per_result - scores)
        return np.where(self.legal, scores, np.nan)

    def best_slots(self, settings: Settings) -> np.ndarray:
        """Return the slot with the highest score, then the most mean points, then the lowest.

        int32 `[N]`.
        """
        # Rounded, so that moves with equal results are equal whatever the order of the sums.
        scores = np.nan_to_num(np.round(self.scores(settings), 9), nan=-1)
        points = np.round(self.shares @ np.arange(_POINTS), 9)
        points = np.where(scores == scores.max(-1, keepdims=True), points, -1)
        return points.argmax(-1).astype(np.int32)


def log_evidence(log_likelihoods: np.ndarray, power: float, doubt: float) -> np.ndarray:
    """Return the logarithm of how likely worlds make what the others played.

    The partner plays by the model or at random, and so do the opponents: a mixture of players, not
    of plays. Where the model explains what was seen in no world, all worlds are about equal.

    Args:
        log_likelihoods: float64 `[..., 4]`, from `batch.log_likelihoods`.
        power: exponent of the likelihood by the model.
        doubt: prior probability of random play.

    >>> float(log_evidence(np.log([0.2, 0.3, 1.0, 1.0]), 1.0, 0.0).round(4) - np.log(0.06).round(4))
    0.0
    """
    by_model, at_random = log_likelihoods[..., :2], log_likelihoods[..., 2:]
    with np.errstate(divide="ignore"):  # a doubt of 0 or 1
        parts = np.log1p(-doubt) + power * by_model, np.log(doubt) + at_random
    return np.asarray(np.logaddexp(*parts).sum(-1))


def weigh(log_evidence: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the weights of candidates, float64 `[N, C]`; each row sums to 1.

    Args:
        log_evidence: float64 `[N, C]`.
        real: bool `[N, C]`, False for rows that are no worlds.

    >>> weigh(np.log([[0.1, 0.3, 1.0]]), np.array([[True, True, False]])).round(2).tolist()
    [[0.25, 0.75, 0.0]]
    """
    scaled = np.where(real, log_evidence, -np.inf)
    weights = np.exp(scaled - scaled.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def resample(weights: np.ndarray, n: int, start: float) -> np.ndarray:
    """Draw n of the candidates by weight: systematic resampling.

    A candidate of weight w is drawn floor(n * w) or ceil(n * w) times (Kitagawa 1996).

    Args:
        weights: float64 `[C]`, sum 1.
        n: number of draws.
        start: uniform in [0, 1).

    Returns:
        float64 `[C]`: times drawn / n.

    >>> resample(np.array([0.1, 0.0, 0.5, 0.4]), 4, 0.5).tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    ends = np.cumsum(weights)
    drawn = np.searchsorted(ends, (np.arange(n) + start) / n * ends[-1], side="right")
    return np.bincount(np.minimum(drawn, len(weights) - 1), minlength=len(weights)) / n


def worlds_of(
    states: game.GameState,
    keys: np.ndarray,
    models: Models | None,
    settings: Settings,
    threads: int | None = None,
) -> Worlds:
    """Draw and weigh worlds for many decisions.

    If a decision has at most n consistent worlds, all of them are taken with exact weights.

    Args:
        states: N games, NumPy arrays with a leading axis. Hidden tiles are not read.
        keys: uint32 `[N, 2]`, one raw random key per game.
        models: how the others play; None: uniform weights.
        settings: see `Settings`.
        threads: as for `batch.in_threads`.

    Raises:
        ValueError: for a decision without a consistent world.
    """
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    effective = np.zeros(len(keys))
    sizes = np.full(len(keys), settings.n)
    if settings.n_trick1 is not None:
        sizes[np.asarray(states.ply) < tiles.N_PLAYERS] = settings.n_trick1
    for first in range(0, len(keys), _DRAWN_AT_ONCE):
        rows = np.arange(first, min(first + _DRAWN_AT_ONCE, len(keys)))
        starts = batch.seeds_of(keys[rows], _RESAMPLE)
        block = base.gather(states, rows)
        drawn = _candidates(block, keys[rows], models, settings, sizes[rows], threads)
        for row, start, (hands, own) in zip(rows, starts, drawn, strict=True):
            effective[row] = effective_number(own)
            if np.count_nonzero(own) > sizes[row]:
                own = resample(own, sizes[row], np.random.default_rng(start).random())
            kept = np.flatnonzero(own)
            parts.append((np.full(len(kept), row), hands[kept], own[kept]))
    decision, kept_hands, kept_weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Worlds(decision, kept_hands, kept_weights, effective)


def _candidates(
    states: game.GameState,
    keys: np.ndarray,
    models: Models | None,
    settings: Settings,
    wanted: np.ndarray,
    threads: int | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each decision its candidates `[C, 4, 7]` and their weights `[C]`."""
    made: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0), np.ones(1))] * len(keys)
    left = np.arange(len(keys))
    for times in _GROWTH:
        n = times * settings.candidates
        some = base.gather(states, left)
        hands, real = _draw(some, keys[left], n)
        weights = weigh(_evidence(some, hands, real, models, settings, threads), real)
        for i, row in enumerate(left):
            made[row] = (hands[i], weights[i])
        # With a row that is no world, the candidates are all worlds.
        is_small = (effective_number(weights) < wanted[left]) & real.all(-1)
        left = left[is_small]
        if not len(left):
            break
    return made


def _evidence(
    states: game.GameState,
    hands: np.ndarray,
    real: np.ndarray,
    models: Models | None,
    settings: Settings,
    threads: int | None,
) -> np.ndarray:
    if models is None:
        return np.zeros(real.shape)
    read, how = batch.read(states), (settings.temperature, settings.floor)
    logs = batch.log_likelihoods(models.opponents, read, hands, real.sum(-1), how, threads)
    if models.partner is not models.opponents:
        of_partner = batch.log_likelihoods(models.partner, read, hands, real.sum(-1), how, threads)
        logs[..., 0] = of_partner[..., 0]
    return log_evidence(logs, settings.power, settings.doubt)


def effective_number(weights: np.ndarray) -> np.ndarray:
    """Return (sum w)^2 / sum w^2 over the last axis (Kish 1965), for weights whose sum is 1."""
    return np.asarray(1 / np.square(weights).sum(-1))


def holders(states: game.GameState, worlds: Worlds) -> np.ndarray:
    """Return the weight of the worlds in which each other seat holds each hidden tile.

    Args:
        states: N games; only what the mover has seen is read.
        worlds: weighted worlds of them.

    Returns:
        float64 `[N, 28, 3]` by tile id and (left, partner, right), as `worlds.marginals`.
    """
    n = len(np.asarray(states.ply))
    shares = np.zeros(n * tiles.N_TILES * 3)
    me = (exact.mover(states) + 1)[:, None] % tiles.N_PLAYERS
    for other in range(3):
        seat = (me + other) % tiles.N_PLAYERS
        hidden = ~np.take_along_axis(np.asarray(states.played), seat[..., None], 1)[:, 0]
        held = np.take_along_axis(worlds.hands, seat[worlds.decision][..., None], 1)[:, 0]
        world, slot = np.nonzero(hidden[worlds.decision])
        place = (worlds.decision[world] * tiles.N_TILES + held[world, slot]) * 3 + other
        shares += np.bincount(place, worlds.weights[world], minlength=len(shares))
    return shares.reshape(n, tiles.N_TILES, 3)


def _draw(states: game.GameState, keys: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n uniform worlds of each decision, or all; False in the second array: no world."""
    # Always the same shape, for one compiled program; rows past the end are dropped.
    rows = np.arange(_DRAWN_AT_ONCE)
    hands, real = exact.sample_or_all(
        base.gather(states, rows), np.take(keys, rows, axis=0, mode="clip"), n
    )
    real = np.asarray(real)[: len(keys)]
    if len(impossible := np.flatnonzero(~real.any(-1))):
        raise ValueError(
            f"decision {impossible[0]}: no hands fit what its mover has seen; expected a position "
            "that a game can reach"
        )
    return np.asarray(hands)[: len(keys)], real


def values(
    states: game.GameState,
    keys: np.ndarray,
    nets: tuple[Models | None, Net | None],
    settings: Settings,
    threads: int | None = None,
) -> Values:
    """Compute the results of every move over weighted worlds.

    The results depend on what the mover has seen and on the key alone, not on hidden hands and not
    on the place in the batch.

    Args:
        states: N games that are not over, NumPy arrays with a leading axis. Hidden tiles are not
            read.
        keys: uint32 `[N, 2]`, one raw random key per game.
        nets: the models of the others, and the policy of rollouts, with 28 scores; None: uniform
            weights, and no rollouts.
        settings: see `Settings`.
        threads: as for `batch.in_threads`.

    Raises:
        ValueError: if no game can reach a state, or an argument has a wrong shape or dtype.
    """
    check("keys", keys, ("N", 2), int)
    game.check_state(states, (len(keys),), "states")
    states = jax.tree.map(np.asarray, states)
    models, policy = nets
    worlds = worlds_of(states, keys, models, settings, threads)
    positions = base.gather(states, worlds.decision)._replace(hands=worlds.hands)
    solved = rolled = None
    if policy is None or settings.blend < 1:
        points = solver.solve(positions, threads) + exact.mover_points(positions)[:, None]
        solved = _shares(np.nan_to_num(points, nan=-1).astype(np.int64), worlds, len(keys))
    if policy is not None and settings.blend > 0:
        # Other random numbers in each world, the same for all moves of a world.
        seeds = batch.seeds_of(keys, _ROLL)[worlds.decision]
        place = np.arange(len(seeds)) - np.searchsorted(worlds.decision, worlds.decision)
        seeds += place.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        points = batch.rollouts(
            policy, batch.read(positions), seeds, settings.rollout_temperature, threads
        )
        rolled = _shares(points.astype(np.int64), worlds, len(keys))
    return Values(solved, rolled, worlds.effective)


def _shares(points: np.ndarray, worlds: Worlds, n: int) -> np.ndarray:
    """Sum the weights of worlds by decision, slot and points, float64 `[n, 7, 43]`."""
    world, slot = np.nonzero(points >= 0)
    place = (worlds.decision[world] * tiles.HAND_SIZE + slot) * _POINTS + points[world, slot]
    sums = np.bincount(place, worlds.weights[world], minlength=n * tiles.HAND_SIZE * _POINTS)
    return sums.reshape(n, tiles.HAND_SIZE, _POINTS)


def player(
    settings: Settings,
    belief: str | None = None,
    partner: str | None = None,
    rollouts: str | None = None,
) -> Player:
    """Make the player.

    Args:
        settings: see `Settings`.
        belief: path of the small network that models the others; None: uniform weights.
        partner: path of another one that models the partner; None: `belief`.
        rollouts: path of the small network that plays the rollouts; None: none.

    Raises:
        ValueError: if there is no network at a path.
    """
    paths = (belief, partner or belief, rollouts)
    loaded = {path: storage.load(path) for path in paths if path is not None}
    scorers = {path: scorer(net) for path, net in loaded.items()}
    models = Models(scorers[paths[1]], scorers[belief]) if belief and paths[1] else None
    policy = scorers.get(rollouts or "")

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        legal = base.in_chunks(exact.legal_slots, states, keys)
        slots = np.array(game.forced_slot(legal))
        rows = np.flatnonzero(slots < 0)
        for first in range(0, len(rows), _DECISIONS_AT_ONCE):
            some = rows[first : first + _DECISIONS_AT_ONCE]
            judged = values(base.gather(states, some), keys[some], (models, policy), settings)
            slots[some] = judged.best_slots(settings)
        return slots

    digests = ["" if path is None else digest(loaded[path]) for path in paths]
    return Player("eq:weighted", choose, identity=f"weighted:{settings!r},{','.join(digests)}")


def make(
    n: int = 100, criterion: str | None = None, n_trick1: int | None = None, **options: object
) -> Player:
    """Make the player of the spec `eq:...`.

    Args:
        n: worlds per decision.
        criterion: as for `exact.player`; only without the options below.
        n_trick1: as for `exact.player`.
        **options: `belief`, `partner` and `rollouts`, as for `player`; fields of `Settings`.

    Raises:
        ValueError: if the options do not fit together.
    """
    if not options:
        return exact.player(n, criterion or "win", n_trick1)
    if criterion is not None:
        raise ValueError(
            f"criterion: not with {next(iter(options))}; expected points=0 for wins, points=1 for "
            "points"
        )
    belief, rollouts = options.pop("belief", None), options.pop("rollouts", None)
    partner = options.pop("partner", None)
    of_belief = ("candidates", "floor", "power", "temperature", "doubt")
    for name, needed, given in (
        *((name, "belief", belief) for name in of_belief),
        ("blend", "rollouts", rollouts),
    ):
        if name in options and given is None:
            raise ValueError(f"{name}: expected {needed} with it, as in {needed}=small")
    sizes = max(n, n_trick1 or 0)
    if partner is not None and belief is None:
        raise ValueError("partner: expected belief with it, as in belief=small")
    if belief is None:
        options["candidates"] = sizes
    elif "candidates" not in options:
        options["candidates"] = max(Settings.candidates, 5 * sizes)
    settings = Settings(n=n, n_trick1=n_trick1, **options)  # type: ignore[arg-type]
    return player(settings, belief, partner, rollouts)  # type: ignore[arg-type]
