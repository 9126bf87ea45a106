"""Regret: the points that a player's decisions lose, by trick and by declaration.

A player plays paired deals. Every decision with more than one legal move is compared with two
moves: the exact best move in the true deal, which no player can know, and E[Q]'s best move by mean
points over sampled worlds, which uses only what the player has seen. Forced moves do not count.
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
"""Number of deals that are played and analysed together."""


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Decisions of one player, all fields `[n]`."""

    deal: np.ndarray
    """The number of its deal."""
    trick: np.ndarray
    """0..6."""
    declaration: np.ndarray
    in_deal: np.ndarray
    """Points lost against the best move in the true deal, if all play after the move is perfect; 0
    or more."""
    against_eq: np.ndarray
    """Mean points over E[Q]'s worlds lost against E[Q]'s best move; 0 or more."""


_NO_DECISIONS = Decisions(*np.zeros((3, 0), np.int64), *np.zeros((2, 0)))


@dataclasses.dataclass(frozen=True)
class Loss:
    """Mean points lost per decision.

    Intervals treat each deal as one cluster, since its decisions depend on each other.
    """

    decisions: int
    deals: int
    in_deal: float | None
    """None if there are no decisions."""
    in_deal_ci95: tuple[float, float] | None
    """None if fewer than 2 deals have decisions."""
    against_eq: float | None
    against_eq_ci95: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """The points that a player loses."""

    player: str
    opponent: str
    n: int
    """Worlds of E[Q]."""
    n_deals: int
    """Each is played twice, with the player as team 0 and as team 1."""
    all: Loss
    by_trick: dict[str, Loss]
    by_declaration: dict[str, Loss]

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


OnProgress = Callable[[float, Loss], None]
"""Called after each batch with the share of the deals that is done, 0 to 1, and the loss so far."""


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

    Deals and play are those of `matches.play_match` with the same key, and do not depend on
    `batch`. E[Q] samples its worlds with its own keys, so an E[Q] player is compared on worlds that
    it did not use. E[Q]'s best move is the maximum over noisy means, so `against_eq` is a little
    too large, more so for a small n.

    Args:
        player: the player to analyse.
        opponent: plays the other team.
        n_deals: 2 or more.
        key: one typed random key.
        n: worlds per decision of E[Q], see `exact.eq_values`.
        batch: approximate number of deals to play together.
        progress: see `OnProgress`.

    Raises:
        ValueError: if n_deals is below 2, batch is below 1, n is out of range, or a player chooses
            an illegal slot.
    """
    if n_deals < 2:
        raise ValueError(
            f"deals: expected 2 or more, since an interval needs a spread, got {n_deals}"
        )
    if batch < 1:
        raise ValueError(f"batch: expected 1 or more, got {batch}")
    n_batches = math.ceil(n_deals / batch)
    size = math.ceil(n_deals / n_batches)
    parts = [_NO_DECISIONS]
    for index in range(n_batches):
        watched, seen = base.watch(player)
        matches.play_deals(watched, opponent, key, index * size, size)
        numbers = deal_numbers(key, index * size, size)
        for asked in seen:
            states, keys, slots = _answered(*asked)
            if len(slots):
                parts.append(points_lost(states, keys, slots, n, numbers))
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


def _answered(
    states: game.GameState, keys: np.ndarray, slots: np.ndarray
) -> tuple[game.GameState, np.ndarray, np.ndarray]:
    """Leave out the decisions that the player has forfeited."""
    rows = np.flatnonzero(slots != base.FORFEIT)
    return base.gather(states, rows), keys[rows], slots[rows]


def deal_numbers(key: jax.Array, first: int, size: int) -> dict[bytes, int]:
    """Return a map from the bytes of the hands to the number of the deal, for one batch."""
    # There are 28! / 7!^4 = 4.7e14 different hands, so two equal deals in a match are no concern.
    hands = np.asarray(matches.deals(key, first, size)[0].hands)
    return {hands[index].tobytes(): first + index for index in range(size)}


@jax.jit
def own_keys(states: game.GameState, keys: jax.Array) -> jax.Array:
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
    """Compute the points lost by choosing `slots` in N states with two or more legal moves each.

    Args:
        states: as for `exact.eq_values`, with the true hands.
        keys: uint32 `[N, 2]`, the player's raw keys. E[Q] samples with keys derived from them.
        slots: `[N]`, the chosen slots, all legal.
        n: worlds per decision of E[Q].
        deal_numbers: number of each deal by the bytes of its hands.
    """
    rows = np.arange(len(slots))
    in_deal = solver.solve(states)
    mean = exact.eq_values(states, base.in_chunks(own_keys, states, keys), n).mean_points
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
    """Return the mean points lost per decision, see `intervals.clustered_mean`."""
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
    """Draw both losses by trick and by declaration, with their intervals, as a PNG file."""
    figure = charts.new_figure(11, 4)
    figure.suptitle(
        f"points lost per decision: {result.player} against {result.opponent}, "
        f"{result.n_deals} deals"
    )
    by_trick, by_declaration = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    labels = (
        ("in_deal", "against the best move in the true deal"),
        ("against_eq", f"against E[Q] with {result.n} worlds"),
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
