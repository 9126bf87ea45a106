"""E[Q] over weighted worlds and with rollouts: weights, sums, and what the options mean."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from tests.support.small import net_of_seed
from zebjax import players, solver, tiles, worlds
from zebjax.contract import Contract
from zebjax.players import base, exact, inference, networks, results, weighted
from zebjax.players.inference import Settings
from zebjax.players.spec import MAX_OPENING_TRICKS
from zebjax.small import batch, network, policy, storage

N = 12
ALL = Settings(n=400, candidates=400, temperature=0.1)  # takes every world of the endings below
FEW = Settings(n=20, candidates=400, temperature=0.1)
POINTS = results.Settings(points=0.02)
WINS = results.Settings()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("weighted") / "net.safetensors"
    storage.save(file, net_of_seed(5), {})
    return file


@pytest.fixture(scope="module")
def net(path):
    return network.scorer(storage.load(path))


@pytest.fixture(scope="module")
def models(net):
    return inference.Models(net, net)


@pytest.fixture(scope="module")
def policies(net):
    return batch.Policies(net, net)


@pytest.fixture(scope="module")
def endings():
    """Positions with at most 400 worlds."""
    states = positions(60, [17, 18, 19, 20, 21, 22], seed=7)
    real = np.asarray(exact.sample_or_all(states, raw_keys(60), 401)[1])
    rows = np.flatnonzero((real.sum(-1) <= 400) & (real.sum(-1) > 20))[:N]
    assert len(rows) == N
    return type(states)(*(field[rows] for field in states))


@pytest.fixture(scope="module")
def judged(endings, policies, models):
    return weighted.values(endings, raw_keys(N), (models, policies), (ALL, POINTS))


def test_a_player_judges_as_it_chooses_and_knows_p_win(endings, path):
    plain = players.make(f"eq:n=20,belief={path},rollouts={path}")
    found = plain.judge(endings, raw_keys(N))
    np.testing.assert_array_equal(found.slots, plain.choose(endings, raw_keys(N)))
    np.testing.assert_array_equal(found.p_win, plain.p_win(endings, raw_keys(N)))
    np.testing.assert_array_equal(np.isnan(found.points), np.isnan(found.p_win))
    exactly = players.make(f"eq:n=20,belief={path}").judge(endings, raw_keys(N))
    assert np.isnan(exactly.points).all() and np.nanmax(exactly.p_win) <= 1 + 1e-9
    for options in ("adaptive=2", "points=0.02", "criterion=make"):
        assert players.make(f"eq:n=20,belief={path},{options}").judge is None


def test_few_worlds_are_all_taken_with_the_weights_of_bayes(endings, net, judged):
    hands, real = (np.asarray(x) for x in exact.sample_or_all(endings, raw_keys(N), 400))
    how = batch.Manner(ALL.temperature, ALL.floor)
    logs = batch.log_likelihoods(net, batch.read(endings), hands, real.sum(-1), how)
    different = False
    for row in range(N):
        n = real[row].sum()
        likelihoods = np.exp(logs[row, :n])  # partner, opponents; by the model, at random
        by_model, at_random = likelihoods[:, :2], likelihoods[:, 2:]
        weights = ((1 - ALL.doubt) * by_model + ALL.doubt * at_random).prod(-1)
        weights /= weights.sum()
        same = type(endings)(*(np.repeat(field[row : row + 1], n, 0) for field in endings))
        same = same._replace(hands=hands[row, :n])
        points = solver.solve(same) + exact.mover_points(same)[:, None]
        legal = ~np.isnan(points[0])
        for found, reached in (
            (judged.exact.wins, points >= 22),
            (judged.exact.points, points),
        ):
            np.testing.assert_allclose(found[row, legal], (weights @ reached)[legal], atol=1e-9)
            assert np.isnan(found[row, ~legal]).all()
        assert judged.worlds.effective[row] == pytest.approx(1 / (weights**2).sum())
        different |= weights.max() > 2 / n
    assert different


def test_all_worlds_without_a_model_is_plain_eq(endings):
    plain = exact.eq_values(endings, raw_keys(N), n=400)
    for how in (POINTS, WINS):
        flat = weighted.values(endings, raw_keys(N), (None, None), (ALL, how))
        np.testing.assert_allclose(flat.exact.wins, plain.p_win, atol=1e-12)
    np.testing.assert_array_equal(flat.worlds.effective.round(6), plain.n_worlds)
    # Equal wins are decided by points, which only the decisions that need them compute.
    wins, points = (np.nan_to_num(x, nan=-1.0) for x in (plain.p_win, plain.mean_points))
    assert (np.isclose(wins, wins.max(-1, keepdims=True)).sum(-1) > 1).any()
    for row, slot in enumerate(flat.best_slots(WINS)):
        best = np.flatnonzero(np.isclose(wins[row], wins[row].max()))
        assert slot == best[points[row, best].argmax()]


def test_a_score_is_wins_and_points_of_both_kinds(judged):
    solved, rolled = judged.exact, judged.rollouts
    assert (np.nan_to_num(solved.wins) != np.nan_to_num(rolled.wins)).any()
    for points, blend in ((0.0, 0.0), (0.02, 0.0), (0.02, 1.0), (0.5, 0.25)):
        expected = (1 - blend) * (solved.wins + points * solved.points) + blend * (
            rolled.wins + points * rolled.points
        )
        scores = judged.scores(dataclasses.replace(WINS, points=points, blend=blend))
        np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_only_what_counts_is_computed(endings, policies, models, judged):
    for blend, name in ((0.0, "exact"), (1.0, "rollouts")):
        how = dataclasses.replace(POINTS, blend=blend)
        values = weighted.values(endings, raw_keys(N), (models, policies), (ALL, how))
        assert values.exact is None or values.rollouts is None
        np.testing.assert_array_equal(getattr(values, name).wins, getattr(judged, name).wins)
        np.testing.assert_array_equal(values.scores(how), judged.scores(how))
        np.testing.assert_array_equal(values.best_slots(how), judged.best_slots(how))


def test_equal_wins_are_decided_by_points_of_rollouts_in_every_trick(judged):
    wins, points = np.full((2, 1, 7), np.nan)
    wins[0, [1, 4, 5]], points[0, [1, 4, 5]] = 1, [30, 35, 35]
    known = results.Results(wins, points)
    for solved in (None, results.Results(wins, None)):
        values = results.Values(solved, known, judged.positions, judged.worlds)
        assert values.best_slots(WINS).tolist() == [4]


@pytest.mark.parametrize("start", [0.0, 0.3, 0.999])
def test_resampling_draws_each_world_by_its_weight(start):
    weights = np.random.default_rng(0).dirichlet(np.full(50, 0.3))
    times = inference.resample(weights, 20, start) * 20
    assert times.sum() == pytest.approx(20)
    assert (times >= np.floor(20 * weights) - 1e-9).all()
    assert (times <= np.ceil(20 * weights) + 1e-9).all()


def test_resampled_worlds_keep_their_weights_on_average(endings, models, judged):
    drawn = [
        weighted.values(endings, raw_keys(N, s), (models, None), (FEW, WINS)) for s in range(30)
    ]
    wins = np.mean([values.exact.wins for values in drawn], 0)
    error = np.nanmax(np.abs(wins - judged.exact.wins))
    assert error < 0.15  # 5 standard errors of 600 draws at most


def test_rollouts_of_a_decision_do_not_depend_on_its_batch(endings, policies, models):
    keys = raw_keys(N)
    both = weighted.values(endings, keys, (models, policies), (FEW, WINS))
    rows = [7, 2]
    some = type(endings)(*(field[rows] for field in endings))
    again = weighted.values(some, keys[rows], (models, policies), (FEW, WINS), threads=1)
    np.testing.assert_array_equal(again.exact.wins, both.exact.wins[rows])
    np.testing.assert_array_equal(again.rollouts.points, both.rollouts.points[rows])
    np.testing.assert_array_equal(again.best_slots(WINS), both.best_slots(WINS)[rows])


def test_with_a_contract_a_result_is_making_or_setting_it(endings, policies, models, judged):
    need = np.resize(np.arange(1, 43), N)
    values = weighted.values(endings, raw_keys(N), (models, policies), (ALL, WINS), need=need)
    makes = solver.at_least(judged.positions, need[judged.worlds.decision])
    legal = ~np.isnan(judged.exact.wins)
    made = results.weighted_means(makes, judged.worlds, legal)
    np.testing.assert_allclose(values.exact.wins, made, atol=1e-9)
    np.testing.assert_array_equal(values.rollouts.points, judged.rollouts.points)
    assert (values.rollouts.wins[need <= 15] >= judged.rollouts.wins[need <= 15])[
        legal[need <= 15]
    ].all()
    assert (values.exact.wins != judged.exact.wins)[legal].any()


def test_a_player_with_a_belief_makes_and_sets(endings, path):
    spec = f"eq:n=20,belief={path},rollouts={path}"
    makes, wins = players.make(f"{spec},criterion=make"), players.make(spec)
    assert makes.identity == f"{wins.identity},make" and wins.choose_in_contract is None
    with pytest.raises(ValueError, match="plays games with a contract") as refused:
        makes.choose(endings, raw_keys(N))
    # The player as it was written, and a criterion that goes with a belief.
    assert str(refused.value).startswith(f"player {makes.spec!r}: criterion=make plays ")
    assert str(refused.value).endswith("; expected criterion=win")
    # A bid of 22 is the game without a contract for the bidder's team.
    bidder = base.movers(endings).astype(np.int8)
    easy = Contract(bidder, endings.declaration, np.full(N, 22, np.int8), np.ones(N, np.int8))
    keys = raw_keys(N)
    slots = makes.choose_in_contract(endings, easy, keys)
    np.testing.assert_array_equal(slots, wins.choose(endings, keys))
    others = [
        makes.choose_in_contract(endings, easy._replace(bid=easy.bid + n), keys)
        for n in (8, 14, 20)
    ]
    assert (np.array(others) != slots).any()


def test_the_opponents_in_rollouts_play_another_network(endings, path, net, models, tmp_path):
    other = net_of_seed(9, spread=3)
    storage.save(tmp_path / "other.safetensors", other, {})
    keys, theirs = raw_keys(N), network.scorer(storage.load(tmp_path / "other.safetensors"))
    spec = f"eq:n=20,candidates=400,temperature=0.1,belief={path},rollouts={path},blend=1"
    same, mixed = (
        players.make(f"{spec},opponents={opponents}")
        for opponents in (path, tmp_path / "other.safetensors")
    )
    assert same.identity == players.make(spec).identity != mixed.identity
    found = weighted.values(
        endings, keys, (models, batch.Policies(net, theirs)), (FEW, results.Settings(blend=1.0))
    )
    np.testing.assert_array_equal(mixed.p_win(endings, keys), found.rollouts.wins)
    assert (mixed.p_win(endings, keys) != same.p_win(endings, keys))[
        ~np.isnan(found.rollouts.wins)
    ].any()
    with pytest.raises(ValueError, match="opponents: expected rollouts with it"):
        players.make(f"eq:n=20,belief={path},opponents={path}")


def test_the_opening_is_played_by_the_network_and_the_rest_is_not(path):
    # Plies on both sides of the end of the second trick; more of them early, where few are solved.
    states, keys = positions(24, [0, 3, 4, 7, 7, 8, 9, 12], seed=3), raw_keys(24)
    player, opens = (
        players.make(f"eq:n=10,points=0.01{option}") for option in ("", f",opening={path}")
    )
    slots, early = opens.choose(states, keys), np.asarray(states.ply) < 8
    by_net = players.make(f"small:{path}").choose(states, keys)
    searched = player.choose(states, keys)
    np.testing.assert_array_equal(slots, np.where(early, by_net, searched))
    assert (by_net != searched)[early].any() and (by_net != searched)[~early].any()
    one = players.make(f"eq:n=10,points=0.01,opening={path},opening_tricks=1").choose(states, keys)
    np.testing.assert_array_equal(one, np.where(states.ply < 4, by_net, searched))
    assert opens.p_win is None and MAX_OPENING_TRICKS == tiles.N_TRICKS - 1
    makes = players.make(f"eq:n=10,points=0.01,opening={path},criterion=make")
    bidder = base.movers(states).astype(np.int8)
    bids = Contract(bidder, states.declaration, np.full(24, 22, np.int8), np.ones(24, np.int8))
    np.testing.assert_array_equal(makes.choose_in_contract(states, bids, keys), slots)


def test_p_win_is_the_blended_share_of_wins(endings, path, policies, models):
    made = players.make(f"eq:n=20,belief={path},rollouts={path}")
    how = inference.settings_of(20, None, True, {})
    found = weighted.values(endings, raw_keys(N), (models, policies), (how, WINS))
    expected = (found.exact.wins + found.rollouts.wins) / 2
    p_win = made.p_win(endings, raw_keys(N))
    np.testing.assert_allclose(p_win, expected, atol=1e-12)
    # The same worlds and rollouts as in its choice.
    chosen = made.choose(endings, raw_keys(N))
    np.testing.assert_allclose(p_win[np.arange(N), chosen], np.nanmax(p_win, 1), atol=1e-9)
    for option in ("adaptive=4", "points=0.02", "criterion=make"):
        assert players.make(f"eq:n=20,belief={path},{option}").p_win is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("floor=0.1", "floor: expected belief with it, as in belief=small"),
        ("partner=PATH", "partner: expected belief with it, as in belief=small"),
        ("alike=0,opening=PATH", "alike: expected belief with it, as in belief=small"),
        ("alike=0,belief=PATH", "alike: expected opening with it, as in opening=small"),
        ("blend=0.1", "blend: expected rollouts with it, as in rollouts=small"),
        ("belief=PATH,criterion=points", "criterion=points: not with belief; expected points=1"),
        ("belief=PATH,candidates=50", "candidates: expected at least n, 100, got 50"),
        (
            "belief=",
            "belief: expected `small`, `imitator`, the path of a network, or zeb:PATH, got ''",
        ),
        ("rollouts=/no/such", "/no/such: cannot be read"),
        ("rollouts=small,opponents=/no/such", "/no/such: cannot be read"),
        ("opening=small,n_trick1=20", "n_trick1: not with opening, which plays the first trick"),
        ("opening_tricks=1", "opening_tricks: expected opening with it, as in opening=small"),
        ("opening=small,opening_tricks=7", "opening_tricks: expected a whole number from 1 to 6"),
        ("rollouts=small,opponents=", "opponents: expected `small`, `imitator`"),
    ],
)
def test_options_that_do_not_fit_are_refused(path, options, message):
    with pytest.raises(ValueError, match=message):
        players.make(f"eq:{options.replace('PATH', str(path))}")


def test_the_identity_is_that_of_the_networks_and_settings(path, tmp_path):
    def identity(options):
        return players.make(f"eq:n=5,{options}").identity

    storage.save(tmp_path / "same", storage.load(path), {"round": "9"})
    storage.save(tmp_path / "other", net_of_seed(6), {})
    known = identity(f"belief={path}")
    assert known == identity(f"belief={tmp_path / 'same'},floor=0.1,criterion=win")
    others = [
        identity(options)
        for options in (
            f"belief={tmp_path / 'other'}",
            f"belief={path},power=0.5",
            f"belief={path},doubt=0.5",
            f"belief={path},partner={tmp_path / 'other'}",
            f"belief={path},rollouts={path}",
            f"rollouts={path}",
            f"belief={path},opening={path}",
            f"belief={path},opening={tmp_path / 'other'}",
            f"belief={path},opening={path},opening_tricks=1",
            f"belief={path},opening={path},alike=0",
            "points=0.02",
        )
    ]
    assert len({known, *others}) == 12
    assert identity(f"belief={path},opening={path},alike=0.75") in others
    same_opening = f"belief={path},opening={tmp_path / 'same'}"
    assert identity(same_opening) == identity(f"belief={path},opening={path}")


def test_the_opening_of_the_partner_is_known(path, tmp_path):
    storage.save(tmp_path / "other", net_of_seed(6), {})

    def opening_of(**paths):
        return networks.Networks(**{name: str(value) for name, value in paths.items()})

    known = opening_of(belief=path, opening=path)
    assert known.load().models.opening_plies == 8
    assert dataclasses.replace(known, opening_tricks=1).load().models.opening_plies == 4
    for models in (
        dataclasses.replace(known, partner=str(tmp_path / "other")).load().models,
        opening_of(belief=tmp_path / "other", opening=path).load().models,
    ):  # whatever the model of its other plays is
        assert models.opening_plies == 8
        np.testing.assert_array_equal(models.opening.first, storage.load(path).first)
    without = opening_of(belief=path).load().models
    assert without.opening is None and without.opening_plies == 0


def test_holders_are_the_sums_of_the_worlds_that_give_them_the_tile(endings, models):
    keys = raw_keys(N)
    flat = inference.worlds_of(endings, keys, None, ALL)
    exactly = np.asarray(jax.jit(jax.vmap(worlds.marginals))(endings))
    np.testing.assert_allclose(inference.holders(endings, flat), exactly, atol=1e-6)
    read = inference.holders(endings, inference.worlds_of(endings, keys, models, ALL))
    np.testing.assert_allclose(read.sum(-1), exactly.sum(-1), atol=1e-6)
    assert np.abs(read - exactly).max() > 0.05


def test_a_team_that_plays_unlike_the_model_in_every_world_tells_nothing():
    # Four worlds. The partner plays as the model expects in the last; the opponents' plays are
    # unlikely in each, least so in the first.
    model = np.log([[0.1, 1e-9], [0.1, 1e-12], [0.1, 1e-12], [0.8, 1e-12]])
    logs = np.concatenate([model, np.log(np.full((4, 2), 1e-5))], -1)
    naive = inference.weigh(inference.log_evidence(logs, 1.0, 0.0)[None], np.ones((1, 4), bool))[0]
    weights = inference.weigh(inference.log_evidence(logs, 1.0, 0.1)[None], np.ones((1, 4), bool))[
        0
    ]
    assert naive[0] > 0.9
    np.testing.assert_allclose(weights, np.array([1, 1, 1, 8]) / 11, atol=0.01)


def test_each_group_of_seats_has_its_own_model(endings, models):
    other = network.scorer(net_of_seed(6))
    keys = raw_keys(N)
    both = inference.worlds_of(endings, keys, models, ALL)
    mixed = inference.worlds_of(endings, keys, inference.Models(other, models.opponents), ALL)
    sure = dataclasses.replace(ALL, doubt=0.0)
    of_both = [
        inference.worlds_of(endings, keys, made, sure).weights
        for made in (
            models,
            inference.Models(other, other),
            inference.Models(other, models.opponents),
            inference.Models(models.partner, other),
        )
    ]
    assert np.abs(both.weights - mixed.weights).max() > 0.01
    # Without doubt the evidence is a product over seats.
    a, b, c, d = (np.log(weights) for weights in of_both)
    difference = a + b - c - d
    for row in range(N):
        rows = both.decision == row
        np.testing.assert_allclose(difference[rows], difference[rows][0], atol=1e-3)


def test_only_the_partner_is_taken_for_a_player_of_the_same_kind(endings, net):
    other, keys = network.scorer(net_of_seed(6)), raw_keys(N)
    sure = dataclasses.replace(ALL, doubt=0.0)
    games = batch.read(endings)
    for opponents, opening in ((net, net), (other, net), (other, network.scorer(net_of_seed(7)))):
        models = inference.Models(net, opponents, opening, 8)
        found = inference.candidates_of(endings, keys, models, sure)
        hands, real = inference._draw(endings, keys, sure.candidates)
        counts = real.sum(-1)
        alike = batch.Manner(sure.temperature, sure.floor, 8, sure.alike)
        logs = batch.log_likelihoods(net, games, hands, counts, alike, opening=opening)[..., 0]
        plain = batch.Manner(sure.temperature, sure.floor)
        logs += batch.log_likelihoods(opponents, games, hands, counts, plain)[..., 1]
        expected = inference.weigh(logs, real)
        for row in range(N):
            weights = found.weights[found.decision == row]
            np.testing.assert_allclose(weights, expected[row, : counts[row]], atol=1e-9)


def test_without_players_of_the_same_kind_the_opening_says_nothing(endings, net):
    keys, never = raw_keys(N), dataclasses.replace(ALL, alike=0.0)
    known = inference.Models(net, net, network.scorer(net_of_seed(7)), 8)
    found = inference.worlds_of(endings, keys, known, never)
    plain = inference.worlds_of(endings, keys, inference.Models(net, net), ALL)
    np.testing.assert_array_equal(found.weights, plain.weights)
    assert (inference.worlds_of(endings, keys, known, ALL).weights != plain.weights).any()


def test_candidates_grow_until_enough_have_weight(endings, models):
    # 20 uniform worlds have fewer than 20 effective ones; 16 * 20 have enough, or are all.
    small = Settings(n=20, candidates=20, temperature=0.1)
    inference.prepare(small)
    programs = exact.sample_or_all._cache_size()
    found = inference.worlds_of(endings, raw_keys(N), models, small)
    assert exact.sample_or_all._cache_size() == programs  # all were there
    all_worlds = inference.worlds_of(endings, raw_keys(N), models, ALL)
    assert (found.effective >= np.minimum(20, 0.5 * all_worlds.effective)).all()
    assert (found.effective > 19).sum() > N / 3


def test_worlds_that_are_all_impossible_are_equal():
    never = np.full((3, 4), -np.inf)
    assert inference.log_evidence(never, 0.0, 0.0).tolist() == [0, 0, 0]
    evidence = inference.log_evidence(never, 1.0, 0.0)
    weights = inference.weigh(evidence[None], np.array([[True, True, False]]))
    assert weights.tolist() == [[0.5, 0.5, 0.0]]


def test_nothing_is_drawn_for_no_decision(endings, models):
    none = type(endings)(*(field[:0] for field in endings))
    assert len(inference.worlds_of(none, raw_keys(0), models, ALL).weights) == 0


def test_no_two_worlds_share_random_numbers():
    seeds = batch.split(np.zeros(50, np.uint64), np.arange(50))
    streams = [[policy.uniform(seed) for _ in range(100)] for seed in seeds[:, None].copy()]
    assert len(np.unique(streams)) == 50 * 100
    assert abs(np.mean(streams) - 0.5) < 0.02
