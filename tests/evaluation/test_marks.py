"""Whole games to marks: the auction, the score, mirrored games, and the command."""

import dataclasses
import functools
import random

import numpy as np
import pytest

from tests.evaluation.test_contracts import lowest
from zebjax import arena, bidding, players, special
from zebjax.common import bids, jax_settings
from zebjax.evaluation import auctions, marks, specials
from zebjax.evaluation.marks import Terms
from zebjax.players import special as exact
from zebjax.players.auction import Bidder
from zebjax.players.special_bids import SpecialBidder
from zebjax.position import Position

KEY = functools.cache(lambda: jax_settings.key(3))
SIXES = list(range(21, 28))


class AnyBidder(Bidder):
    """Says anything that a table allows, by the seed."""

    def call(self, seen, seed):
        rng = random.Random(seed)
        last = seen.allowed[-2:] if seen.allowed[-1] != bidding.PASS else seen.allowed
        return rng.choice(rng.choice((seen.allowed[:3], last)))

    def declare(self, seen, seed):
        return random.Random(seed).choice(seen.bidding.declarations)


def dealt(seed):
    return np.random.default_rng(seed).permutation(28).reshape(4, 7)


def test_an_auction_ends_in_a_contract_that_its_table_allows():
    """Whatever the seats say: the rules accept the game, and options that are off are not bid."""
    names = set()
    for seed in range(600):
        hands, dealer = dealt(seed), seed % 4
        options = bids.OPTIONS if seed % 2 else bids.OPTIONS[seed % 5 : seed % 5 + 1]
        made = auctions.hold(hands, dealer, AnyBidder(), options, [seed])
        assert made == auctions.hold(hands, dealer, AnyBidder(), options, [seed])
        names.add(made.name)
        assert made.name in (auctions.USUAL, *options)
        is_for_partner = made.kind in special.DOUBLES_NEEDED
        assert made.leader == (made.bid.seat + 2 * is_for_partner) % 4
        assert special.n_doubles(hands[made.bid.seat]) >= special.DOUBLES_NEEDED.get(made.kind, 0)
        assert made.is_plain == (made.declaration < 10)
        if not made.is_plain:
            assert made.bid.points == 42 and not is_for_partner
        # The one who declares leads: raises an error unless it is a game.
        held = tuple(tuple(map(int, hand)) for hand in hands)
        bid = made.bid._replace(seat=made.leader)
        Position(held, made.declaration, made.leader, bid=bid)
    assert names == {auctions.USUAL, *bids.OPTIONS}


def test_the_hand_that_cannot_lose_declares_its_suit():
    rest = np.setdiff1d(np.arange(28), SIXES)
    hands = np.array([rest[:7], rest[7:14], rest[14:], SIXES])
    made = auctions.hold(hands, 1, SpecialBidder(1.0, 20), (), [0])
    assert (made.bid.seat, made.leader, made.declaration, made.name) == (3, 3, 6, auctions.USUAL)
    # Nobody raises its partner: but each of seats 2, 3, 0 and 1 raises the other team.
    eager = auctions.hold(hands, 1, SpecialBidder(0.0, 1), (), [0])
    assert eager.bid == (1, 33, 1)


def test_games_end_at_the_marks_and_swap_with_the_players():
    a, b, terms = lowest()[0], players.make("random"), Terms(marks=2, worlds=1)
    margins = marks.play_games(a, b, KEY(), 0, 6, terms).margins
    assert margins.shape == (6, 2) and set(np.abs(margins).ravel().tolist()) <= {1, 2}
    swapped = marks.play_games(b, a, KEY(), 0, 6, terms).margins
    np.testing.assert_array_equal(swapped, -margins[:, ::-1])


def test_special_contracts_are_bid_played_and_counted_in_whole_games():
    """With theta 0 a seat bids what promises most marks."""
    terms = Terms(marks=1, theta=0.0, worlds=1, options=bids.OPTIONS)
    a, b = players.make("random"), dataclasses.replace(lowest()[0], choose_special=first_tile)
    games = marks.play_games(a, b, KEY(), 42, 6, terms)
    assert (np.abs(games.margins) == 1).all()
    by_a, by_b = games.contracts["nello"][:, 0].tolist()
    assert by_a == by_b > 0  # how many depends on the bundled small network
    counts = sum(games.contracts.values())
    # Every game is one hand, in which A or B has bid.
    assert counts[:, 0].sum() == 12 and counts[0, 0] == counts[1, 0]
    a_wins = counts[0, 1] + counts[1, 0] - counts[1, 1]
    assert a_wins == (games.margins > 0).sum()
    swapped = marks.play_games(b, a, KEY(), 42, 6, terms)
    np.testing.assert_array_equal(swapped.margins, -games.margins[:, ::-1])
    for name, both in games.contracts.items():
        np.testing.assert_array_equal(swapped.contracts[name], both[::-1])


def first_tile(seen, seed):
    return seen.legal[0]


def test_who_does_not_know_nello_hands_it_to_exact_play():
    player = players.make("heuristic")
    assert player.choose_special is None
    able = specials.playing(player)
    assert able.choose_special is exact.choose and able.choose is player.choose
    knows = players.make("random")
    assert specials.playing(knows) is knows


def test_a_result_counts_pairs():
    margins = np.array([[7, 3], [5, -2], [-1, -7], [1, -1], [2, 2]])
    result = marks.summarise("a", "b", margins, Terms())
    assert result.win_rate == pytest.approx(0.6) and result.margin == pytest.approx(0.9)
    assert (result.a_wins_both, result.b_wins_both) == (2, 1) and result.mcnemar_p == 1
    assert result.value == "games to 7 marks"


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"marks": 0}, "terms.marks: expected at least 1, got 0"),
        ({"marks": 33}, "terms.marks: expected at most 32, got 33"),
        ({"worlds": 0}, "terms.worlds: expected at least 1, got 0"),
        (
            {"options": ("low",)},
            "expected some of doubles-suit, nello, .* got 'low'",
        ),
        ({"theta": 1.5}, "terms.theta: expected a number from 0 to 1, got 1.5"),
    ],
)
def test_bad_terms_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        Terms(**terms)


@pytest.mark.slow  # whole games again; the test above plays them
def test_the_command_says_who_won_games(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["random", "vs", "random", "--marks", "1", "--deals", "6", "--theta", "0.9"]
    assert arena.main(words) == 0
    shown = capsys.readouterr().out
    for text in (
        "random vs random, games to 1 marks",
        "50.0 %",
        "P(make) >= 0.9",
        "s a game",
    ):
        assert text in shown
    assert arena.main([*words, "--json"]) == 0
    assert '"cached": true' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        arena.main([*words, "--contract", "30"])
    assert "--contract: not allowed with --marks" in capsys.readouterr().err
