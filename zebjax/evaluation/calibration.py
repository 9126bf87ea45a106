"""Calibration of P(make): what the auction's estimate promised, and what came.

For each deal the bidder's best declaration for a bid is chosen by P(make) over sampled worlds
(`players.auction`); then E[Q] with criterion=make plays all four seats, and the contract is made or
set. The estimate is the highest of about sixty noisy ones, so it promises a little too much; a
second estimate of the chosen declaration and lead, from fresh worlds, is free of that.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zebjax import contract
from zebjax.common import charts, files, jax_settings
from zebjax.contract import Contract
from zebjax.evaluation import intervals, matches, turns
from zebjax.players import auction, exact

N_BINS = 10
DEALS_AT_ONCE = 20
"""Deals between two writes of the rows."""
OnProgress = Callable[[float], None]
"""Called after each batch with the share of the deals that is done, 0 to 1."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides the rows, but not their number."""

    n: int = 100
    """Worlds per declaration for the estimates."""
    play_n: int = 100
    """Worlds per decision of the E[Q] players."""
    bid: int | None = None
    """The bid of every deal; None: 30, 31, ... 42, 30, ... in turn."""
    seed: int = 0
    by: str = auction.BY
    """What the estimates play or solve the worlds by, see `auction.policy_of`."""

    def bid_of(self, deal: int) -> int:
        """The bid of one deal."""
        return auction.BIDS[deal % len(auction.BIDS)] if self.bid is None else self.bid


@dataclasses.dataclass(frozen=True)
class Row:
    """One deal."""

    bid: int
    declaration: int
    promised: float
    """P(make) over the worlds that chose declaration and lead."""
    fresh: float
    """P(make) of the same declaration and lead over other worlds."""
    made: bool


@dataclasses.dataclass(frozen=True)
class Group:
    """Deals with a similar promise, or with one bid."""

    name: str
    n_deals: int
    promised: float
    """Means over the deals."""
    fresh: float
    made: float
    made_ci95: tuple[float, float]
    """See `intervals.wilson`."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What was promised and what came."""

    value: str
    """`contract.VALUE`."""
    settings: Settings
    all: Group
    by_promise: tuple[Group, ...]
    """By `Row.fresh`, in tenths; without empty groups."""
    by_bid: tuple[Group, ...]
    brier: float
    """Mean squared difference of `Row.fresh` and the outcome."""
    brier_of_rate: float
    """The same for a forecaster who always says the overall rate."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


def measure(
    settings: Settings,
    n_deals: int,
    kept: Path | None = None,
    progress: OnProgress | None = None,
) -> Result:
    """Choose, promise and play out `n_deals` deals.

    Args:
        settings: worlds, bid and seed.
        n_deals: 1 or more. A larger number adds deals after the same first ones.
        kept: a file of finished deals, read at the start and written after each batch; so an
            interrupted call resumes. None: nothing is kept.
        progress: see `OnProgress`.

    Raises:
        ValueError: for a number out of range, or if `kept` has rows of other settings.
    """
    rows = [] if kept is None or not kept.exists() else _read(kept, settings)
    while len(rows) < n_deals:
        # Always a whole batch, so that one compiled program serves all.
        rows += play(settings, len(rows), DEALS_AT_ONCE)
        if kept is not None:
            plain = [list(dataclasses.astuple(row)) for row in rows]
            files.write_json(kept, {"settings": dataclasses.asdict(settings), "rows": plain})
        if progress is not None:
            progress(min(1.0, len(rows) / n_deals))
    return summarise(settings, rows[:n_deals])


def _read(path: Path, settings: Settings) -> list[Row]:
    found = files.read_json(path)
    if not isinstance(found, dict) or found.get("settings") != dataclasses.asdict(settings):
        raise ValueError(f"{path}: it holds deals of other settings; expected another file name")
    return [Row(*row) for row in found["rows"]]


def play(settings: Settings, first: int, n_deals: int) -> list[Row]:
    """Choose, promise and play out the deals first .. first + n_deals - 1."""
    key = jax_settings.key(settings.seed)
    with jax_settings.pinned():
        states, play_keys = matches.deals(key, first, n_deals)
        leaders = np.asarray(states.leader)
        hands = np.asarray(states.hands)[np.arange(n_deals), leaders]
        bids = np.array([settings.bid_of(first + index) for index in range(n_deals)], np.int8)
        estimates = [
            estimate(hand, int(bid), settings, np.random.default_rng([settings.seed, deal]))
            for deal, (hand, bid) in enumerate(zip(hands, bids, strict=True), first)
        ]
        declarations = np.array([row[0] for row in estimates], np.int8)
        contracts = Contract(leaders, declarations, bids, np.ones(n_deals, np.int8))
        player = exact.player(settings.play_n, "make")
        choose = turns.seated(player, player, np.zeros(n_deals, int), contracts)
        final = turns.play_out(states._replace(declaration=declarations), play_keys, choose)
    made = contract.made(contracts, np.asarray(final.points))
    return [
        Row(int(bid), *chosen, bool(is_made))
        for bid, chosen, is_made in zip(bids, estimates, made, strict=True)
    ]


def estimate(
    hand: np.ndarray, bid: int, settings: Settings, rng: np.random.Generator
) -> tuple[int, float, float]:
    """Choose a declaration for a bid, and estimate P(make) twice.

    Args:
        hand: integers `[7]`, tile ids.
        bid: 30 to 42 points.
        settings: `n` and `by` are used.
        rng: the source of all randomness.

    Returns:
        The declaration; P(make) over the worlds that chose it and its lead; P(make) of both over n
        fresh worlds.
    """
    bids, n, policy = np.array([bid]), settings.n, auction.policy_of(settings.by)
    counts = auction.count_makes(hand[None], bids, n, rng, policy)[0]
    row = auction.best_rows(counts[None], n)[0]
    lead = int(counts[row].argmax())
    declaration = contract.DECLARATIONS[row]
    again = auction.count_makes(hand[None], bids, n, rng, policy, (declaration,))[0, 0, lead]
    return declaration, float(counts[row, lead] / n), float(again / n)


def summarise(settings: Settings, rows: Sequence[Row]) -> Result:
    """Compare promises with outcomes."""
    made = np.array([row.made for row in rows], float)
    fresh = np.array([row.fresh for row in rows])
    tenth = np.minimum((fresh * N_BINS).astype(int), N_BINS - 1)
    bids = np.array([row.bid for row in rows])
    step = 100 // N_BINS
    return Result(
        value=contract.VALUE,
        settings=settings,
        all=_group("all", rows),
        by_promise=tuple(
            _group(f"{step * at} to {step * (at + 1)} %", _of(rows, tenth == at))
            for at in range(N_BINS)
            if (tenth == at).any()
        ),
        by_bid=tuple(_group(str(bid), _of(rows, bids == bid)) for bid in sorted(set(bids))),
        brier=float(((fresh - made) ** 2).mean()),
        brier_of_rate=float(((made.mean() - made) ** 2).mean()),
    )


def _of(rows: Sequence[Row], which: np.ndarray) -> list[Row]:
    return [row for row, is_in in zip(rows, which, strict=True) if is_in]


def _group(name: str, rows: Sequence[Row]) -> Group:
    made = sum(row.made for row in rows)
    return Group(
        name,
        len(rows),
        float(np.mean([row.promised for row in rows])),
        float(np.mean([row.fresh for row in rows])),
        made / len(rows),
        intervals.wilson(made, len(rows)),
    )


def plot(result: Result, path: Path) -> None:
    """Draw promises against outcomes, by promise and by bid, as a PNG file."""
    figure = charts.new_figure(10, 4.6)
    settings = result.settings
    figure.suptitle(
        f"P(make) over {settings.n} worlds, played out by eq:n={settings.play_n},criterion=make: "
        f"{result.all.n_deals:,} deals"
    )
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="as promised")
    _points(left, result.by_promise, [group.fresh for group in result.by_promise])
    left.set(xlabel="promised, worlds not used to choose", ylabel="made", title="by promise")
    bids = [int(group.name) for group in result.by_bid]
    _points(right, result.by_bid, bids)
    right.plot(bids, [g.fresh for g in result.by_bid], "s", label="promised", markersize=5)
    right.set(xlabel="bid", title="by bid", ylim=(0, 1), xticks=bids)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    charts.save_figure(figure, path)


def _points(axes: Any, groups: Sequence[Group], at: Sequence[float]) -> None:
    sides = [
        [group.made - group.made_ci95[0] for group in groups],
        [group.made_ci95[1] - group.made for group in groups],
    ]
    made = [group.made for group in groups]
    axes.errorbar(at, made, yerr=sides, fmt="o", capsize=3, label="made, 95 % interval")
