"""Writes `events.jsonl` from what `supervisord` tells, ends crash loops, and ends a complete run.

`supervisord` starts this process (`main`) as an event listener. `heed` decides what to do about an
event; it is a function of plain data. `Listener` does it.
"""

import collections
import contextlib
import dataclasses
import json
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from zebjax.operations import events, fleets, logs
from zebjax.operations.local import configuration, daemon, start
from zebjax.operations.local.configuration import Policy
from zebjax.operations.local.programs import LEARNER

STATE = "PROCESS_STATE_"
STOPPING = "SUPERVISOR_STATE_CHANGE_STOPPING"
EXIT_0 = "exit status 0"
COMPLETE = "the run is complete"
_TAIL_LINES, _MAX_DETAIL = 10, 4000
_TRIES, _TRY_EVERY_S = 50, 0.1


class Happened(NamedTuple):
    """What is new."""

    name: str
    event: str
    """One of `events.EVENTS`."""
    detail: str = ""


class Decision(NamedTuple):
    """What to do about an event."""

    happened: Sequence[Happened] = ()
    """Rows for `events.jsonl`."""
    call: tuple[str, ...] = ()
    """A call to supervisord: the function and its arguments. Empty: none."""


@dataclasses.dataclass
class Memory:
    """What is known of the processes. `heed` changes it."""

    known: set[str]
    """The names of the processes."""
    policy: Policy
    begun: set[str] = dataclasses.field(default_factory=set)
    """Processes that were started before."""
    up: set[str] = dataclasses.field(default_factory=set)
    """Processes that run."""
    given_up: set[str] = dataclasses.field(default_factory=set)
    ending: set[str] = dataclasses.field(default_factory=set)
    """Those of them that supervisord was told to stop and that have not ended yet."""
    exits: dict[str, collections.deque[float]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(collections.deque)
    )
    """Times at which a process ended by itself after it had started, as `time.time()`."""
    is_stopping: bool = False

    def take(self, row: Mapping[str, Any]) -> None:
        """Learn from an earlier event: the listener may have been killed."""
        name, event = row["name"], row["event"]
        if event in ("started", "restarted"):
            self.begun.add(name)
            self.up.add(name)
            self.given_up.discard(name)
        else:
            self.up.discard(name)
        if event == "exited":
            self.exits[name].append(row["time_s"])
        if event == "fatal":
            self.given_up.add(name)


class Facts(Protocol):
    """What `heed` may ask."""

    def exit_of(self, name: str) -> str:
        """How a process ended, such as `exit status 0` or `terminated by SIGKILL`."""

    def last_lines(self, name: str) -> list[str]:
        """The last lines of its log."""

    def is_complete(self) -> bool:
        """True if the run has done its last cycle."""


def heed(memory: Memory, kind: str, facts: Facts, event: Mapping[str, str], now: float) -> Decision:
    """Decide what an event of supervisord means.

    Args:
        memory: what is known; changed.
        kind: the event's name, `PROCESS_STATE_...` or `SUPERVISOR_STATE_CHANGE_...`.
        facts: what else can be found out.
        event: its fields, `processname` among them.
        now: `time.time()`.
    """
    if kind == STOPPING:
        memory.is_stopping = True
    name = event.get("processname", "")
    if not kind.startswith(STATE) or name not in memory.known:
        return Decision()
    state = kind.removeprefix(STATE)
    if name in memory.ending:
        # supervisord had started it once more when it was told to stop it.
        if state == "STOPPED":
            memory.ending.discard(name)
        return Decision()
    if state == "STARTING":
        return _started(memory, name)
    if state in ("EXITED", "BACKOFF"):
        memory.up.discard(name)
        return _ended(memory, name, state == "EXITED", facts, now)
    if state == "FATAL":
        # supervisord also says so of a process that waits for its next try when all is stopped.
        return Decision(
            [Happened(name, "stopped")] if memory.is_stopping else [_fatal(name, facts)]
        )
    if state == "STOPPED":
        memory.up.discard(name)
        return Decision([Happened(name, "stopped", facts.exit_of(name))])
    return Decision()


def _started(memory: Memory, name: str) -> Decision:
    if name in memory.given_up:  # the user gives it another chance
        memory.given_up.discard(name)
        memory.exits[name].clear()
    event = "restarted" if name in memory.begun else "started"
    memory.begun.add(name)
    memory.up.add(name)
    return Decision([Happened(name, event)])


def _ended(memory: Memory, name: str, had_started: bool, facts: Facts, now: float) -> Decision:
    how, lines = facts.exit_of(name), facts.last_lines(name)
    if name == LEARNER and how == EXIT_0:
        if facts.is_complete():
            return Decision([Happened(name, "exited", f"{how}; {COMPLETE}")], ("shutdown",))
        if had_started:  # supervisord does not restart what has ended well
            return Decision([Happened(name, "exited", how)], ("startProcess", name))
    detail = f"{how}; last line of its log: {lines[-1]}" if lines else how
    happened = [Happened(name, "exited", detail)]
    exits = memory.exits[name]
    exits.append(now)
    while exits and now - exits[0] > memory.policy.exits_within_s:
        exits.popleft()
    # Tries that never started are counted by supervisord.
    if had_started and len(exits) >= memory.policy.max_exits:
        memory.given_up.add(name)
        memory.ending.add(name)
        return Decision([*happened, _fatal(name, facts)], ("stopProcess", name))
    return Decision(happened)


def _fatal(name: str, facts: Facts) -> Happened:
    lines = "\n".join(facts.last_lines(name))[-_MAX_DETAIL:]
    return Happened(name, "fatal", f"it ended too often; the last lines of its log:\n{lines}")


def exit_in(log: list[str], name: str) -> str:
    """How a process last ended, from the lines of supervisord's own log."""
    ended = rf"(?:exited|stopped): {re.escape(name)} \((.*?)(?:; (?:not )?expected)?\)\s*$"
    matches = filter(None, (re.search(ended, line) for line in reversed(log)))
    last = next(matches, None)
    return last[1] if last else "could not be started"


def is_complete(run: Path, cycles: int | None) -> bool:
    """True if the newest save of a run is after its last cycle.

    Args:
        run: the run's folder.
        cycles: number of cycles of the experiment; None: it has no last one.
    """
    newest = max(run.glob("state/step_*/progress.json"), default=None)
    if cycles is None or newest is None:
        return False
    try:
        progress = json.loads(newest.read_text())
        done = progress["cycle"] - progress["first_cycle"]
        return bool(done >= cycles and progress["phase"] != "judge")
    except (OSError, ValueError, KeyError, TypeError):
        return False


class Listener:
    """The listener of one fleet. Implements `Facts`."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the fleet's."""
        self._folder, self._fleet = folder, fleets.read(folder)
        self._programs = {program.name: program for program in start.programs_of(self._fleet)}
        self.memory = Memory(set(self._programs), start.policy_of(self._fleet))
        for row in events.since_start(events.read(folder)):
            self.memory.take(row)

    def exit_of(self, name: str) -> str:
        """See `Facts`."""
        return exit_in(logs.tail(self._folder / configuration.LOG_FILE, 1000), name)

    def last_lines(self, name: str) -> list[str]:
        """See `Facts`."""
        log = self._folder / configuration.LOGS / f"{name}.log"
        return [line for line in logs.tail(log, 3 * _TAIL_LINES) if line.strip()][-_TAIL_LINES:]

    def is_complete(self) -> bool:
        """See `Facts`."""
        return is_complete(self._fleet.run, self._fleet.facts.get("cycles"))

    def take(self, kind: str, event: Mapping[str, str]) -> None:
        """Do what an event asks for."""
        decision = heed(self.memory, kind, self, event, time.time())
        for happened in decision.happened:
            self._append(happened)
        if decision.call:
            self._call(*decision.call)

    def end(self, is_alone: bool) -> None:
        """Write the last events. supervisord stops this process after all others, and does not
        wait until it has heard of the last one.

        Args:
            is_alone: True if supervisord is gone.
        """
        memory = self.memory
        if memory.is_stopping:
            for name in sorted(memory.up):
                self._append(Happened(name, "stopped", self.exit_of(name)))
            self._append_own("stopped", "")
        elif is_alone:
            self._append_own("exited", "its processes go on without it; see `zebjax fleet status`")

    def _append(self, happened: Happened) -> None:
        program, price = self._programs[happened.name], self._fleet.facts.get("price_usd_per_hour")
        share = None if price is None else price / len(self._programs)
        row = events.row(
            program.role, happened.name, happened.event, happened.detail, program.gpu, share
        )
        events.append(self._folder, row)

    def _append_own(self, event: str, detail: str) -> None:
        events.append(self._folder, events.row(events.SUPERVISOR, events.SUPERVISOR, event, detail))

    def _call(self, function: str, name: str = "") -> None:
        client = daemon.Client(self._fleet.facts["socket"])
        arguments = [daemon.full_name(name), False] if name else []
        # It refuses to stop a process that it is just about to start again, and all calls once it
        # shuts down.
        for _ in range(_TRIES if function == "stopProcess" else 1):
            with contextlib.suppress(daemon.NoAnswer, ValueError):
                client.call(function, *arguments)
                return
            time.sleep(_TRY_EVERY_S)


def main(folder: str) -> None:
    """Serve the supervisord at the other end of standard input and output until it ends."""

    def stopped(*_: Any) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stopped)
    listener, is_alone = Listener(Path(folder)), False
    try:
        while True:
            print("READY", flush=True)
            header = _fields(sys.stdin.readline())
            if not header:
                is_alone = True
                break
            listener.take(header["eventname"], _fields(sys.stdin.read(int(header["len"]))))
            sys.stdout.write("RESULT 2\nOK")
            sys.stdout.flush()
    finally:
        listener.end(is_alone)


def _fields(text: str) -> dict[str, str]:
    """The `name:value` pairs of an event's header or body."""
    return dict(word.split(":", 1) for word in text.split() if ":" in word)
