"""One whole, small training: the network must learn to play better. Takes five minutes or more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zebjax.training import metrics

ROOT = Path(__file__).parents[2]
EXPERIMENT = """
import dataclasses
from zebjax.experiment import EvaluationConfig, Experiment, ReplayConfig
from zebjax.learner import LearnerConfig
from zebjax.network import PRESETS
from zebjax.search import SearchConfig
from zebjax.selfplay import SelfPlayConfig

experiment = Experiment(
    name="learning",
    cycles=5,
    network=dataclasses.replace(PRESETS["small"], dropout=0.0),
    selfplay=SelfPlayConfig(
        lanes=128,
        games_per_cycle=256,
        search=SearchConfig("gumbel", sims=32, gumbel_c_scale=1.0),
    ),
    replay=ReplayConfig(capacity_examples=100_000, min_buffer=28 * 768),
    learner=LearnerConfig(optimizer="muon", lr=0.01, warmup_updates=50, updates_per_cycle=300),
    evaluation=EvaluationConfig(every_cycles=10, deals=8000),
)
"""


@pytest.mark.slow
def test_the_win_rate_against_random_rises_beyond_its_interval(tmp_path):
    file = tmp_path / "learning.py"
    file.write_text(EXPERIMENT)
    # A process of its own, optimised as for users and not as for tests: here it is the running that
    # takes the time.
    surroundings = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-m", "zebjax.train", str(file), "--runs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = metrics.read(tmp_path / "learning" / "metrics.jsonl")
    before, after = (row for row in rows if "eval/vs_random_win_rate" in row)
    rise = after["eval/vs_random_win_rate"] - before["eval/vs_random_win_rate"]
    assert rise > before["eval/vs_random_win_rate_ci95"] + after["eval/vs_random_win_rate_ci95"]
    assert after["eval/vs_random_margin"] > before["eval/vs_random_margin"]
    # Not the policy loss: its targets sharpen as the search learns to tell moves apart.
    for name in ("value_loss", "belief_loss"):
        assert rows[-1][f"train/{name}"] < rows[1][f"train/{name}"], name
