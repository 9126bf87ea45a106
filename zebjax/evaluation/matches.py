"""Paired matches between two players, and the intervals of their results.

Each deal is played twice with the same declaration and leader, once with A as team 0 and once as
team 1, and with the same random key at each ply. The luck of the deal mostly cancels in a pair, so
a pair is one observation: intervals come from the spread of pairs, never of games.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import game, tiles
from zebjax.common import jax_settings
from zebjax.common.arrays import check_key
from zebjax.evaluation.config import DEALS_AT_ONCE as BATCH
from zebjax.evaluation.intervals import Z95, confidence_sequence
from zebjax.players import Player, base

VERSION = 2
"""Part of the key of cached results: raised when the same players, deals and seed would give
another result."""


@dataclasses.dataclass(frozen=True)
class MatchResult:
    """A against B over paired deals; every rate and margin is A's.

    The `ci95` intervals are normal approximations over deals: mean +- 1.96 standard errors, where
    the standard error is the sample standard deviation of the pairs' means over sqrt(n_deals). With
    fewer than about 30 deals, or when all pairs end alike, they are too narrow. They hold for a
    number of deals that was fixed before; if the match could stop by itself, use `win_rate_cs95`.
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
    """Mean points of A less points of B, a game; in [-42, 42]."""
    margin_stderr: float
    margin_ci95: tuple[float, float]
    deals_for_1_percent: int
    """Deals until the half-width of the win rate's interval is 0.01, at the spread seen here; at
    least 2."""
    win_rate_cs95: tuple[float, float] | None = None
    """With `until`: the interval that holds however often one looked
    (`intervals.confidence_sequence`)."""

    def to_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """One JSON object with the fields of this class."""
        return json.dumps(self.to_dict())

    @property
    def win_rate_interval(self) -> tuple[float, float]:
        """The interval to print: the one that allows stopping if the match could stop by itself."""
        return self.win_rate_cs95 or self.win_rate_ci95


Progress = Callable[[float, MatchResult | None], None]
"""Called after every ply with the share of the match that is done, 0 to 1, and the result so far,
if there is one."""


def play_match(a: Player, b: Player, n_deals: int, key: jax.Array, **how: Any) -> MatchResult:
    """Play `n_deals` paired deals, 2 * n_deals games, and summarise them; `how` holds the other
    arguments of `play_pairs`.
    """
    return summarise(a.spec, b.spec, play_pairs(a, b, n_deals, key, **how), how.get("until"))


def play_pairs(
    a: Player,
    b: Player,
    n_deals: int,
    key: jax.Array,
    batch: int = BATCH,
    progress: Progress | None = None,
    until: float | None = None,
) -> np.ndarray:
    """Play `n_deals` paired deals, 2 * n_deals games.

    The same players, number and key give the same result; with a larger number the first deals stay
    the same. A network that changes between matches costs no compilation if `n_deals` and `batch`
    stay.

    Args:
        a: the player whose margins are returned.
        b: its opponent. Each plays both seats of its team.
        n_deals: 2 or more.
        key: the source of deals and of all randomness in play.
        batch: about how many deals to play at once.
        progress: see `Progress`.
        until: stop after the first batch where the win rate's confidence sequence has this
            half-width, in (0, 0.5); `n_deals` is then the most that are played.

    Returns:
        int32 `[n_deals, 2]`, or fewer deals with `until`: A's points less B's with A as team 0, and
        with A as team 1.

    Raises:
        ValueError: for n_deals below 2, batch below 1 or an impossible `until`, and when a player
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
    progress: Progress | None,
    until: float | None,
) -> np.ndarray:
    # Batches of one size, so that nothing is compiled twice; the last may run a few deals too many,
    # which are dropped.
    n_batches = math.ceil(n_deals / batch)
    size = math.ceil(n_deals / n_batches)
    margins = np.zeros((0, 2), np.int32)
    so_far: MatchResult | None = None
    last = float(n_deals)  # the deal that will probably be the last
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
            last = min(n_deals, len(margins) * narrowing**2)
    if progress is not None:
        progress(1.0, so_far)
    return margins


def half_width(interval: tuple[float, float]) -> float:
    """Half the length of an interval."""
    return (interval[1] - interval[0]) / 2


def deal_at(key: jax.Array, index: jax.Array) -> tuple[game.GameState, jax.Array]:
    """Deal number `index` of the match with this key, and the key of all play on it (folded in: the
    ply).
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
    """Play the deals first .. first + n_deals - 1 of the match with this key, each twice, all in
    lockstep.

    A seat with one legal slot plays it and its player is not asked.

    Returns:
        int32 `[n_deals, 2]`: A's points less B's with A as team 0, and with A as team 1.

    Raises:
        ValueError: if a player chooses a slot that is not legal.
    """
    states, play_keys = _deal_twice(key, first, n_deals)
    team_of_a = np.repeat([0, 1], n_deals)

    def choose(turn: Turn) -> np.ndarray:
        slots = turn.legal.argmax(-1).astype(np.int32)
        has_choice = turn.legal.sum(-1) > 1
        for player, team in ((a, team_of_a), (b, 1 - team_of_a)):
            rows = np.flatnonzero(has_choice & (turn.movers % 2 == team))
            if len(rows):
                slots[rows] = ask(player, turn, rows)
        return slots

    states = play_out(states, play_keys, choose, on_ply)
    points = np.asarray(states.points, np.int32)
    margin_of_team_0 = points[:, 0] - points[:, 1]
    return np.where(team_of_a == 0, margin_of_team_0, -margin_of_team_0).reshape(2, n_deals).T


@functools.partial(jax.jit, static_argnames="n_deals")
def deals(key: jax.Array, first: jax.Array | int, n_deals: int) -> tuple[game.GameState, jax.Array]:
    """The deals first .. first + n_deals - 1 of the match with this key and their play keys, see
    `deal_at`.
    """
    return jax.vmap(deal_at, (None, 0))(key, first + jax.numpy.arange(n_deals))


class Turn(NamedTuple):
    """Many games at one ply, as NumPy arrays with a leading axis."""

    states: game.GameState
    legal: np.ndarray
    """bool `[games, 7]`."""
    movers: np.ndarray
    """The seat to move."""
    keys: np.ndarray
    """uint32 `[games, 2]`: the raw random key of each game at this ply."""


def play_out(
    states: game.GameState,
    play_keys: jax.Array,
    choose: Callable[[Turn], np.ndarray],
    on_ply: Callable[[int], None] | None = None,
) -> game.GameState:
    """Play many fresh games to their end, all in lockstep.

    Args:
        states: before the first play, with a leading axis.
        play_keys: a typed random key a game; at each ply its number is folded in.
        choose: called once a ply; the slots to play, legal ones.
        on_ply: called after every ply with the number of plies played.
    """
    for ply in range(game.N_PLIES):
        legal, movers, keys = (np.asarray(array) for array in _view(states, play_keys, ply))
        states = _play(states, choose(Turn(jax.tree.map(np.asarray, states), legal, movers, keys)))
        if on_ply is not None:
            on_ply(ply + 1)
    return states


def ask(player: Player, turn: Turn, rows: np.ndarray) -> np.ndarray:
    """The slots that a player chooses in the games `rows`.

    Raises:
        ValueError: if a slot is not legal.
    """
    slots, legal = player.choose(base.gather(turn.states, rows), turn.keys[rows]), turn.legal[rows]
    in_range = (slots >= 0) & (slots < tiles.HAND_SIZE)
    wrong = ~(in_range & legal[np.arange(len(slots)), np.where(in_range, slots, 0)])
    if wrong.any():
        row = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"player {player.spec!r}: expected one of the legal slots "
            f"{np.flatnonzero(legal[row]).tolist()}, "
            f"got {slots[row]}"
        )
    return slots


@functools.partial(jax.jit, static_argnames="n_deals")
def _deal_twice(key: jax.Array, first: jax.Array, n_deals: int) -> tuple[game.GameState, jax.Array]:
    """Two copies, one after the other, of the deals and their play keys: leading axis 2 *
    n_deals.
    """
    states, play_keys = deals(key, first, n_deals)
    twice = jax.numpy.tile(jax.numpy.arange(n_deals), 2)
    return jax.tree.map(lambda leaf: leaf[twice], (states, play_keys))


@jax.jit
def _view(
    states: game.GameState, play_keys: jax.Array, ply: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of every game: legal slots bool `[games, 7]`, seat to move `[games]`, raw key of this ply
    uint32 `[games, 2]`.
    """
    keys = jax.vmap(jax.random.fold_in, (0, None))(play_keys, ply)
    return (
        jax.vmap(game.legal_slots)(states),
        jax.vmap(game.current_player)(states),
        jax.random.key_data(keys),
    )


@jax.jit
def _play(states: game.GameState, slots: jax.Array) -> game.GameState:
    return jax.vmap(game.play)(states, slots)


def pair_scores(margins: np.ndarray) -> np.ndarray:
    """A's mean score on each deal, `[n_deals]` in {0, 1/4, 1/2, 3/4, 1}: 1 for a win, 1/2 for equal
    points.
    """
    return ((np.sign(margins) + 1) / 2).mean(axis=1)


def summarise(a: str, b: str, margins: np.ndarray, until: float | None = None) -> MatchResult:
    """The result of paired games of two players.

    Args:
        a: name of the player whose margins these are.
        b: name of its opponent.
        margins: `[n_deals, 2]`, A's points less B's in both games of each deal; 2 deals or more.
        until: the half-width at which the match was to stop, if it was.
    """
    scores = pair_scores(margins)
    win_rate, win_stderr, deviation = _mean_and_stderr(scores)
    margin, margin_stderr, _ = _mean_and_stderr(margins.mean(axis=1))
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


def _mean_and_stderr(pairs: np.ndarray) -> tuple[float, float, float]:
    """Mean, its standard error and the standard deviation of `[n_deals]` means of pairs."""
    deviation = float(pairs.std(ddof=1))
    return float(pairs.mean()), deviation / math.sqrt(len(pairs)), deviation
