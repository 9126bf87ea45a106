"""Real local fleets of tiny processes."""

import sys
import time
from pathlib import Path

import psutil

from zebjax.operations import events
from zebjax.operations.local import child, configuration, daemon, start
from zebjax.operations.local.programs import Program

CHILD = Path(__file__).with_name("fleet_child.py")
QUICK = {"start_s": 1, "retries": 2, "worker_stop_s": 20, "learner_stop_s": 20}
ROLES = {"learner": "learner", "play": "selfplay", "evalaux": "evalaux"}


def plan(folder, modes=("learner", "play-1", "play-2"), cycles=None, **policy):
    """A fleet whose process `NAME:MODE` runs in that mode of `fleet_child`."""
    programs = []
    for word in modes:
        name, _, mode = word.partition(":")
        command = (sys.executable, str(CHILD), str(folder / "diary"), name, mode or "work")
        programs.append(Program(name, ROLES[name.split("-")[0]], command))
    return start.Plan(
        name="tiny",
        run=folder / "runs" / "tiny",
        namespace=str(folder / "runs" / "store" / "tiny"),
        command="zebjax fleet local tiny",
        programs=programs,
        cwd=folder,
        cycles=cycles,
        policy=configuration.Policy(**(QUICK | policy)),
    )


def marked(folder):
    """Process id -> name of every living process of the fleet, the listener left out."""
    found = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        name = environment.get("SUPERVISOR_PROCESS_NAME")
        if environment.get(child.MARK) == daemon.token(folder) and name != "events":
            found[process.pid] = name
    return found


def kill_all(folder):
    """End whatever a test has left."""
    number = daemon.pid(folder)
    for each in [*([number] if number else []), *marked(folder)]:
        try:
            psutil.Process(each).kill()
        except psutil.Error:
            continue


def until(condition, timeout_s=60):
    """Wait until the condition holds; return what it returns."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.05)
    return found


def told(folder, name, event):
    """The details of all such events of a process."""
    rows = events.read(folder)
    return [row["detail"] for row in rows if (row["name"], row["event"]) == (name, event)]


def diary(folder):
    """The lines of the diary, without the process ids."""
    path = folder / "diary"
    lines = path.read_text().splitlines() if path.exists() else []
    return [" ".join(line.split()[:2]) for line in lines]
