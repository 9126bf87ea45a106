"""Weights & Biases: offline without an account, and never a reason to end a run."""

import dataclasses
import importlib.util

import pytest

from tests.support.tiny import TINY, Quiet, go
from zebjax.training import run as training
from zebjax.training import wandb_run
from zebjax.training.config import TrackingConfig

TRACKING = TrackingConfig(wandb=True)


def test_wandb_without_an_account_stays_here_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where an account would be
    first = wandb_run.open_run(tmp_path, TRACKING, "tiny", wandb_run.new_id(), print)
    first.log({"cycle": 0, "train/policy_loss": 1.0})
    first.finish()
    again = wandb_run.open_run(tmp_path, TRACKING, "tiny", first.id, print)
    again.finish()
    assert again.id == first.id
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{first.id}"))) >= 1


def test_wandb_that_cannot_be_reached_keeps_no_learner_from_starting(tmp_path, monkeypatch):
    import wandb

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    begin, notes = wandb.init, []

    def init(mode, **arguments):
        if mode == "online":
            raise wandb.errors.CommError("no route to host")
        return begin(mode=mode, **arguments)

    monkeypatch.setattr(wandb, "init", init)
    run = wandb_run.open_run(tmp_path, TRACKING, "tiny", wandb_run.new_id(), notes.append)
    run.finish()
    assert "no route to host; keeping this run offline" in notes[0]
    assert list((tmp_path / "wandb").glob(f"offline-run-*-{run.id}"))


WITH = dataclasses.replace(TINY, cycles=1, tracking=TRACKING)


def test_what_wandb_meets_at_its_start_does_not_end_a_run(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the service does not start")

    monkeypatch.setattr(wandb_run, "open_run", fail)
    run = go(dataclasses.replace(WITH, runs=str(tmp_path)))
    assert run.session.is_complete
    assert (
        "W&B: the service does not start; the run continues without it" in run.session.report.notes
    )


@pytest.mark.slow  # two runs
def test_a_new_run_that_cannot_have_it_is_refused_and_one_that_resumes_is_not(
    tmp_path, monkeypatch
):
    settings = dataclasses.replace(WITH, runs=str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for _ in range(2):
        with pytest.raises(ValueError, match=r'needs the extra "wandb"'):
            training.Run(settings, Quiet(), lambda: False)
    monkeypatch.undo()
    go(dataclasses.replace(settings, tracking=TrackingConfig()), stop_after=1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run = go(settings)
    assert run.session.is_complete
    assert any('needs the extra "wandb"' in note for note in run.session.report.notes)
