"""The bounds never contradict the exact values."""

import numpy as np
import pytest
from numba import njit

from tests.support.playouts import positions as random_positions
from zebjax import solver
from zebjax.solver import bounds, positions


@pytest.fixture(scope="module")
def trick_starts():
    """Positions at the start of a trick, their rows and the exact values of the leads."""
    states = random_positions(120, [12, 16, 20, 24], seed=3)
    return positions.read(states), solver.solve(states)


def node_of(row):
    leader, declaration = int(row[positions.LEADER]), int(row[positions.DECLARATION])
    hands = tuple(int(row[(leader + seat) % 4]) for seat in range(4))
    return bounds.make_node(declaration, hands)


def test_the_total_is_what_both_sides_take(trick_starts):
    rows, _ = trick_starts
    for row in rows:
        assert node_of(row).total == 42 - row[positions.POINTS] - row[positions.POINTS + 1]


def test_what_the_leader_surely_takes_is_no_more_than_its_value(trick_starts):
    rows, values = trick_starts
    sure = [bounds.side_takes(node_of(row), 0, 0) for row in rows]
    assert (np.array(sure) <= np.nanmax(values, 1)).all()
    assert np.count_nonzero(sure) > 20  # a bound of nothing would hold too


def test_the_bound_of_a_lead_holds_on_its_side(trick_starts):
    rows, values = trick_starts
    n_lower = n_upper = 0
    for row, value in zip(rows, values, strict=True):
        node = node_of(row)
        for slot in np.flatnonzero(~np.isnan(value)):
            wins_trick, bound = bounds.lead_bound(node, int(row[positions.SLOTS + slot]))
            if wins_trick:
                assert bound <= value[slot]
            else:
                assert bound >= value[slot]
            n_lower, n_upper = n_lower + wins_trick, n_upper + (not wins_trick)
    assert n_lower > 50 and n_upper > 50


@njit
def bits(mask):
    return bounds.lowest(mask), bounds.highest(mask), bounds.count(mask)


def test_bits():
    assert bits(0b101000) == (3, 5, 2)
    assert bounds.highest(0) == -1
    assert bounds.above(-1) & 0xFF == 0xFF and bounds.above(3) & 0xFF == 0xF0
    assert bounds.legal(0b1100, 0b0100) == 0b0100 and bounds.legal(0b1100, 0b0001) == 0b1100
