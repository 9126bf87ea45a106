"""A run can be killed at any moment and resumed, and no output can end it."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from tests.support.killed import Killed, killed_at_rename
from tests.support.tiny import TINY, Quiet, as_numpy, go, training_rows
from zebjax.common import checkpoint
from zebjax.training import metrics, rollback, saved_state
from zebjax.training import run as training

SHORT = dataclasses.replace(TINY, cycles=1)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return go(dataclasses.replace(SHORT, runs=str(tmp_path_factory.mktemp("whole"))))


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_a_rename_and_started_again_it_is_the_same_run(
    tmp_path, uninterrupted, every
):
    """Each file appears by a rename, so between two of them the disk looks the same."""
    n_killed = 0
    for number in range(0, 1000, every):
        settings = dataclasses.replace(SHORT, runs=str(tmp_path / str(number)))
        with pytest.MonkeyPatch.context() as patch:
            killed_at_rename(number, patch)
            try:
                go(settings)
                break
            except Killed:
                n_killed += 1
        run = go(settings)
        assert run.session.is_complete
        assert training_rows(run.session.folder) == training_rows(uninterrupted.session.folder)
        state = as_numpy(run.session.state)
        jax.tree.map(np.testing.assert_array_equal, state, as_numpy(uninterrupted.session.state))
    assert n_killed > 10 / every


@pytest.mark.parametrize("what", ["metrics", "curves", "console"])
def test_what_only_reports_does_not_end_a_run(tmp_path, monkeypatch, what):
    def fail(*_):
        raise RuntimeError("the terminal burns")

    report = Quiet()
    if what == "console":
        report.cycle = fail
    else:
        name = {"metrics": "append", "curves": "plot_curves"}[what]
        monkeypatch.setattr(metrics, name, fail)
    settings = dataclasses.replace(SHORT, runs=str(tmp_path))
    run = training.Run(settings, report, lambda: False)
    run.go()
    assert run.session.is_complete
    assert [note for note in report.notes if "burns" in note] == [
        f"{what}: the terminal burns; the run continues without it"
    ]
    if what == "metrics":  # what could not be written is reported by the next start
        monkeypatch.undo()
        go(settings)
        assert [row["cycle"] for row in metrics.read(settings.folder / metrics.FILE)] == [1]


def test_a_first_row_without_a_save_is_no_obstacle(tmp_path):
    """zebjax 0.1, killed between its first row and its first save, left this."""
    settings = dataclasses.replace(SHORT, runs=str(tmp_path))
    settings.folder.mkdir(parents=True)
    (settings.folder / metrics.FILE).write_text('{"cycle": 0, "stats/total_games": 0}\n')
    run = go(settings)
    assert [row["cycle"] for row in training_rows(run.session.folder)] == [0, 1]


def with_nan(state):
    params = jax.tree.map(lambda leaf: leaf * np.nan, state.learner.params)
    return state._replace(learner=state.learner._replace(params=params))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    run = go(dataclasses.replace(SHORT, runs=str(tmp_path)))
    before = checkpoint.steps(run.session.folder / "state")
    run.session.state = with_nan(run.session.state)
    with pytest.raises(ValueError, match=r"no longer finite.*the last good save stays"):
        run.save()
    assert checkpoint.steps(run.session.folder / "state") == before


@pytest.mark.slow  # compiles the learner for another learning rate
def test_a_learning_rate_that_is_too_high_costs_no_good_save(tmp_path):
    settings = dataclasses.replace(
        TINY,
        runs=str(tmp_path),
        learner=dataclasses.replace(TINY.learner, lr=1e38),
        save=dataclasses.replace(TINY.save, every_s=1e-3),
    )
    with pytest.raises(ValueError, match=r"not finite|no longer finite") as error:
        go(settings)
    assert "the last good save stays" in str(error.value)
    saves = checkpoint.steps(settings.folder / "state")
    # With a possible learning rate the same command resumes from there.
    run = go(dataclasses.replace(settings, learner=TINY.learner, cycles=1))
    assert run.session.is_complete and saves
    assert saved_state.is_finite(run.session.state.learner)


def test_a_bad_newest_save_is_passed_over_and_can_be_rolled_back(tmp_path, monkeypatch):
    """zebjax 0.1 saved such states: every restart failed, and so did the rollback."""
    settings = dataclasses.replace(
        TINY, runs=str(tmp_path), cycles=2, save=dataclasses.replace(TINY.save, keep_every_cycles=1)
    )
    run = go(settings)
    run.session.state = with_nan(run.session.state)
    with monkeypatch.context() as patch:
        patch.setattr(saved_state, "is_finite", lambda state: True)
        run.session.progress.phase, run.session.progress.updates_in_cycle = "train", 2
        run.save()
    kept = tmp_path / "kept"
    shutil.copytree(settings.folder, kept)
    resumed = go(dataclasses.replace(settings, cycles=3))
    assert "are not finite" in resumed.session.report.notes[0]
    assert resumed.session.progress.cycle == 3

    shutil.rmtree(settings.folder)
    shutil.copytree(kept, settings.folder)
    report = Quiet()
    rollback.roll_back(settings, 2, report)  # to the step whose next cycle went wrong
    assert "rolled back to step 2" in report.notes[-1]
    assert go(dataclasses.replace(settings, cycles=3)).session.progress.cycle == 3


def test_a_rollback_without_steps_says_so(tmp_path):
    settings = dataclasses.replace(SHORT, runs=str(tmp_path))
    run = go(settings)
    shutil.rmtree(run.session.folder / "checkpoints")
    with pytest.raises(ValueError, match="no weights in checkpoints/ to roll back to"):
        rollback.roll_back(settings, 1, Quiet())
