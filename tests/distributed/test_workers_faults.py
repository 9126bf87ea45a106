"""A learner and its workers with faults of the store, the disk, the numbers or other processes."""

import contextlib
import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support.faulty import FaultyStore, full_disk
from tests.support.killed import Killed, killed_at_rename
from tests.support.tiny import Quiet, as_numpy, go
from tests.support.workers import learn, names, play, settings_in
from zebjax import record
from zebjax.distributed import (
    object_store,
    open,
    presence,
    spool,
    store,
    weights,
    worker,
    worker_link,
    worker_source,
)
from zebjax.distributed.worker_source import WorkerSource
from zebjax.training import run as training
from zebjax.training.config import ReplayConfig


@pytest.fixture
def settings(tmp_path):
    return settings_in(tmp_path, cycles=2)


def bad_line(settings, monkeypatch, **faults):
    """The run's store behind a bad line, for whoever opens it from now on."""
    place = FaultyStore(open.open_store(settings.namespace), **faults)
    for module in (worker, worker_source):
        monkeypatch.setattr(module, "open_store", lambda url: place)
    return place


class Troubled(Quiet):
    """The store is well while a process starts, then bad, and gone altogether for some looks."""

    def __init__(self, place, gone=()):
        super().__init__()
        self.place, self.gone, self.looks = place, gone, 0
        self.place.fails = self.place.truncates = 0.0
        self.place.gone = False

    def look(self):
        self.looks += 1
        self.place.fails, self.place.truncates, self.place.gone = 0.3, 0.2, self.looks in self.gone

    def working(self, what, done, total):
        self.look()


@pytest.mark.slow  # plays against E[Q]; `benchmarks.faults` does more
def test_a_system_whose_store_fails_loses_and_repeats_nothing(settings, monkeypatch):
    """Three calls of ten fail, before or after they did their work, a fifth of what is fetched is
    cut short."""
    learn(settings, stop_after=1)
    place = bad_line(settings, monkeypatch, fails=0.0)
    for role, games in (("selfplay", 24), ("evalaux", 8)):
        worker.work(
            settings,
            worker_link.Job(role, role, games),
            Troubled(place, gone=range(2, 5)),
            lambda: False,
        )
    place.fails, place.truncates, place.gone = 0.0, 0.0, False
    for role in ("selfplay", "evalaux"):  # what is left in the spools
        play(settings, role, 4)
    sent = names(settings)
    # Read now: the learner prunes what it has saved.
    files = [record.read(Path(settings.namespace) / name)[1] for name in sent]
    report, stop = Troubled(place), iter(range(10**6))

    def stop_asked():
        report.look()
        return next(stop) > 10**5

    run = training.Run(settings, report, stop_asked, WorkerSource(settings, report))
    run.go()
    assert place.failed > 10
    taken = [
        file.games
        for name, file in zip(sent, files, strict=True)
        if name <= run.session.progress.cursor.get(spool.parse_name(name).worker, "")
    ]
    assert run.session.progress.total_games == sum(taken) and run.session.progress.quarantined == 0
    assert run.session.progress.cycle == 2 and len(set(sent)) == len(sent)
    sequences = [spool.parse_name(name)[:2] for name in sent]
    assert len(set(sequences)) == len(sequences)
    assert any("continuing without the store" in note for note in report.notes)


def test_a_worker_that_may_not_write_for_a_while_still_takes_new_weights(settings, monkeypatch):
    run = learn(settings, stop_after=1)
    place = open.open_store(settings.namespace)
    link = worker_link.Link(settings, worker_link.Job("selfplay", "w"), place, print)
    link.begin()
    link.end()
    data = weights.to_bytes(settings.network, run.session.state.learner.params)
    facts = {"step": 7, "total_games": 9, "wandb_run_id": None, "created_at": ""}
    found = weights.newest(place)[0]
    weights.publish(
        place, weights.Lease(found.epoch), data, facts | {"experiment": found.experiment}
    )

    def refuse(*_):
        raise store.Refused("access denied")

    monkeypatch.setattr(place, "put", refuse)
    link._write_interval.every_s = link._beat_every_s = 0.0
    with pytest.raises(store.Refused):
        link._work()
    assert link.current().manifest.step == 7


def test_a_worker_with_a_full_disk_goes_on(settings, monkeypatch):
    learn(settings, stop_after=1)
    place = bad_line(settings, monkeypatch, fails=0)

    class Full(Quiet):
        disk = None

        def working(self, what, done, total):
            if self.disk is None:
                place.gone, self.disk = True, full_disk(100)
                self.disk.__enter__()

    report = Full()
    try:
        worker.work(settings, worker_link.Job("selfplay", "w", 24), report, lambda: False)
    finally:
        report.disk.__exit__(None, None, None)
    dropped = [note for note in report.notes if "games dropped so far" in note]
    assert dropped and "cannot be written" in dropped[-1]
    place.gone = False
    play(settings, "selfplay", 8, "w")
    assert [record.read(Path(settings.namespace) / name)[1].games for name in names(settings)][
        -1
    ] == 8


def test_a_learner_with_a_full_disk_says_so_and_goes_on_later(settings):
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    with (
        full_disk(20_000),
        pytest.raises((ValueError, OSError), match=r"cannot be written|too large"),
    ):
        learn(settings)
    run = learn(settings)
    assert (run.session.progress.cycle, run.session.progress.total_games) == (2, 24)


def waits(settings, n_looks=3, **replay):
    """What a learner says that it waits for."""
    settings = dataclasses.replace(settings, replay=dataclasses.replace(settings.replay, **replay))
    report, looks = Quiet(), 0

    def stop_asked():
        nonlocal looks
        looks += "waiting" in " ".join(report.notes)
        return looks > n_looks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zebjax.distributed.worker_source._WAIT_NOTE_S", 0.0)
        run = training.Run(settings, report, stop_asked, WorkerSource(settings, report))
        run.go()
    notes = [note for note in report.notes if "waiting" in note and "looking what" not in note]
    return notes[-1] if notes else "", run


def test_training_waits_for_enough_games(settings):
    learn(settings, stop_after=1)
    play(settings, "selfplay", 8)
    reason, run = waits(settings, min_buffer=28 * 20)
    assert (
        "224 of 560 examples of self-play are in the buffer" in reason
        and run.session.progress.cycle == 0
    )


def test_training_waits_rather_than_learn_a_game_too_often(settings):
    """160 rows a cycle: 24 games are 672 examples, enough for four cycles and no fifth at one row
    each."""
    settings = dataclasses.replace(
        settings, cycles=20, replay=ReplayConfig(28 * 60, 28 * 15, max_reuse=1.0)
    )
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    reason, run = waits(settings)
    assert (
        run.session.progress.cycle == 4
        and "672 examples arrived, too few for 800 training rows" in reason
    )


def test_training_waits_while_nothing_new_comes(settings):
    settings = dataclasses.replace(settings, cycles=10_000)
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    reason, run = waits(settings, max_example_age_s=1.0)
    assert "(max_example_age_s)" in reason and run.session.progress.cycle >= 1


def test_weights_that_are_not_finite_are_not_published(settings):
    run = learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    before = weights.newest(open.open_store(settings.namespace))[0]
    source = WorkerSource(settings, Quiet())
    broken = training.Run(settings, Quiet(), lambda: True, source)
    nan = jax.tree.map(lambda leaf: leaf * np.nan, run.session.state.learner.params)
    state = broken.session.state
    broken.session.state = state._replace(learner=state.learner._replace(params=nan))
    with pytest.raises(ValueError, match="no longer finite"):
        broken.go()
    assert weights.newest(open.open_store(settings.namespace))[0] == before


def test_a_folder_that_was_lost_does_not_begin_again_over_newer_weights(settings, tmp_path):
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    assert learn(settings).session.progress.cycle == 2
    elsewhere = dataclasses.replace(
        settings,
        runs=str(tmp_path / "other"),
        store=dataclasses.replace(settings.store, url=str(tmp_path / "store")),
    )
    epoch = weights.newest_lease(open.open_store(settings.namespace))[0]
    with pytest.raises(ValueError, match=r"the weights there are of step 2, but .* holds no state"):
        learn(elsewhere)
    assert (
        weights.newest_lease(open.open_store(settings.namespace))[0] == epoch
    )  # nobody was fenced off
    run = go(elsewhere, 1, WorkerSource(elsewhere, Quiet(), take_over=True))
    assert run.session.progress.cycle == 0
    newest = weights.newest(open.open_store(settings.namespace))[0]
    assert (newest.step, newest.epoch) == (0, epoch + 1)


def test_a_run_that_goes_on_has_the_namespaces_wandb_run(settings, tmp_path):
    learn(settings, stop_after=1)
    place = open.open_store(settings.namespace)
    told = json.loads(place.get(weights.NEWEST, 1 << 20))
    place.put({}, {weights.NEWEST: json.dumps(told | {"wandb_run_id": "abcd1234"}).encode()})
    assert learn(settings, stop_after=1).session.progress.wandb_run_id == "abcd1234"


def test_a_worker_that_never_comes_is_told_again_and_again(settings, monkeypatch):
    monkeypatch.setattr(presence, "_GRACE_S", 0.0)
    monkeypatch.setattr(presence, "_REPEAT_S", 0.5)
    monkeypatch.setattr(presence.heartbeat, "EVERY_S", 0.05)
    report = Quiet()

    def stop_asked():
        return len([note for note in report.notes if "ALARM" in note]) > 1

    training.Run(settings, report, stop_asked, WorkerSource(settings, report)).go()
    alarms = [note for note in report.notes if "ALARM" in note]
    assert alarms[-1] == "  ALARM: no_selfplay, no_evalaux"


def test_a_worker_swaps_weights_without_compiling(settings, compilations):
    run = learn(settings, stop_after=1)
    place = open.open_store(settings.namespace)
    manifest = weights.newest(place)[0]
    facts = {
        name: getattr(manifest, name)
        for name in ("step", "total_games", "wandb_run_id", "experiment")
    }
    data = weights.to_bytes(settings.network, run.session.state.learner.params)

    class Publishing(Quiet):
        swapped = False

        def working(self, what, done, total):
            if done and not self.swapped:
                self.swapped = True
                compilations.clear()
                facts["step"] = 7
                lease = weights.Lease(manifest.epoch)
                weights.publish(
                    place, lease, data, facts | {"created_at": "2026-11-25T00:00:00+00:00"}
                )

    report = Publishing()
    worker.work(
        settings,
        worker_link.Job("selfplay", "w", 400),
        report,
        lambda: bool(_steps(settings)[-1:] == [7]),
    )
    assert any("weights of step 7" in note for note in report.notes)
    assert _steps(settings)[-1] == 7 and _steps(settings)[0] == 0
    assert compilations == []


def _steps(settings):
    return [record.peek(Path(settings.namespace) / name).model_step for name in names(settings)]


def test_a_new_run_can_begin_with_games_that_are_there(settings, tmp_path):
    learn(settings, stop_after=1)
    play(settings, "selfplay", 16)
    play(settings, "evalaux", 4)
    seeded = dataclasses.replace(
        settings,
        name="seeded",
        cycles=1,
        replay=dataclasses.replace(settings.replay, seed_folder=f"{settings.namespace}/examples"),
    )
    run = go(seeded, stop_after=1)
    assert (int(run.session.state.ring.size), int(run.session.state.aux.size)) == (16, 4)
    assert run.session.progress.total_games == 0  # they are not this run's
    assert run.session.progress.arrived_examples == 20 * 28
    rings = as_numpy((run.session.state.ring, run.session.state.aux))
    again = go(seeded, stop_after=1)  # what the folder holds now is not put in again
    jax.tree.map(
        np.testing.assert_array_equal,
        as_numpy((again.session.state.ring, again.session.state.aux)),
        rings,
    )
    with pytest.raises(ValueError, match=r"replay\.seed_folder: .* does not exist"):
        empty = dataclasses.replace(seeded.replay, seed_folder=str(tmp_path / "none"))
        go(dataclasses.replace(seeded, name="nothing", replay=empty))


@pytest.mark.slow  # test_claims and test_pruner refuse deletions too
def test_a_credential_that_may_not_delete_still_publishes(settings, monkeypatch):
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)

    def refuse(self, names):
        raise store.Refused("no access")

    monkeypatch.setattr(object_store.ObjectStore, "delete", refuse)
    every = dataclasses.replace(settings.store, publish_every_cycles=1, keep_weights=1)
    run = learn(dataclasses.replace(settings, cycles=4, store=every))
    assert run.session.progress.cycle == 4
    assert weights.newest(open.open_store(settings.namespace))[0].step == 4


def test_the_last_weights_are_published_by_the_next_start(settings, monkeypatch):
    """The store is away when the run ends."""
    learn(settings, stop_after=1)
    play(settings, "selfplay", 24)
    with monkeypatch.context() as patch:

        def away(*_, **__):
            raise store.Unreachable("away")

        patch.setattr(weights, "publish", away)
        run = learn(settings)
    assert any("could not publish the last weights" in note for note in run.session.report.notes)
    place = open.open_store(settings.namespace)
    assert weights.newest(place)[0].step == 0
    learn(settings)  # it is complete: nothing is left but this
    assert weights.newest(place)[0].step == settings.cycles


@pytest.mark.parametrize("number", range(0, 12, 2))
def test_a_learner_killed_in_its_first_moments_begins_again(settings, number):
    with pytest.MonkeyPatch.context() as patch:
        killed_at_rename(number, patch)
        with contextlib.suppress(Killed):
            learn(settings, stop_after=1)
    run = learn(settings, stop_after=1)
    assert run.session.progress.cycle == 0
    assert weights.newest(open.open_store(settings.namespace))[0].step == 0
