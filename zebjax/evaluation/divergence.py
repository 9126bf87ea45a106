"""Divergence: where two players choose different moves, and what that costs.

A plays paired deals against B. At each of A's decisions B is asked what it would play there, with
the same random key. Where they differ, both moves are compared by exact play in the true deal, and
by E[Q]'s mean points over sampled worlds, which use only what the seat has seen. Takeover asks for
the sum of it: what A gains if it takes over B's game from a trick on.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from zebjax import solver, tiles
from zebjax.evaluation import contracts, intervals, matches, regret
from zebjax.evaluation.ladder import Cache, Played, Rules
from zebjax.evaluation.ladder import play as play_cached
from zebjax.evaluation.regret import DEALS_AT_ONCE
from zebjax.players import Player, base, exact
from zebjax.players.takeover import takeover

OnProgress = Callable[[float], None]
"""Called after each batch with the share of the deals that is done, 0 to 1."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """What A's moves gain over B's, in points per decision in which they differ.

    Intervals treat each deal as one cluster.
    """

    decisions: int
    """A's decisions with more than one legal move."""
    differ: int
    """Of these, where B would play another tile."""
    in_deal: float | None
    """Mean gain in the true deal, with perfect play after the move; None if they never differ."""
    in_deal_ci95: tuple[float, float] | None
    """None with fewer than 2 deals."""
    by_eq: float | None
    """Mean gain over E[Q]'s worlds."""
    by_eq_ci95: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """Where two players differ."""

    a: str
    b: str
    n: int
    """Worlds of E[Q]."""
    n_deals: int
    """Each is played twice, with A as team 0 and as team 1."""
    all: Difference
    by_trick: dict[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class _Choices:
    """A's decisions, all fields `[n]`; a gain is 0 where the players agree."""

    deal: np.ndarray
    trick: np.ndarray
    differ: np.ndarray
    in_deal: np.ndarray
    by_eq: np.ndarray


def measure(
    a: Player,
    b: Player,
    n_deals: int,
    key: jax.Array,
    n: int = 100,
    progress: OnProgress | None = None,
) -> Result:
    """Play `n_deals` paired deals of A against B, and compare their moves in A's decisions.

    Args:
        a: plays, and its moves are compared.
        b: its opponent, which is also asked at A's decisions.
        n_deals: 2 or more.
        key: one typed random key.
        n: worlds per decision of E[Q].
        progress: see `OnProgress`.

    Raises:
        ValueError: if n_deals is below 2, n is out of range, or a player chooses an illegal slot.
    """
    contracts.check_deals(n_deals)
    n_batches = math.ceil(n_deals / DEALS_AT_ONCE)
    size = math.ceil(n_deals / n_batches)
    parts: list[_Choices] = []
    for index in range(n_batches):
        watched, seen = base.watch(a)
        matches.play_deals(watched, b, key, index * size, size)
        numbers = regret.deal_numbers(key, index * size, size)
        parts.extend(_compare(*decisions, b, n, numbers) for decisions in seen)
        if progress is not None:
            progress((index + 1) / n_batches)
    choices = _join(parts)
    choices = _where(choices, choices.deal < n_deals)
    return Result(
        a=a.spec,
        b=b.spec,
        n=n,
        n_deals=n_deals,
        all=difference(choices),
        by_trick={
            str(trick + 1): difference(_where(choices, choices.trick == trick))
            for trick in range(tiles.N_TRICKS - 1)
        },
    )


def _compare(
    states: Any, keys: np.ndarray, slots: np.ndarray, b: Player, n: int, numbers: dict[bytes, int]
) -> _Choices:
    others = np.asarray(b.choose(states, keys))
    differ = others != slots
    rows = np.flatnonzero(differ)
    in_deal, by_eq = np.zeros(len(slots)), np.zeros(len(slots))
    if len(rows):
        some = base.gather(states, rows)
        fresh = base.in_chunks(regret.own_keys, some, keys[rows])
        at = np.arange(len(rows))
        for values, gain in (
            (solver.solve(some), in_deal),
            (exact.eq_values(some, fresh, n).mean_points, by_eq),
        ):
            gain[rows] = values[at, slots[rows]] - values[at, others[rows]]
    return _Choices(
        deal=np.array([numbers[hands.tobytes()] for hands in np.asarray(states.hands)]),
        trick=np.asarray(states.ply) // tiles.N_PLAYERS,
        differ=differ,
        in_deal=in_deal,
        by_eq=by_eq,
    )


def _join(parts: Sequence[_Choices]) -> _Choices:
    names = [field.name for field in dataclasses.fields(_Choices)]
    return _Choices(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _where(choices: _Choices, rows: np.ndarray) -> _Choices:
    return _Choices(**{name: field[rows] for name, field in vars(choices).items()})


def difference(choices: _Choices) -> Difference:
    """Summarise decisions."""
    differing = _where(choices, choices.differ)
    if not len(differing.deal):
        return Difference(len(choices.deal), 0, None, None, None, None)
    in_deal, by_eq = (
        intervals.clustered_mean(gain, differing.deal)
        for gain in (differing.in_deal, differing.by_eq)
    )
    return Difference(len(choices.deal), len(differing.deal), *in_deal, *by_eq)


def take_over(a: Player, b: Player, trick: int, n_deals: int, rules: Rules, cache: Cache) -> Played:
    """Play a match in which A takes over B's game from a trick on, against B.

    Args:
        a: plays one team's tiles from the trick on.
        b: plays all other moves.
        trick: 1..7; from trick 1 on it is a match of A against B.
        n_deals: 2 or more; each is played twice.
        rules: settings of the match.
        cache: finished pairs.

    Raises:
        ValueError: as `ladder.play`, or if trick is out of range.
    """
    return play_cached(takeover(a, b, trick), b, n_deals, rules, cache)
