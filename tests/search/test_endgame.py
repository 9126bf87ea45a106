"""Outcomes with two tricks left agree with the solver, which shares no code with them."""

import functools

import jax
import numpy as np
import pytest

from tests.support.playouts import positions
from zebjax import game, solver
from zebjax.search import endgame

outcomes = jax.jit(jax.vmap(lambda state: endgame.outcome(state, game.current_player(state))))


@pytest.mark.parametrize("ply", range(20, 28))
def test_the_outcome_is_that_of_perfect_play(ply):
    states = positions(1000, [ply], seed=ply)
    to_come = np.nanmax(solver.solve(states), axis=1)  # points still to take, of the mover's team
    mover = np.asarray(jax.vmap(game.current_player)(states))
    taken = np.take_along_axis(states.points, mover[:, None] % 2, axis=1)[:, 0]
    expected = np.sign(taken + to_come - 21)
    np.testing.assert_array_equal(outcomes(states), expected)
    assert {-1, 1} <= set(expected)


def test_every_declaration_is_among_the_endings():
    assert set(positions(1000, [20], seed=20).declaration) == set(range(10))


def test_a_finished_game_keeps_its_outcome():
    states = positions(200, [28])
    for player in range(4):
        of_player = jax.vmap(functools.partial(endgame.outcome, player=player))(states)
        np.testing.assert_array_equal(
            of_player, jax.vmap(functools.partial(game.outcome, player=player))(states)
        )


def test_an_ending_begins_with_two_tricks_left():
    states = positions(29, range(29))
    np.testing.assert_array_equal(jax.vmap(endgame.is_ending)(states), states.ply >= 20)
