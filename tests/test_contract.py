"""Contracts: what is accepted, who needs how many points, and who has won."""

import jax
import numpy as np
import pytest

from tests.support.contracts import contracts_of, finished
from zebjax import contract, tiles
from zebjax.common import bids


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bidder", 4, "bidder: expected an integer 0..3, got 4"),
        ("declaration", 10, "declaration: expected an integer 0..9, got 10"),
        ("bid", 29, "bid: expected an integer 30..42, got 29"),
        ("bid", 43, "bid: expected an integer 30..42, got 43"),
        ("marks", 0, "marks: expected an integer 1..7, got 0"),
        ("marks", 2, "bid: expected 42 points for 2 marks or more, got 31"),
        ("bid", 31.0, "bid: expected integers of shape \\(\\), got float64"),
    ],
)
def test_a_wrong_field_is_named(field, value, message):
    fields = {"bidder": 1, "declaration": 6, "bid": 31, "marks": 1} | {field: value}
    with pytest.raises(ValueError, match=message):
        contract.of(**fields)


@jax.jit
def _values(states, contracts):
    """Outcome for each seat, `[n, 4]`."""
    of_seats = jax.vmap(contract.outcome, (None, None, 0))
    return jax.vmap(of_seats, (0, 0, None))(states, contracts, jax.numpy.arange(4))


def test_exactly_one_team_wins_every_finished_game_at_every_bid():
    states, _ = finished(40)
    is_bidders = (np.arange(4) + states.leader[:, None]) % 2 == 0
    for bid in (30, 31, 36, 42):
        contracts = contracts_of(states, bid)
        made = states.points[np.arange(40), states.leader % 2] >= bid
        np.testing.assert_array_equal(contract.made(contracts, states.points), made)
        expected = np.where(made[:, None] == is_bidders, 1, -1)
        np.testing.assert_array_equal(_values(states, contracts), expected)


def test_a_contract_is_open_until_a_team_has_enough():
    states, _ = finished(40)
    start = contract.new_game(states.hands[0], contract.of(1, 6, 32))
    assert (int(start.leader), int(start.declaration)) == (1, 6)
    # Seat 2 bids, so team 0 has to make it.
    for points, value in (((31, 0), 0), ((32, 0), 1), ((0, 10), 0), ((0, 11), -1)):
        shown = states._replace(points=np.tile(np.array(points, np.int8), (40, 1)))
        contracts = contracts_of(shown, 32)._replace(bidder=np.full(40, 2, np.int8))
        np.testing.assert_array_equal(_values(shown, contracts)[0], [value, -value, value, -value])


def test_both_teams_needs_leave_no_point_between_them():
    for bid in range(30, 43):
        one = contract.of(3, 9, bid)
        assert [int(contract.needs(one, seat)) for seat in range(4)] == [43 - bid, bid] * 2
    many = contract.Contract(
        *(np.array([x, y], np.int8) for x, y in ((0, 1), (6, 6), (30, 42), (1, 1)))
    )
    np.testing.assert_array_equal(contract.needs(many, np.array([0, 0])), [30, 1])
    np.testing.assert_array_equal(jax.jit(contract.needs)(many, np.array([0, 0])), [30, 1])


@pytest.mark.parametrize(
    ("hand", "declaration"),
    [
        ("6-6 6-5 6-4 5-5 3-2 1-0 4-4", 6),
        ("6-6 5-5 4-4 3-3 1-0 2-1 6-2", 7),
        ("5-0 5-1 5-2 6-6 6-3 6-1 0-0", 6),  # as many fives, without their double
        ("5-5 5-1 5-2 6-4 6-3 6-1 0-0", 5),
        ("5-0 5-1 5-4 4-3 4-2 2-1 6-3", 4),  # five, four and no double: the more pips
    ],
)
def test_declaration_by_pips(hand, declaration):
    ids = [tiles.tile_id(int(tile[0]), int(tile[2])) for tile in hand.split()]
    assert contract.declare_by_pips(np.array(ids)) == declaration
    assert contract.declare_by_pips(np.array(ids[::-1])) == declaration


@pytest.mark.parametrize(
    "text", ["", "29", "43", "3o", "8m", "0 marks", "030", "-31", "2", "83", "336"]
)
def test_a_bid_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"expected points from 30 to 42 or marks as in 2m .*got"):
        bids.parse(text)


def test_bids_are_points_or_marks():
    assert bids.parse("42") == (42, 1) and bids.parse("1 mark") == (42, 1)
    assert bids.parse("84") == (42, 2) and bids.parse("294") == (42, 7)
    assert bids.parse(" 30 ") == (30, 1) and bids.parse("7 marks") == (42, 7)


def test_a_game_that_is_not_the_contracts_is_refused():
    one = contract.of(2, 6, 32)
    contract.check_game(one, 6, 2)
    with pytest.raises(ValueError, match=r"declaration: expected the game's declaration, 5, got 6"):
        contract.check_game(one, 5, 2)
    with pytest.raises(ValueError, match=r"bidder: expected the game's leader of .*, 1, got 2"):
        contract.check_game(one, 6, 1)
