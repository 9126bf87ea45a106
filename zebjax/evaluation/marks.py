"""Whole games of real 42: hands with an auction, until a team has enough marks.

The auction is the same for both players (`auctions.hold`), so a match compares their play. Each
game is played twice, hand by hand with the same deals, dealers, contracts and random keys: once
with A as team 0 and once with A as team 1.

A table may allow special contracts (see `special`). Nello is then played one by one, as in
`specials`; a player that does not know it hands it to E[Q].
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import contract, game, tiles
from zebjax.common import bids, checks, jax_settings
from zebjax.contract import Contract
from zebjax.evaluation import auctions, contracts, intervals, matches, specials, turns
from zebjax.evaluation.auctions import Agreed
from zebjax.evaluation.contracts import OnProgress
from zebjax.evaluation.ladder import Cache, Rules, remembered
from zebjax.players import Player, auction
from zebjax.players.special_bids import SpecialBidder
from zebjax.position import Bid, Position, four

MAX_GAMES_AT_ONCE = 50
_MAX_MARKS = 32
_GAMES = 1 << 20
"""Hand h of game g is deal h * `_GAMES` + g of the match, so that one program makes all."""
_NOTHING = Agreed(Bid(0, contract.MIN_BID), 0, 0, "")
"""Of a game that is over."""
Contracts = dict[str, np.ndarray]
"""By `Agreed.name`: int64 `[2, 2]`, the hands in which A has bid it and those that A has made; then
B's."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """The rules of a game, and of its bidders."""

    marks: int = contract.MAX_MARKS
    """Marks that win; a hand, made or set, is worth the marks of its contract."""
    theta: float = 0.5
    """The least P(make) to bid with, see `special_bids.SpecialBidder`."""
    worlds: int = 25
    """Worlds per declaration of a bidder."""
    by: str = auction.BY
    """What plays or solves the worlds, see `auction.policy_of`."""
    options: tuple[str, ...] = ()
    """What is allowed beside the plain game, of `bids.OPTIONS`."""

    def __post_init__(self) -> None:
        """Raise ValueError for a wrong field."""
        checks.check(self, "terms")
        checks.at_least(self, "terms", 1, "marks", "worlds")
        checks.at_most(self, "terms", _MAX_MARKS, "marks")
        if not 0 <= self.theta <= 1:
            raise ValueError(f"terms.theta: expected a number from 0 to 1, got {self.theta}")
        if wrong := [each for each in self.options if each not in bids.OPTIONS]:
            expected = ", ".join(bids.OPTIONS)
            raise ValueError(f"terms.options: expected some of {expected}, got {wrong[0]!r}")


@dataclasses.dataclass(frozen=True)
class Result:
    """A against B over paired games; every rate is A's.

    Intervals are normal approximations over pairs of games, as in `matches.MatchResult`.
    """

    a: str
    b: str
    value: str
    """What a game is won by."""
    terms: Terms
    n_deals: int
    """Pairs: each game is played twice."""
    win_rate: float
    win_rate_stderr: float
    win_rate_ci95: tuple[float, float]
    margin: float
    """A's marks less B's at the end, mean over games."""
    margin_ci95: tuple[float, float]
    a_wins_both: int
    """Pairs that A wins from both sides."""
    b_wins_both: int
    mcnemar_p: float
    """P-value of McNemar's exact test on these pairs, see `intervals.mcnemar`."""
    contracts: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    """With special contracts: by `Agreed.name`, the hands that each player has bid and made:
    `a_bids`, `a_makes`, `b_bids`, `b_makes`."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


@jax.jit
def _begin(hands: jax.Array, contracts: Contract) -> game.GameState:
    return jax.vmap(contract.new_game)(hands, contracts)


class Games(NamedTuple):
    """Games of a match, each played twice."""

    margins: np.ndarray
    """int32 `[n_games, 2]`: A's marks minus B's, with A as team 0 and with A as team 1."""
    contracts: Contracts
    """Of the hands that were played."""


def play_games(
    a: Player,
    b: Player,
    key: jax.Array,
    first: int,
    n_games: int,
    terms: Terms,
    progress: OnProgress | None = None,
) -> Games:
    """Play games of a match, each twice.

    Args:
        a: the player whose margins are returned.
        b: its opponent.
        key: the match's random key.
        first: number of the first game.
        n_games: number of games.
        terms: marks, and the rule of the bidders.
        progress: called after each hand with the share that is surely done.

    Raises:
        ValueError: if a player chooses a slot that is not legal.
    """
    team_of_a = np.repeat([0, 1], n_games)
    marks = np.zeros((2 * n_games, 2), np.int32)
    seed = np.asarray(jax.random.key_data(key)).tolist()
    bidder = SpecialBidder(terms.theta, terms.worlds, terms.by)
    dealers = np.zeros(n_games, np.int64)
    found: Contracts = {}
    number = 0
    while (is_open := marks.max(1) < terms.marks).any():
        states, play_keys = matches.deal_twice(key, number * _GAMES + first, n_games)
        hands = np.asarray(states.hands)[:n_games]
        if number == 0:
            dealers = np.asarray(states.leader)[:n_games].astype(np.int64)
        agreed = [
            # The worlds of an auction follow from the numbers of game and hand alone.
            auctions.hold(
                hands[row],
                (dealers[row] + number) % tiles.N_PLAYERS,
                bidder,
                terms.options,
                [*seed, first + row, number],
            )
            if is_open[row] or is_open[n_games + row]
            else _NOTHING
            for row in range(n_games)
        ] * 2
        made = _play_plain((a, b), (states.hands, play_keys), agreed, is_open, team_of_a)
        for row in np.flatnonzero(is_open):
            one = agreed[row]
            if not one.is_plain:
                start = Position(
                    four(tuple(map(int, hand)) for hand in hands[row % n_games]),
                    one.declaration,
                    one.leader,
                    bid=one.bid,
                )
                a_has_bid = one.leader % 2 == team_of_a[row]
                sides = (a, b) if a_has_bid else (b, a)
                seed_of_hand = [*seed, first + int(row) % n_games, number]
                made[row] = specials.is_made(start, sides, seed_of_hand)
            team = one.leader % 2 if made[row] else 1 - one.leader % 2
            # More marks than the game needs are worth nothing.
            marks[row, team] = min(terms.marks, marks[row, team] + one.bid.marks)
            side = int(one.leader % 2 != team_of_a[row])
            found.setdefault(one.name, np.zeros((2, 2), np.int64))[side] += 1, made[row]
        number += 1
        if progress is not None:
            progress(float(marks.max(1).mean() / terms.marks))
    rows = np.arange(2 * n_games)
    margins = marks[rows, team_of_a] - marks[rows, 1 - team_of_a]
    return Games(margins.reshape(2, n_games).T, found)


def _play_plain(
    players: tuple[Player, Player],
    deals: tuple[jax.Array, jax.Array],
    agreed: list[Agreed],
    is_open: np.ndarray,
    team_of_a: np.ndarray,
) -> np.ndarray:
    """Play the hands that `game` knows.

    Args:
        players: A and B.
        deals: hands `[n, 4, 7]` and play keys `[n]`.
        agreed: n contracts.
        is_open: bool `[n]`; no player is asked in the other hands.
        team_of_a: 0 or 1, `[n]`.

    Returns:
        bool `[n]`: True where the bidder's team has made its contract.
    """
    made = [
        contract.of(each.leader, each.declaration, each.bid.points, each.bid.marks)
        if each.is_plain
        else contract.of(0, 0)
        for each in agreed
    ]
    agreed_contracts = Contract(*(np.stack(field) for field in zip(*made, strict=True)))
    is_played = is_open & np.array([each.is_plain for each in agreed])
    # Team -1 is nobody's.
    seats, forfeiter = np.where(is_played, team_of_a, -1), np.full(len(team_of_a), -1)
    choose = turns.seated(*players, seats, agreed_contracts, forfeiter)
    hands, play_keys = deals
    final = turns.play_out(_begin(hands, agreed_contracts), play_keys, choose)
    return contract.made(agreed_contracts, turns.final_points(final, forfeiter))


def play(
    a: Player,
    b: Player,
    n_deals: int,
    terms: Terms,
    rules: Rules,
    cache: Cache,
    progress: OnProgress | None = None,
) -> tuple[Result, float, bool]:
    """Play a match of whole games, or read it from the cache.

    Arguments, result and errors are those of `contracts.play`; `n_deals` is the number of pairs of
    games.
    """
    contracts.check_deals(n_deals)
    if n_deals > _GAMES:
        raise ValueError(f"deals: expected at most {_GAMES:,} games, got {n_deals:,}")
    n_batches = math.ceil(n_deals / min(rules.batch, MAX_GAMES_AT_ONCE))
    size = math.ceil(n_deals / n_batches)

    a, b = (specials.playing(each) if terms.options else each for each in (a, b))
    found: Contracts = {}

    def play_pairs() -> np.ndarray:
        parts = []
        with jax_settings.pinned():
            key = jax_settings.key(rules.seed)
            for index in range(n_batches):

                def on_hand(done: float, index: int = index) -> None:
                    if progress is not None:
                        progress((index + done) / n_batches)

                n_games = min(size, n_deals - index * size)
                some = play_games(a, b, key, index * size, n_games, terms, on_hand)
                parts.append(some.margins)
                for name, counts in some.contracts.items():
                    found[name] = found.get(name, 0) + counts
        return np.concatenate(parts)

    if terms.options:  # the cache holds no contracts
        cache = Cache(None)
    # A list, as JSON gives it back.
    described = {"marks": dataclasses.asdict(terms) | {"options": list(terms.options)}}
    margins, seconds, cached = remembered(a, b, n_deals, rules, cache, play_pairs, described)
    result = summarise(a.spec, b.spec, margins, terms)
    return dataclasses.replace(result, contracts=_counts(found, terms)), seconds, cached


def _counts(found: Contracts, terms: Terms) -> dict[str, dict[str, int]]:
    """The hands bid and made, as `Result.contracts`; contracts that nobody bid included."""
    if not terms.options:
        return {}
    names = ("a_bids", "a_makes", "b_bids", "b_makes")
    return {
        name: dict(zip(names, found.get(name, np.zeros((2, 2), int)).ravel().tolist(), strict=True))
        for name in (auctions.USUAL, *terms.options)
    }


def summarise(a: str, b: str, margins: np.ndarray, terms: Terms) -> Result:
    """Summarise a match; `margins` are as from `play_games`, of players named `a` and `b`."""
    won = margins > 0
    rate, stderr, _ = matches.mean_and_stderr(won.mean(1))
    margin, margin_stderr, _ = matches.mean_and_stderr(margins.mean(1))
    both, neither = int(won.all(1).sum()), int((~won).all(1).sum())
    return Result(
        a=a,
        b=b,
        value=f"games to {terms.marks} marks",
        terms=terms,
        n_deals=len(margins),
        win_rate=rate,
        win_rate_stderr=stderr,
        win_rate_ci95=contracts.within(rate, stderr),
        margin=margin,
        margin_ci95=(
            margin - intervals.Z95 * margin_stderr,
            margin + intervals.Z95 * margin_stderr,
        ),
        a_wins_both=both,
        b_wins_both=neither,
        mcnemar_p=intervals.mcnemar(both, neither),
    )
