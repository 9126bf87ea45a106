"""The learner's heartbeats, and how often an alarm is reported."""

import json

import pytest

from tests.support.tiny import TINY
from zebjax.distributed import heartbeat, open, presence


@pytest.fixture
def learner(tmp_path):
    return presence.Presence(heartbeat.Watch(open.open_store(str(tmp_path / "store"))), TINY)


def test_every_heartbeat_differs_and_says_what_was_described(learner):
    learner.describe(3, {"step": 7})
    beats = [json.loads(learner.heartbeat("running")[heartbeat.LEARNER]) for _ in range(2)]
    assert [(beat["step"], beat["epoch"], beat["state"]) for beat in beats] == [
        (7, 3, "running")
    ] * 2
    assert beats[0] != beats[1]


def test_missing_workers_become_alarms_in_the_next_heartbeat(learner):
    learner.poll()
    assert "no_selfplay" in learner.alarms
    beat = json.loads(learner.heartbeat("running")[heartbeat.LEARNER])
    assert beat["alarms"] == learner.alarms


def test_an_alarm_is_reported_when_it_changes_and_not_at_the_start(monkeypatch):
    now, notes = [1000.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    reports = presence.AlarmNotes()
    reports.report(["no_selfplay"], notes.append)
    assert notes == []  # the workers may be starting together with the learner
    now[0] += 41
    reports.report(["no_selfplay"], notes.append)
    reports.report(["no_selfplay"], notes.append)
    assert len(notes) == 1 and "ALARM: no_selfplay" in notes[0]
    now[0] += 61
    reports.report(["no_selfplay"], notes.append)
    assert len(notes) == 2
    reports.report([], notes.append)
    reports.report([], notes.append)
    assert len(notes) == 3 and "all workers are running" in notes[2]
