"""The eval-aux stream's weights, its targets, and the metrics of its games."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY
from zebjax import network, record
from zebjax.experiment import TeacherConfig
from zebjax.training import batches, eval_aux, gradients, losses, sources, teacher, teacher_files
from zebjax.training.session import Progress


@pytest.mark.slow  # compiles three gradients
def test_each_loss_has_its_weight_in_the_gradient(games):
    eight = jax.tree.map(lambda leaf: leaf[:8], games)
    config = dataclasses.replace(TINY.network, move_values=True)
    legal = record.legal_slots(eight)[..., None]
    eight = eight._replace(moves=np.where(legal, [0.5, -1], np.nan).astype(np.float16))
    batch = batches.make_batch(batches.positions(eight, np.full(8, 5, np.int32)), "v1")
    params = network.init(config, jax.random.key(0))
    compiled = jax.jit(
        lambda weights: gradients.grads_and_output(
            TINY.learner, config, params, batch, None, gradients.LossWeights(*weights)
        )[0]
    )

    def gradient(*weights):
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(compiled(weights))])

    each = [gradient(*np.eye(4, dtype=np.float32)[row]) for row in range(4)]
    assert all(np.abs(one).max() > 1e-3 for one in each)
    together = gradient(*np.float32([0.25, 2, 3, 4]))
    expected = 0.25 * each[0] + 2 * each[1] + 3 * each[2] + 4 * each[3]
    np.testing.assert_allclose(together, expected, atol=1e-5)
    assert not gradient(*np.zeros(4, np.float32)).any()
    assert gradients.own_weights(TINY.learner) == (1.0, 1.0, 0.5, 1.0)


def test_the_policy_can_learn_from_the_values_of_moves_and_does_not_change_them(games):
    batch = batches.make_batch(
        batches.positions(jax.tree.map(lambda leaf: leaf[:8], games), np.full(8, 5, np.int32)), "v1"
    )
    logits = np.zeros((8, 7), np.float32)
    moves = np.random.default_rng(1).normal(size=(8, 7, 2)).astype(np.float32)
    learner = dataclasses.replace(TINY.learner, policy_from_values=0.5)

    def loss(logits, moves, learner):
        output = network.Output(logits, np.zeros(8, np.float32), None, moves)
        return losses.losses(learner, output, batch)[0]

    legal = np.asarray(batch.policy_mask)
    score = np.where(legal, 0.5 * moves[..., 0] + 0.2 * moves[..., 1], -np.inf) / 0.5
    target = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    output = network.Output(logits, np.zeros(8, np.float32), None, moves)
    np.testing.assert_allclose(losses.policy_target(learner, output, batch), target, atol=1e-6)
    of_logits, of_moves = jax.grad(loss, (0, 1))(logits, moves, learner)
    weights = np.asarray(batch.policy_weight)[:, None]
    expected = weights * (legal / legal.sum(-1, keepdims=True) - target) / weights.sum()
    np.testing.assert_allclose(of_logits, learner.policy_weight * expected, atol=1e-6)
    np.testing.assert_array_equal(of_moves, jax.grad(loss, 1)(logits, moves, TINY.learner))


def test_the_policy_learns_from_values_only_where_they_are_learned():
    config = dataclasses.replace(TINY.network, move_values=True)
    learner = dataclasses.replace(TINY.learner, policy_from_values=0.5)
    teacher = TeacherConfig("games")
    known = dataclasses.replace(TINY, learner=learner, network=config, teacher=teacher)
    for changed in (
        {"network": TINY.network},
        {"teacher": TeacherConfig()},
        {"learner": dataclasses.replace(learner, move_value_weight=0.0)},
    ):
        with pytest.raises(ValueError, match=r"policy_from_values: expected 0, or a network that"):
            dataclasses.replace(known, **changed)
    with pytest.raises(ValueError, match=r"teacher\.temperature: expected 0\.3, its default, with"):
        dataclasses.replace(known, teacher=TeacherConfig("games", 0.2))
    for wrong in (-1.0, 1e-40, 1e4):
        with pytest.raises(ValueError, match=r"policy_from_values: expected 0, or 0\.001 to 1000"):
            dataclasses.replace(learner, policy_from_values=wrong)
    with pytest.raises(ValueError, match=r"policy_mask: expected legal with policy_from_values"):
        dataclasses.replace(learner, policy_mask="unplayed")


def test_one_hot_targets_are_the_moves_played():
    points, best = np.array([[1, 3, np.nan, 2, 0, 0, 0], [5, 5, 0, 0, 0, 0, 0.0]]), np.array([1, 0])
    soft = teacher.targets(teacher.Settings(temperature=2.0), points, best)
    np.testing.assert_allclose(soft[0, 0] / soft[0, 1], np.exp(-1))
    assert soft[1, 0] == soft[1, 1] and soft[0, 2] == 0
    hard = teacher.targets(teacher.Settings(targets="one_hot"), points, best)
    np.testing.assert_array_equal(hard, np.eye(7)[best])


@pytest.mark.slow  # plays against E[Q] twice
def test_one_hot_targets_change_no_game():
    settings = teacher.Settings(n=2, seed=3, games_per_file=4)
    soft = teacher.play_file(settings, teacher.Cast(), 1, 4)
    hard = teacher.play_file(dataclasses.replace(settings, targets="one_hot"), teacher.Cast(), 1, 4)
    np.testing.assert_array_equal(soft.slots, hard.slots)
    np.testing.assert_array_equal(hard.policy, np.eye(7)[hard.slots])
    assert ((soft.policy > 0).sum(-1) > 1).any()
    record.validate(hard)


def test_a_file_of_a_teacher_without_a_choice_of_targets_has_soft_ones(tmp_path, games):
    facts = dataclasses.asdict(teacher.Settings())
    older = {name: value for name, value in facts.items() if name != "targets"}
    path = tmp_path / "teacher-000000.safetensors"
    record.write(path, games, record.Metadata(record.TEACHER, "w", 0, older))
    assert teacher_files.is_done(teacher.Maker(teacher.Settings()), path, 24)
    with pytest.raises(ValueError, match=r"other settings \(targets 'soft', here 'one_hot'\)"):
        teacher_files.is_done(teacher.Maker(teacher.Settings(targets="one_hot")), path, 24)


def sifted(games, n):
    kept = jax.tree.map(lambda leaf: leaf[:n], games)
    return eval_aux.Sifted(kept, seen=n, lag=3, weight=1.0)


def test_results_of_a_cycle_are_means_over_its_games(games):
    progress = Progress(0, 5, 0)
    facts = {"eq_win_rate": 0.5, "zeb_win_rate": 0.25, "avg_margin": -2.0}
    sources.count_eval_aux(progress, sifted(games, 6), facts)
    sources.count_eval_aux(progress, sifted(games, 2), facts | {"eq_win_rate": 1.0})
    sources.count_eval_aux(progress, sifted(games, 8), {"eq_win_rate": float("nan")})
    row = sources.eval_aux_row(progress, 4.0)
    assert row["ingest/eval_aux_eq_win_rate_cycle"] == pytest.approx((6 * 0.5 + 2) / 8)
    assert row["ingest/eval_aux_zeb_win_rate_cycle"] == 0.25
    assert row["ingest/eval_aux_avg_margin_cycle"] == -2.0
    assert row["ingest/eval_aux_seen_examples_per_s"] == 16 * 28 / 4
    assert row["ingest/eval_aux_kept_examples_per_s"] == 16 * 28 / 4
    assert row["ingest/eval_aux_skipped_disabled_examples"] == 0
    assert row["ingest/eval_aux_lag_avg"] == 3


def test_games_of_a_disabled_stream_are_counted_as_seen():
    progress = Progress(0, 5, 0)
    sources.count_disabled(progress, 4)
    row = sources.eval_aux_row(progress, 1.0)
    assert row["ingest/eval_aux_seen_examples"] == 4 * 28 == row["ingest/eval_aux_seen_files"] * 112
    assert row["ingest/eval_aux_skipped_disabled_examples"] == 4 * 28
    assert row["ingest/eval_aux_kept_examples"] == row["ingest/eval_aux_kept_examples_per_s"] == 0
    assert "ingest/eval_aux_lag_avg" not in row
    assert "ingest/eval_aux_eq_win_rate_cycle" not in row
