"""Whole games to marks: the auction, the score, mirrored games, and the command."""

import functools

import numpy as np
import pytest

from tests.evaluation.test_contracts import lowest
from zebjax import arena, contract, players
from zebjax.common import jax_settings
from zebjax.evaluation import marks
from zebjax.evaluation.marks import Terms
from zebjax.players import auction

KEY = functools.cache(lambda: jax_settings.key(3))
SIXES = list(range(21, 28))


def test_one_round_of_bids(monkeypatch):
    """The rule alone: P(make) is that of the hand's first tile, less a tenth a bid."""

    def declare(hands, bids, n, rng, policy):
        return hands[:, 0].astype(np.int8), hands[:, 0] / 10 - (np.asarray(bids) - 30) / 10

    monkeypatch.setattr(auction, "declare", declare)

    def held(strengths, dealer, theta):
        hands = np.zeros((1, 4, 7), int)
        hands[0, :, 0] = strengths
        made = auction.bid_round(
            hands, np.array([dealer]), theta, 3, np.random.default_rng(0), None
        )
        contract.check(made)
        return tuple(int(field[0]) for field in made)

    # Seats 3, 0, 1, 2 bid in turn: 0 opens, 1 cannot raise, and the dealer raises.
    assert held([7, 6, 8, 5], dealer=2, theta=0.6) == (2, 8, 31, 1)
    assert held([7, 6, 6, 5], dealer=2, theta=0.6) == (0, 7, 30, 1)
    assert held([8, 9, 9, 7], dealer=2, theta=0.6) == (2, 9, 33, 1)
    # All pass: the dealer must bid, and what it declares is its own best.
    assert held([5, 4, 3, 5], dealer=2, theta=0.6) == (2, 3, 30, 1)
    assert held([0, 0, 0, 0], dealer=0, theta=0.6) == (0, 0, 30, 1)


def test_auctions_with_the_solver():
    rest = np.setdiff1d(np.arange(28), SIXES)
    hand = np.array([rest[:7], rest[7:14], rest[14:], SIXES])
    made = auction.bid_round(hand[None], np.array([2]), 1.0, 1, np.random.default_rng(0), None)
    contract.check(made)
    if made.bid[0] == 30:  # nobody raised the hand that cannot lose
        assert (made.bidder[0], made.declaration[0]) == (3, 6)
    easy = auction.bid_round(hand[None], np.array([1]), 0.0, 1, np.random.default_rng(0), None)
    assert (easy.bidder[0], easy.bid[0], easy.marks[0]) == (1, 33, 1)


def test_games_end_at_the_marks_and_swap_with_the_players():
    a, b, terms = lowest()[0], players.make("random"), Terms(marks=2, worlds=1)
    margins = marks.play_games(a, b, KEY(), 0, 6, terms)
    assert margins.shape == (6, 2) and set(np.abs(margins).ravel().tolist()) <= {1, 2}
    np.testing.assert_array_equal(marks.play_games(b, a, KEY(), 0, 6, terms), -margins[:, ::-1])


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
