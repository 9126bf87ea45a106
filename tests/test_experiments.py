"""The experiments that come with zebjax."""

import ast
import dataclasses
from pathlib import Path

import pytest

from zebjax import experiment
from zebjax.network.config import PRESETS

FOLDER = Path(__file__).parents[1] / "experiments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_computes_in_the_fast_dtype_of_each_device(name):
    path = FOLDER / f"{name}.py"
    assert experiment.load(path, []).network.compute_dtype == "auto"
    given = experiment.load(path, ["--network.compute-dtype", "float32"])
    assert given.network.compute_dtype == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_needs_one_import_from_zebjax_and_says_how_to_start_it(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    imports = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imports == ["zebjax.experiment"]
    assert f"zebjax train {name}" in ast.get_docstring(tree)
    assert experiment.load(FOLDER / f"{name}.py", []).name.startswith(name.split("_")[0])


def test_large_belief_has_the_settings_of_the_original():
    """As SPEC lists them; what has no setting here is in the experiment's docstring."""
    run = experiment.load(FOLDER / "large_belief.py", [])
    search, learner, replay = run.selfplay.search, run.learner, run.replay
    assert run.cycles == 3743 and run.network.belief_head
    assert run.network == dataclasses.replace(PRESETS["large"], compute_dtype="auto")
    assert run.start.checkpoint == "large.pt" and run.start.belief_head == "fresh"
    assert 128 <= run.selfplay.lanes <= 256 and run.selfplay.games_per_cycle == 454
    assert (search.policy, search.sims, search.c_puct) == ("puct", 200, 1.414)
    assert (search.temperature, search.worlds, search.plain) == (1.0, "true", True)
    assert (learner.optimizer, learner.lr, learner.schedule) == ("adamw", 1e-4, "constant")
    assert (learner.weight_decay, learner.batch, learner.updates_per_cycle) == (0.01, 64, 1000)
    assert (learner.policy_weight, learner.value_weight, learner.belief_weight) == (1, 1, 0.5)
    assert (learner.policy_mask, learner.belief_tiles) == ("unplayed", "dealt")
    assert (learner.clip_norm, learner.warmup_updates, learner.root_value_share) == (0, 0, 0)
    assert (replay.capacity_examples, replay.min_buffer) == (500_000, 250_000)
    assert replay.max_example_age_s == 600
    assert run.store.publish_every_cycles == 25 and run.store.keep_examples == 100
    assert run.evaluation.every_cycles == 50 and 2 * run.evaluation.deals == 2000
    assert not run.eval_aux.enabled
