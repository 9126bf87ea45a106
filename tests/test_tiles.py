"""The tables of tiles and declarations follow the rules."""

import itertools

import numpy as np
import pytest

from zebjax import tiles

PIPS = {
    tiles.tile_id(high, low): (high, low)
    for high, low in itertools.combinations_with_replacement(range(7), 2)
}


def test_there_are_28_distinct_tiles_and_42_points():
    assert sorted(PIPS) == list(range(tiles.N_TILES))
    assert len(set(tiles.TILE_NAMES)) == tiles.N_TILES
    assert tiles.POINTS.sum() + tiles.N_TRICKS == tiles.TOTAL_POINTS
    counts = {tiles.TILE_NAMES[tile]: int(tiles.POINTS[tile]) for tile in PIPS}
    assert {name: points for name, points in counts.items() if points} == {
        "5-0": 5,
        "4-1": 5,
        "3-2": 5,
        "5-5": 10,
        "6-4": 10,
    }


def test_an_id_gives_back_its_pips():
    for tile, (a, b) in PIPS.items():
        assert {int(tiles.HIGH[tile]), int(tiles.LOW[tile])} == {a, b}
        assert tiles.tile_id(a, b) == tiles.tile_id(b, a) == tile
        assert tiles.IS_DOUBLE[tile] == (a == b)


def test_every_declaration_has_a_name():
    assert len(set(tiles.DECLARATION_NAMES)) == tiles.N_DECLARATIONS
    assert tiles.DECLARATION_NAMES[tiles.DOUBLES_SUIT] == "doubles suit"


@pytest.mark.parametrize("declaration", range(tiles.N_DECLARATIONS))
def test_a_tile_follows_the_suit_that_it_leads_and_at_most_one_more(declaration):
    follows = tiles.CAN_FOLLOW[declaration]
    for tile in PIPS:
        assert follows[tiles.LED_SUIT[declaration, tile], tile]
    n_suits = follows.sum(0)
    plain = ~tiles.IS_DOUBLE & ~tiles.CALLED[declaration]
    np.testing.assert_array_equal(n_suits, np.where(plain, 2, 1))


@pytest.mark.parametrize("declaration", range(tiles.N_DECLARATIONS))
def test_ranks_have_no_ties_among_the_tiles_that_can_win(declaration):
    for suit in range(tiles.N_SUITS):
        rank = tiles.TRICK_RANK[declaration, suit]
        winning = rank[rank > 0]
        if declaration == tiles.DOUBLES_TRUMP and suit != tiles.CALLED_SUIT:
            assert (rank[tiles.IS_DOUBLE] >= 32).all()
        # Sums may tie between tiles of different suits, never inside what can win one trick by
        # following or by trumping, except where their pips add up alike.
        double = np.flatnonzero(tiles.IS_DOUBLE & tiles.CAN_FOLLOW[declaration, suit])
        if suit < tiles.CALLED_SUIT and len(double):
            follows = tiles.CAN_FOLLOW[declaration, suit]
            assert rank[double[0]] == rank[follows].max()
        assert (winning >= 16).all()
