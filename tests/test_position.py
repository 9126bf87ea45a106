"""Positions as plain data: the rules of `game`, the round trip to arrays, what is impossible."""

import dataclasses
import random

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from tests.support import played, playouts
from zebjax import game, position_arrays, record, tiles
from zebjax.position import Bid, Impossible, Position, four

# In numbers and ways of other tests, which compile the same programs.
STATES = playouts.positions(150, np.arange(150) % 28)
legal_slots = jax.jit(jax.vmap(game.legal_slots))


def state(row):
    return jax.tree.map(lambda leaf: leaf[row], STATES)


def test_states_of_the_rules_make_the_round_trip():
    legal = np.asarray(legal_slots(STATES))
    for row in range(150):
        made = position_arrays.of_state(state(row))
        jax.tree.map(np.testing.assert_array_equal, position_arrays.to_state(made), state(row))
        # The mover by its legal slots: with another seat's hand they would be other tiles.
        assert made.legal == tuple(STATES.hands[row, made.mover][legal[row]])
        assert position_arrays.view(state(row)) == made.seen_by(made.mover)


def test_records_make_the_round_trip_and_are_legal():
    games = [played.random_game(random.Random(seed)) for seed in range(24)]
    records = position_arrays.to_record(games)
    record.validate(records)  # by the rules of `game`
    assert position_arrays.of_record(records) == games


def test_a_record_needs_finished_games_with_known_hands():
    made = played.random_game(random.Random(0), 27)
    for wrong in (made, made.play(made.legal[0]).seen_by(0)):
        with pytest.raises(ValueError, match="game 0: expected a finished game with four known"):
            position_arrays.to_record([wrong])


@given(played.seen())
@settings(max_examples=25)
def test_an_unknown_hand_says_nothing(made):
    """Placeholders are the same whatever the hidden hands are."""
    full = position_arrays.full_hands(made)
    assert sorted(tile for hand in full for tile in hand) == list(range(28))
    for seat, hand in enumerate(made.hands):
        assert not hand or full[seat] == hand
    hidden = [tile for seat in range(4) if not made.hands[seat] for tile in full[seat]]
    assert [tile for tile in hidden if tile not in made.plays] == list(made.hidden)


@given(played.games())
@settings(max_examples=25)
def test_the_view_of_a_seat_has_its_hand_and_the_record(made):
    view = made.seen_by(2)
    assert (view.hands[2], view.plays, view.bid) == (made.hands[2], made.plays, made.bid)
    assert view.hands[0] == view.hands[1] == view.hands[3] == ()
    assert (view.points, view.movers, view.tricks) == (made.points, made.movers, made.tricks)


DEAL = four(tuple(range(seat, 28, 4)) for seat in range(4))


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"declaration": 13}, "declaration", r"declaration: expected an integer 0\.\.12, got 13"),
        ({"declaration": 10}, "bid", "nello is played with a bid of 42 points or of marks"),
        ({"declaration": 12, "bid": Bid(0, 41)}, "bid", "42 points or marks for sevens, got 41"),
        ({"leader": -1}, "leader", r"leader: expected an integer 0\.\.3, got -1"),
        ({"hands": (DEAL[0],) * 4}, "hand", "0-0 is in hand 0 too"),
        (
            {"hands": (DEAL[0][:5], (), (), ())},
            "hand",
            "hand 0: expected 7 tiles with those played, got 5",
        ),
        ({"bid": Bid(1, 30)}, "bid", "the bidder leads the first trick, 0; got 1"),
        ({"bid": Bid(0, 29)}, "bid", "points from 30 to 42, got 29"),
        ({"bid": Bid(0, 41, 2)}, "bid", "42 points for 2 marks, got 41"),
        ({"plays": (DEAL[1][0],)}, "play", "seat 0 plays 1-0, which is in the hand of seat 1"),
        ({"plays": (0, 0)}, "play", "0-0 has been played before"),
        ({"players": ("a\nb", "", "", "")}, "player", "expected one line"),
    ],
)
def test_an_impossible_position_is_refused(changes, place, message):
    good = {"hands": DEAL, "declaration": 6, "leader": 0}
    with pytest.raises(Impossible, match=message) as caught:
        Position(**(good | changes))
    assert caught.value.place[0] == place


def tile(name):
    return tiles.TILE_NAMES.index(name)


def test_a_seat_that_must_follow_is_told_the_tiles():
    ids = [tile(name) for name in ("6-6", "5-5")]
    rest = [t for t in range(28) if t not in (*ids, tile("6-5"), tile("6-4"))]
    hands = four([(ids[0], *rest[:6]), (ids[1], tile("6-5"), *rest[6:11])] + [()] * 2)
    with pytest.raises(Impossible, match=r"seat 1 plays 5-5, but must follow 6-6: 6-5$"):
        Position(hands, 9, 0, tuple(ids))


def test_a_seat_that_did_not_follow_cannot_play_the_suit_later():
    # Seat 1 does not follow sixes. Seat 0 wins and leads fives: now seat 1 plays 6-5.
    names = ("6-6", "4-4", "6-0", "6-1", "5-5", "6-5")
    with pytest.raises(Impossible, match="seat 1 plays 6-5, but did not follow its suit earlier"):
        Position(four([()] * 4), 9, 0, tuple(map(tile, names)))


def test_hidden_tiles_must_fit_the_unknown_hands():
    """All others are out of a suit that has tiles left, and the mover has none of them."""
    own = ("6-6", "0-0", "1-0", "2-0", "3-0", "4-0", "5-0")
    played_tiles = ("6-6", "1-1", "2-1", "3-1")
    seen = Position(four([tuple(map(tile, own)), (), (), ()]), 9, 0, ())
    with pytest.raises(Impossible, match="6-0, 6-1, 6-2, 6-3, 6-4, 6-5 fit only seat no unknown"):
        dataclasses.replace(seen, plays=tuple(map(tile, played_tiles)))
