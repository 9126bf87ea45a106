"""`--alert`: a command for each beginning and end of an alarm, once, whatever the store says."""

import os
import time

import pytest

from tests.support.store_made import made, whole
from zebjax import status
from zebjax.common import console
from zebjax.operations.watching import announce, following
from zebjax.operations.watching import target as targets

WRITE = 'printf "%s|%s|%s\\n" "$ZEBJAX_STATE" "$ZEBJAX_ALARM" "$ZEBJAX_RUN" >> '


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def told(tmp_path):
    """The command, and a function for what it has written."""
    file = tmp_path / "told"
    return f"{WRITE}{file}", lambda: file.read_text().splitlines() if file.exists() else []


def test_an_alarm_is_announced_once_at_its_beginning_and_once_at_its_end(tmp_path, told, clock):
    command, lines = told
    tmp_path.joinpath("kept").mkdir()
    announcer = announce.Announcer(command, tmp_path / "kept")
    for at, alarms in (
        (0, {"a": "it is so"}),
        (29, {"a": "it is so"}),
        (31, {"a": "it is so"}),
        (99, {"a": "it is still so"}),
        (100, {}),
        (120, {}),
        (131, {}),
        (999, {}),
    ):
        clock[0] = 1000.0 + at
        assert announcer.update(alarms, "run") == []
    assert lines() == ["began|a: it is so|run", "ended|a: it is so|run"]


def test_what_comes_and_goes_at_once_is_not_announced(tmp_path, told, clock):
    command, lines = told
    announcer = announce.Announcer(command, tmp_path)
    for at in range(0, 200, 10):
        clock[0] = 1000.0 + at
        announcer.update({"a": "x"} if at % 20 else {}, "run")
    assert lines() == []


def test_a_restart_repeats_nothing_and_forgets_nothing(tmp_path, told, clock):
    command, lines = told

    def update(alarms):
        announcer = announce.Announcer(command, tmp_path)
        announcer.update(alarms, "run")
        clock[0] += 40
        announcer.update(alarms, "run")

    update({"a": "x", "b": "y"})
    update({"a": "x", "b": "y"})
    assert lines() == ["began|a: x|run", "began|b: y|run"]
    update({"b": "y"})  # it ended while nobody watched
    assert lines()[2:] == ["ended|a: x|run"]


@pytest.mark.parametrize("odd", ["", "{", "[1]", '{"a": 1}', "[" * 9999])
def test_an_odd_state_file_is_no_state(tmp_path, told, clock, odd):
    (tmp_path / "announced.json").write_text(odd)
    announcer = announce.Announcer(told[0], tmp_path)
    announcer.update({"a": "x"}, "run")
    clock[0] += 40
    announcer.update({"a": "x"}, "run")
    assert told[1]() == ["began|a: x|run"]


def test_words_of_the_store_are_no_part_of_the_command(tmp_path, told):
    hostile = '$(touch {0}) `touch {0}` "; touch {0}; "\n\x1b[31m\\'.format(tmp_path / "owned")
    event = announce.Event("began", "a", hostile)
    assert announce.run_command(told[0], event, hostile) is None
    # Even without quotes, words of a variable are not run.
    assert announce.run_command("echo $ZEBJAX_ALARM $ZEBJAX_RUN", event, hostile) is None
    assert not (tmp_path / "owned").exists()
    (line,) = told[1]()
    assert not set(line) & set('"\\`$\x1b')


def test_a_command_that_fails_is_told_and_one_that_hangs_is_killed(tmp_path):
    event = announce.Event("began", "a", "x")
    failed = announce.run_command("echo no such room >&2; exit 3", event, "run")
    assert failed == "--alert: the command failed with status 3: no such room"
    assert "killed after" in announce.run_command("sleep 60 & sleep 60", event, "run", 0.1)
    assert announce.run_command("sleep 60 >&2 &", event, "run", 5) is None  # a child may stay


def test_a_state_that_cannot_be_written_is_told(tmp_path, told, clock):
    announcer = announce.Announcer(told[0], tmp_path / "gone")
    announcer.update({"a": "x"}, "run")
    clock[0] += 40
    (problem,) = announcer.update({"a": "x"}, "run")
    assert "cannot be written" in problem and told[1]() == ["began|a: x|run"]


def test_two_watchers_do_not_announce_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with (
        announce.opened("true", "runs/a", print),
        announce.opened("true", "runs/b", print),
        pytest.raises(ValueError, match="announces the alarms of this run"),
    ):
        announce.opened("true", "runs/a", print).__enter__()


# ---- following


def test_a_store_that_is_away_is_an_alarm_after_minutes(tmp_path, clock):
    run = targets.open_target(str(made(tmp_path).where))
    follower = following.Follower(run, run.poll(), None)
    before = follower.state

    def fail():
        raise ValueError("the line is cut")

    run.poll = fail
    follower.poll()
    assert "the line is cut" in follower.trouble and follower.state is before
    assert following.CANNOT_POLL not in follower.alarms()
    clock[0] += 301
    assert "the line is cut" in follower.alarms()[following.CANNOT_POLL]
    del run.poll
    follower.poll()
    assert follower.trouble is None and following.CANNOT_POLL not in follower.alarms()


def test_status_live_announces(tmp_path, told, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole(tmp_path / "store", step_age_s=900.0)
    slept, began = [], time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: began + 10 * len(slept))

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    monkeypatch.setattr(console, "is_terminal", lambda: False)
    assert status.main([str(tmp_path / "store"), "--live", "--alert", told[0]]) == 130
    # The learner's heartbeats have stopped too, as time passes here.
    assert told[1]()[0].startswith("began|step_stands: stands at step 3740 for ")
    assert told[1]()[0].endswith("|big")
    assert len(os.listdir(tmp_path / "cache" / "zebjax" / "alerts")) == 1


@pytest.mark.parametrize(
    "option", [["--alert", "true"], ["--alert-warnings"], ["--metrics-port", "0"]]
)
def test_options_of_following_need_live(option, capsys):
    with pytest.raises(SystemExit) as stop:
        status.main(["runs/x", *option])
    assert stop.value.code == 2 and "needs --live" in capsys.readouterr().err
