"""Regret: what a player's decisions cost in points, by trick and by declaration.

A player plays paired deals. Every decision with more than one legal move is compared with two
others: with the exact best move in the true deal, which nobody at the table can know, and with
E[Q]'s best move by mean points over sampled worlds, which a careful player could find. Forced moves
are no decisions and are not counted.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from zebjax import game, solver, tiles
from zebjax.common import charts
from zebjax.common.jax_settings import PRNG
from zebjax.evaluation import intervals, matches
from zebjax.players import Player, base, exact

DEALS_AT_ONCE = 50
"""Deals that are played and analysed at once."""


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Decisions of one player, all fields `[n]`."""

    deal: np.ndarray
    """The number of its deal."""
    trick: np.ndarray
    """0..6."""
    declaration: np.ndarray
    in_deal: np.ndarray
    """Points lost against the best move in the true deal, all play after being perfect, 0 or
    more."""
    against_eq: np.ndarray
    """Mean points lost against E[Q]'s best move; 0 or more."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """Mean points lost a decision. The deal is the unit: its decisions are not independent of each
    other.
    """

    decisions: int
    deals: int
    in_deal: float | None
    """None where there are no decisions."""
    in_deal_ci95: tuple[float, float] | None
    """None where fewer than 2 deals have decisions."""
    against_eq: float | None
    against_eq_ci95: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """What a player loses."""

    player: str
    opponent: str
    n: int
    """Worlds of E[Q]."""
    n_deals: int
    """Each played twice, the player's team once 0 and once 1."""
    all: Loss
    by_trick: dict[str, Loss]
    by_declaration: dict[str, Loss]

    def to_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)


OnProgress = Callable[[float, Loss], None]
"""Called after each batch with the share that is done, 0 to 1, and the loss so far."""


def measure(
    player: Player,
    opponent: Player,
    n_deals: int,
    key: jax.Array,
    n: int = 100,
    batch: int = DEALS_AT_ONCE,
    progress: OnProgress | None = None,
) -> Result:
    """Play `n_deals` paired deals against `opponent` and analyse every decision of `player`.

    The deals and all play are those of `matches.play_match` with the same key; the result is the
    same for any `batch`. E[Q] draws its worlds from keys of its own, so an E[Q] player is compared
    on worlds that it did not see. The best move of E[Q] is the best of a sample, which makes
    `against_eq` a little too large, more so for a small n.

    Raises:
        ValueError: for n_deals below 2, batch below 1, n not as in `exact.eq_values`, or a player's
            illegal slot.
    """
    if n_deals < 2:
        raise ValueError(
            f"deals: expected 2 or more, since an interval needs a spread, got {n_deals}"
        )
    if batch < 1:
        raise ValueError(f"batch: expected 1 or more, got {batch}")
    n_batches = math.ceil(n_deals / batch)
    size = math.ceil(n_deals / n_batches)
    parts: list[Decisions] = []
    for index in range(n_batches):
        watched, seen = base.watch(player)
        matches.play_deals(watched, opponent, key, index * size, size)
        parts.extend(
            points_lost(*decisions, n, _deal_numbers(key, index * size, size)) for decisions in seen
        )
        if progress is not None:
            so_far = _join(parts)
            progress((index + 1) / n_batches, loss(_where(so_far, so_far.deal < n_deals)))
    decisions = _join(parts)
    decisions = _where(decisions, decisions.deal < n_deals)
    return Result(
        player=player.spec,
        opponent=opponent.spec,
        n=n,
        n_deals=n_deals,
        all=loss(decisions),
        by_trick={
            str(trick + 1): loss(_where(decisions, decisions.trick == trick))
            for trick in range(tiles.N_TRICKS - 1)
        },
        by_declaration={
            name: loss(_where(decisions, decisions.declaration == declaration))
            for declaration, name in enumerate(tiles.DECLARATION_NAMES)
        },
    )


def _deal_numbers(key: jax.Array, first: int, size: int) -> dict[bytes, int]:
    """The number of each deal of a batch by its hands (28!/7!^4 deals: no two in a match are
    alike).
    """
    hands = np.asarray(matches.deals(key, first, size)[0].hands)
    return {hands[index].tobytes(): first + index for index in range(size)}


@jax.jit
def _own_keys(states: game.GameState, keys: jax.Array) -> jax.Array:
    return jax.vmap(
        lambda key: jax.random.key_data(
            jax.random.fold_in(jax.random.wrap_key_data(key, impl=PRNG), 1)
        )
    )(keys)


def points_lost(
    states: game.GameState,
    keys: np.ndarray,
    slots: np.ndarray,
    n: int,
    deal_numbers: dict[bytes, int],
) -> Decisions:
    """Points lost by choosing `slots` in N states, each with two legal moves or more.

    Args:
        states: as for `exact.eq_values`.
        keys: uint32 `[N, 2]`. E[Q]'s worlds come from other keys that are made of these.
        slots: the slots chosen, `[N]`, all legal.
        n: worlds of E[Q].
        deal_numbers: the number of a deal by the bytes of its hands.
    """
    rows = np.arange(len(slots))
    in_deal = solver.solve(states)
    mean = exact.eq_values(states, base.in_chunks(_own_keys, states, keys), n).mean_points
    return Decisions(
        deal=np.array([deal_numbers[hands.tobytes()] for hands in np.asarray(states.hands)]),
        trick=np.asarray(states.ply) // 4,
        declaration=np.asarray(states.declaration),
        in_deal=np.nanmax(in_deal, 1) - in_deal[rows, slots],
        against_eq=np.nanmax(mean, 1) - mean[rows, slots],
    )


def _join(parts: Sequence[Decisions]) -> Decisions:
    names = [field.name for field in dataclasses.fields(Decisions)]
    return Decisions(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _where(decisions: Decisions, rows: np.ndarray) -> Decisions:
    return Decisions(**{name: field[rows] for name, field in vars(decisions).items()})


def loss(decisions: Decisions) -> Loss:
    """Sum up decisions: points lost a decision, see `intervals.clustered_mean`."""
    if not len(decisions.deal):
        return Loss(0, 0, None, None, None, None)
    estimates = (
        intervals.clustered_mean(points, decisions.deal)
        for points in (decisions.in_deal, decisions.against_eq)
    )
    (in_deal, in_deal_ci95), (against_eq, against_eq_ci95) = estimates
    n_deals = len(np.unique(decisions.deal))
    return Loss(len(decisions.deal), n_deals, in_deal, in_deal_ci95, against_eq, against_eq_ci95)


def plot(result: Result, path: Path) -> None:
    """Draw both losses by trick and by declaration, with their intervals, as PNG."""
    figure = charts.new_figure(11, 4)
    figure.suptitle(
        f"points lost a decision: {result.player} against {result.opponent}, {result.n_deals} deals"
    )
    by_trick, by_declaration = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    labels = (
        ("in_deal", "against the best in the true deal"),
        ("against_eq", f"against E[Q], N = {result.n}"),
    )
    for axes, losses, title in (
        (by_trick, result.by_trick, "by trick"),
        (by_declaration, result.by_declaration, "by declaration"),
    ):
        for offset, (name, label) in zip((-0.1, 0.1), labels, strict=True):
            shown = [
                (at, loss)
                for at, loss in enumerate(losses.values())
                if getattr(loss, f"{name}_ci95")
            ]
            means = [getattr(loss, name) for _, loss in shown]
            highs = [getattr(loss, f"{name}_ci95")[1] for _, loss in shown]
            error = np.subtract(highs, means)
            axes.errorbar(
                [at + offset for at, _ in shown], means, yerr=error, fmt="o", capsize=3, label=label
            )
        axes.set_xticks(range(len(losses)), losses, rotation=30 if axes is by_declaration else 0)
        axes.set(title=title, ylim=(0, None))
        axes.grid(axis="y", alpha=0.3)
    by_trick.set(xlabel="trick", ylabel="points")
    by_trick.legend()
    charts.save_figure(figure, path)
