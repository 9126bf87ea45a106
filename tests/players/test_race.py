"""Races: which moves are dropped, how many worlds are judged, and what the player does with it."""

import dataclasses

import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from tests.support.small import net_of_seed
from zebjax import players, solver
from zebjax.players import exact, inference, race, weighted
from zebjax.players.inference import Settings
from zebjax.players.weighted import Nets
from zebjax.small import network
from zebjax.small.policy import Policies

N = 6
WORLDS = Settings(n=20, candidates=400, temperature=0.1)
ADAPTIVE = weighted.Settings(adaptive=8, price=5e-4)


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


def test_a_prior_counts_as_worlds():
    scores = np.zeros((20, 7))
    scores[:11, 0], scores[11:, 1] = 1, 1  # 0.55 against 0.45
    weights, left = np.full(20, 1 / 100), np.arange(7) < 2
    before = np.array([0.5, 0.9, 0, 0, 0, 0, 0])
    assert race.drop(scores, weights, left, 1.0)[0][:2].tolist() == [True, False]
    # (20 * 0.55 + k * 0.5) / (20 + k) against (20 * 0.45 + k * 0.9) / (20 + k): equal at k = 5.
    for k, expected in ((4, [True, False]), (5, [True, True]), (6, [False, True])):
        known = race.Known(before, k, 100)
        assert race.drop(scores, weights, left, 1.0, known)[0][:2].tolist() == expected
    # 80 of 100 worlds are left: 0.1 * 20 ahead can be made good by 80, but not if the prior is
    # behind by 0.4 * 250 worlds.
    behind = np.array([0.9, 0.5, 0, 0, 0, 0, 0])
    for k, goes_on in ((0, True), (190, True), (200, False)):
        known = race.Known(behind, k, 100)
        assert race.drop(scores, weights, left, 0.0, known)[1] == goes_on


def test_a_move_that_light_worlds_can_still_save_stays():
    # 20 of 400 worlds have half of the weight; the others can all be won by the second move.
    weights = np.concatenate([np.full(20, 0.5 / 20), np.full(380, 0.5 / 380)])
    wins = np.zeros((400, 7))
    wins[:20, 0], wins[20:, 1] = 1, 1
    wins[:6, 1] = 1
    known = np.array([[0.9, 0.6, 0, 0, 0, 0, 0]])
    _, left = race.run(
        lambda rows, asked: wins[rows],
        np.zeros(400, int),
        weights,
        np.arange(7)[None] < 2,
        np.zeros(1),
        race.Prior(known, np.array([30.0])),
    )
    effective = 1 / (weights**2).sum()
    final = race.with_prior(weights @ wins, effective, known[0], 30.0)
    assert final[1] > final[0] and left[0, 1]


@pytest.mark.parametrize("k", [0, 100])
def test_the_error_is_that_of_the_posterior(k):
    # Truths around the prior with the variance of one world over k, and 20 worlds of each: how much
    # another move is better on average, if the leader leads by 0.03.
    random = np.random.default_rng(1)
    gaps = np.array([1.0] * 11 + [-1.0] * 9 if k == 0 else [1.0] * 12 + [-1.0] * 8)
    scores = np.zeros((20, 7))
    scores[:, 0], scores[:, 1] = gaps > 0, gaps < 0
    lead = gaps.sum() / (20 + k)
    variance = (np.var(gaps) + 1 / 20) / (20 + k)
    expected = np.maximum(-random.normal(lead, np.sqrt(variance), 400_000), 0).mean()
    share = 20 / (20 + k)
    known = race.Known(np.full(7, 0.5), k, 1000)

    def goes_on(worth):
        weights, left = np.full(20, 1 / 1000), np.arange(7) < 2
        return race.drop(scores, weights, left, worth, known)[1]

    gain = expected * share / 40
    assert goes_on(0.95 * gain) and not goes_on(1.05 * gain)


@pytest.mark.parametrize("seed", range(4))
def test_at_no_price_the_choice_is_that_of_all_worlds_and_the_prior(seed):
    chances, known = np.random.default_rng(seed).random((2, 7))
    wins = (np.random.default_rng(seed).random((400, 7)) < chances).astype(float)
    _, left = race.run(
        lambda rows, asked: wins[rows],
        np.zeros(400, int),
        np.full(400, 1 / 400),
        np.ones((1, 7), bool),
        np.zeros(1),
        race.Prior(known[None], np.array([150.0])),
    )
    final = (400 * wins.mean(0) + 150 * known) / 550
    assert left[0, final.argmax()]
    assert (final[~left[0]] < final.max()).all()


def test_the_expected_cost_is_that_of_the_normal_distribution():
    draws = np.random.default_rng(0).normal(0.05, 0.1, 200_000)
    assert race.opportunity_cost(0.05, 0.1) == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.02)


@pytest.fixture(scope="module")
def full_net():
    return net_of_seed(5)


@pytest.fixture(scope="module")
def net(full_net):
    return network.scorer(full_net)


@pytest.fixture(scope="module")
def states():
    return positions(N, [12, 14, 16], seed=3)


@pytest.mark.parametrize("blend", [None, 0.5, 1.0])
def test_results_are_means_over_the_judged_worlds(states, net, blend):
    keys, policy = raw_keys(N), None if blend is None else Policies(net, net)
    how = dataclasses.replace(ADAPTIVE, blend=blend or 0.0)
    nets = Nets(inference.Models(net, net), policy)
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
        means = weighted._means(wins, found.worlds, ~np.isnan(scores))
        np.testing.assert_allclose(found.exact.wins, means, atol=1e-9)
    assert (found.exact is None) == (share == 1)
    assert (found.rollouts is None) == (share == 0)
    slots = found.best_slots(how)
    assert legal[np.arange(N), slots].all()


@pytest.mark.parametrize("prior", [0, 50])
def test_a_race_does_not_depend_on_the_batch(states, net, full_net, prior):
    nets = Nets(inference.Models(net, net), Policies(net, net), network.values_alone(full_net))
    keys, how = raw_keys(N), dataclasses.replace(ADAPTIVE, prior=prior)
    all_of_them = weighted.values(states, keys, nets, (WORLDS, how))
    rows = [5, 2]
    some = weighted.values(
        type(states)(*(field[rows] for field in states)), keys[rows], nets, (WORLDS, how)
    )
    np.testing.assert_array_equal(some.scores(how), all_of_them.scores(how)[rows])
    np.testing.assert_array_equal(some.best_slots(how), all_of_them.best_slots(how)[rows])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("price=0.1", "price: expected adaptive with it, as in adaptive=4"),
        ("adaptive=4,points=0.02", "adaptive=4: not with points=0.02; expected points=0"),
        ("adaptive=0", "adaptive: expected .*1"),
        ("rollouts=small,prior=9,points=0.02", "prior=9: not with points=0.02; expected points=0"),
        ("rollouts=small,prior=9,criterion=make", "prior: not with criterion=make"),
        ("prior=9", "prior: expected rollouts with it"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        players.make(f"eq:n=5,{options}")
