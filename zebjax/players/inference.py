"""What the plays of the others tell about their hands: worlds with weights.

A world counts as much as it makes the others' plays likely under a model of them, a small
network or a transformer: Bayes' rule with the uniform distribution over consistent worlds as prior.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import game, tiles
from zebjax.common import jax_settings
from zebjax.players import base, exact, transformers
from zebjax.players.spec import MAX_WORLDS
from zebjax.players.transformers import Transformer
from zebjax.small import batch
from zebjax.small.network import Net

_DRAWN_AT_ONCE = 16
"""Decisions whose candidates are drawn by one compiled call."""
_GROWTH = (1, 4, 16)
"""Candidates of a decision in units of the setting, until enough of them have weight."""
VERSION = 1
"""Counts changes of what is drawn and weighed; part of a player's identity."""
_RESAMPLE = 2
"""Stream of random numbers, see `batch.seeds_of`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How worlds are drawn and weighted."""

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
    """Exponent of the evidence; 0 makes all weights equal."""
    temperature: float = 0.07
    """Of the others' plays, in units of the score; a transformer's policy is taken as it is."""
    doubt: float = 0.1
    """Probability before the first play that the partner plays at random instead of by the model;
    the same for the opponents together. What has been seen of them decides."""
    alike: float = dataclasses.field(default=0.75, repr=False)
    """Probability before the first play that a partner who does not play at random is a player of
    this kind, with the same opening, see `Models.opening`; 0 saves time. Not in `repr`, by which
    players were known before it was a setting."""

    def __post_init__(self) -> None:
        for name in ("n", "n_trick1", "candidates"):
            size = getattr(self, name)
            if size is not None and not 1 <= size <= MAX_WORLDS:
                raise ValueError(f"{name}: expected 1 to {MAX_WORLDS:,} worlds, got {size}")
        if self.candidates < max(self.n, self.n_trick1 or 0):
            raise ValueError(
                f"candidates: expected at least n, {max(self.n, self.n_trick1 or 0)}, "
                f"got {self.candidates}"
            )


def settings_of(
    n: int, n_trick1: int | None, weigh: bool, options: Mapping[str, Any], times: int = 1
) -> Settings:
    """Return settings with the usual number of candidates, unless `options` name one.

    Args:
        n: worlds per decision.
        n_trick1: the same in the first trick; None for n.
        weigh: True with a model of the others.
        options: other fields of `Settings`.
        times: as for `worlds_of`.
    """
    most = max(n, n_trick1 or 0)
    usual = max(Settings.candidates, 5 * most, times * most) if weigh else times * most
    return Settings(
        n=n, n_trick1=n_trick1, **({"candidates": min(usual, MAX_WORLDS)} | dict(options))
    )


class Models(NamedTuple):
    """How the others play: small networks with 28 scores (`network.scorer`), or transformers."""

    partner: Net | Transformer
    opponents: Net | Transformer
    opening: Net | None = None
    """The player itself plays the best tile of this network in the first plies, without worlds. So
    a partner that is a player of this kind has done the same."""
    opening_plies: int = 0
    """How many those are."""


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

    def only(self, chosen: np.ndarray) -> "Worlds":
        """Return the chosen worlds, bool `[M]`; the weights of a decision sum to 1 again."""
        sums = np.bincount(self.decision[chosen], self.weights[chosen], len(self.effective))
        decision = self.decision[chosen]
        weights = self.weights[chosen] / sums[decision]
        return Worlds(decision, self.hands[chosen], weights, self.effective)


def log_evidence(log_likelihoods: np.ndarray, power: float, doubt: float) -> np.ndarray:
    """Return the logarithm of how likely worlds make what the others played.

    The partner plays by the model or at random, and so do the opponents: a mixture of players, not
    of plays. Where the model makes what was seen unlikely in all worlds, a world counts by the
    choices that its seats had, as it would if they played at random.

    Args:
        log_likelihoods: float64 `[..., 4]`, from `batch.log_likelihoods`.
        power: exponent of the mixture.
        doubt: prior probability of random play.

    >>> float(np.exp(log_evidence(np.log([0.2, 0.3, 1.0, 0.5]), 1.0, 0.1)).round(4))
    0.0896
    """
    by_model, at_random = log_likelihoods[..., :2], log_likelihoods[..., 2:]
    with np.errstate(divide="ignore"):  # a doubt of 0 or 1
        mixture = np.logaddexp(np.log1p(-doubt) + by_model, np.log(doubt) + at_random).sum(-1)
    return np.asarray(power * mixture if power > 0 else np.zeros_like(mixture))


def weigh(log_evidence: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the weights of candidates, float64 `[N, C]`; each row sums to 1.

    Args:
        log_evidence: float64 `[N, C]`.
        real: bool `[N, C]`, False for rows that are no worlds.

    >>> weigh(np.log([[0.1, 0.3, 1.0]]), np.array([[True, True, False]])).round(2).tolist()
    [[0.25, 0.75, 0.0]]
    """
    scaled = np.where(real, log_evidence, -np.inf)
    most = scaled.max(-1, keepdims=True)
    # Without a floor and doubt all worlds may be impossible under the model: then they are equal.
    weights = np.where(np.isneginf(most), real, np.exp(scaled - np.nan_to_num(most)))
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
    times: int = 1,
) -> Worlds:
    """Draw and weigh worlds for many decisions.

    If a decision has at most n consistent worlds, all of them are taken with exact weights.

    Args:
        states: N games, NumPy arrays with a leading axis. Hidden tiles are not read.
        keys: uint32 `[N, 2]`, one raw random key per game.
        models: how the others play; None: uniform weights.
        settings: see `Settings`.
        threads: as for `batch.in_threads`.
        times: draw this many times n worlds from the same candidates, each decision's in random
            order. 1: n worlds.

    Raises:
        ValueError: for a decision without a consistent world.
    """
    drawn = candidates_of(states, keys, models, settings, threads)
    starts, sizes = batch.seeds_of(keys, _RESAMPLE), times * _sizes(states, settings)
    weights, order = np.zeros(len(drawn.weights)), np.arange(len(drawn.weights))
    ends = np.searchsorted(drawn.decision, np.arange(len(keys) + 1))
    for row, (first, last) in enumerate(itertools.pairwise(ends)):
        own = drawn.weights[first:last]
        random = np.random.default_rng(starts[row])
        if np.count_nonzero(own) > sizes[row]:
            own = resample(own, sizes[row], random.random())
        weights[first:last] = own
        if times > 1:
            order[first:last] = first + random.permutation(last - first)
    kept = order[weights[order] > 0]
    return Worlds(drawn.decision[kept], drawn.hands[kept], weights[kept], drawn.effective)


def candidates_of(
    states: game.GameState,
    keys: np.ndarray,
    models: Models | None,
    settings: Settings,
    threads: int | None = None,
) -> Worlds:
    """Draw candidates for many decisions, and weigh them; arguments and errors as `worlds_of`."""
    sizes = _sizes(states, settings)
    parts = [(np.zeros((0, tiles.N_PLAYERS, tiles.HAND_SIZE), np.int8), np.zeros(0))]
    for first in range(0, len(keys), _DRAWN_AT_ONCE):
        rows = np.arange(first, min(first + _DRAWN_AT_ONCE, len(keys)))
        block = base.gather(states, rows)
        parts += _candidates(block, keys[rows], models, settings, sizes[rows], threads)
    hands, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    decision = np.repeat(np.arange(len(keys)), [len(own) for _, own in parts[1:]])
    effective = np.array([effective_number(own) for _, own in parts[1:]])
    return Worlds(decision, hands, weights, effective)


def _sizes(states: game.GameState, settings: Settings) -> np.ndarray:
    """Return the number of worlds wanted for each decision."""
    is_early = np.asarray(states.ply) < tiles.N_PLAYERS
    early = settings.n if settings.n_trick1 is None else settings.n_trick1
    return np.where(is_early, early, settings.n)


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
    for n in sizes_drawn(settings):
        some = base.gather(states, left)
        hands, real = _draw(some, keys[left], n)
        weights = weigh(_evidence(some, hands, real, models, settings, threads), real)
        for i, row in enumerate(left):
            made[row] = (hands[i, real[i]], weights[i, real[i]])
        # With a row that is no world, the candidates are all worlds. Without models all weights are
        # equal, and less than n effective by rounding only.
        is_small = (effective_number(weights) < wanted[left]) & real.all(-1) & (models is not None)
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

    def likelihoods(model: Net | Transformer, whose: Sequence[int]) -> np.ndarray:
        if isinstance(model, Transformer):
            return transformers.log_likelihoods(model, states, hands, counts, settings.floor, whose)
        seats = sum(1 << other for other in whose)
        manner = batch.Manner(
            settings.temperature,
            settings.floor,
            models.opening_plies if settings.alike > 0 else 0,
            settings.alike,
            seats,
        )
        return batch.log_likelihoods(model, games, hands, counts, manner, threads, models.opening)

    counts, games = real.sum(-1), batch.read(states)
    if models.partner is models.opponents:
        logs = likelihoods(models.opponents, (0, 1, 2))
    else:
        logs = likelihoods(models.opponents, (0, 2))
        logs[..., ::2] = likelihoods(models.partner, (1,))[..., ::2]
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
    me = (base.movers(states) + 1)[:, None] % tiles.N_PLAYERS
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


def sizes_drawn(settings: Settings) -> list[int]:
    """Numbers of candidates that a decision may draw; each has a compiled program.

    >>> sizes_drawn(Settings())
    [500, 2000, 8000]
    """
    return [min(times * settings.candidates, MAX_WORLDS) for times in _GROWTH]


def prepare(settings: Settings) -> None:
    """Compile the program of each of `sizes_drawn`: most decisions need the first alone."""
    states = jax.tree.map(lambda leaf: np.asarray(leaf)[None], game.deal(jax_settings.key(0)))
    for n in sizes_drawn(settings):
        _draw(states, np.zeros((1, 2), np.uint32), n)
