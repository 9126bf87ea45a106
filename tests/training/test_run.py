"""Whole runs: a resumed run is bit-identical, and an impossible resume is refused."""

import dataclasses
import json
import shutil
import time

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY, Quiet, as_numpy, go, training_rows
from zebjax import network, record
from zebjax.common import checkpoint, locks
from zebjax.training import metrics, warnings
from zebjax.training import run as training
from zebjax.training.config import StartConfig, TeacherConfig


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return go(dataclasses.replace(TINY, runs=str(tmp_path_factory.mktemp("one"))), draws=True)


def test_a_run_leaves_what_it_should(uninterrupted):
    folder = uninterrupted.session.folder
    rows = metrics.read(folder / "metrics.jsonl")
    assert [row["cycle"] for row in rows] == [0, 1, 2, 3, 4]
    # min_buffer is 15 games and a cycle makes 10: the first cycle plays twice.
    assert [row["stats/total_games"] for row in rows] == [0, 20, 30, 40, 50]
    assert [row.get("stats/replay_buffer_selfplay") for row in rows] == [None, 560, 700, 700, 700]
    assert [("eval/vs_random_win_rate" in row) for row in rows] == [True, False, True, False, True]
    assert all(np.isfinite(row["train/total_loss"]) for row in rows[1:])
    for name in ("experiment.json", "environment.json", "curves.png"):
        assert (folder / name).stat().st_size > 100
    assert json.loads((folder / "experiment.json").read_text())["learner"]["batch"] == 8
    # Networks: the newest and every third; states: the newest two.
    assert checkpoint.steps(folder / "checkpoints") == [0, 3, 4]
    kept = [folder / f"checkpoints/step_{step:09d}" for step in (0, 3, 4)]
    a_cycle = TINY.learner.updates_per_cycle * TINY.learner.batch
    facts = [json.loads((step / "training.json").read_text()) for step in kept]
    assert [one["trained_examples"] for one in facts] == [0, 3 * a_cycle, 4 * a_cycle]
    assert len(checkpoint.steps(folder / "state")) == 2
    config, params = network.load(folder)
    assert config == TINY.network
    jax.tree.map(np.testing.assert_array_equal, params, uninterrupted.session.state.learner.params)


def test_metric_names_are_the_originals(uninterrupted):
    row = metrics.read(uninterrupted.session.folder / "metrics.jsonl")[-1]
    for name in (
        *(
            "policy_loss",
            "value_loss",
            "belief_loss",
            "total_loss",
            "objective_loss",
            "policy_entropy",
            "lr",
        ),
        *(
            "policy_top1_accuracy",
            "policy_kl_divergence",
            "belief_accuracy",
            "grad_norm",
            "grad_norm_value_head",
        ),
        *(
            "value_mean",
            "value_std",
            "value_target_mean",
            "selfplay_policy_loss",
            "belief_accuracy_hidden",
        ),
    ):
        assert f"train/{name}" in row
    for score in ("accuracy", "cross_entropy", "brier", "calibration_error"):
        for whose in ("hidden", "marginal"):
            assert np.isfinite(row[f"eval/belief_{score}_{whose}"])
    assert (
        row["eval/belief_cross_entropy_marginal_trick_1"]
        > row["eval/belief_cross_entropy_marginal_trick_6"]
        > 0
    )
    for name in ("ingest_time_s", "train_time_s", "post_train_time_s", "cycle_wall_time_s"):
        assert row[f"perf/{name}"] >= 0


@pytest.mark.slow  # twenty starts; fewer below and in test_killed
def test_a_run_stopped_at_many_moments_is_the_same_run(tmp_path, uninterrupted):
    """Stop at some look, go on, stop at another, until it is done.

    An evaluation takes 28 looks and starts anew after a stop, so fewer do not pass the first one.
    """
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    looks, phases = np.random.default_rng(0), set()
    for attempt in range(200):
        run = go(settings, stop_after=10 if attempt == 0 else int(looks.integers(29, 120)))
        phases.add(run.session.progress.phase)
        if run.session.progress.cycle == 4 and run.session.progress.phase == "play":
            break
    assert phases >= {"play", "judge"}  # the test below stops in "train"
    jax.tree.map(
        np.testing.assert_array_equal,
        as_numpy(run.session.state),
        as_numpy(uninterrupted.session.state),
    )
    assert training_rows(run.session.folder) == training_rows(uninterrupted.session.folder)


@pytest.mark.slow  # the runs of test_killed and test_changes resume too
def test_longer_is_the_same_run_continued(tmp_path, uninterrupted):
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    go(dataclasses.replace(settings, cycles=2))
    run = go(settings)
    jax.tree.map(
        np.testing.assert_array_equal,
        as_numpy(run.session.state),
        as_numpy(uninterrupted.session.state),
    )
    assert run.session.report.notes[0].startswith(f"resuming {run.session.folder}")
    # The end of the shorter run was judged; here that falls on a cycle that is judged anyway.
    assert training_rows(run.session.folder) == training_rows(uninterrupted.session.folder)


@pytest.mark.slow  # test_killed compares all rows after each kill
def test_rows_of_lost_cycles_are_written_again_once(tmp_path):
    """As after a kill between a cycle's row and its state: the row is there, the state is not."""
    settings = dataclasses.replace(TINY, runs=str(tmp_path), cycles=2)
    run = go(settings)
    file = run.session.folder / "metrics.jsonl"
    with open(file, "a") as out:
        out.write('{"cycle": 3, "stats/total_games": 40}\n{"cycle": 4, "sta')
    go(dataclasses.replace(settings, cycles=3))
    assert [row["cycle"] for row in metrics.read(file)] == [0, 1, 2, 3]
    assert "train/total_loss" in metrics.read(file)[-1]


@pytest.mark.slow  # test_teacher.py tests a teacher's games, the other runs here a run
def test_a_run_with_a_teacher_plays_nothing(tmp_path, games):
    lessons = tmp_path / "lessons"
    lessons.mkdir()
    for name, part in (("a", slice(0, 11)), ("b", slice(11, 24))):
        records = jax.tree.map(lambda leaf, part=part: leaf[part], games)
        record.write(
            lessons / f"{name}.safetensors", records, record.Metadata("teacher-eq", "test", 0, {})
        )
    settings = dataclasses.replace(
        TINY, runs=str(tmp_path), cycles=2, teacher=TeacherConfig(str(lessons))
    )
    run = go(settings)
    rows = metrics.read(run.session.folder / "metrics.jsonl")
    assert [row["stats/total_games"] for row in rows] == [24, 24, 24]
    assert "perf/games_per_s" not in rows[-1]  # nothing is played, and that is no fault
    assert "stale" not in warnings.names(warnings.find(rows[1:] * 10))
    np.testing.assert_array_equal(run.session.state.ring.records.slots[:24], games.slots)
    assert int(run.session.state.actor.n_finished) == 0 and rows[-1]["train/total_loss"] > 0
    # Its games are in its state: it goes on without the folder.
    shutil.rmtree(lessons)
    longer = go(dataclasses.replace(settings, cycles=3))
    assert longer.session.progress.cycle == 3
    # A complete run has nothing left to do: other settings leave no trace.
    before = (run.session.folder / "experiment.json").read_text()
    go(dataclasses.replace(settings, cycles=3, learner=dataclasses.replace(TINY.learner, lr=1.0)))
    assert (run.session.folder / "experiment.json").read_text() == before
    with pytest.raises(
        ValueError, match=r"teacher\.folder = '.*lessons' and cannot continue with None"
    ):
        go(dataclasses.replace(settings, teacher=TeacherConfig()))


def test_a_teacher_without_fitting_games_is_refused(tmp_path, games):
    settings = dataclasses.replace(
        TINY, runs=str(tmp_path / "runs"), teacher=TeacherConfig(str(tmp_path))
    )
    with pytest.raises(
        ValueError, match=r"teacher\.folder: no \*\.safetensors in .*; make some with"
    ):
        go(settings)
    metadata = record.Metadata("teacher-eq", "test", 0, {})
    record.write(tmp_path / "few.safetensors", jax.tree.map(lambda leaf: leaf[:5], games), metadata)
    with pytest.raises(
        ValueError, match=r"replay\.min_buffer: .* holds 140 examples \(5 games\), fewer than 420"
    ):
        go(settings)
    record.write(tmp_path / "many.safetensors", games, metadata)
    with pytest.raises(
        ValueError, match=r"replay\.capacity_examples: .* holds 812 examples, more than the 700"
    ):
        go(settings)
    (tmp_path / "few.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"few\.safetensors: not a readable record file"):
        go(settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"network": dataclasses.replace(TINY.network, n_layers=2)},
            r"network\.n_layers = 1 .* another network",
        ),
        (
            {"network": dataclasses.replace(TINY.network, belief_head=False)},
            r"network\.belief_head = True",
        ),
        ({"seed": 1}, "seed = 0 and cannot continue with 1"),
        (
            {"learner": dataclasses.replace(TINY.learner, clip_norm=1.0)},
            r"learner\.clip_norm = 0\.0",
        ),
        (
            {"learner": dataclasses.replace(TINY.learner, optimizer="muon")},
            r"learner\.optimizer = 'adamw'",
        ),
        ({"start": StartConfig(step=5)}, r"start\.step = None"),
    ],
)
def test_what_cannot_continue_is_refused_with_the_reason(uninterrupted, change, message):
    settings = dataclasses.replace(uninterrupted.session.settings, **change)
    before = (uninterrupted.session.folder / "experiment.json").read_text()
    with pytest.raises(ValueError, match=message):
        training.Run(settings, Quiet(), lambda: False)
    assert (uninterrupted.session.folder / "experiment.json").read_text() == before


@pytest.fixture
def copied(tmp_path, uninterrupted):
    """Settings of a run whose folder is a copy of the uninterrupted one's."""
    settings = dataclasses.replace(uninterrupted.session.settings, runs=str(tmp_path / "copied"))
    shutil.copytree(uninterrupted.session.folder, settings.folder)
    return settings


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("state/*/experiment.json", b"[1]", "not an experiment"),
        ("state/*/experiment.json", b'{"network": 1}', "not an experiment"),
        ("state/*/progress.json", b"[1]", r"progress\.json: not the progress of a run"),
        (
            "state/*/progress.json",
            b'{"first_cycle": 0, "cycle": 1, "total_games": 9, "play_s": "x"}',
            r"progress\.json: not the progress of a run",
        ),
    ],
)
def test_a_damaged_file_of_the_run_is_named_and_nothing_is_lost(copied, file, text, message):
    for path in copied.folder.glob(file):
        path.write_bytes(text)
    before = contents(copied.folder)
    with pytest.raises(ValueError, match=message):
        training.Run(copied, Quiet(), lambda: False)
    assert contents(copied.folder) == before


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("metrics.jsonl", b'{"cycle": "1"}\n', "row 1: expected a JSON object of numbers"),
        ("metrics.jsonl", b"\xff\n", "row 1: expected"),
        ("environment.json", b"\xff", "not a JSON file"),
        ("environment.json", b"{}", "expected a list of the run's starts"),
        ("environment.json", b"1", "expected a list of the run's starts"),
    ],
)
def test_a_damaged_file_that_only_reports_is_set_aside(copied, file, text, message):
    (copied.folder / file).write_bytes(text)
    report = Quiet()
    training.Run(copied, report, lambda: False).go()
    stem, _, suffix = file.partition(".")
    assert (copied.folder / f"{stem}-damaged.{suffix}").read_bytes() == text
    assert any(message in note and "is now" in note for note in report.notes)
    training.Run(copied, Quiet(), lambda: False).go()  # and the next start has nothing to set aside
    assert not (copied.folder / f"{stem}-damaged-2.{suffix}").exists()


def test_a_run_that_has_begun_says_that_it_reads_no_other_checkpoint(copied):
    """A file that was moved away does not stop a run, and what the run began with stays on
    record."""
    report = Quiet()
    moved = dataclasses.replace(copied, start=StartConfig(checkpoint="elsewhere.pt"))
    run = training.Run(moved, report, lambda: False)
    assert (
        "start.checkpoint = 'elsewhere.pt' is not read: this run began with None" in report.notes[0]
    )
    assert run.session.settings.start.checkpoint is None
    assert (
        json.loads((copied.folder / "experiment.json").read_text())["start"]["checkpoint"] is None
    )


def test_a_complete_run_announces_no_change_and_says_what_is_next(copied):
    report, learner = Quiet(), dataclasses.replace(copied.learner, lr=5e-4)
    training.Run(dataclasses.replace(copied, learner=learner), report, lambda: False).go()
    # The warnings that held at its end are said too.
    (note,) = [note for note in report.notes if "WARNING" not in note]
    assert note.startswith("complete: 4 cycles, 50 games, in ")
    assert f"next: zebjax arena zeb:{copied.folder} vs heuristic\n" in note


def test_a_cycle_takes_all_the_time_since_the_one_before(tmp_path, monkeypatch):
    """Saving and drawing too, in the cycle that they delay."""
    drawn = metrics.plot_curves
    monkeypatch.setattr(metrics, "plot_curves", lambda *args: (time.sleep(0.5), drawn(*args)))
    began = time.monotonic()
    run = go(dataclasses.replace(TINY, runs=str(tmp_path), cycles=2), draws=True)
    took = time.monotonic() - began
    rows = metrics.read(run.session.folder / "metrics.jsonl")[1:]
    walls = [row["perf/cycle_wall_time_s"] for row in rows]
    parts = [
        row[f"perf/{part}_time_s"] for row in rows[:1] for part in ("ingest", "train", "post_train")
    ]
    assert walls[0] > sum(parts) + 0.5  # the curves of the start were drawn within it
    assert sum(walls) < took


@pytest.mark.slow  # compiles the learner anew; test_changes has the rest
def test_what_may_change_does(tmp_path):
    settings = dataclasses.replace(TINY, runs=str(tmp_path), cycles=1)
    go(settings)
    changed = dataclasses.replace(
        settings, cycles=2, learner=dataclasses.replace(TINY.learner, lr=5e-4)
    )
    run = go(changed)
    assert metrics.read(run.session.folder / metrics.FILE)[-1]["train/lr"] == pytest.approx(5e-4)
    assert (
        "resuming with changed settings: learner.lr: 0.0001 -> 0.0005" in run.session.report.notes
    )
    changed = dataclasses.replace(
        changed, cycles=3, network=dataclasses.replace(TINY.network, dropout=0.2)
    )
    run = training.Run(changed, Quiet(), lambda: True)
    assert "resuming with changed settings: network.dropout: 0.1 -> 0.2" in run.session.report.notes


@pytest.mark.slow  # test_resume.py tests the rule, test_killed.py a cycle that resumes
def test_a_cycle_half_trained_goes_on_only_in_calls_that_fit(tmp_path, uninterrupted):
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    run = training.Run(settings, Quiet(), lambda: False)
    run.session.stop_asked = lambda: (
        run.session.progress.phase == "train" and run.session.progress.updates_in_cycle == 2
    )
    run.go()
    assert run.session.progress.phase == "train"
    odd = dataclasses.replace(TINY.learner, updates_per_cycle=15, updates_per_call=5)
    with pytest.raises(ValueError, match=r"saved after \d updates of a cycle and cannot resume"):
        training.Run(dataclasses.replace(settings, learner=odd), Quiet(), lambda: False)
    jax.tree.map(
        np.testing.assert_array_equal,
        as_numpy(go(settings).session.state),
        as_numpy(uninterrupted.session.state),
    )


def test_a_broken_newest_state_falls_back_to_the_one_before(tmp_path, uninterrupted):
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    run = go(dataclasses.replace(settings, cycles=3))
    newest = checkpoint.step_folder(
        run.session.folder / "state", checkpoint.steps(run.session.folder / "state")[-1]
    )
    shutil.rmtree(newest / "arrays")
    run = go(settings)
    assert "going back to the save before it" in run.session.report.notes[0]
    jax.tree.map(
        np.testing.assert_array_equal,
        as_numpy(run.session.state.learner),
        as_numpy(uninterrupted.session.state.learner),
    )


def test_results_without_a_state_are_not_overwritten(tmp_path):
    settings = dataclasses.replace(TINY, runs=str(tmp_path), cycles=1)
    shutil.rmtree(go(settings).session.folder / "state")
    before = (settings.folder / "metrics.jsonl").read_text()
    with pytest.raises(ValueError, match="results of a run, but its saved state is gone"):
        training.Run(settings, Quiet(), lambda: False)
    assert (settings.folder / "metrics.jsonl").read_text() == before


def test_a_second_process_is_kept_out(tmp_path):
    first, second, third = (locks.locked(tmp_path / "run", "choose another") for _ in range(3))
    with (
        first,
        pytest.raises(ValueError, match="another process is working here; choose another"),
        second,
    ):
        pass
    with third:
        pass


def test_nothing_is_compiled_after_the_first_cycle(tmp_path, compilations):
    """Neither in a fresh run nor in one that was resumed."""
    for cycles in (3, 6):
        counts = []
        report = Quiet()
        report.cycle = lambda row, seconds_left, counts=counts: counts.append(len(compilations))
        training.Run(
            dataclasses.replace(TINY, runs=str(tmp_path), cycles=cycles), report, lambda: False
        ).go()
        assert len(counts) >= 3
        assert len(set(counts[1:])) == 1, counts
