"""What a W&B run says of its run: settings, tags, summary, and where it is."""

import dataclasses
import json

import jax
import pytest

from tests.support.tiny import TINY, Quiet
from zebjax import network
from zebjax.training import session, wandb_run
from zebjax.training.config import TrackingConfig


@pytest.fixture
def run(tmp_path):
    settings = dataclasses.replace(
        TINY, runs=str(tmp_path), tracking=TrackingConfig(wandb=True, tags="trial two")
    )
    settings.folder.mkdir()
    state = session.fresh_state(settings, network.init(TINY.network, jax.random.key(0)), 0)
    change = {"step": 3, "time": "t", "field": "learner.lr", "from": 1e-3, "to": 1e-4}
    progress = session.Progress(first_cycle=0, cycle=3, total_games=7, changes=[change])
    return session.Session(settings, Quiet(), lambda: False, state, progress, False)


def test_settings_commit_device_and_changes_are_its_config(run):
    config = wandb_run.config_of(run)
    assert config["learner"]["lr"] == 1e-4 and config["replay"]["capacity_examples"] == 700
    assert config["changes"][0]["field"] == "learner.lr"
    assert config["devices"] == 1 and {"commit", "device", "platform"} <= config.keys()
    assert config["versions"]["jax"] == jax.__version__
    tags = wandb_run.tags_of(run.settings, config)
    assert tags[1:] == ["cpu", "4,427 parameters", "trial", "two"] and tags[0].startswith("zebjax-")


def test_the_summary_has_the_best_evaluation_by_opponent():
    def row(cycle, rate):
        metrics = {"eval/vs_random_win_rate": rate, "eval/vs_random_win_rate_ci95": 0.02}
        return {"cycle": cycle, "stats/total_games": 10 * cycle} | metrics

    rows = [row(0, 0.5), row(50, 0.76), row(100, 0.71), {"cycle": 101, "stats/total_games": 1010}]
    assert wandb_run.summary_of(rows) == {
        "cycles": 101,
        "total_games": 1010,
        "best/vs_random_win_rate": 0.76,
        "best/vs_random_cycle": 50,
    }
    assert wandb_run.summary_of([]) == {}


def test_a_resumed_run_takes_the_changed_settings(run, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = wandb_run.config_of(run)
    more = {"config": config, "tags": wandb_run.tags_of(run.settings, config)}
    arguments = (tmp_path, run.settings.tracking, "tiny", "lineage1", run.report.note)
    opened = wandb_run.open_run(*arguments, more)
    opened.config.update({"seed": 5}, allow_val_change=True)
    again = wandb_run.open_run(*arguments, more)  # the same process: wandb gives the same run back
    assert again.config["seed"] == 0 and again.config["changes"][0]["to"] == 1e-4
    assert set(more["tags"]) <= set(again.tags)
    assert wandb_run.write_address(tmp_path, again, run.report.note) is None
    again.finish()
    written = json.loads((tmp_path / wandb_run.FILE).read_text())
    assert written["id"] == "lineage1" and written["project"] == "zeb-mcts" and not written["url"]
    assert "W&B: run lineage1, offline in" in run.report.notes[-1]
