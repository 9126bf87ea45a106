"""Runs, stores and experiment files of zebjax 0.1 (commit ebdc88e) keep working."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from zebjax import experiment, network
from zebjax.common import checkpoint
from zebjax.distributed import open, weights
from zebjax.training import metrics

ROOT = Path(__file__).parents[1]


@pytest.fixture
def old(tmp_path):
    """A finished run of two cycles, and one of a learner with a worker and their store."""
    with tarfile.open(ROOT / "tests" / "data" / "run_0_1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def train(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "zebjax.train", "experiment_0_1.py", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow  # the next test resumes a run too
def test_an_old_run_resumes(old):
    config, before = network.load(old / "runs" / "old")
    done = train(old, "--cycles", "3")
    assert done.returncode == 0, done.stderr
    assert "resuming runs/old after cycle 2" in done.stdout
    assert "changed settings" not in done.stdout
    rows = metrics.read(old / "runs" / "old" / "metrics.jsonl")
    assert [row["cycle"] for row in rows] == [0, 1, 2, 3]
    config_now, after = network.load(old / "runs" / "old")
    assert config_now == config
    change = np.abs(after["policy"]["kernel"] - before["policy"]["kernel"])
    assert 0 < change.max() < 0.1  # trained on, and not begun again
    starts = json.loads((old / "runs" / "old" / "environment.json").read_text())
    assert len(starts) == 2 and "commit" in starts[1]


def test_an_old_learner_resumes_in_its_old_store(old):
    """It has the four files of the old worker already, and publishes a new generation."""
    before = weights.newest(open.open_store(str(old / "shared" / "store" / "old")))[0]
    done = train(old, "--runs", "shared", "--role", "learner", "--cycles", "3")
    assert done.returncode == 0, done.stderr
    manifest = weights.newest(open.open_store(str(old / "shared" / "store" / "old")))[0]
    assert (before.step, manifest.step) == (2, 3)
    assert manifest.generation > before.generation and manifest.parent is not None
    assert manifest.total_games == before.total_games == 40
    params = weights.fetch(
        open.open_store(str(old / "shared" / "store" / "old")),
        manifest,
        experiment.load(old / "experiment_0_1.py", []).network,
    )
    assert network.n_params(params) > 0


def test_every_step_of_an_old_run_loads(old):
    root = old / "runs" / "old" / "checkpoints"
    assert checkpoint.steps(root) == [0, 2]
    for step in checkpoint.steps(root):
        config, params = network.load(checkpoint.step_folder(root, step))
        assert config.embed_dim == 16 and network.n_params(params) > 0
