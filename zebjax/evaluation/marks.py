"""Whole games of real 42: hands with an auction, until a team has enough marks.

The auction is the same for both players (`auction.bid_round`), so a match compares their play. Each
game is played twice, hand by hand with the same deals, dealers, contracts and random keys: once
with A as team 0 and once with A as team 1.
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from zebjax import contract, game
from zebjax.common import checks, jax_settings
from zebjax.contract import Contract
from zebjax.evaluation import contracts, intervals, matches, turns
from zebjax.evaluation.contracts import OnProgress
from zebjax.evaluation.ladder import Cache, Rules, remembered
from zebjax.players import Player, auction

MAX_GAMES_AT_ONCE = 50
_MAX_MARKS = 32
_GAMES = 1 << 20
"""Hand h of game g is deal h * `_GAMES` + g of the match, so that one program makes all."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """The rules of a game, and of its bidders."""

    marks: int = contract.MAX_MARKS
    """Marks that win; a hand that is made or set is worth one."""
    theta: float = 0.5
    """The least P(make) to bid with, see `auction.bid_round`."""
    worlds: int = 25
    """Worlds per declaration of a bidder."""
    by: str = auction.BY
    """What plays or solves the worlds, see `auction.policy_of`."""

    def __post_init__(self) -> None:
        """Raise ValueError for a wrong field."""
        checks.check(self, "terms")
        checks.at_least(self, "terms", 1, "marks", "worlds")
        checks.at_most(self, "terms", _MAX_MARKS, "marks")
        if not 0 <= self.theta <= 1:
            raise ValueError(f"terms.theta: expected a number from 0 to 1, got {self.theta}")


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

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


@jax.jit
def _begin(hands: jax.Array, contracts: Contract) -> game.GameState:
    return jax.vmap(contract.new_game)(hands, contracts)


def play_games(
    a: Player,
    b: Player,
    key: jax.Array,
    first: int,
    n_games: int,
    terms: Terms,
    progress: OnProgress | None = None,
) -> np.ndarray:
    """Play games of a match, each twice.

    Args:
        a: the player whose margins are returned.
        b: its opponent.
        key: the match's random key.
        first: number of the first game.
        n_games: number of games.
        terms: marks, and the rule of the bidders.
        progress: called after each hand with the share that is surely done.

    Returns:
        int32 `[n_games, 2]`: A's marks minus B's, with A as team 0 and with A as team 1.

    Raises:
        ValueError: if a player chooses a slot that is not legal.
    """
    team_of_a = np.repeat([0, 1], n_games)
    marks = np.zeros((2 * n_games, 2), np.int32)
    seed = np.asarray(jax.random.key_data(key)).tolist()
    dealers = np.zeros(n_games, np.int64)
    number = 0
    while (is_open := marks.max(1) < terms.marks).any():
        states, play_keys = matches.deal_twice(key, number * _GAMES + first, n_games)
        hands = np.asarray(states.hands)[:n_games]
        if number == 0:
            dealers = np.asarray(states.leader)[:n_games].astype(np.int64)
        made = [
            # One auction at a time: its worlds follow from the numbers of game and hand alone.
            auction.bid_round(
                hands[[row]],
                (dealers[[row]] + number) % 4,
                terms.theta,
                terms.worlds,
                np.random.default_rng([*seed, first + row, number]),
                auction.policy_of(terms.by),
            )
            if is_open[row] or is_open[n_games + row]
            else Contract(*(np.array([value], np.int8) for value in contract.of(0, 0)))
            for row in range(n_games)
        ]
        agreed = Contract(*(np.tile(np.concatenate(field), 2) for field in zip(*made, strict=True)))
        states = _begin(states.hands, agreed)
        # In a finished game no player is asked: team -1 is nobody's.
        seats = np.where(is_open, team_of_a, -1)
        forfeiter = np.full(len(seats), -1)
        choose = turns.seated(a, b, seats, agreed, forfeiter)
        final = turns.play_out(states, play_keys, choose)
        won = contract.made(agreed, turns.final_points(final, forfeiter))
        winners = np.where(won, agreed.bidder % 2, 1 - agreed.bidder % 2)
        marks[is_open, winners[is_open]] += 1
        number += 1
        if progress is not None:
            progress(float(marks.max(1).mean() / terms.marks))
    rows = np.arange(2 * n_games)
    margins = marks[rows, team_of_a] - marks[rows, 1 - team_of_a]
    return margins.reshape(2, n_games).T


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

    def play_pairs() -> np.ndarray:
        parts = []
        with jax_settings.pinned():
            key = jax_settings.key(rules.seed)
            for index in range(n_batches):

                def on_hand(done: float, index: int = index) -> None:
                    if progress is not None:
                        progress((index + done) / n_batches)

                parts.append(play_games(a, b, key, index * size, size, terms, on_hand))
        return np.concatenate(parts)[:n_deals]

    described = {"marks": dataclasses.asdict(terms)}
    margins, seconds, cached = remembered(a, b, n_deals, rules, cache, play_pairs, described)
    return summarise(a.spec, b.spec, margins, terms), seconds, cached


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
