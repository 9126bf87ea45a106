"""Outcomes with two tricks left agree with the solver, which shares no code with them."""

import functools

import jax
import numpy as np
import pytest

from tests.support.contracts import contracts_of
from tests.support.playouts import positions
from zebjax import contract, game, solver
from zebjax.players import base
from zebjax.search import endgame
from zebjax.search import outcomes as settling

outcomes = jax.jit(jax.vmap(lambda state: endgame.outcome(state, game.current_player(state))))


@jax.jit
def settle(states, contracts, players):
    return (
        settling.is_settled(states, contracts, plain=False),
        settling.outcome(states, contracts, players, plain=False),
    )


@pytest.mark.parametrize("ply", range(20, 28))
def test_the_outcome_is_that_of_perfect_play(ply):
    states = positions(1000, [ply], seed=ply)
    to_come = np.nanmax(solver.solve(states), axis=1)  # points still to take, of the mover's team
    mover = np.asarray(jax.vmap(game.current_player)(states))
    taken = np.take_along_axis(states.points, mover[:, None] % 2, axis=1)[:, 0]
    expected = np.sign(taken + to_come - 21)
    np.testing.assert_array_equal(outcomes(states), expected)
    assert {-1, 1} <= set(expected)


def test_with_a_contract_the_outcome_is_making_or_setting_it():
    states = positions(1000, np.arange(1000) % 8 + 20, seed=1)
    contracts = contracts_of(states)._replace(bid=(np.arange(1000) % 13 + 30).astype(np.int8))
    mover = base.movers(states)
    taken = np.take_along_axis(states.points, mover[:, None] % 2, axis=1)[:, 0]
    made = taken + np.nanmax(solver.solve(states), axis=1) >= contract.needs(contracts, mover)
    np.testing.assert_array_equal(settle(states, contracts, mover)[1], np.where(made, 1, -1))
    assert 100 < made.sum() < 900


def test_a_contract_settles_a_game_as_soon_as_it_is_made_or_set():
    states = positions(1000, np.arange(1000) % 28)
    contracts = contracts_of(states)._replace(bid=np.full(1000, 36, np.int8))
    team_0 = states.points >= np.stack([contract.needs(contracts, team) for team in (0, 1)], 1)
    now = team_0[:, 0].astype(int) - team_0[:, 1]
    is_settled, of_team_1 = settle(states, contracts, np.ones(1000, np.int64))
    np.testing.assert_array_equal(is_settled, (states.ply >= 20) | (now != 0))
    assert ((now != 0) & (states.ply < 20)).any()
    np.testing.assert_array_equal(np.asarray(of_team_1)[now != 0], -now[now != 0])


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
