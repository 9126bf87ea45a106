"""The device plays while the host saves and reports, and the run stays the same to the bit."""

import dataclasses
import threading

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY, Quiet, as_numpy, training_rows
from zebjax.training import ahead, metrics, selfplay
from zebjax.training import run as training
from zebjax.training.sources import SelfPlaySource

PATIENCE_S = 60


class Broken(Exception):
    pass


class Plain(SelfPlaySource):
    """Nothing runs ahead."""

    def play_ahead(self, session):
        pass


class Watched(SelfPlaySource):
    """A call that runs ahead begins to play only after the cycle has been saved and reported.

    So a run ends only if it saves and reports without the result of that call.
    """

    def __init__(self, report, breaks=None):
        super().__init__(report, "fewer lanes")
        self.breaks = breaks
        self.calls, self.n_timed = {"ahead": [], "usual": 0}, 0
        self.was_told, self.n_told_in_time = threading.Event(), 0
        timed = self._size.timed

        def count(seconds):
            self.n_timed += 1
            timed(seconds)

        self._size.timed = count

    def _advance(self, session, state):
        if threading.current_thread() is threading.main_thread():
            self.calls["usual"] += 1
            return super()._advance(session, state)
        self.calls["ahead"].append(session.progress.cycle)
        if self.breaks == "call":
            raise Broken
        self.n_told_in_time += self.was_told.wait(PATIENCE_S)
        return super()._advance(session, state)

    def play_ahead(self, session):
        self.was_told.clear()
        super().play_ahead(session)
        if self._ahead is not None:  # so nothing that follows computes on the device
            arrays = session.state._replace(actor=session.state.actor._replace(key=None))
            arrays = arrays._replace(learner=arrays.learner._replace(key=None))
            assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(arrays))

    def weights_changed(self, session, is_last):
        if self.breaks == "publication" and session.progress.cycle == 2:
            self.was_told.set()
            raise Broken


def watched(settings, breaks=None, stops_after=None):
    """A run that has not begun; it is asked to stop as it reports the cycle `stops_after`."""
    report, stops = Quiet(), []
    source = Watched(report, breaks)

    def cycle(row, seconds_left):
        report.cycles.append(row)
        stops.extend([True] * (row["cycle"] == stops_after))
        source.was_told.set()

    report.cycle = cycle
    run = training.Run(settings, report, lambda: bool(stops), source)
    run._outputs._draw = lambda: None
    return run


def check_same(run, other):
    jax.tree.map(
        np.testing.assert_array_equal, as_numpy(run.session.state), as_numpy(other.session.state)
    )
    assert training_rows(run.session.folder) == training_rows(other.session.folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    settings = dataclasses.replace(TINY, runs=str(tmp_path_factory.mktemp("plain")))
    report = Quiet()
    run = training.Run(settings, report, lambda: False, Plain(report, "fewer lanes"))
    run.go()
    return run


def test_the_device_plays_while_a_cycle_is_saved_and_reported(tmp_path, plain):
    run = watched(dataclasses.replace(TINY, runs=str(tmp_path)))
    run.go()
    check_same(run, plain)
    source = run.source
    # Not before the first call, which compiles, and not after the last cycle.
    assert source.calls["ahead"] == [1, 2, 3]
    assert source.n_told_in_time == 3
    # The time of such a call says nothing about its size.
    assert source.n_timed == source.calls["usual"] > 0
    assert not any(thread.name.startswith("self-play") for thread in threading.enumerate())


def test_games_a_second_count_all_the_time_that_a_call_ran(tmp_path, monkeypatch):
    """Also the part in which the host did not wait for it."""
    took = []
    collect = ahead.Ahead.collect
    monkeypatch.setattr(
        ahead.Ahead, "collect", lambda *args: took.append(collect(*args)) or took[-1]
    )
    run = watched(dataclasses.replace(TINY, runs=str(tmp_path), cycles=3))
    run.go()
    rows = metrics.read(run.session.folder / metrics.FILE)[2:]
    assert len(took) == len(rows) == 2
    for row, seconds in zip(rows, took, strict=True):
        # It waited for a save of several files.
        assert 0.005 < seconds <= row["perf/ingest_time_s"] < row["perf/cycle_wall_time_s"]
        assert row["perf/games_per_s"] == pytest.approx(10 / row["perf/ingest_time_s"])


def test_a_stop_while_a_cycle_is_reported_keeps_the_games_of_the_call(tmp_path, plain):
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    stopped = watched(settings, stops_after=2)
    stopped.go()
    assert stopped.source.calls["ahead"] == [1, 2]
    progress = stopped.session.progress
    assert (progress.cycle, progress.phase) == (2, "play")
    assert progress.play_s > 0
    resumed = watched(settings)
    resumed.go()
    check_same(resumed, plain)


def test_after_a_stop_no_call_begins(tmp_path):
    settings = dataclasses.replace(TINY, runs=str(tmp_path), cycles=3)
    run = watched(settings)
    run.session.stop_asked = lambda: run.session.progress.cycle == 2
    run.go()
    assert run.source.calls["ahead"] == [1]


@pytest.mark.parametrize("breaks", ["call", "publication"])
def test_a_failure_while_a_call_runs_costs_nothing(tmp_path, plain, breaks):
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    broken = watched(settings, breaks)
    with pytest.raises(Broken):
        broken.go()
    assert broken.source._ahead is None
    resumed = watched(settings)
    resumed.go()
    check_same(resumed, plain)


def test_copies_on_the_host_outlive_the_arrays():
    actor = selfplay.init(TINY.selfplay, jax.random.key(0))
    copy, before = ahead.on_host(actor), jax.tree.map(np.array, as_numpy(actor))
    assert jax.tree.structure(copy) == jax.tree.structure(actor)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(copy[:-1]))
    selfplay.pop_finished(TINY.selfplay, actor)  # takes its arrays
    for leaf in jax.tree.leaves(actor):
        if not leaf.is_deleted():
            leaf.delete()
    jax.tree.map(np.testing.assert_array_equal, as_numpy(copy), before)
