"""`zebjax train`: kills, stops, wrong arguments and help."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY, Quiet, as_numpy, training_rows
from zebjax import experiment, network, train
from zebjax.common import checkpoint, stop_signal, streams
from zebjax.training import metrics, resume, session
from zebjax.training import run as training
from zebjax.training.config import EvaluationConfig, to_json
from zebjax.training.workers_config import StoreConfig

ROOT = Path(__file__).parents[1]
TINY_FILE = """
from zebjax.experiment import *
from zebjax.learner import LearnerConfig
from zebjax.network import ZebConfig
from zebjax.search import SearchConfig
from zebjax.selfplay import SelfPlayConfig
experiment = {0!r}
"""


# Six cycles, so that there is time to kill it.
LONGER = dataclasses.replace(TINY, cycles=6, evaluation=EvaluationConfig(every_cycles=10, deals=4))


@pytest.fixture
def tiny_file(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(TINY_FILE.format(LONGER))
    return path


def command(path, *overrides):
    return [sys.executable, "-m", "zebjax.train", str(path), *overrides]


def wait_for(condition, process, timeout_s=600):
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < end
        time.sleep(0.005)


def n_rows(folder):
    return len(metrics.read(folder / "metrics.jsonl"))


def final_state(folder):
    """The newest saved arrays, as NumPy."""
    newest = checkpoint.step_folder(folder / "state", checkpoint.steps(folder / "state")[-1])
    abstract = network.abstract_params(TINY.network)
    like = jax.eval_shape(lambda params: session.fresh_state(TINY, params, 0), abstract)
    return as_numpy(checkpoint.restore_tree(newest / "arrays", like))


@pytest.mark.slow  # test_killed ends runs at every rename, test_run compares resumed ones
def test_kill_9_after_three_cycles_changes_nothing(tmp_path, tiny_file):
    """Six cycles in one go equal three, kill -9, restart, three more: bit for bit.

    The restart is as in a notebook, which exports its backend, or with an output that goes to
    `| head -1`: nobody reads it after the first line.
    """
    # In this process, so that the others find its programs compiled.
    whole = training.Run(
        dataclasses.replace(LONGER, runs=str(tmp_path / "whole")), Quiet(), lambda: False
    )
    whole.go()
    killed = subprocess.Popen(command(tiny_file, "--runs", str(tmp_path / "killed")), cwd=ROOT)
    wait_for(lambda: n_rows(tmp_path / "killed" / "tiny") >= 4, killed)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert n_rows(tmp_path / "killed" / "tiny") < 7
    # What a kill in the middle of a save leaves is never chosen.
    (tmp_path / "killed" / "tiny" / "state" / ".tmp-step_000000099-dead").mkdir()
    restarted = subprocess.Popen(
        command(tiny_file, "--runs", str(tmp_path / "killed")),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ
        | {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYTHONIOENCODING": "ascii",
        },
    )
    assert b"resuming" in restarted.stdout.readline()
    restarted.stdout.close()
    assert restarted.wait(300) == 0
    run = tmp_path / "killed" / "tiny"
    assert (run / "curves.png").exists()
    jax.tree.map(np.testing.assert_array_equal, final_state(run), as_numpy(whole.session.state))
    assert training_rows(run) == training_rows(whole.session.folder)


@pytest.mark.slow  # tests of stop_signal and of stopped runs cover its parts
def test_sigterm_saves_and_exits_0(tmp_path, tiny_file):
    process = subprocess.Popen(
        command(tiny_file, "--runs", str(tmp_path), "--cycles", "100000"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: n_rows(tmp_path / "tiny") >= 2, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "stopping: the compiled call under way ends" in err
    assert "the same command resumes" in out
    assert checkpoint.steps(tmp_path / "tiny" / "state")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["absent.py"],
            "/absent.py; expected an experiment file that ends in .py, or the name",
        ),
        (["README.md"], "README.md: expected an experiment file"),
        (
            ["experiments/quickstart.py", "--learner.lr", "nan"],
            "learner.lr: expected a finite number, got nan",
        ),
        (
            ["experiments/quickstart.py", "--save.every-s", "inf"],
            "save.every_s: expected a finite number, got inf",
        ),
        (["pyproject.toml"], "pyproject.toml"),
        (["experiments/quickstart.py", "--learner.lrr", "3e-4"], "--learner.lr"),
        (["experiments/quickstart.py", "--selfplay.lane", "8"], "--selfplay.lanes"),
        (["experiments/quickstart.py", "--start.belief-head", "new"], "--start.belief-head"),
        (["experiments/quickstart.py", "--learner.lr", "fast"], "--learner.lr"),
        (
            ["experiments/quickstart.py", "--learner.lr", "-1"],
            "learner.lr: expected a positive number",
        ),
        (["experiments/quickstart.py", "--name", "../x"], "name: expected letters"),
        (
            ["experiments/lb_v_eq_3740.py"],
            "start.checkpoint: lb-v-eq-3740-bootstrap: no network here: there is no file or",
        ),
        (
            ["experiments/quickstart.py", "--eval-aux.worlds", "0"],
            "eval_aux.worlds: expected 1 to 100000",
        ),
        (
            ["experiments/quickstart.py", "--role", "player"],
            "--role: expected all, learner, selfplay or evalaux, got 'player'",
        ),
        (
            ["experiments/quickstart.py", "--once"],
            "--once is for --role selfplay and --role evalaux",
        ),
        (
            ["experiments/quickstart.py", "--role", "selfplay", "--worker-id", "a/b"],
            "--worker-id: expected letters",
        ),
        (["experiments/quickstart.py", "--role", "selfplay"], "no weights are published there yet"),
        (
            ["experiments/quickstart.py", "--store.url", "hf://a/b"],
            "store.upload_interval_s: expected 60 to 86400",
        ),
        (
            ["experiments/quickstart.py", "--store.url", "s3://"],
            "store.url: expected a folder, s3://BUCKET/PREFIX or",
        ),
        (["experiments/quickstart.py", "--store.url", "/"], "store.url: expected a folder"),
        (
            ["experiments/quickstart.py", "--store.games-per-file", "20000"],
            "store.games_per_file: expected at most 10,000",
        ),
        (
            ["experiments/quickstart.py", "--name", "store"],
            "is the store where runs exchange games; choose another --name",
        ),
        (
            ["experiments/quickstart.py", "--role", "selfplay", "--worker-id="],
            "--worker-id: expected a name",
        ),
        (["--learner.lr", "3"], "expected EXPERIMENT"),
        (["experiments/quickstart.py", "--runs", "README.md"], "README.md"),
        (
            ["experiments/quickstart.py", "--evaluation.deals", "1"],
            "evaluation.deals: expected at least 2",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")
    # Leaves pytest's signals and streams alone.
    monkeypatch.setattr(stop_signal, "StopSignal", lambda: SimpleNamespace(asked=False))
    monkeypatch.setattr(streams, "forgive", lambda: None)
    if arguments[0].startswith("experiments"):
        arguments = [arguments[0], "--runs", str(tmp_path), *arguments[1:]]
    try:
        status = train.main(arguments)
    except SystemExit as stop:  # as the parser of the overrides ends it
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_bad_input_as_a_process():
    result = subprocess.run(command("absent.py"), cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    problem = f"absent.py: no file {ROOT / 'absent.py'}; expected an experiment file that ends in "
    assert result.stderr.startswith(f"zebjax train: {problem}") and result.stderr.count("\n") == 1


def test_a_new_run_says_where_it_writes(tmp_path):
    notes, settings = [], dataclasses.replace(TINY, runs=str(tmp_path), name="mine")
    train._note_new("my_file.py", settings, notes.append)
    where = tmp_path / "mine"
    assert notes == [f"new run: my_file.py writes to {where}; --name gives it another folder"]
    checkpoint.step_folder(where / "state", 1).mkdir(parents=True)
    train._note_new("my_file.py", settings, notes.append)
    assert len(notes) == 1


def test_an_experiment_file_that_ends_the_program_is_named(tmp_path):
    path = tmp_path / "exits.py"
    for code in ("raise SystemExit(3)", "import sys; sys.exit()", "exit(0)"):
        path.write_text(code)
        with pytest.raises(ValueError, match=r"exits\.py: SystemExit: "):
            experiment.load(path, [])


def test_help_lists_every_override():
    result = subprocess.run(
        command("experiments/quickstart.py", "--help"), cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0
    for name in (
        "--learner.lr",
        "--selfplay.search.sims",
        "--network.embed-dim",
        "--start.checkpoint",
        "--cycles",
    ):
        assert name in result.stdout
    assert "--role" in result.stdout and "example" in result.stdout
    assert subprocess.run(command("--help"), cwd=ROOT, capture_output=True).returncode == 0


def test_a_stores_place_may_end_with_a_slash():
    at = dataclasses.replace(TINY, store=StoreConfig(url="s3://bucket/zeb/")).namespace
    assert at == "s3://bucket/zeb/tiny"


@pytest.mark.parametrize("name", ["quickstart", "large_belief", "lb_v_eq_3740"])
def test_experiments_load_and_survive_json(name):
    settings = experiment.load(ROOT / "experiments" / f"{name}.py", [])
    assert json.loads(to_json(settings))["name"] == settings.name
    resume.check_can_continue(json.loads(to_json(settings)), settings)
