"""Belief: scores of known distributions, the marginal, intervals over deals, and the command."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from tests.support import playouts
from tests.support.playouts import raw_keys
from tests.support.small import net_of_seed
from zebjax import belief as belief_command
from zebjax import network, observe, players, worlds
from zebjax.common import files
from zebjax.evaluation import belief, intervals
from zebjax.players import base, inference
from zebjax.small.network import scorer

TINY = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)


def test_scores_of_known_distributions():
    owner = np.array([0, 1, 2, 2])
    sure = np.eye(3)[owner]
    assert belief.score(sure, owner) == belief.Score(1.0, 0.0, 0.0, 0.0)
    nothing = np.full((4, 3), 1 / 3)
    known = belief.score(nothing, owner)
    assert known.accuracy == pytest.approx(1 / 3)  # ties share the credit
    assert known.cross_entropy == pytest.approx(np.log(3)) and known.brier == pytest.approx(2 / 3)
    assert known.calibration_error == pytest.approx(0)
    wrong = belief.score(np.tile([0.9, 0.1, 0.0], (4, 1)), owner)
    assert wrong.accuracy == 0.25 and wrong.calibration_error == pytest.approx(0.65)
    assert wrong.brier == pytest.approx((0.02 + (0.81 + 0.81) + 2 * (0.81 + 0.01 + 1)) / 4)


def test_calibration_error_is_seen_within_bins_only():
    """Confidence 0.75 and right three times in four: calibrated, however the errors fall."""
    probabilities = np.tile([0.75, 0.25, 0.0], (400, 1))
    owner = (np.arange(400) % 4 == 0).astype(int)
    assert belief.score(probabilities, owner).calibration_error == pytest.approx(0)


def test_clustered_interval_covers_and_widens_with_dependence():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(50), 20)
    covered = 0
    for _ in range(400):
        values = rng.normal(0, 1, 50)[cluster] + rng.normal(0, 1, 1000)
        _, (low, high) = intervals.clustered_mean(values, cluster)
        covered += low <= 0 <= high
    assert 0.91 <= covered / 400 <= 0.98
    assert high - low > 2 * np.diff(intervals.clustered_mean(values, np.arange(1000))[1])[0]
    assert intervals.clustered_mean(np.array([1.0, 3.0]), np.array([7, 7])) == (2.0, None)


@pytest.fixture(scope="module")
def positions():
    """Decisions of 60 deals played at random."""
    return belief.positions_of(players.random(), jax.random.key(0), 0, 60)


@pytest.fixture(scope="module")
def judged(positions):
    return belief.predict(TINY, network.init(TINY, jax.random.key(1)), positions)


def test_tiles_are_the_hidden_ones_with_their_true_owners(positions, judged):
    seen_once = np.concatenate([positions.hands.reshape(-1, 28), positions.ply[:, None]], 1)
    assert len(np.unique(seen_once, axis=0)) == len(seen_once)
    hidden = np.asarray(jax.vmap(observe.hidden_tiles)(positions))
    owner = np.asarray(jax.vmap(observe.belief_targets)(positions)[0])
    marginal = np.asarray(jax.vmap(worlds.marginals)(positions))
    assert len(judged.owner) == hidden.sum() > 5000
    np.testing.assert_array_equal(judged.owner, owner[hidden])
    np.testing.assert_allclose(judged.marginal, marginal[hidden], atol=1e-6)
    np.testing.assert_allclose(judged.network.sum(-1), 1, atol=1e-5)
    assert len(np.unique(judged.deal)) == 60
    assert (
        judged.marginal[np.arange(len(judged.owner)), judged.owner] > 0
    ).all()  # the truth is always possible


def test_the_marginal_of_random_play_is_calibrated_and_beats_an_untrained_network(judged):
    """In random play all worlds that fit the voids are nearly equally likely, so the marginal is
    the truth."""
    results = belief.by_trick(judged)
    everything = results["all"]
    assert everything.marginal.calibration_error < 0.03
    assert everything.marginal.cross_entropy < min(np.log(3), everything.network.cross_entropy)
    assert everything.gain == pytest.approx(
        everything.marginal.cross_entropy - everything.network.cross_entropy
    )
    assert everything.gain_ci95[0] < everything.gain < everything.gain_ci95[1] < 0
    assert sum(
        result.n_tiles for trick, result in results.items() if trick != "all" and result
    ) == len(judged.owner)
    assert (
        results["6"].marginal.cross_entropy < results["1"].marginal.cross_entropy
    )  # voids tell more and more


def test_a_head_that_says_nothing_on_the_marginal_is_the_marginal(positions):
    config = dataclasses.replace(TINY, belief_prior="marginal")
    params = network.init(config, jax.random.key(1))
    params["belief_out"] = jax.tree.map(np.zeros_like, params["belief_out"])
    judged = belief.predict(config, params, positions)
    np.testing.assert_allclose(judged.network, judged.marginal, atol=1e-5)


def test_a_network_without_belief_head_is_refused(positions):
    config = dataclasses.replace(TINY, belief_head=False)
    with pytest.raises(ValueError, match="no belief head"):
        belief.predict(config, network.init(config, jax.random.key(0)), positions)


def test_command(tmp_path, capsys):
    for name, config in (("with", TINY), ("without", dataclasses.replace(TINY, belief_head=False))):
        with files.new_folder(tmp_path / name) as folder:
            network.save(folder, config, network.init(config, jax.random.key(1)))
    picture = tmp_path / "belief.png"
    arguments = [str(tmp_path / "with"), "--deals", "3", "--by", "random"]
    assert belief_command.main([*arguments, "--json", "--plot", str(picture)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["by_trick"]["all"]["n_tiles"] > 300 and result["deals"] == 3
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert belief_command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "marginal" in printed and "Effective number" not in printed
    assert belief_command.main(["small", "--deals", "2", "--by", "random"]) == 0
    assert re.search(r"hidden tiles: \d+; by trick( \d+){6}\. ", capsys.readouterr().out)
    assert belief_command.main([str(tmp_path / "without"), "--deals", "3"]) == 2
    assert "no belief head" in capsys.readouterr().err
    assert belief_command.main([str(tmp_path / "nowhere")]) == 2
    assert "no network here" in capsys.readouterr().err


def test_worlds_weighted_by_plays_are_judged_on_the_same_tiles(positions, judged):
    some = base.gather(positions, np.arange(0, len(positions.ply), 40))
    net, keys = scorer(net_of_seed(1)), raw_keys(len(some.ply))
    found = belief.predict_by_plays(net, some, keys, inference.Settings(candidates=50, n=1))
    plain = belief.predict_by_plays(
        net, some, keys, inference.Settings(candidates=50, n=1, power=0.0)
    )
    counted = belief.predict(TINY, network.init(TINY, jax.random.key(1)), some)
    np.testing.assert_array_equal(found.owner, counted.owner)
    np.testing.assert_array_equal(found.marginal, counted.marginal)
    np.testing.assert_allclose(found.network.sum(-1), 1, atol=1e-5)
    assert found.network[counted.marginal > 0].min() > 0
    np.testing.assert_allclose(plain.network, plain.marginal, atol=1e-5)  # without weights
    assert np.abs(found.network - found.marginal).mean() > 0.02
    # All 50 candidates count without weights, fewer with them; a belief head has none.
    assert (plain.effective.round(6) <= 50).all() and plain.effective.max().round(6) == 50
    assert (found.effective < plain.effective).mean() > 0.8
    assert np.isnan(counted.effective).all()
    assert belief.compare(counted).effective is None
    assert belief.compare(found).effective == np.median(found.effective)


def test_a_belief_by_drawn_worlds_is_near_that_of_all_worlds():
    states = playouts.positions(40, [11, 12, 13, 14, 15], seed=5)
    real = np.asarray(jax.vmap(worlds.count)(states))
    some = base.gather(states, np.flatnonzero((real > 1000) & (real <= 3000))[:6])
    assert len(some.ply) >= 3
    net, keys = scorer(net_of_seed(1)), raw_keys(len(some.ply))
    drawn, complete = (
        belief.predict_by_plays(net, some, keys, inference.Settings(n=1, candidates=candidates))
        for candidates in (500, 3001)  # with n = 1 no more are drawn
    )
    error = np.abs(drawn.network - complete.network).mean()
    assert error < 0.5 * np.abs(complete.network - complete.marginal).mean()
