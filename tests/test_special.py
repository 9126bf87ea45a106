"""Nello, sevens, plunge and splash against rules that a person would say, and cases by hand."""

import dataclasses
import random

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.support import special_games
from tests.support.special_games import ids
from zebjax import bidding, dominoes, notation, position_arrays, position_json, special, tiles
from zebjax.bidding import PASS, Bidding, Seen
from zebjax.common import bids
from zebjax.position import Bid, Impossible, Position, four
from zebjax.tricks import not_held

REST = ("1-1 2-1 2-2 3-1 3-2 3-3 4-1", "4-2 4-3 4-4 5-1 5-2 5-3 5-4", "5-5 6-1 6-2 6-3 6-4 6-5 6-6")
FEW = hypothesis.settings(max_examples=25)
LOW = "0-0 1-0 2-0 3-0 4-0 5-0 6-0"


def of(declaration, *hands, plays="", marks=1):
    """A game that seat 0 has bid."""
    return Position(four(map(ids, hands)), declaration, 0, ids(plays), Bid(0, 42, marks))


@hypothesis.given(special_games.games())
@FEW
def test_every_playout_is_legal_and_has_distinct_tiles_and_the_silent_partner_plays_none(game):
    silent = (game.bid.seat + 2) % 4
    assert len(set(game.plays)) == len(game.plays)
    if game.declaration != special.SEVENS:
        assert not set(game.plays) & set(game.hands[silent]) and silent not in game.movers
    for ply, tile in enumerate(game.plays):
        before = game.before(ply)
        hand = [each for each in game.hands[before.mover] if each not in before.plays]
        expected = special_games.may_play(game.declaration, before.trick, hand)
        assert tile in before.legal and list(before.legal) == expected
        for wrong in set(range(28)) - set(before.legal):
            with pytest.raises(Impossible):
                before.play(wrong)
            break
    if not game.is_over:
        assert game.mover >= 0 and game.legal


@hypothesis.given(special_games.games())
@FEW
def test_the_winner_of_a_trick_is_the_first_of_the_strongest_tiles(game):
    for trick in game.tricks:
        suit = special_games.suit_led(game.declaration, trick.tiles[0])
        values = [special_games.strength(game.declaration, suit, tile) for tile in trick.tiles]
        place = values.index(max(values))
        assert trick.winner == trick.seats[place] and trick.winning_tile == trick.tiles[place]


@hypothesis.given(special_games.games())
@FEW
def test_a_contract_is_decided_by_the_first_wrong_trick_or_the_last(game):
    ours = game.bid.seat % 2
    taken = [trick.winner for trick in game.tricks if trick.is_done]
    if game.declaration == special.SEVENS:
        is_set = any(seat % 2 != ours for seat in taken)
    else:
        is_set = game.bid.seat in taken
    expected = 1 - ours if is_set else ours if game.is_over else None
    assert bidding.winner(game) == expected
    assert bidding.result(game) == {None: None, ours: "made", 1 - ours: "set"}[expected]


@hypothesis.given(special_games.games())
@FEW
def test_a_game_makes_the_round_trip_as_text_and_json_and_is_refused_as_a_state(game):
    assert notation.read(notation.write(game)) == game
    assert position_json.read(position_json.write(game)) == game
    dominoes.position(game)
    seat = game.leader if game.is_over else game.mover
    seen = game.seen_by(seat)
    assert notation.read(notation.write(seen)) == seen and seen.legal == game.legal
    for refused in (position_arrays.to_state, lambda each: position_arrays.to_record([each])):
        with pytest.raises(ValueError, match=r"^declaration: (nello|sevens)"):
            refused(game)


def test_in_nello_a_double_is_the_highest_of_its_suit_or_of_a_suit_of_its_own():
    hands = (LOW, *REST)
    plain = of(special.NELLO, *hands, plays="4-0")
    assert plain.mover == 1 and plain.legal == ids("4-1")
    after = of(special.NELLO, *hands, plays="4-0 4-1 6-4")
    assert after.tricks[0].winner == 3 and after.mover == 3 and after.points == (0, 16)
    doubles = of(special.NELLO_DOUBLES, *hands, plays="0-0")
    assert doubles.legal == ids("1-1 2-2 3-3")
    # The same tiles, doubles high or a suit of their own: 5-5 wins fives or does not follow.
    held = ("5-4 1-0 2-0 3-0 4-0 5-0 6-0", "5-5 1-1 2-1 2-2 3-1 3-2 3-3", REST[1], REST[2])
    held = (held[0], held[1], "6-5 4-2 4-3 4-4 5-1 5-2 5-3", "0-0 6-1 6-2 6-3 6-4 4-1 6-6")
    assert of(special.NELLO, *held, plays="5-4").legal == ids("5-5")
    assert len(of(special.NELLO_DOUBLES, *held, plays="5-4").legal) == 7
    taken = of(special.NELLO_DOUBLES, *held, plays="5-4 5-5 6-6").tricks[0]
    assert taken.winner == 0
    assert bidding.result(of(special.NELLO_DOUBLES, *held, plays="5-4 5-5 6-6")) == "set"


def test_in_sevens_the_nearest_tile_must_be_played_and_the_first_of_equals_wins():
    hands = (
        "5-2 6-6 0-0 1-0 1-1 2-0 2-1",
        "6-1 3-3 4-2 4-1 3-2 5-0 5-1",
        "4-3 6-0 3-1 4-0 2-2 3-0 4-4",
    )
    rest = set(range(28)) - set(ids(" ".join(hands)))
    last = " ".join(tiles.TILE_NAMES[tile] for tile in sorted(rest))
    start = of(special.SEVENS, *hands, last)
    assert start.legal == ids("5-2")
    with pytest.raises(Impossible, match="must play its tile nearest to seven: 6-1"):
        of(special.SEVENS, *hands, last, plays="5-2 4-2")
    after = of(special.SEVENS, *hands, last, plays="5-2 6-1 4-3")
    assert after.tricks[0].winner == 0
    # Then seat 0's nearest is 2-1, 4 from seven, and seat 1's are 1 from seven.
    now = after.play(after.legal[0])
    assert now.mover == 0 and now.legal == ids("2-1")
    assert bidding.winner(now) is None
    assert now.play(now.legal[0]).legal == ids("3-3 4-2 5-1")


def test_in_sevens_a_partner_may_save_a_trick_and_a_tie_with_the_leader_does_not_set():
    """Cases on which the sources of special.md differ, or which they name."""
    far = "6-6 5-5 0-0 1-0 2-0 1-1 6-5"  # 3 from seven at best
    near = "6-2 5-3 4-4 3-3 4-2 5-1 6-0"  # 1
    exact = "6-1 5-2 4-3 4-1 5-0 3-2 2-2"  # 0
    rest = "6-3 6-4 2-1 3-0 3-1 4-0 5-4"  # 2
    for hands, winner in (
        ((far, near, exact, rest), 2),  # an opponent was nearer than the bidder, its partner more
        ((far, exact, near, rest), 1),
        ((rest, far, near, exact), 3),
    ):
        game = of(special.SEVENS, *hands)
        for _ in range(4):
            game = game.play(game.legal[0])
        assert game.tricks[0].winner == winner
    # 5 and 9 pips are equally far from seven.
    bidder = "5-0 6-6 0-0 1-0 2-0 1-1 6-5"
    tied = of(special.SEVENS, bidder, rest, near, exact.replace("5-0", "5-5"), plays="5-0 6-3")
    assert tied.tricks[0].winner == 0


def test_a_play_of_sevens_bounds_what_an_unknown_hand_holds():
    seen = Position((ids(LOW), (), (), ()), special.SEVENS, 0, ids("6-0 4-2"), Bid(0, 42))
    assert seen.mover == 2
    with pytest.raises(Impossible, match="has played a tile farther from seven before"):
        dataclasses.replace(seen, plays=ids("6-0 4-1 5-4 4-4 5-0 4-3"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trick 1  4-0 4-1 6-4 6-5\n", "line 4, column 22: a trick has 3 tiles; this is one more"),
        ("trick 1  4-0 4-1\ntrick 2  6-6\n", "trick 1 has fewer than 3 tiles"),
        ("trick 1  4-0 4-1 won by 0 with 1\n", "nobody has won this trick: it has fewer than 3"),
    ],
)
def test_a_wrong_trick_of_nello_is_refused_where_it_stands(text, said):
    with pytest.raises(notation.NotationError, match=said):
        notation.read(f"declaration nello\nleader 0\nbid 42 by 0\n{text}")
    with pytest.raises(notation.NotationError, match="nello must stand before the tricks"):
        notation.read("leader 0\nbid 42 by 0\ntrick 1  4-0\ndeclaration nello\n")


ALL = bids.OPTIONS
DOUBLES = ids("0-0 1-1 2-2 3-3 6-1 6-2 6-3")


def test_plunge_and_splash_need_doubles_and_are_worth_one_mark_more_than_the_last():
    round_ = Bidding(3, (), ALL)
    assert round_.allowed[-2:] == ((42, 4, "plunge"), (42, 2, "splash"))
    seen = Seen(DOUBLES, round_)
    assert seen.allowed == round_.allowed
    three = Seen(ids("0-0 1-1 2-2 3-1 6-1 6-2 6-3"), round_)
    assert three.allowed == tuple(c for c in round_.allowed if c != (42, 4, "plunge"))
    with pytest.raises(ValueError, match="plunge needs 4 doubles in hand, this one has 3"):
        three.call((42, 4, "plunge"))
    with pytest.raises(ValueError, match="bid: expected pass or a bid from 30 to 2 marks, got pl"):
        Bidding(3).call((42, 4, "plunge"))
    after = seen.call((42, 4, "plunge"))
    assert after.allowed == (PASS, (42, 5), (42, 5, "plunge"), (42, 5, "splash"))
    assert after.call((42, 5)).allowed[-1] == (42, 6, "splash")
    assert Bidding(3, ((42, 1),), ALL).allowed[-1] == (42, 2, "splash")
    high = Bidding(3, ((42, 4, "plunge"), (42, 5, "plunge"), (42, 7 - 1)), ALL)
    assert high.allowed == (PASS, (42, 7), (42, 7, "plunge"), (42, 7, "splash"))
    with pytest.raises(ValueError, match="or plunge 7 marks, or splash 7 marks, got 6 marks"):
        high.call((42, 6))
    for call in round_.allowed:
        assert bidding.read(bidding.name(call)) == call


def test_the_partner_declares_after_a_plunge_and_the_bidder_may_name_nello_after_marks():
    plunged = Bidding(3, ((42, 4, "plunge"), PASS, PASS, PASS), ALL)
    assert plunged.winner == Bid(0, 42, 4) and plunged.declarer == 2 and plunged.kind == "plunge"
    assert plunged.declarations == (*range(8), 8, 9) and plunged.high_name == "plunge 4 marks"
    marks = Bidding(3, (PASS, (42, 1), PASS, PASS), ALL)
    assert marks.declarer == 2 - 1 and marks.declarations == tuple(range(13))
    some = Bidding(3, (PASS, (42, 2), PASS, PASS), ("sevens",))
    assert some.declarations == (*bidding.DECLARATIONS, special.SEVENS)
    points = Bidding(3, (PASS, (41, 1), PASS, PASS), ALL)
    assert points.declarations == tuple(range(10))
    assert Bidding(3, (PASS, (42, 2), PASS, PASS)).declarations == bidding.DECLARATIONS
    assert Bidding(3).declarer == -1 and Bidding(3).declarations == ()
    with pytest.raises(ValueError, match="options: expected some of"):
        Bidding(3, (), ("low",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("low", "expected some of nello,nello-doubles,plunge,splash,sevens, got 'low'"),
        ("nello,nello", "expected each contract once, got nello 2 times"),
        ("nello-doubles", "expected nello with nello-doubles"),
        ("", "expected some of"),
    ],
)
def test_wrong_options_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        bids.parse_specials(text)


@hypothesis.given(st.integers(0, 2**32), st.sampled_from(special_games.DECLARATIONS))
@FEW
def test_what_a_play_tells_is_true(seed, declaration):
    game = special_games.random_game(random.Random(seed), declaration)
    for ply, tile in enumerate(game.plays):
        before = game.before(ply)
        left = {each for each in game.hands[before.mover] if each not in before.plays}
        assert not (left - {tile}) & not_held(game.declaration, before.trick, tile)
