"""What the listener makes of supervisord's events, without a supervisord."""

import pytest

from zebjax.operations.local import listener
from zebjax.operations.local.configuration import Policy
from zebjax.operations.local.listener import Happened, Memory, heed

NAMES = {"learner", "play-1"}


class Facts:
    def __init__(self, how="exit status 3", lines=("first", "last"), complete=False):
        self.how, self.lines, self.complete = how, list(lines), complete

    def exit_of(self, name):
        return self.how

    def last_lines(self, name):
        return self.lines

    def is_complete(self):
        return self.complete


def run(memory, *steps, facts=None, now=0.0):
    """The decisions about `name STATE` steps."""
    made = []
    for step in steps:
        name, state = step.split()
        event = {"processname": name, "groupname": "g", "from_state": "X"}
        made.append(heed(memory, f"PROCESS_STATE_{state}", facts or Facts(), event, now))
    return made


def events(decisions):
    return [(each.name, each.event) for made in decisions for each in made.happened]


@pytest.fixture
def memory():
    return Memory(NAMES, Policy(max_exits=3, exits_within_s=100.0))


def test_a_process_starts_ends_and_starts_again(memory):
    made = run(memory, "play-1 STARTING", "play-1 RUNNING", "play-1 EXITED", "play-1 STARTING")
    assert events(made) == [("play-1", "started"), ("play-1", "exited"), ("play-1", "restarted")]
    assert made[2].happened[0].detail == "exit status 3; last line of its log: last"
    assert all(not each.call for each in made)
    (quiet,) = run(memory, "play-1 BACKOFF", facts=Facts(lines=()))
    assert quiet.happened == [Happened("play-1", "exited", "exit status 3")]


def test_other_processes_and_events_are_not_its_business(memory):
    assert events(run(memory, "events STARTING", "play-1 RUNNING", "play-1 STOPPING")) == []
    assert heed(memory, "TICK_5", Facts(), {"when": "5"}, 0.0) == listener.Decision()


def test_fatal_has_the_end_of_the_log_but_not_when_all_is_stopped(memory):
    (made,) = run(memory, "play-1 FATAL")
    (happened,) = made.happened
    assert happened.event == "fatal" and happened.detail.endswith(":\nfirst\nlast")
    long = run(memory, "play-1 FATAL", facts=Facts(lines=["x" * 9000]))[0].happened[0].detail
    assert len(long) < 5000
    heed(memory, listener.STOPPING, Facts(), {}, 0.0)
    assert events(run(memory, "play-1 FATAL")) == [("play-1", "stopped")]


def test_a_process_that_ends_too_often_is_given_up(memory):
    first = run(memory, "play-1 STARTING", "play-1 EXITED", now=0.0)
    second = run(memory, "play-1 STARTING", "play-1 EXITED", now=50.0)
    assert not any(each.call for each in (*first, *second))
    third = run(memory, "play-1 STARTING", "play-1 EXITED", now=99.0)
    assert events(third)[-1] == ("play-1", "fatal")
    assert third[-1].call == ("stopProcess", "play-1")
    # supervisord starts it once more before it hears of that.
    assert events(run(memory, "play-1 STARTING", "play-1 STOPPING", "play-1 STOPPED")) == []
    # The user gives it another chance.
    again = run(memory, "play-1 STARTING", "play-1 EXITED", now=101.0)
    assert events(again) == [("play-1", "restarted"), ("play-1", "exited")]


def test_a_process_that_ends_now_and_then_is_not_given_up(memory):
    for n in range(10):
        made = run(memory, "play-1 STARTING", "play-1 EXITED", now=60.0 * n)
        assert not any(each.call for each in made)


@pytest.mark.parametrize("state", ["EXITED", "BACKOFF"])
def test_the_learner_of_a_complete_run_ends_the_fleet(memory, state):
    facts = Facts("exit status 0", complete=True)
    (_, made) = run(memory, "learner STARTING", f"learner {state}", facts=facts)
    assert made.call == ("shutdown",)
    assert made.happened == [Happened("learner", "exited", "exit status 0; the run is complete")]


def test_a_learner_that_was_stopped_is_started_and_one_that_crashed_at_the_end_too(memory):
    (made,) = run(memory, "learner EXITED", facts=Facts("exit status 0"))
    assert made.call == ("startProcess", "learner")
    # supervisord itself starts again what has failed or has ended at once.
    crashed = Facts("terminated by SIGKILL", complete=True)
    for state, facts in (("BACKOFF", Facts("exit status 0")), ("EXITED", crashed)):
        assert run(memory, f"learner {state}", facts=facts)[0].call == ()
    # A worker's end is never that of the run.
    ended = Facts("exit status 0", complete=True)
    assert run(memory, "play-1 EXITED", facts=ended)[0].call == ()


def test_a_listener_that_was_killed_knows_what_was_before(memory):
    for name, event in (("play-1", "started"), ("play-1", "exited"), ("learner", "started")):
        memory.take({"name": name, "event": event, "time_s": 1.0})
    assert memory.up == {"learner"} and list(memory.exits["play-1"]) == [1.0]
    assert events(run(memory, "play-1 STARTING")) == [("play-1", "restarted")]


LOG = """\
2026-11-26 15:03:12,419 WARN exited: play-1 (exit status 3; not expected)
2026-11-26 15:03:12,420 WARN exited: play-10 (terminated by SIGSEGV (core dumped); not expected)
2026-11-26 15:03:13,430 INFO success: play-2 entered RUNNING state, process has stayed up
2026-11-26 15:03:13,431 INFO exited: learner (exit status 0; expected)
2026-11-26 15:03:13,551 WARN stopped: play-2 (terminated by SIGKILL)
""".splitlines()


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("play-1", "exit status 3"),
        ("play-10", "terminated by SIGSEGV (core dumped)"),
        ("learner", "exit status 0"),
        ("play-2", "terminated by SIGKILL"),
        ("play-3", "could not be started"),
    ],
)
def test_how_a_process_ended_is_in_supervisords_log(name, how):
    assert listener.exit_in(LOG, name) == how


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ('{"first_cycle": 5, "cycle": 9, "phase": "play"}', True),
        ('{"first_cycle": 5, "cycle": 9, "phase": "judge"}', False),
        ('{"first_cycle": 5, "cycle": 8, "phase": "train"}', False),
        ("nonsense", False),
        ("[]", False),
    ],
)
def test_a_run_is_complete_after_its_last_cycle(tmp_path, text, complete):
    assert not listener.is_complete(tmp_path, 4)
    for number, content in ((9, '{"first_cycle": 0, "cycle": 0, "phase": "play"}'), (10, text)):
        folder = tmp_path / "state" / f"step_{number:09d}"
        folder.mkdir(parents=True)
        (folder / "progress.json").write_text(content)
    assert listener.is_complete(tmp_path, 4) == complete
    assert not listener.is_complete(tmp_path, None)
