"""The small network's rules, likelihoods and rollouts, against the game and plain Python."""

import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from tests.support.small import net_of_seed, outputs_in_python
from zebjax import solver, tiles
from zebjax.players import exact
from zebjax.small import batch, network, policy, rules

TEMPERATURE, FLOOR = 0.1, 0.05


@pytest.fixture(scope="module")
def net():
    return net_of_seed(0)


@pytest.fixture(scope="module")
def states():
    return positions(150, np.arange(150) % 28)


@pytest.fixture(scope="module")
def rolled(net, states):
    seeds = batch.seeds_of(raw_keys(150), 1)
    policies = batch.Policies(network.scorer(net), network.scorer(net))
    return batch.rollouts(policies, batch.read(states), seeds, 0.1)


def test_legal_moves_are_those_of_the_game(states, rolled):
    legal = exact.legal_slots(states, raw_keys(150))
    np.testing.assert_array_equal(rolled >= 0, legal)


def test_moves_that_are_not_asked_for_change_nothing_for_the_others(net, states, rolled):
    asked = np.random.default_rng(1).random((150, 7)) < 0.4
    seeds = batch.seeds_of(raw_keys(150), 1)
    policies = batch.Policies(network.scorer(net), network.scorer(net))
    some = batch.rollouts(policies, batch.read(states), seeds, 0.1, asked=asked)
    np.testing.assert_array_equal(some, np.where(asked, rolled, -1))


def test_each_team_of_a_rollout_plays_by_its_policy(net, states):
    """Greedy rollouts, played again ply by ply."""
    own, others = network.scorer(net), network.scorer(net_of_seed(4, hidden=16, move=12))
    games, n_both = batch.read(states), 0
    seeds = np.zeros(150, np.uint64)
    found = batch.rollouts(batch.Policies(own, others), games, seeds, 0.0)
    alone = batch.rollouts(batch.Policies(own, own), games, seeds, 0.0)
    for number in range(0, 150, 3):
        ranks = rules.RANKS[games.declaration[number]]
        for slot in np.flatnonzero(found[number] >= 0):
            row = np.zeros(rules.SIZE, np.int64)
            rules.start(row, games.hands[number], games.declaration[number], games.leader[number])
            for tile in games.history[number, : games.ply[number]]:
                rules.play(row, ranks[tile])
            me = int(rules.mover(row))
            rules.play(row, ranks[games.hands[number, me, slot]])
            while row[rules.PLY] < 28:
                mine = (rules.mover(row) - me) % 2 == 0
                scratch = network.new_scratch(own if mine else others)
                policy.evaluate(own if mine else others, row, scratch)
                rules.play(row, policy.best(scratch.out, rules.legal_tiles(row)))
            assert found[number, slot] == row[rules.POINTS + me % 2]
            n_both += found[number, slot] != alone[number, slot]
    assert n_both > 5


def test_where_every_move_is_forced_a_rollout_is_the_solution(states, rolled):
    rows = np.flatnonzero(states.ply >= 24)
    assert len(rows) > 10
    points = solver.solve(states)[rows] + exact.mover_points(states)[rows, None]
    np.testing.assert_array_equal(rolled[rows], np.nan_to_num(points, nan=-1))


def test_a_rollout_is_never_better_than_all_points(rolled):
    assert rolled.max() <= tiles.TOTAL_POINTS and len(np.unique(rolled)) > 10


def scores_in_python(net, row):
    """Outputs for the seat to move, without the compiled layers; and its legal ranks."""
    both = outputs_in_python(net, row).reshape(2, 28)
    legal = int(rules.legal_tiles(row))
    score = network.VALUE_WEIGHT * both[0] + network.POINTS_WEIGHT * both[1]
    return score.astype(np.float64), [rank for rank in range(28) if legal >> rank & 1]


def log_likelihood_in_python(net, state, hands, me, own_too=False, best_before=0, opening=None):
    """Sums over the past plays of the others, in one world: partner, opponents; log P(play), and
    -log(legal tiles). Before the ply `best_before` the best tile is played, but for 1 %: that of
    `opening` or, for None, of `net`."""
    row, total = np.zeros(rules.SIZE, np.int64), np.zeros(4)
    rules.start(row, hands, state.declaration, state.leader)
    for tile in state.history[: state.ply]:
        rank = rules.RANKS[state.declaration, tile]
        plays = net if opening is None or row[rules.PLY] >= best_before else opening
        score, legal = scores_in_python(plays, row)
        assert rank in legal
        if len(legal) > 1 and (own_too or rules.mover(row) != me):
            share = np.exp((score[legal] - score[legal].max()) / TEMPERATURE)
            share, floor = (share / share.sum())[legal.index(rank)], FLOOR
            if row[rules.PLY] < best_before:
                share, floor = float(rank == legal[int(score[legal].argmax())]), 0.01
            group = 0 if (rules.mover(row) - me) % 2 == 0 else 1
            total[group] += np.log((1 - floor) * share + floor / len(legal))
            total[2 + group] -= np.log(len(legal))
        rules.play(row, rank)
    return total


@pytest.fixture(scope="module")
def judged(net):
    """Positions, three worlds of each, their likelihoods."""
    states = positions(8, [3, 6, 9, 12, 15, 18, 21, 25], seed=4)
    hands, real = exact.sample_or_all(states, raw_keys(8), 3)
    hands, counts = np.asarray(hands), np.asarray(real).sum(-1)
    found = batch.log_likelihoods(
        network.scorer(net), batch.read(states), hands, counts, batch.Manner(TEMPERATURE, FLOOR)
    )
    return states, hands, counts, found


def one_of(states, number):
    return type(states)(*(np.asarray(field)[number] for field in states))


def mover(state):
    return int((state.trick_leaders[state.ply // 4] + state.ply % 4) % 4)


def test_a_likelihood_is_the_product_over_the_plays_of_the_others(net, judged):
    states, hands, counts, found = judged
    differs = 0.0
    for number in range(8):
        state = one_of(states, number)
        me = mover(state)
        for world in range(counts[number]):
            expected = log_likelihood_in_python(net, state, hands[number, world], me)
            np.testing.assert_allclose(found[number, world], expected, atol=1e-4)
            with_own = log_likelihood_in_python(net, state, hands[number, world], me, True)
            differs += abs(with_own - expected).max()
        assert (found[number, counts[number] :] == 0).all()
    assert differs > 1  # the mover's own plays would have counted


def test_seats_that_are_not_asked_for_are_not_judged(net, judged):
    states, hands, counts, every = judged
    for seats, group in ((0b010, 0), (0b101, 1)):
        manner = batch.Manner(TEMPERATURE, FLOOR, seats=seats)
        scores = network.scorer(net)
        found = batch.log_likelihoods(scores, batch.read(states), hands, counts, manner)
        np.testing.assert_array_equal(found[..., group::2], every[..., group::2])
        assert (found[..., 1 - group :: 2] == 0).all()


@pytest.mark.parametrize("other", [None, 9])
def test_a_partner_of_the_movers_kind_has_played_the_best_tiles_of_the_opening(net, judged, other):
    states, hands, counts, by_model = judged
    manner, differs = batch.Manner(TEMPERATURE, FLOOR, opening_plies=6, p_alike=0.75), 0.0
    plays_first = net if other is None else net_of_seed(other)
    found = batch.log_likelihoods(
        network.scorer(net),
        batch.read(states),
        hands,
        counts,
        manner,
        opening=None if other is None else network.scorer(plays_first),
    )
    np.testing.assert_array_equal(found[..., 1:], by_model[..., 1:])  # all but the partner's
    for number in range(8):
        state = one_of(states, number)
        me = mover(state)
        for world in range(counts[number]):
            alike = log_likelihood_in_python(
                net, state, hands[number, world], me, best_before=6, opening=plays_first
            )
            shares = 0.25 * np.exp(by_model[number, world, 0]) + 0.75 * np.exp(alike[0])
            np.testing.assert_allclose(found[number, world, 0], np.log(shares), atol=1e-4)
            differs = max(differs, abs(found[number, world, 0] - by_model[number, world, 0]))
    assert differs > 0.1


def test_what_a_seat_played_depends_on_its_own_hand_alone(net):
    states = positions(8, [9, 11, 13, 15, 17, 19, 21, 22], seed=4)
    hands, real = exact.sample_or_all(states, raw_keys(8), 40)
    hands, counts = np.asarray(hands), np.asarray(real).sum(-1)
    found = batch.log_likelihoods(
        network.scorer(net), batch.read(states), hands, counts, batch.Manner(TEMPERATURE, FLOOR)
    )
    n_shared = 0
    for number in range(8):
        partner, by_hand = (mover(one_of(states, number)) + 2) % 4, {}
        for world in range(counts[number]):
            hand = frozenset(hands[number, world, partner].tolist())
            n_shared += hand in by_hand
            numbers = found[number, world, [0, 2]].tolist()
            assert by_hand.setdefault(hand, numbers) == numbers
    assert n_shared > 50


def test_hidden_hands_are_not_read(net, judged):
    states, hands, counts, found = judged
    other = states._replace(hands=hands[:, 0])
    again = batch.log_likelihoods(
        network.scorer(net), batch.read(other), hands, counts, batch.Manner(TEMPERATURE, FLOOR)
    )
    np.testing.assert_array_equal(again, found)


def test_under_a_uniform_policy_a_play_counts_by_the_choice_that_its_seat_had(judged):
    """The principle of restricted choice: fewer legal tiles make the tile played more likely."""
    states, hands, counts, _ = judged
    blank = network.Net(*(np.zeros_like(field) for field in net_of_seed(1)))
    found = batch.log_likelihoods(
        network.scorer(blank), batch.read(states), hands, counts, batch.Manner(TEMPERATURE, FLOOR)
    )
    for number in range(8):
        state = one_of(states, number)
        me = mover(state)
        for world in range(counts[number]):
            row, total = np.zeros(rules.SIZE, np.int64), 0.0
            rules.start(row, hands[number, world], state.declaration, state.leader)
            for tile in state.history[: state.ply]:
                n = bin(int(rules.legal_tiles(row))).count("1")
                total -= np.log(n) if rules.mover(row) != me else 0
                rules.play(row, rules.RANKS[state.declaration, tile])
            assert found[number, world, :2].sum() == pytest.approx(total, abs=1e-9)
            assert found[number, world, 2:].sum() == pytest.approx(total, abs=1e-9)


def test_the_floor_bounds_how_unlikely_the_true_world_can_be(states):
    sure = net_of_seed(2, spread=30.0)  # a policy that is certain of every move, and wrong
    found = batch.log_likelihoods(
        network.scorer(sure),
        batch.read(states),
        states.hands[:, None],
        np.ones(150, int),
        batch.Manner(TEMPERATURE, FLOOR),
    )[:, 0, :2].sum(-1)
    plays = states.ply - states.ply // 4  # at most those of the three others
    assert (found >= plays * np.log(FLOOR / 7) - 1e-9).all() and found.min() < -10
    assert np.isfinite(found).all()
