"""The state of a local fleet as plain data, and as a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zebjax.common import console
from zebjax.operations import events, fleets, logs
from zebjax.operations.fleets import Fleet
from zebjax.operations.local import configuration, daemon, listener, orphans, start

if TYPE_CHECKING:  # rich takes 0.1 s to import
    from rich.table import Table

WORDS = {
    "STARTING": "starting",
    "RUNNING": "running",
    "BACKOFF": "waits to restart",
    "STOPPING": "stopping",
    "EXITED": "ended",
    "STOPPED": "stopped",
    "FATAL": "given up",
}
"""supervisord's states in this program's words."""
GIVEN_UP, ORPHAN, DOWN = "given up", "without supervisor", "down"
_WELL = ("starting", "running")
_TAIL_LINES = 10
_Row = dict[str, Any]


def log_of(fleet: Fleet, name: str) -> Path:
    """The log of a process."""
    return fleet.folder / configuration.LOGS / f"{name}.log"


def gather(fleet: Fleet) -> dict[str, Any]:
    """The state of a fleet.

    Returns:
        `supervisor`: "running", "stopping", "no answer" or "down"; `is_well`: True if all processes
        run, or if the run is complete; `is_complete`; and `processes`, one object each.
    """
    number = daemon.pid(fleet.folder)
    known: dict[str, dict[str, Any]] = {}
    supervisor = "down" if number is None else "running"
    if number is not None:
        try:
            known = daemon.Client(fleet.facts["socket"]).processes()
        except daemon.NoAnswer:
            supervisor = "no answer"
        except ValueError:
            supervisor = "stopping"
    left = (
        {orphan.name: orphan.process.pid for orphan in orphans.find(fleet.folder)}
        if number is None
        else {}
    )
    rows = events.since_start(events.read(fleet.folder))
    is_complete = any(listener.COMPLETE in row["detail"] for row in rows)
    processes = [
        _process(fleet, program.name, program.role, known.get(program.name), left, rows)
        for program in start.programs_of(fleet)
    ]
    runs = supervisor == "running" and all(each["state"] in _WELL for each in processes)
    return {
        "kind": fleet.kind,
        "name": fleet.name,
        "folder": str(fleet.folder),
        "namespace": fleet.namespace,
        "supervisor": supervisor,
        "supervisor_pid": number,
        "is_complete": is_complete,
        "is_well": runs or (supervisor != "no answer" and is_complete and not left),
        "processes": processes,
    }


def _process(
    fleet: Fleet,
    name: str,
    role: str,
    info: dict[str, Any] | None,
    left: dict[str, int],
    rows: list[events.Row],
) -> _Row:
    own = [row for row in rows if row["name"] == name]
    last = own[-1]["event"] if own else None
    if info is None:
        state, pid = (ORPHAN, left[name]) if name in left else (DOWN, None)
    else:
        state, pid = WORDS.get(info["statename"], info["statename"].lower()), info["pid"] or None
    if last == "fatal" and state in ("stopped", "ended", DOWN):
        state = GIVEN_UP
    log = log_of(fleet, name)
    lines = [line for line in logs.tail(log, 3 * _TAIL_LINES) if line.strip()]
    return {
        "name": name,
        "role": role,
        "state": state,
        "pid": pid,
        "up_s": max(0, info["now"] - info["start"]) if info and info["pid"] else None,
        "restarts": sum(row["event"] == "restarted" for row in own),
        "gpu": next((p.gpu for p in start.programs_of(fleet) if p.name == name), None),
        "log": str(log),
        "last_lines": lines[-_TAIL_LINES:],
    }


def table(state: dict[str, Any]) -> "Table":
    """The processes as a table."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=f"{state['name']}: {_verdict(state)}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
        expand=True,
    )
    for name in ("name", "state", "pid", "up", "restarts", "last line of its log"):
        is_number = name in ("pid", "up", "restarts")
        is_last = name.startswith("last")
        made.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis" if is_last else "fold",
            # The width that the others leave: a long line must not make their words shorter.
            ratio=1 if is_last else None,
        )
    for process in state["processes"]:
        up_s = process["up_s"]
        made.add_row(
            process["name"],
            process["state"],
            "" if process["pid"] is None else str(process["pid"]),
            "" if up_s is None else console.duration(up_s),
            str(process["restarts"]),
            process["last_lines"][-1].strip() if process["last_lines"] else "",
        )
    return made


def _verdict(state: dict[str, Any]) -> str:
    if state["supervisor"] in ("no answer", "stopping"):
        return {"stopping": "stopping", "no answer": "its supervisord does not answer"}[
            state["supervisor"]
        ]
    left = [each["name"] for each in state["processes"] if each["state"] == ORPHAN]
    if left:
        return f"ALARM: its supervisord was killed; {', '.join(left)} run without it"
    if state["is_complete"]:
        return "complete"
    if state["supervisor"] == "down":
        return "does not run"
    bad = [each["name"] for each in state["processes"] if each["state"] not in _WELL]
    return f"ALARM: {', '.join(bad)}" if bad else "all processes run"


def after(fleet: Fleet, state: dict[str, Any]) -> list[str]:
    """The lines below the table: the logs of what was given up, and what to type next."""
    lines = []
    for process in state["processes"]:
        if process["state"] in (GIVEN_UP, WORDS["BACKOFF"]):
            said = "ended too often" if process["state"] == GIVEN_UP else "ended"
            lines += [f"{process['name']} {said}; the last lines of its log:"]
            lines += [f"    {line}" for line in process["last_lines"]]
    if state["supervisor"] == "running":
        lines.append(f"games and weights: zebjax status {fleets.shown_namespace(fleet.namespace)}")
        given_up = [each["name"] for each in state["processes"] if each["state"] == GIVEN_UP]
        if given_up:
            lines.append(f"try again: zebjax fleet restart {fleet.typed} {' '.join(given_up)}")
    elif state["supervisor"] == "down" and not state["is_complete"]:
        lines.append(f"start it: {fleet.command}")
    elif state["supervisor"] == "no answer":
        lines.append(f"kill process {state['supervisor_pid']}, then: {fleet.command}")
    return lines
