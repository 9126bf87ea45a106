"""Matches in which every hand has a contract: the first leader bids, and must make its bid.

Each deal is played twice with the same bidder, bid, declaration and random keys: once A's team is
the bidder's and once B's. The value is make/set and never the points won, and results say so.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np

from zebjax import contract, game, tiles
from zebjax.common import checks, jax_settings
from zebjax.contract import Contract
from zebjax.evaluation import intervals, matches, specials, turns
from zebjax.evaluation.intervals import Z95
from zebjax.evaluation.ladder import Cache, Rules, remembered
from zebjax.players import Player, auction

MAX_BATCH = 100
"""Maximum deals played together: their declarations are found first, without a sign of progress."""
OnProgress = Callable[[float], None]
"""Called after every ply with the share of the match that is done, 0 to 1."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """The contract of every deal of a match, and how the bidder chooses the declaration."""

    bid: int = contract.MIN_BID
    """Points, 30 to 42."""
    marks: int = 1
    """Marks that a hand is worth, see `contract.Contract`."""
    declare: Literal["make", "pips"] = "make"
    """"make": the declaration with the highest P(make), see `auction.declare`. "pips": by
    `contract.declare_by_pips`."""
    worlds: int = 50
    """Worlds per declaration for "make"."""
    by: str = auction.BY
    """What plays or solves the worlds, see `auction.policy_of`."""
    special: str = ""
    """`nello` or `nello-doubles`: every hand is that, see `specials`; empty: with a declaration."""

    def __post_init__(self) -> None:
        """Raise ValueError for a wrong field."""
        checks.check(self, "")
        contract.of(0, 0, self.bid, self.marks)
        checks.at_least(self, "terms", 1, "worlds")
        if self.special:
            specials.declaration_of(self.special)
            if self.bid != tiles.TOTAL_POINTS or self.declare != "make":
                raise ValueError(f"terms: {self.special} has a bid of 42 and no declaration")


@dataclasses.dataclass(frozen=True)
class Result:
    """A against B over paired deals with a contract; every rate is A's unless it says otherwise.

    Intervals are normal approximations over deals, as in `matches.MatchResult`.
    """

    a: str
    b: str
    value: str
    """`contract.VALUE`."""
    terms: Terms
    n_deals: int
    """Each played twice: A's team bids once, and B's team once."""
    win_rate: float
    """Mean over games of 1 if A makes its contract or sets B's, else 0."""
    win_rate_stderr: float
    win_rate_ci95: tuple[float, float]
    """Cut off at 0 and 1."""
    makes: float
    """Share of its contracts that A makes."""
    makes_ci95: tuple[float, float]
    other_makes: float
    """Share of its contracts that B makes, in the same deals."""
    other_makes_ci95: tuple[float, float]
    only_a_makes: int
    """Deals that A makes and B does not, as bidders against each other."""
    only_b_makes: int
    mcnemar_p: float
    """P-value of McNemar's exact test on these deals, see `intervals.mcnemar`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


def deals(
    key: jax.Array, first: int, n_deals: int, terms: Terms
) -> tuple[game.GameState, jax.Array, Contract]:
    """Make deals of a match with contracts, each twice: one copy after the other.

    Hands and leaders are those of `matches.deals`. The declaration depends on the leader's hand
    alone.

    Args:
        key: the match's random key.
        first: number of the first deal.
        n_deals: number of deals.
        terms: bid, and how to declare.

    Returns:
        New games and play keys, leading axis 2 * n_deals, and their contracts.
    """
    states, play_keys = matches.deal_twice(key, first, n_deals)
    leaders = np.asarray(states.leader)[:n_deals]
    hands = np.asarray(states.hands)[np.arange(n_deals), leaders]
    if terms.declare == "pips":
        chosen = np.array([contract.declare_by_pips(hand) for hand in hands], np.int8)
    else:
        seed = np.asarray(jax.random.key_data(key)).tolist()
        # A deal's worlds follow from its number, so they do not depend on the batch.
        chosen = np.array(
            [
                auction.declare(
                    hand[None],
                    np.array([terms.bid]),
                    terms.worlds,
                    _rng(seed, first + index),
                    auction.policy_of(terms.by),
                )[0][0]
                for index, hand in enumerate(hands)
            ],
            np.int8,
        )
    contracts = Contract(
        np.tile(leaders, 2),
        np.tile(chosen, 2),
        np.full(2 * n_deals, terms.bid, np.int8),
        np.full(2 * n_deals, terms.marks, np.int8),
    )
    return states._replace(declaration=contracts.declaration), play_keys, contracts


def _rng(seed: list[int], deal: int) -> np.random.Generator:
    return np.random.default_rng([*seed, deal])


def play_deals(
    a: Player,
    b: Player,
    key: jax.Array,
    first: int,
    n_deals: int,
    terms: Terms,
    on_ply: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Play deals of a match with contracts, each twice.

    Returns:
        int32 `[n_deals, 2]`: A's points minus B's, where A's team bids and where B's team bids. A
        forfeited game counts as 0 points to 42, and so its contract as lost.

    Raises:
        ValueError: if a player chooses a slot that is not legal.
    """
    states, play_keys, contracts = deals(key, first, n_deals, terms)
    team_of_a = np.repeat([0, 1], n_deals)
    forfeiter = np.full(len(team_of_a), -1)
    choose = turns.seated(a, b, team_of_a, contracts, forfeiter)
    points = turns.final_points(turns.play_out(states, play_keys, choose, on_ply), forfeiter)
    rows = np.arange(2 * n_deals)
    margins = points[rows, team_of_a] - points[rows, 1 - team_of_a]
    # The bidder's team is the same in both games of a deal, so A bids in one of them.
    a_bids = (team_of_a == contracts.bidder % 2).reshape(2, n_deals).T
    return np.take_along_axis(margins.reshape(2, n_deals).T, np.argsort(~a_bids, axis=1), 1)


def check_deals(n_deals: int) -> None:
    """Raise ValueError for fewer than 2 deals."""
    if n_deals < 2:
        raise ValueError(
            f"deals: expected 2 or more, since an interval needs a spread, got {n_deals}"
        )


def play(
    a: Player,
    b: Player,
    n_deals: int,
    terms: Terms,
    rules: Rules,
    cache: Cache,
    progress: OnProgress | None = None,
) -> tuple[Result, float, bool]:
    """Play a match with contracts, or read it from the cache.

    Args:
        a: the player whose rates are returned.
        b: its opponent.
        n_deals: 2 or more; each is played twice.
        terms: the contract.
        rules: seed and batch; `until` must be None.
        cache: finished pairs.
        progress: see `OnProgress`.

    Returns:
        The result, the seconds that it took to play, and True if it comes from the cache.

    Raises:
        ValueError: if n_deals is below 2, or a player chooses an illegal slot.
    """
    check_deals(n_deals)
    if terms.special:
        specials.check_players(a, b)
    n_batches = math.ceil(n_deals / min(rules.batch, MAX_BATCH))
    size = math.ceil(n_deals / n_batches)

    def play_pairs() -> np.ndarray:
        parts = []
        with jax_settings.pinned():
            key = jax_settings.key(rules.seed)
            for index in range(n_batches):

                def show(share: float, index: int = index) -> None:
                    if progress is not None:
                        progress((index + share) / n_batches)

                parts.append(_batch((a, b), key, index * size, size, terms, show))
        return np.concatenate(parts)[:n_deals]

    described = {"contract": dataclasses.asdict(terms) | {"value": contract.VALUE}}
    if not terms.special:  # so that pairs are found which were cached before it existed
        del described["contract"]["special"]
    margins, seconds, cached = remembered(a, b, n_deals, rules, cache, play_pairs, described)
    return summarise(a.spec, b.spec, margins, terms), seconds, cached


def _batch(
    players: tuple[Player, Player],
    key: jax.Array,
    first: int,
    n_deals: int,
    terms: Terms,
    show: OnProgress,
) -> np.ndarray:
    """Play deals as `play_deals` or `specials.play_deals` does; `show` gets the share done."""
    if not terms.special:
        return play_deals(
            *players, key, first, n_deals, terms, lambda ply: show(ply / game.N_PLIES)
        )
    nello = specials.Nello(specials.declaration_of(terms.special), terms.marks, terms.worlds)
    return specials.play_deals(
        players, key, first, n_deals, nello, lambda done: show(done / n_deals)
    )


def makes(margins: np.ndarray, bid: int) -> np.ndarray:
    """Return who makes the bid: bool `[n_deals, 2]`, A and B, from margins as of `play_deals`."""
    points = (tiles.TOTAL_POINTS + margins * np.array([1, -1])) // 2
    return np.asarray(points >= bid)


def summarise(a: str, b: str, margins: np.ndarray, terms: Terms) -> Result:
    """Summarise a match.

    Args:
        a: name of the player whose margins these are.
        b: name of its opponent.
        margins: `[n_deals, 2]`, as from `play_deals`.
        terms: the contract.
    """
    made = makes(margins, terms.bid)
    pairs = (made[:, 0] + 1.0 - made[:, 1]) / 2
    rate, stderr, _ = matches.mean_and_stderr(pairs)
    only_a, only_b = int((made[:, 0] & ~made[:, 1]).sum()), int((made[:, 1] & ~made[:, 0]).sum())
    (ours, ours_stderr, _), (theirs, theirs_stderr, _) = (
        matches.mean_and_stderr(column.astype(float)) for column in made.T
    )
    return Result(
        a=a,
        b=b,
        value=contract.VALUE,
        terms=terms,
        n_deals=len(margins),
        win_rate=rate,
        win_rate_stderr=stderr,
        win_rate_ci95=within(rate, stderr),
        makes=ours,
        makes_ci95=within(ours, ours_stderr),
        other_makes=theirs,
        other_makes_ci95=within(theirs, theirs_stderr),
        only_a_makes=only_a,
        only_b_makes=only_b,
        mcnemar_p=intervals.mcnemar(only_a, only_b),
    )


def within(rate: float, stderr: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate, cut off at 0 and 1."""
    return max(0.0, rate - Z95 * stderr), min(1.0, rate + Z95 * stderr)
