"""The rows that the search reads: tricks pack and unpack, hands and points add up."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.playouts import positions as random_positions
from zebjax import tiles
from zebjax.solver import positions
from zebjax.solver.ranks import RANK_OF_TILE


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 27), max_size=4))
def test_a_trick_packs_and_unpacks(ranks):
    laid = 0
    for rank in ranks:
        laid = positions.lay(laid, rank)
    assert laid & 7 == len(ranks)
    assert [positions.laid_rank(laid, index) for index in range(len(ranks))] == ranks


def test_rows_hold_every_unplayed_tile_once():
    states = random_positions(56, np.arange(28), seed=1)
    for index, row in enumerate(positions.read(states)):
        on_table = int(row[positions.LAID]) & 7
        hands = [int(hand) for hand in row[:4]]
        assert sum(bin(hand).count("1") for hand in hands) == 28 - states.ply[index] + on_table
        assert np.bitwise_or.reduce(hands) == sum(hands)  # no tile in two hands
        rank = RANK_OF_TILE[states.declaration[index]]
        unplayed = rank[states.hands[index][~states.played[index]]]
        assert all(np.bitwise_or.reduce(hands) >> int(one) & 1 for one in unplayed)
        assert row[positions.POINTS] + row[positions.POINTS + 1] <= tiles.TOTAL_POINTS
