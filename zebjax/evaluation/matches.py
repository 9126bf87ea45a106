"""Paired matches between two players, and confidence intervals of the results.

Each deal is played twice with the same declaration, leader and random keys: once with A as team 0
and once with A as team 1. The luck of the deal mostly cancels in a pair. A pair is one observation,
so intervals come from the spread of pairs and not of games.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from zebjax import game
from zebjax.common import jax_settings
from zebjax.common.arrays import check_key
from zebjax.evaluation import turns
from zebjax.evaluation.config import DEALS_AT_ONCE
from zebjax.evaluation.intervals import Z95, confidence_sequence
from zebjax.players import Player

VERSION = 2
"""Part of the key of cached results. Increase it when the same players, deals and seed would give
another result."""


@dataclasses.dataclass(frozen=True)
class MatchResult:
    """A against B over paired deals; every rate and margin is A's.

    The `ci95` intervals are normal approximations over deals: mean +- 1.96 standard errors, where
    the standard error is the sample standard deviation of the pairs' means over sqrt(n_deals). They
    are too narrow with fewer than about 30 deals, or if all pairs have the same result. They are
    valid for a number of deals that was fixed before; if the match could stop early, use
    `win_rate_cs95`.
    """

    a: str
    b: str
    n_deals: int
    """Each played twice: 2 * n_deals games."""
    win_rate: float
    """Mean over games of 1 for more points than B, 1/2 for equal, 0 for fewer."""
    win_rate_stderr: float
    win_rate_ci95: tuple[float, float]
    """Cut off at 0 and 1."""
    margin: float
    """Points of A minus points of B, mean over games; in [-42, 42]."""
    margin_stderr: float
    margin_ci95: tuple[float, float]
    deals_for_1_percent: int
    """Number of deals for a half-width of 0.01 of the win rate's interval, at the spread of this
    match; at least 2."""
    win_rate_cs95: tuple[float, float] | None = None
    """With `until`: the interval that is valid although the match could stop early
    (`intervals.confidence_sequence`)."""

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return one JSON object with the fields of this class."""
        return json.dumps(self.to_dict())

    @property
    def win_rate_interval(self) -> tuple[float, float]:
        """The interval to print: `win_rate_cs95` if the match could stop early."""
        return self.win_rate_cs95 or self.win_rate_ci95


OnProgress = Callable[[float, MatchResult | None], None]
"""Called after every ply with the share of the match that is done, 0 to 1, and the result so far
(None during the first batch)."""


def play_match(a: Player, b: Player, n_deals: int, key: jax.Array, **how: Any) -> MatchResult:
    """Play `n_deals` paired deals, 2 * n_deals games, and summarise them.

    Args:
        a: the player whose results are returned.
        b: its opponent.
        n_deals: 2 or more.
        key: one typed random key, the source of all randomness.
        **how: `batch`, `progress`, `until`, as for `play_pairs`.

    Raises:
        ValueError: as `play_pairs`.
    """
    return summarise(a.spec, b.spec, play_pairs(a, b, n_deals, key, **how), how.get("until"))


def play_pairs(
    a: Player,
    b: Player,
    n_deals: int,
    key: jax.Array,
    batch: int = DEALS_AT_ONCE,
    progress: OnProgress | None = None,
    until: float | None = None,
) -> np.ndarray:
    """Play `n_deals` paired deals, 2 * n_deals games.

    The same players, `n_deals` and `key` give the same result. A larger `n_deals` adds deals after
    the same first ones. If a network's parameters change between matches, nothing is compiled again
    as long as `n_deals` and `batch` are the same.

    Args:
        a: the player whose margins are returned. It plays both seats of its team.
        b: its opponent.
        n_deals: 2 or more.
        key: one typed random key, the source of the deals and of all randomness in play.
        batch: approximate number of deals to play together.
        progress: see `OnProgress`.
        until: stop after the first batch at which the win rate's confidence sequence is this narrow
            (half-width, in (0, 0.5)); `n_deals` is then the maximum.

    Returns:
        int32 `[n_deals, 2]`, fewer rows if `until` stopped the match: A's points minus B's, with A
        as team 0 and with A as team 1.

    Raises:
        ValueError: if n_deals is below 2, batch is below 1, `until` is out of range, or a player
            chooses an illegal slot.
    """
    check_key("key", key)
    if n_deals < 2:
        raise ValueError(
            f"deals: expected 2 or more, since an interval needs a spread, got {n_deals}"
        )
    if batch < 1:
        raise ValueError(f"batch: expected 1 or more, got {batch}")
    if until is not None and not 0 < until < 0.5:
        raise ValueError(f"until: expected a half-width between 0 and 0.5, got {until}")
    with jax_settings.pinned():  # the deals of a seed are the same under every setting of JAX
        return _play_batches(a, b, n_deals, key, batch, progress, until)


def _play_batches(
    a: Player,
    b: Player,
    n_deals: int,
    key: jax.Array,
    batch: int,
    progress: OnProgress | None,
    until: float | None,
) -> np.ndarray:
    # All batches have the same size, so that nothing is compiled twice. The last may play a few
    # deals too many, which are dropped.
    n_batches = math.ceil(n_deals / batch)
    size = math.ceil(n_deals / n_batches)
    margins = np.zeros((0, 2), np.int32)
    so_far: MatchResult | None = None
    last = float(n_deals)  # estimated number of deals at which the match will stop
    for index in range(n_batches):

        def on_ply(
            ply: int, index: int = index, so_far: MatchResult | None = so_far, last: float = last
        ) -> None:
            if progress is not None:
                progress(min((index + ply / game.N_PLIES) * size / last, 1.0), so_far)

        margins = np.concatenate([margins, play_deals(a, b, key, index * size, size, on_ply)])[
            :n_deals
        ]
        so_far = summarise(a.spec, b.spec, margins, until) if len(margins) > 1 else None
        if until is not None and so_far is not None:
            narrowing = half_width(so_far.win_rate_interval) / until
            if narrowing <= 1:
                break
            # A half-width falls with the square root of the number of deals.
            last = min(n_deals, len(margins) * narrowing**2)
    if progress is not None:
        progress(1.0, so_far)
    return margins


def half_width(interval: tuple[float, float]) -> float:
    """Return half the length of an interval."""
    return (interval[1] - interval[0]) / 2


def deal_at(key: jax.Array, index: jax.Array) -> tuple[game.GameState, jax.Array]:
    """Make deal number `index` of the match with this key, and the random key of play on it.

    The number of each ply is folded into that key.
    """
    deal_key, play_key = jax.random.split(jax.random.fold_in(key, index))
    return game.deal(deal_key), play_key


def play_deals(
    a: Player,
    b: Player,
    key: jax.Array,
    first: int,
    n_deals: int,
    on_ply: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Play the deals first .. first + n_deals - 1 of the match with this key, each twice.

    All games advance together, one ply at a time. Forced moves are played without a player's
    choice.

    Args:
        a: the player whose margins are returned.
        b: its opponent.
        key: the match's random key.
        first: number of the first deal.
        n_deals: number of deals.
        on_ply: called after every ply with the number of plies played.

    Returns:
        int32 `[n_deals, 2]`: A's points minus B's, with A as team 0 and with A as team 1. A game
        that a player forfeits counts as 0 points to 42; it is played to its end with the first
        legal slots.

    Raises:
        ValueError: if a player chooses a slot that is not legal.
    """
    states, play_keys = deal_twice(key, first, n_deals)
    team_of_a = np.repeat([0, 1], n_deals)
    forfeiter = np.full(len(team_of_a), -1)
    choose = turns.seated(a, b, team_of_a, forfeiter=forfeiter)
    states = turns.play_out(states, play_keys, choose, on_ply)
    points = turns.final_points(states, forfeiter)
    margin_of_team_0 = points[:, 0] - points[:, 1]
    return np.where(team_of_a == 0, margin_of_team_0, -margin_of_team_0).reshape(2, n_deals).T


@functools.partial(jax.jit, static_argnames="n_deals")
def deals(key: jax.Array, first: jax.Array | int, n_deals: int) -> tuple[game.GameState, jax.Array]:
    """Make the deals first .. first + n_deals - 1 of a match and their play keys (`deal_at`)."""
    return jax.vmap(deal_at, (None, 0))(key, first + jax.numpy.arange(n_deals))


@functools.partial(jax.jit, static_argnames="n_deals")
def deal_twice(key: jax.Array, first: jax.Array, n_deals: int) -> tuple[game.GameState, jax.Array]:
    """Make the deals and play keys twice, one copy after the other: leading axis 2 * n_deals."""
    states, play_keys = deals(key, first, n_deals)
    twice = jax.numpy.tile(jax.numpy.arange(n_deals), 2)
    return jax.tree.map(lambda leaf: leaf[twice], (states, play_keys))


def pair_scores(margins: np.ndarray) -> np.ndarray:
    """Return A's mean score on each deal, `[n_deals]`: 1 for a win, 1/2 for equal points.

    Args:
        margins: `[n_deals, 2]`, as from `play_pairs`.
    """
    return ((np.sign(margins) + 1) / 2).mean(axis=1)


def summarise(a: str, b: str, margins: np.ndarray, until: float | None = None) -> MatchResult:
    """Summarise paired games of two players.

    Args:
        a: name of the player whose margins these are.
        b: name of its opponent.
        margins: `[n_deals, 2]`, A's points minus B's in both games of each deal; 2 deals or more.
        until: the half-width at which the match should stop; None for a fixed number of deals.
    """
    scores = pair_scores(margins)
    win_rate, win_stderr, deviation = mean_and_stderr(scores)
    margin, margin_stderr, _ = mean_and_stderr(margins.mean(axis=1))
    anytime = None
    if until is not None:
        low, high = confidence_sequence(scores, until)
        anytime = (float(low[-1]), float(high[-1]))
    return MatchResult(
        a=a,
        b=b,
        n_deals=len(margins),
        win_rate=win_rate,
        win_rate_stderr=win_stderr,
        win_rate_ci95=(
            max(0.0, win_rate - Z95 * win_stderr),
            min(1.0, win_rate + Z95 * win_stderr),
        ),
        margin=margin,
        margin_stderr=margin_stderr,
        margin_ci95=(margin - Z95 * margin_stderr, margin + Z95 * margin_stderr),
        deals_for_1_percent=max(2, math.ceil((Z95 * deviation / 0.01) ** 2)),
        win_rate_cs95=anytime,
    )


def mean_and_stderr(pairs: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard error of the mean, and standard deviation of `[n_deals]` pair means."""
    deviation = float(pairs.std(ddof=1))
    return float(pairs.mean()), deviation / math.sqrt(len(pairs)), deviation
