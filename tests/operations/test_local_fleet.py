"""Real fleets of tiny processes under a real supervisord: starts, stops, crashes and kills."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from tests.support.fleets import diary, kill_all, marked, plan, told, until
from zebjax.operations import events, fleets
from zebjax.operations.local import (
    actions,
    child,
    configuration,
    daemon,
    orphans,
    report,
    start,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(tmp_path):
    """Make a fleet in a folder of its own; whatever of it lives after the test is killed."""
    made = []

    def one(*modes, **more):
        made.append(plan(tmp_path, *([modes] if modes else []), **more))
        return made[-1]

    yield one
    for each in made:
        kill_all(each.folder)


def begin(made):
    """Start a fleet and wait until its processes have begun; the fleet."""
    assert start.start(made, lambda text: None)
    names = sorted(program.name for program in made.programs)
    until(lambda: sorted(marked(made.folder).values()) == names)
    until(lambda: all(f"{name} begins" in diary(made.cwd) for name in names))
    until(lambda: all(told(made.folder, name, "started") for name in names))
    return fleets.read(made.folder)


def states(fleet):
    return {each["name"]: each["state"] for each in report.gather(fleet)["processes"]}


def test_a_fleet_starts_once_and_stops_its_workers_before_its_learner(make, capsys):
    made = make("learner", "play-1", "play-2", "evalaux-1")
    fleet = begin(made)
    before = marked(made.folder)
    assert not start.start(made, print)  # the same command again
    assert marked(made.folder) == before and len(before) == 4
    with pytest.raises(ValueError, match="a fleet with other processes or settings runs here"):
        start.start(plan(made.cwd, ("learner", "play-1")), print)
    assert actions.status(fleet, as_json=False) == 0
    assert "all processes run" in capsys.readouterr().out
    assert actions.stop(fleet) == 0
    assert marked(made.folder) == {} and daemon.pid(made.folder) is None
    ends = [line.split() for line in diary(made.cwd) if not line.endswith("begins")]
    # Workers together, and the learner only when all of them have sent their games.
    assert {name for name, _ in ends[:3]} == {"play-1", "play-2", "evalaux-1"}
    assert {what for _, what in ends[:3]} == {"stops"}
    assert ends[6:] == [["learner", "stops"], ["learner", "ended"]]
    shown = capsys.readouterr().out
    assert shown.count("stopped (exit status 0): sent all games") == 4
    rows = [row for row in events.read(made.folder) if row["event"] == "stopped"]
    assert [row["name"] for row in rows][-2:] == ["learner", "supervisor"] and len(rows) == 5
    assert actions.status(fleet, as_json=False) == actions.ALARM
    assert "start it: zebjax fleet local tiny" in capsys.readouterr().out
    assert actions.stop(fleet) == 0  # nothing is left to stop
    with pytest.raises(ValueError, match="does not run; start it with: zebjax fleet local tiny"):
        actions.restart(fleet, ["play-1"])


def test_it_has_no_terminal_and_is_no_part_of_the_session_that_started_it(make):
    made = make("learner", "play-1")
    begin(made)
    for number in (daemon.pid(made.folder), *marked(made.folder)):
        assert os.getsid(number) not in (os.getsid(0), 0)
        assert psutil.Process(number).terminal() is None


def test_a_crash_loop_ends_and_shows_the_reason(make, capsys):
    made = make("learner", "play-1:crash")
    assert start.start(made, print)
    until(lambda: told(made.folder, "play-1", "fatal"))
    fleet = fleets.read(made.folder)
    assert states(fleet) == {"learner": "running", "play-1": "given up"}
    capsys.readouterr()
    assert actions.status(fleet, as_json=False) == actions.ALARM
    shown = capsys.readouterr().out
    assert "tiny: ALARM: play-1" in shown and "    the reason of the crash" in shown
    assert f"try again: zebjax fleet restart {fleet.typed} play-1" in shown
    exits = told(made.folder, "play-1", "exited")
    assert set(exits) == {"exit status 3; last line of its log: the reason of the crash"}
    assert "the reason of the crash" in told(made.folder, "play-1", "fatal")[0]
    # Another chance, of as many tries.
    assert actions.restart(fleet, ["play-1"]) == 0
    until(lambda: len(told(made.folder, "play-1", "fatal")) == 2)
    assert len(told(made.folder, "play-1", "exited")) == 2 * len(exits)


@pytest.mark.slow  # it waits
def test_a_slow_crash_loop_ends_too(make):
    """Its process lives long enough to count as started, so supervisord alone would not end it."""
    made = make("learner", "play-1", start_s=0, max_exits=3)
    fleet = begin(made)
    for n in range(1, 4):
        (number,) = (each for each, name in marked(made.folder).items() if name == "play-1")
        until(lambda: states(fleet)["play-1"] == "running")
        os.kill(number, signal.SIGKILL)
        until(lambda n=n: len(told(made.folder, "play-1", "exited")) == n)
        if n < 3:
            until(lambda: "play-1" in marked(made.folder).values())
    until(lambda: told(made.folder, "play-1", "fatal"))
    until(lambda: states(fleet) == {"learner": "running", "play-1": "given up"})
    assert list(marked(made.folder).values()) == ["learner"]


def test_a_killed_process_comes_back_and_so_does_the_listener(make):
    made = make("learner", "play-1")
    begin(made)
    before = marked(made.folder)
    for number in before:
        os.kill(number, signal.SIGKILL)
    for name in ("learner", "play-1"):
        until(lambda name=name: told(made.folder, name, "restarted"))
        assert "terminated by SIGKILL" in told(made.folder, name, "exited")[0]
    after = until(lambda: (now := marked(made.folder)) and len(now) == 2 and now)
    assert not set(after) & set(before)
    # The listener, too, and its successor knows what was started before.
    info = daemon.Client(fleets.read(made.folder).facts["socket"]).call("getAllProcessInfo")
    (listener,) = (each["pid"] for each in info if each["name"] == configuration.EVENTS)
    os.kill(listener, signal.SIGKILL)
    os.kill(next(each for each, name in after.items() if name == "play-1"), signal.SIGKILL)
    until(lambda: len(told(made.folder, "play-1", "restarted")) == 2)
    assert len(told(made.folder, "play-1", "started")) == 1


def test_a_process_that_replaces_its_program_is_found(tmp_path, monkeypatch):
    """Meanwhile its environment reads as empty, and `stop` would leave it running."""
    marks = {child.MARK: daemon.token(tmp_path), "SUPERVISOR_PROCESS_NAME": "play-1"}
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper, env={**os.environ, **marks}) as process:
        real, looks = psutil.Process.environ, []

        def environ(self):
            if self.pid == process.pid:
                looks.append(self.pid)
                if len(looks) < 4:
                    return {}
            return real(self)

        monkeypatch.setattr(psutil.Process, "environ", environ)
        found = orphans.find(tmp_path)
        process.kill()
    assert [orphan.name for orphan in found] == ["play-1"] and len(looks) == 4


def test_after_a_kill_of_supervisord_nothing_runs_twice(make, capsys):
    made = make()
    fleet = begin(made)
    before = marked(made.folder)
    os.kill(daemon.pid(made.folder), signal.SIGKILL)
    until(lambda: daemon.pid(made.folder) is None)
    until(lambda: told(made.folder, "supervisor", "exited"))
    assert marked(made.folder) == before  # they go on
    capsys.readouterr()
    assert actions.status(fleet, as_json=False) == actions.ALARM
    assert "ALARM: its supervisord was killed" in capsys.readouterr().out
    notes = []
    assert start.start(made, notes.append)
    assert [note.split(",")[0] for note in notes] == ["stopping play-1", "stopping learner"]
    after = until(lambda: (now := marked(made.folder)) and len(now) == 3 and now)
    assert not set(after) & set(before)
    ends = [line for line in diary(made.cwd) if line.endswith("ended")]
    assert len(ends) == 3 and ends[-1] == "learner ended"  # they had sent their games
    time.sleep(1.0)
    assert marked(made.folder) == after
    # `stop` finds such processes as well.
    os.kill(daemon.pid(made.folder), signal.SIGKILL)
    until(lambda: daemon.pid(made.folder) is None)
    assert actions.stop(fleet) == 0
    assert marked(made.folder) == {}
    assert len(told(made.folder, "learner", "stopped")) == 2


@pytest.mark.slow  # waits; the test before it kills one at work
def test_a_kill_of_supervisord_while_all_is_stopped_leaves_nothing(make):
    made = make()
    fleet = begin(made)
    results = []
    stopping = threading.Thread(target=lambda: results.append(actions.stop(fleet)))
    stopping.start()
    until(lambda: "play-1 stops" in diary(made.cwd))
    os.kill(daemon.pid(made.folder), signal.SIGKILL)
    stopping.join(60)
    assert results == [0] and marked(made.folder) == {}
    assert [line for line in diary(made.cwd) if line.endswith("ended")][-1] == "learner ended"


def test_logs_are_rotated_and_followed(make, capsys):
    made = make("learner", "play-1:talk", log_bytes=20_000, log_files=2)
    fleet = begin(made)
    folder = made.folder / configuration.LOGS
    until(lambda: (folder / "play-1.log.2").exists())
    files = sorted(path.name for path in folder.glob("play-1.log*"))
    assert files == ["play-1.log", "play-1.log.1", "play-1.log.2"]
    assert all(path.stat().st_size < 40_000 for path in folder.glob("play-1.log*"))
    capsys.readouterr()
    assert actions.logs(fleet, ["play-1"], 120, follow=False) == 0  # more than one file holds
    shown = capsys.readouterr().out.splitlines()
    assert 100 < len(shown) <= 120 and {line.strip("x") for line in shown} == {""}
    assert actions.logs(fleet, [], 1, follow=False) == 0
    assert re.fullmatch(r"learner \| works\nplay-1  \| x+\n", capsys.readouterr().out)
    with pytest.raises(ValueError, match="play-3: expected a process of tiny: learner, play-1"):
        actions.logs(fleet, ["play-3"], 1, follow=False)


def progress(made, cycle, phase="play"):
    folder = made.run / "state" / "step_000000001"
    folder.mkdir(parents=True)
    text = f'{{"first_cycle": 5, "cycle": {cycle}, "phase": "{phase}"}}'
    (folder / "progress.json").write_text(text)


@pytest.mark.parametrize("start_s", [0, 1])
def test_a_complete_run_ends_its_fleet(make, capsys, start_s):
    made = make("learner:done", "play-1", cycles=4, start_s=start_s)
    progress(made, 9)
    assert start.start(made, print)
    until(lambda: told(made.folder, "supervisor", "stopped"))
    until(lambda: daemon.pid(made.folder) is None)
    assert marked(made.folder) == {} and "play-1 ended" in diary(made.cwd)
    assert "exit status 0; the run is complete" in told(made.folder, "learner", "exited")
    assert actions.status(fleets.read(made.folder), as_json=False) == 0
    assert "tiny: complete" in capsys.readouterr().out


def test_a_learner_that_somebody_stops_before_its_run_is_complete_comes_back(make):
    made = make("learner", "play-1", cycles=4, start_s=0)
    progress(made, 8)
    begin(made)
    (number,) = (each for each, name in marked(made.folder).items() if name == "learner")
    until(lambda: states(fleets.read(made.folder))["learner"] == "running")
    os.kill(number, signal.SIGTERM)
    until(lambda: told(made.folder, "learner", "restarted"))
    assert told(made.folder, "learner", "exited") == ["exit status 0"]
    until(lambda: "learner" in marked(made.folder).values())


def test_in_the_foreground_sigterm_stops_all_in_order(make, tmp_path):
    made = make("learner", "play-1")
    code = (
        "import sys; from pathlib import Path; from tests.support.fleets import plan\n"
        "from zebjax.operations.local import start\n"
        "start.start_here(plan(Path(sys.argv[1]), ('learner', 'play-1')), print)"
    )
    path = os.pathsep.join([str(ROOT), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
    )
    until(lambda: {"learner begins", "play-1 begins"} <= set(diary(tmp_path)))
    assert daemon.pid(made.folder) == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    ended = [line for line in diary(tmp_path) if line.endswith("ended")]
    assert ended == ["play-1 ended", "learner ended"]
    assert marked(made.folder) == {}


def test_a_supervisord_that_does_not_answer_is_named(make, monkeypatch):
    monkeypatch.setattr(daemon, "_ANSWER_S", 0.5)
    made = make("learner", "play-1")
    fleet = begin(made)
    number = daemon.pid(made.folder)
    os.kill(number, signal.SIGSTOP)
    try:
        sentence = rf"supervisord \(process {number}\) does not answer"
        with pytest.raises(ValueError, match=sentence):
            start.start(made, print)
        with pytest.raises(ValueError, match=sentence):
            actions.stop(fleet)
        state = report.gather(fleet)
        assert state["supervisor"] == "no answer" and not state["is_well"]
    finally:
        os.kill(number, signal.SIGCONT)


def test_a_path_that_is_too_long_for_a_socket_is_no_obstacle(make, tmp_path):
    folder = tmp_path / ("long " * 20) / "50 % ; # of it"
    folder.mkdir(parents=True)
    made = plan(folder, ("learner", "play-1"))
    try:
        fleet = begin(made)
        assert Path(fleet.facts["socket"]).parent.name == f"zebjax-{os.getuid()}"
        assert states(fleet).keys() == {"learner", "play-1"}
        assert actions.stop(fleet) == 0
    finally:
        kill_all(made.folder)


def test_a_long_last_line_leaves_the_other_columns_whole():
    process = {"name": "evalaux-1", "state": "running", "pid": 12345, "up_s": 75.0, "restarts": 3}
    state = {"name": "tiny", "supervisor": "running", "is_complete": False}
    state["processes"] = [process | {"last_lines": ["cycle 3 | policy 0.7 | " + 100 * "x"]}]
    written = Console(width=80, file=io.StringIO())
    written.print(report.table(state))
    (row,) = (line for line in written.file.getvalue().splitlines() if "evalaux-1" in line)
    assert row.split()[:5] == ["evalaux-1", "running", "12345", "1:15", "3"] and len(row) <= 80
    assert "cycle 3 | policy" in row and row.rstrip().endswith("…")
