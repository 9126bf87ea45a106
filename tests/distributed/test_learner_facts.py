"""What a learner's and a worker's heartbeats say about their work."""

import dataclasses
import json

import pytest

from tests.support.tiny import TINY, Quiet
from zebjax.common.last_warning import LastWarning
from zebjax.distributed import heartbeat, machine, open, presence, worker_link
from zebjax.distributed.learner_facts import LearnerFacts, Waiting
from zebjax.training.session import Progress, Session


@pytest.fixture
def session():
    progress = Progress(first_cycle=3, cycle=3, total_games=70)
    return Session(TINY, Quiet(), lambda: False, None, progress, is_new=True)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def row(cycle, wall_s, **more):
    return {"cycle": cycle, "stats/total_games": 1, "perf/cycle_wall_time_s": wall_s, **more}


def test_a_learner_compiles_until_its_first_updates_are_done(session):
    facts, progress = LearnerFacts(session.progress), session.progress
    phases = []
    for phase, cycle, updates in (
        ("judge", 3, 0),
        ("play", 3, 0),
        ("train", 3, 0),
        ("train", 3, 2),
        ("judge", 4, 6),
        ("play", 4, 0),
        ("train", 4, 0),
    ):
        progress.phase, progress.cycle, progress.updates_in_cycle = phase, cycle, updates
        phases.append(facts.of(session)["phase"])
    assert phases == ["judge", "play", "compile", "train", "judge", "play", "train"]


def test_metrics_stay_until_there_are_newer_ones(session):
    facts = LearnerFacts(session.progress)
    first = row(4, 10.0, **{"train/value_loss": 0.9, "eval/vs_random_win_rate": 0.6, "other": 1})
    session.progress.row = first
    facts.of(session)
    session.progress.row = row(5, 30.0, **{"train/value_loss": 0.8})
    found = facts.of(session) and facts.of(session)
    assert (found["train/value_loss"], found["eval/vs_random_win_rate"]) == (0.8, 0.6)
    assert "other" not in found
    assert (found["cycle_s"], found["longest_cycle_s"]) == (20.0, 30.0)


def test_a_wait_has_its_reason_and_numbers_until_it_ends(session):
    facts = LearnerFacts(session.progress)
    assert "waits_for" not in facts.of(session)
    facts.waits, facts.buffer = Waiting("more games", 3, 7), 3
    found = facts.of(session)
    assert [found[name] for name in ("waits_for", "have", "needed", "buffer")] == [
        "more games",
        3,
        7,
        3,
    ]
    facts.waits = None
    assert "have" not in facts.of(session)


def test_the_heartbeat_of_a_run_that_hangs_says_since_when(tmp_path, session, clock):
    learner = presence.Presence(heartbeat.Watch(open.open_store(str(tmp_path / "store"))), TINY)

    def beat():
        return json.loads(learner.heartbeat("running")[heartbeat.LEARNER])

    learner.describe(1, {"step": 3, "phase": "play"})
    clock[0] += 100
    learner.describe(1, {"step": 3, "phase": "train"})
    clock[0] += 60  # nothing is described any more
    assert (beat()["step_age_s"], beat()["phase_age_s"]) == (160, 60)
    learner.describe(1, {"step": 4, "phase": "train"})
    clock[0] += 5
    assert (beat()["step_age_s"], beat()["phase_age_s"]) == (5, 65)


def test_a_warning_is_short_and_has_an_age(session, clock):
    warning = LastWarning()
    assert warning.facts() == {}
    warning.set("x" * 1000)
    clock[0] += 7
    assert warning.facts() == {"warning": "x" * 300, "warning_age_s": 7}
    session.warn("  the disk is full")
    assert session.report.notes == ["  the disk is full"]
    assert session.warning.facts()["warning"] == "the disk is full"


@pytest.mark.parametrize(
    ("text", "price"),
    [("0.12", 0.12), ("0", 0), (None, None), ("", None), ("-1", None), ("nan", None), ("x", None)],
)
def test_a_price_is_a_possible_price_or_none(text, price):
    assert machine.price(text) == price


def test_a_worker_compiles_until_its_first_call_is_done(tmp_path, monkeypatch):
    monkeypatch.setenv(machine.PRICE, "0.25")
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    store = open.open_store(settings.namespace)
    link = worker_link.Link(settings, worker_link.Job("selfplay", "w"), store, print)

    def beat():
        return json.loads(next(iter(link._heartbeat("running", 0).values())))

    assert beat()["phase"] == "compile" and beat()["price_usd_per_hour"] == 0.25
    assert beat()["device"] and "warning" not in beat()
    link.compiled()
    link.warning.set("slow")
    assert beat()["phase"] == "play" and beat()["warning"] == "slow"


def test_texts_of_other_machines_cannot_control_a_terminal():
    odd = {"host": "a\x1b[31m\nb\u202e", "long": "x" * 10_000, "list": [1], "none": None}
    found = heartbeat._facts(json.dumps(odd).encode())
    assert found == {"host": "a[31mb", "long": "x" * 400}
