"""Races: which moves are dropped, how many worlds are judged, and what the player does with it."""

import dataclasses

import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from tests.support.small import net_of_seed
from zebjax import players, solver
from zebjax.players import exact, inference, race, results, weighted
from zebjax.players.inference import Settings
from zebjax.small import network
from zebjax.small.policy import Policies

N = 6
WORLDS = Settings(n=20, candidates=400, temperature=0.1)
ADAPTIVE = results.Settings(adaptive=8, price=5e-4)


def race_of(chances, n=400, worth=1e-6, seed=0):
    """Race in n worlds in which each move wins with a chance of its own."""
    wins = (np.random.default_rng(seed).random((n, 7)) < np.array(chances)).astype(float)
    asked_in = np.zeros(7, int)

    def judge(rows, asked):
        asked_in[:] += asked.sum(0)
        return np.where(asked, wins[rows], 9.0)  # 9: a score that must not count

    legal = np.array(chances)[None] >= 0
    judged, left = race.run(judge, np.zeros(n, int), np.full(n, 1 / n), legal, np.array([worth]))
    return judged, left[0], asked_in


def test_a_clear_decision_ends_early_and_a_close_one_takes_every_world():
    clear, left, _ = race_of([0.9, 0.3, 0.2, -1, -1, -1, -1])
    assert clear.sum() == race._FIRST
    assert left.tolist() == [True] + [False] * 6
    close, left, asked = race_of([0.5, 0.5, 0.1, -1, -1, -1, -1])
    assert close.all()
    assert asked[2] < 100
    assert asked[0] == asked[1] == 400
    assert not asked[3:].any()


def test_the_first_worlds_of_each_decision_are_judged():
    judged = race_of([0.9, 0.3, 0.2, -1, -1, -1, -1])[0]
    assert judged[: race._FIRST].all()


def test_a_higher_price_of_time_means_fewer_worlds():
    used = [
        race_of([0.5, 0.6, 0.4, 0.45, -1, -1, -1], worth=w)[0].sum() for w in (1e-7, 1e-5, 1e-3)
    ]
    assert used[0] > used[1] > used[2]


@pytest.mark.parametrize("seed", range(4))
def test_at_no_price_the_choice_is_that_of_all_worlds(seed):
    # Then only moves are dropped that cannot reach the leader in the worlds that are left.
    chances = np.random.default_rng(seed).random(7)
    mean = (np.random.default_rng(seed).random((400, 7)) < chances).mean(0)
    judged, left, asked = race_of(chances, worth=0.0, seed=seed)
    assert left[mean.argmax()]
    assert asked.sum() < 400 * 7
    assert (mean[~left] < mean.max()).all()
    assert judged.sum() <= 400


def test_equal_moves_stay_together():
    scores = np.zeros((50, 7))
    scores[:40, [1, 4]] = 1
    left, goes_on = race.drop(scores, np.full(50, 1 / 400), np.ones(7, bool), worth=1e-3)
    assert left.tolist() == [False, True, False, False, True, False, False]
    assert not goes_on


def test_worlds_count_by_weight():
    scores = np.zeros((40, 7))
    scores[0, 0], scores[1:, 1] = 1, 1
    left = np.arange(7) < 2
    heavy = np.where(np.arange(40) == 0, 0.9, 0.1 / 39)
    assert race.drop(scores, heavy, left, 0.0)[0][:2].tolist() == [True, False]
    assert race.drop(scores, np.full(40, 1 / 40), left, 0.0)[0][:2].tolist() == [False, True]


def test_the_expected_cost_is_that_of_the_normal_distribution():
    draws = np.random.default_rng(0).normal(0.05, 0.1, 200_000)
    assert race.opportunity_cost(0.05, 0.1) == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.02)


@pytest.fixture(scope="module")
def net():
    return network.scorer(net_of_seed(5))


@pytest.fixture(scope="module")
def states():
    return positions(N, [12, 14, 16], seed=3)


@pytest.mark.parametrize("blend", [None, 0.5, 1.0])
def test_results_are_means_over_the_judged_worlds(states, net, blend):
    keys, policy = raw_keys(N), None if blend is None else Policies(net, net)
    how = dataclasses.replace(ADAPTIVE, blend=blend or 0.0)
    nets = (inference.Models(net, net), policy)
    found = weighted.values(states, keys, nets, (WORLDS, how))
    scores = found.scores(how)
    counts = np.bincount(found.worlds.decision, minlength=N)
    assert counts.min() < counts.max() <= 8 * 20
    legal = exact.legal_slots(states, keys)
    assert (np.isnan(scores) & legal).any(), "no move was dropped"
    np.testing.assert_allclose(
        np.bincount(found.worlds.decision, found.worlds.weights), 1, atol=1e-9
    )
    # The same worlds, all moves: the moves that are left have the same results there.
    share = 0.0 if blend is None else blend
    if share < 1:
        wins = solver.at_least(found.positions, exact.ENOUGH)
        means = results.weighted_means(wins, found.worlds, ~np.isnan(scores))
        np.testing.assert_allclose(found.exact.wins, means, atol=1e-9)
    assert (found.exact is None) == (share == 1)
    assert (found.rollouts is None) == (share == 0)
    slots = found.best_slots(how)
    assert legal[np.arange(N), slots].all()


def test_a_race_does_not_depend_on_the_batch(states, net):
    keys, nets = raw_keys(N), (inference.Models(net, net), Policies(net, net))
    all_of_them = weighted.values(states, keys, nets, (WORLDS, ADAPTIVE))
    rows = [5, 2]
    some = weighted.values(
        type(states)(*(field[rows] for field in states)), keys[rows], nets, (WORLDS, ADAPTIVE)
    )
    np.testing.assert_array_equal(some.scores(ADAPTIVE), all_of_them.scores(ADAPTIVE)[rows])
    np.testing.assert_array_equal(some.best_slots(ADAPTIVE), all_of_them.best_slots(ADAPTIVE)[rows])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("price=0.1", "price: expected adaptive with it, as in adaptive=4"),
        ("adaptive=4,points=0.02", "adaptive=4: not with points=0.02; expected points=0"),
        ("adaptive=0", "adaptive: expected .*1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        players.make(f"eq:n=5,{options}")
