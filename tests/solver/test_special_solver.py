"""The exact solver of nello and sevens against a minimax over the rules in plain Python."""

import random

import numpy as np
import pytest

from tests.support import special_games
from tests.support.special_games import ids
from zebjax import bidding, special, tiles
from zebjax.position import Bid, Position, four
from zebjax.solver import special as solver


def minimax(game):
    """True if the bidder's team makes the contract, with perfect play of all."""
    team = bidding.winner(game)
    if team is not None:
        return team == game.bid.seat % 2
    results = (minimax(game.play(tile)) for tile in game.legal)
    return any(results) if game.mover % 2 == game.bid.seat % 2 else all(results)


def open_game(rng, declaration, plies):
    """A game that is not decided yet after some plays."""
    while True:
        game = special_games.random_game(rng, declaration, plies)
        if bidding.winner(game) is None:
            return game


@pytest.mark.parametrize("declaration", special_games.DECLARATIONS)
def test_each_move_of_an_ending_is_as_a_plain_minimax_says(declaration):
    rng, results = random.Random(declaration), []
    plies = range(12, 19) if declaration != special.SEVENS else range(12, 27)
    for _ in range(14):
        game = open_game(rng, declaration, rng.choice(plies))
        (made,) = solver.makes(game, np.array([game.hands]))
        assert made.tolist() == [minimax(game.play(tile)) for tile in game.legal], game
        results += made.tolist()
    assert 0 < sum(results) < len(results)


def test_several_deals_at_once_are_as_each_alone():
    rng = random.Random(3)
    game = open_game(rng, special.NELLO, 2)
    others = [seat for seat in range(4) if seat != game.mover]
    left = [tile for seat in others for tile in game.hands[seat] if tile not in game.plays]
    worlds = []
    for _ in range(8):
        rng.shuffle(left)
        rest = iter(left)
        hands = [list(hand) for hand in game.hands]
        for seat in others:
            played = game.played_by(seat)
            hands[seat] = [*played, *(next(rest) for _ in range(7 - len(played)))]
        worlds.append(hands)
    together = solver.makes(game, np.array(worlds))
    alone = [solver.makes(game, np.array([world]))[0] for world in worlds]
    np.testing.assert_array_equal(together, alone)


def whole(declaration, *hands):
    return Position(four(map(ids, hands)), declaration, 0, (), Bid(0, tiles.TOTAL_POINTS))


def made(declaration, *hands):
    """What the solver says of each lead, by tile."""
    start = whole(declaration, *hands)
    return dict(zip(start.legal, solver.makes(start, np.array([start.hands]))[0], strict=True))


def test_whole_hands_that_cannot_fail_and_cannot_be_made():
    low = "0-0 1-0 2-0 3-0 4-0 5-0 6-0"
    first, second = "1-1 2-1 2-2 3-1 3-2 3-3 4-1", "4-2 4-3 4-4 5-1 5-2 5-3 5-4"
    high = "5-5 6-1 6-2 6-3 6-4 6-5 6-6"
    leads = made(special.NELLO, low, first, second, high)
    assert not leads.pop(0) and all(leads.values())  # the 0-0 takes its own trick
    assert not any(made(special.NELLO, high, first, second, low).values())
    near = "6-1 5-2 4-3 6-0 5-1 6-2 5-3"
    left = [tile for tile in range(28) if tile not in ids(near)]
    others = [" ".join(tiles.TILE_NAMES[tile] for tile in left[at::3]) for at in range(3)]
    assert all(made(special.SEVENS, near, *others).values())
    assert not any(made(special.SEVENS, others[0], near, *others[1:]).values())
