"""Kill -9 in each of the first 30 seconds, whatever the process is doing then, and resume."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support import workers
from tests.support.tiny import TINY, Quiet, as_numpy, training_rows
from zebjax.common import checkpoint
from zebjax.training import metrics
from zebjax.training import run as training
from zebjax.training import session as sessions
from zebjax.training.config import EvaluationConfig

ROOT = Path(__file__).parents[2]
N_SECONDS = 30
FILE = """
from zebjax.experiment import *
experiment = {0!r}
"""
# Twenty to thirty seconds, of which JAX takes more than half to import and to trace.
LONG = dataclasses.replace(TINY, cycles=30, evaluation=EvaluationConfig(every_cycles=10, deals=4))
MANY = dataclasses.replace(workers.SETTINGS, cycles=3)


def train(file, runs, *options):
    command = [sys.executable, "-m", "zebjax", "train", str(file), "--runs", str(runs), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kill_after(process, seconds):
    """Kill -9 after that time. True if the process was still running."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def ends_well(process, timeout_s=600):
    try:
        output, _ = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
    assert process.returncode == 0, output.decode()[-3000:]


@pytest.mark.slow
def test_a_run_killed_in_each_of_its_first_30_seconds_is_the_same_run(tmp_path):
    file = tmp_path / "long.py"
    file.write_text(FILE.format(LONG))
    whole = training.Run(
        dataclasses.replace(LONG, runs=str(tmp_path / "whole")), Quiet(), lambda: False
    )
    whole.go()
    expected = as_numpy(whole.session.state)
    n_killed, cycles_at_the_kill = 0, set()
    for seconds in range(1, N_SECONDS + 1):
        runs = tmp_path / str(seconds)
        n_killed += kill_after(train(file, runs), seconds)
        rows = runs / "tiny" / metrics.FILE
        cycles_at_the_kill.add(len(metrics.read(rows)) if rows.exists() else 0)
        ends_well(train(file, runs))
        newest = checkpoint.steps(runs / "tiny" / "state")[-1]
        state = checkpoint.restore_tree(
            checkpoint.step_folder(runs / "tiny" / "state", newest) / "arrays",
            jax.eval_shape(
                lambda params: sessions.fresh_state(TINY, params, 0),
                whole.session.state.learner.params,
            ),
        )
        jax.tree.map(np.testing.assert_array_equal, as_numpy(state), expected)
        assert training_rows(runs / "tiny") == training_rows(whole.session.folder)
        shutil.rmtree(runs)
    assert n_killed > 15, "the run ended too early to be killed"
    assert len(cycles_at_the_kill) > 3


@pytest.mark.slow
def test_a_learner_killed_in_its_first_30_seconds_goes_on(tmp_path):
    """Its workers continue meanwhile; the same command then brings the run to its end."""
    file = tmp_path / "many.py"
    file.write_text(FILE.format(MANY))
    for seconds in range(1, N_SECONDS + 1, 3):  # a worker that plays slows the learner down
        runs = tmp_path / str(seconds)
        store = runs / "store"
        options, waiting = ("--store.url", str(store)), ("--wait-for-weights",)
        playing = [
            train(file, runs, *options, *waiting, "--role", role, "--worker-id", role)
            for role in ("selfplay", "evalaux")
        ]
        try:
            kill_after(train(file, runs, *options, "--role", "learner"), seconds)
            ends_well(train(file, runs, *options, "--role", "learner"))
        finally:
            for worker in playing:
                worker.terminate()
        for worker in playing:
            worker.communicate(timeout=120)
            assert worker.returncode in (0, -15, 143)
        assert metrics.read(runs / "many" / metrics.FILE)[-1]["cycle"] == MANY.cycles
        shutil.rmtree(runs)
