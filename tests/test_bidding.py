"""The round of bids against a plain model, and who has won a contract."""

import dataclasses
import random

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.support import played
from zebjax import bidding
from zebjax.bidding import PASS, Bidding
from zebjax.position import Bid

WORDS = ["pass", *map(str, range(30, 43)), *(f"{marks} marks" for marks in range(2, 8))]


def value(word):
    """The plain model's order of bids: points, and 42 points for each mark above the first."""
    return 42 * int(word[0]) if word.endswith("marks") else int(word)


def may_say(word, said):
    """The rules of a table, as a person would say them; `said` are the words before."""
    bids = [value(each) for each in said if each != "pass"]
    if word == "pass":
        return len(said) < 3 or bool(bids)
    limit = max(84, *(bid + 42 for bid in bids if bid >= 84), 84)
    return value(word) > max(bids, default=0) and value(word) <= limit


@hypothesis.given(st.integers(0, 3), st.lists(st.sampled_from(WORDS), min_size=12, max_size=40))
def test_a_round_allows_what_the_rules_say_and_the_highest_bid_wins(dealer, words):
    now, said = Bidding(dealer), []
    for word in words:
        if len(said) == 4:
            break
        assert now.turn == (dealer + 1 + len(said)) % 4
        legal = [each for each in WORDS if may_say(each, said)]
        assert [bidding.name(call) for call in now.allowed] == legal
        if word in legal:
            now, said = now.call(bidding.read(word)), [*said, word]
        else:
            with pytest.raises(ValueError, match=r"^bid: "):
                now.call(bidding.read(word))
    if len(said) == 4:
        best = max((word for word in said if word != "pass"), key=value)
        seat, points, marks = now.winner
        assert seat == (dealer + 1 + said.index(best)) % 4
        assert bidding.name((points, marks)) == best
        assert now.turn == -1 and now.allowed == ()
    else:
        assert now.winner is None


@hypothesis.given(st.sampled_from(WORDS))
def test_a_call_makes_the_round_trip_as_text(word):
    assert bidding.name(bidding.read(word)) == word


def test_what_is_refused_is_said_in_one_sentence():
    open_at_41 = Bidding(0, ((41, 1),))
    for now, call, said in (
        (open_at_41, (40, 1), "bid: expected pass or a bid from 42 to 2 marks, got 40"),
        (open_at_41, (42, 3), "bid: expected pass or a bid from 42 to 2 marks, got 3 marks"),
        (Bidding(2, (PASS,) * 3), PASS, "all others have passed, so the dealer must bid 30"),
        (Bidding(2, (PASS,) * 3 + ((30, 1),)), (31, 1), "bid: every seat has spoken"),
    ):
        with pytest.raises(ValueError, match=said):
            now.call(call)
    with pytest.raises(ValueError, match=r"dealer: expected 0\.\.3"):
        Bidding(4)
    for text in ("", "29", "8 marks", "trump", "0x1f"):
        with pytest.raises(ValueError, match="expected points from 30 to 42 or marks"):
            bidding.read(text)


@pytest.mark.parametrize("points", [30, 36, 42])
def test_a_contract_is_won_as_soon_as_no_play_can_change_it(points):
    for seed in range(8):
        game = played.random_game(random.Random(seed), 28)
        game = dataclasses.replace(game, bid=Bid(game.leader, points))
        team, took = game.leader % 2, [game.before(ply).points for ply in range(29)]
        for ply in range(29):
            ours, theirs = took[ply][team], took[ply][1 - team]
            expected = "made" if ours >= points else "set" if 42 - theirs < points else None
            assert bidding.result(game.before(ply)) == expected
        assert bidding.winner(game) == (team if took[-1][team] >= points else 1 - team)
    assert bidding.result(dataclasses.replace(game, bid=None)) is None
