"""JAX settings in the environment do not change deals or break runs, and are reported."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from zebjax import network, players
from zebjax.common import jax_settings
from zebjax.evaluation import ladder, matches
from zebjax.training import learner
from zebjax.training.learner_config import LearnerConfig

ROOT = Path(__file__).parents[2]
AMBIENT = {
    "x64": lambda: jax.enable_x64(True),
    "rbg": lambda: jax.default_prng_impl("rbg"),
    "partitionable": lambda: jax.threefry_partitionable(False),
    "promotion": lambda: jax.numpy_dtype_promotion("strict"),
}


def margins():
    return matches.play_pairs(players.random(), players.heuristic(), 6, jax_settings.key(3))


def test_a_seed_means_these_deals():
    """As they were played before settings were fixed: kept results stay valid."""
    state, _ = matches.deal_at(jax_settings.key(0), 0)
    assert (np.asarray(jax.random.key_data(jax_settings.key(7))) == [0, 7]).all()
    assert np.asarray(state.hands).tolist() == [
        [22, 0, 8, 17, 15, 27, 9],
        [14, 10, 26, 5, 3, 13, 25],
        [21, 20, 4, 11, 1, 7, 6],
        [24, 23, 19, 16, 18, 2, 12],
    ]
    assert (int(state.declaration), int(state.leader)) == (3, 1)


@pytest.mark.parametrize("setting", AMBIENT)
def test_ambient_settings_change_no_deal_and_no_game(setting):
    usual = margins()
    jax.clear_caches()
    with AMBIENT[setting]():
        assert (margins() == usual).all()


def test_a_key_of_another_generator_is_refused():
    for key in (jax.random.key(0, impl="rbg"), jax.random.PRNGKey(0), 3):
        with pytest.raises(ValueError, match="key: expected one typed threefry2x32 key"):
            matches.play_pairs(players.random(), players.random(), 2, key)


def test_commands_say_which_setting_they_ignore():
    script = "from zebjax.common import compilation_cache as c; c.keep(); c.keep()\nimport jax\n"
    script += "print(jax.numpy.arange(3.0, dtype=float).dtype, jax.random.key(0).dtype)"
    environment = {
        "PYTHONPATH": str(ROOT),
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["float32", "key<fry>"], done.stderr
    lines = done.stderr.splitlines()
    assert [line.split()[1].split("=")[0] for line in lines] == list(environment)[1:], lines
    assert "JAX_ENABLE_X64=1 is ignored: the programs here are written for 32-bit" in lines[0]


def test_what_still_changes_numbers_is_part_of_what_results_are_kept_under(monkeypatch):
    a, b = players.make("random"), players.make("heuristic")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    usual = ladder._key(a, b, 4, ladder.Rules())
    assert "settings" not in usual  # pairs that were kept before stay valid
    with jax.default_matmul_precision("bfloat16"):
        assert ladder._key(a, b, 4, ladder.Rules()) != usual
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert ladder._key(a, b, 4, ladder.Rules()) != usual


@pytest.mark.parametrize("n_eval_aux", [0, 3, 8])
def test_a_stream_without_updates_has_no_losses_and_makes_no_nan(n_eval_aux):
    """A deliberate 0 / 0 ended every run under JAX_DEBUG_NANS."""
    config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    params = network.init(config, jax_settings.key(0))
    state = learner.init(LearnerConfig(), config, params, jax_settings.key(1))
    state = state._replace(metrics=jax.tree.map(lambda leaf: leaf + 24, state.metrics))
    with jax.debug_nans(True):
        _, means = learner.take_metrics(state, 8, n_eval_aux)
    assert ("eval_aux_policy_loss" in means) == (n_eval_aux > 0)
    assert ("selfplay_value_loss" in means) == (n_eval_aux < 8)
    assert means["policy_loss"] == 3 and np.isfinite(list(means.values())).all()
