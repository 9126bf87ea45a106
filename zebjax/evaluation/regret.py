"""Regret: what a player's decisions lose, by trick and by declaration.

A player plays paired deals. Every decision with more than one legal move is compared with two
moves: the exact best move in the true deal, which no player can know, and E[Q]'s best move by mean
points over sampled worlds, which uses only what the player has seen. A stronger player, the judge,
can also say how much of P(win) each decision loses. Forced moves do not count.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from zebjax import game, solver, tiles
from zebjax.common import charts
from zebjax.common.jax_settings import PRNG
from zebjax.evaluation import intervals, matches
from zebjax.players import Player, base, exact

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # takes a second to import

DEALS_AT_ONCE = 50
"""Number of deals that are played and analysed together."""
JUDGED_AT_ONCE = 10
"""The same with a judge, which may think for 5 s about the decisions of a deal."""


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
    wins_lost: np.ndarray
    """P(win) lost against the judge's best move, as the judge says; 0 or more, nan without a judge.
    """


_NO_DECISIONS = Decisions(*np.zeros((3, 0), np.int64), *np.zeros((3, 0)))


@dataclasses.dataclass(frozen=True)
class Loss:
    """Mean points, and wins, lost per decision.

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
    wins_lost: float | None = None
    """In wins, 0 to 1; None without a judge."""
    wins_lost_ci95: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """What a player loses."""

    player: str
    opponent: str
    n: int
    """Worlds of E[Q]."""
    n_deals: int
    """Each is played twice, with the player as team 0 and as team 1."""
    all: Loss
    by_trick: dict[str, Loss]
    by_declaration: dict[str, Loss]
    judge: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


OnProgress = Callable[[float, Loss], None]
"""Called after each batch with the share of the work that is done, 0 to 1, and the loss so far.

With a judge it is also called within a batch, with the loss before it."""


def measure(
    player: Player,
    opponent: Player,
    n_deals: int,
    key: jax.Array,
    n: int = 100,
    batch: int = DEALS_AT_ONCE,
    progress: OnProgress | None = None,
    judge: Player | None = None,
) -> Result:
    """Play `n_deals` paired deals against `opponent` and analyse every decision of `player`.

    Deals and play are those of `matches.play_match` with the same key, and do not depend on
    `batch`. E[Q] samples its worlds with its own keys, so an E[Q] player is compared on worlds that
    it did not use. E[Q]'s best move is the maximum over noisy means, so `against_eq` is a little
    too large, more so for a small n. The same holds for the judge: it is asked with keys that the
    player did not use, and the best of its shares is a little too large.

    Args:
        player: the player to analyse.
        opponent: plays the other team.
        n_deals: 2 or more.
        key: one typed random key.
        n: worlds per decision of E[Q], see `exact.eq_values`.
        batch: approximate number of deals to play together.
        progress: see `OnProgress`.
        judge: says P(win) of every move, see `Player.p_win`; None: `wins_lost` is None.

    Raises:
        ValueError: if n_deals is below 2, batch is below 1, n is out of range, the judge does not
            know P(win), or a player chooses an illegal slot.
    """
    p_win = None if judge is None else p_win_of(judge)
    if n_deals < 2:
        raise ValueError(
            f"deals: expected 2 or more, since an interval needs a spread, got {n_deals}"
        )
    if batch < 1:
        raise ValueError(f"batch: expected 1 or more, got {batch}")
    n_batches = math.ceil(n_deals / batch)
    size = math.ceil(n_deals / n_batches)
    decisions, so_far = _NO_DECISIONS, loss(_NO_DECISIONS)
    for index in range(n_batches):

        def within(share: float, index: int = index, so_far: Loss = so_far) -> None:
            if progress is not None and judge is not None:
                progress((index + share) / n_batches, so_far)

        watched, seen = base.watch(player)
        first = index * size
        # Play counts as half of the batch: a player may be as slow as its judge.
        matches.play_deals(
            watched, opponent, key, first, size, lambda ply: within(ply / game.N_PLIES / 2)
        )
        numbers = deal_numbers(key, first, size)
        parts = [decisions]
        for place, asked in enumerate(seen):
            within(0.5 + 0.5 * place / len(seen))
            states, keys, slots = _answered(*asked)
            if len(slots):
                parts.append(analyse(states, keys, slots, n, numbers, p_win))
        decisions = _join(parts)
        decisions = _where(decisions, decisions.deal < n_deals)
        so_far = loss(decisions)
        if progress is not None:
            progress((index + 1) / n_batches, so_far)
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
        judge=None if judge is None else judge.spec,
    )


def p_win_of(judge: Player, name: str = "judge") -> base.PWin:
    """Return `Player.p_win` of a judge.

    Args:
        judge: a player.
        name: of the argument, for the message.

    Raises:
        ValueError: if the player does not know P(win) of every move.
    """
    if judge.p_win is None:
        raise ValueError(
            f"{name}: player {judge.spec!r} does not say P(win) of every move; expected eq:n=N, "
            "with belief= and rollouts= or without, and not with criterion=points or make, "
            "points=, opening= or adaptive="
        )
    return judge.p_win


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


def analyse(
    states: game.GameState,
    keys: np.ndarray,
    slots: np.ndarray,
    n: int,
    deal_numbers: dict[bytes, int],
    p_win: base.PWin | None = None,
) -> Decisions:
    """Compute what is lost by choosing `slots` in N states with two or more legal moves each.

    Args:
        states: as for `exact.eq_values`, with the true hands.
        keys: uint32 `[N, 2]`, the player's raw keys. E[Q] and the judge sample with keys derived
            from them.
        slots: `[N]`, the chosen slots, all legal.
        n: worlds per decision of E[Q].
        deal_numbers: number of each deal by the bytes of its hands.
        p_win: the judge, see `Player.p_win`; or None.
    """
    rows = np.arange(len(slots))
    in_deal = solver.solve(states)
    fresh = base.in_chunks(own_keys, states, keys)
    mean = exact.eq_values(states, fresh, n).mean_points
    wins_lost = np.full(len(slots), np.nan)
    if p_win is not None:
        wins = p_win(states, fresh)
        wins_lost = np.nanmax(wins, 1) - wins[rows, slots]
    return Decisions(
        deal=np.array([deal_numbers[hands.tobytes()] for hands in np.asarray(states.hands)]),
        trick=np.asarray(states.ply) // 4,
        declaration=np.asarray(states.declaration),
        in_deal=np.nanmax(in_deal, 1) - in_deal[rows, slots],
        against_eq=np.nanmax(mean, 1) - mean[rows, slots],
        wins_lost=wins_lost,
    )


def _join(parts: Sequence[Decisions]) -> Decisions:
    names = [field.name for field in dataclasses.fields(Decisions)]
    return Decisions(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _where(decisions: Decisions, rows: np.ndarray) -> Decisions:
    return Decisions(**{name: field[rows] for name, field in vars(decisions).items()})


def loss(decisions: Decisions) -> Loss:
    """Return the mean lost per decision, see `intervals.clustered_mean`."""
    if not len(decisions.deal):
        return Loss(0, 0, None, None, None, None)
    in_deal, against_eq = (
        intervals.clustered_mean(points, decisions.deal)
        for points in (decisions.in_deal, decisions.against_eq)
    )
    wins_lost: tuple[float | None, tuple[float, float] | None] = None, None
    if not np.isnan(decisions.wins_lost).any():
        wins_lost = intervals.clustered_mean(decisions.wins_lost, decisions.deal)
    n_deals = len(np.unique(decisions.deal))
    return Loss(len(decisions.deal), n_deals, *in_deal, *against_eq, *wins_lost)


def plot(result: Result, path: Path) -> None:
    """Draw all losses by trick and by declaration, with their intervals, as a PNG file.

    Wins lost are a second row of panels.
    """
    what = "points" if result.judge is None else "points and wins"
    points = {
        "in_deal": "against the best move in the true deal",
        "against_eq": f"against E[Q] with {result.n} worlds",
    }
    rows = 1 if result.judge is None else 2
    figure = charts.new_figure(11, 4 * rows)
    figure.suptitle(
        f"{what} lost per decision: {result.player} against {result.opponent}, "
        f"{result.n_deals} deals"
    )
    panels = figure.subplots(rows, 2, sharey="row", width_ratios=(2, 3), squeeze=False)
    _draw(panels[0], result, points, 1)
    panels[0, 0].set(ylabel="points")
    panels[0, 0].legend()
    if result.judge is not None:
        _draw(panels[1], result, {"wins_lost": ""}, 100)
        panels[1, 0].set(ylabel="wins, %")
        panels[1, 1].set(title=f"by declaration, judged by {result.judge}")
    charts.save_figure(figure, path)


def _draw(panels: "Sequence[Axes]", result: Result, labels: Mapping[str, str], scale: int) -> None:
    """Draw fields of `Loss`, with their labels, by trick and by declaration."""
    offsets = [-0.1, 0.1] if len(labels) > 1 else [0.0]
    for axes, losses in zip(panels, (result.by_trick, result.by_declaration), strict=True):
        for offset, (name, label) in zip(offsets, labels.items(), strict=True):
            shown = [
                (at + offset, scale * getattr(loss, name), scale * interval[1])
                for at, loss in enumerate(losses.values())
                if (interval := getattr(loss, f"{name}_ci95"))
            ]
            places, means, highs = np.array(shown).reshape(-1, 3).T
            axes.errorbar(places, means, yerr=highs - means, fmt="o", capsize=3, label=label)
        axes.set_xticks(range(len(losses)), losses)
        axes.set(ylim=(0, None))
        axes.grid(axis="y", alpha=0.3)
    panels[0].set(title="by trick", xlabel="trick")
    panels[1].set(title="by declaration")
    panels[1].tick_params("x", rotation=30)
