"""Heartbeats: the state that each process of a run reports in the store, and alarms.

A heartbeat is a small JSON object that its process replaces every few seconds: the learner's under
`weights/`, a worker's among its examples. The clocks of two machines may be an hour apart, so a
process counts as alive if its heartbeat changes while it is watched, by the watcher's own clock.
The time in a heartbeat is only a first guess.
"""

import contextlib
import dataclasses
import json
import math
import re
import socket
import time
from collections.abc import Mapping
from typing import Any, TypeGuard

from zebjax.distributed.spool import WORKER_ID
from zebjax.distributed.store import Missing, Refused, Store, Unreachable

LEARNER = "weights/learner.json"
"""Name of the learner's heartbeat."""
EVERY_S = 5.0
"""Seconds between two heartbeats, unless the store allows fewer writes."""
_STATUS = re.compile(rf"examples/({WORKER_ID.pattern})/status\.json")
"""Names that `spool.status_name` makes."""
_MAX_BYTES = 1 << 16
_MAX_NUMBER = 1e300
_MAX_TEXT = 400
_MAX_EVERY_S = 86_400.0
_MAX_MISSED = 4
"""A process that has missed this many heartbeats counts as dead."""
_MIN_QUIET_S = 30.0
"""But no process counts as dead before this many seconds."""
_CLOCKS_AGREE_S = 30.0
"""A heartbeat from further in the future was written by a clock that is wrong."""
WORKER_ROLES = ("selfplay", "evalaux")
RUNNING, STOPPED = "running", "stopped"
PRODUCING_S = 900.0
"""A worker that is alive but has finished no batch for this many seconds is not producing."""


def to_bytes(role: str, name: str, count: str, every_s: float, facts: Mapping[str, Any]) -> bytes:
    """Return a heartbeat as JSON; this never raises.

    Args:
        role: "learner" or one of `WORKER_ROLES`.
        name: the worker's id, or the run's name.
        count: different in each heartbeat of a process.
        every_s: seconds between two heartbeats.
        facts: everything else to report; values that JSON cannot hold become text.
    """
    own = {"role": role, "name": name, "count": count, "every_s": every_s, "time_s": time.time()}
    status = own | {"host": socket.gethostname(), "state": RUNNING} | dict(facts)
    return json.dumps(status, default=str, skipkeys=True).encode()


@dataclasses.dataclass
class Seen:
    """The state of a process according to its heartbeats."""

    status: dict[str, Any]
    """The texts and numbers of the newest heartbeat."""
    tag: str
    """The tag of that object, see `store.Changed`."""
    changed_at: float | None
    """When the heartbeat last changed, by this process's monotonic clock; None if it has not
    changed since it was first read."""

    def quiet_s(self) -> float:
        """Seconds since the last heartbeat: since it changed, or by the time that it contains."""
        if self.changed_at is not None:
            return time.monotonic() - self.changed_at
        by_clock = time.time() - _number(self.status, "time_s")
        # The time from a clock that is far ahead is worthless.
        return max(by_clock, 0.0) if by_clock > -_CLOCKS_AGREE_S else math.inf

    def is_alive(self) -> bool:
        """True if the last heartbeat is recent and is not a shutdown notice."""
        longest_s = max(_MIN_QUIET_S, _MAX_MISSED * self.every_s())
        return not self.has_stopped() and self.quiet_s() < longest_s

    def has_stopped(self) -> bool:
        """True if the last heartbeat is a shutdown notice."""
        return self.status.get("state") == STOPPED

    def is_complete(self) -> bool:
        """True for a learner that has stopped after the last step of its run."""
        last, judges = self.status.get("last_step"), self.status.get("phase") == "judge"
        has_last = is_number(last) and last <= _number(self.status, "step")
        return self.has_stopped() and has_last and not judges

    def every_s(self) -> float:
        """Reported seconds between two heartbeats, at most a day."""
        # Without the limit, a process that reports a year would count as alive for years.
        return min(_number(self.status, "every_s"), _MAX_EVERY_S)


def is_number(value: object) -> TypeGuard[int | float]:
    """True for finite numbers that fit a float. JSON may hold NaN, infinities, longer integers."""
    return isinstance(value, int | float) and abs(value) < _MAX_NUMBER


def _number(values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    return float(value) if is_number(value) else 0.0


def _facts(data: bytes) -> dict[str, Any]:
    """Return the texts and numbers in a heartbeat, without other values; {} if it is not JSON."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    texts = {name: printable(value) for name, value in found.items() if isinstance(value, str)}
    return texts | {name: value for name, value in found.items() if is_number(value)}


def printable(text: str, max_chars: int = _MAX_TEXT) -> str:
    """Return the text of another machine without characters that could control a terminal."""
    return "".join(filter(str.isprintable, text[: 4 * max_chars]))[:max_chars]


class Watch:
    """The processes with heartbeats in a store. Call `poll` repeatedly."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.learner: Seen | None = None
        self.workers: dict[str, Seen] = {}

    def poll(self) -> None:
        """Read the heartbeats that have changed.

        A worker's heartbeat that cannot be read is skipped. Other threads may ask for alarms at
        the same time; they see the state before or after.

        Raises:
            StoreError: if the store cannot be listed, or the learner's heartbeat cannot be read.
        """
        self.learner = self.read(LEARNER, self.learner)
        workers = dict(self.workers)
        for match in filter(
            None, (_STATUS.fullmatch(entry.name) for entry in self.store.entries("examples"))
        ):
            # The store could just be listed, so the problem is this one object.
            with contextlib.suppress(Unreachable):
                seen = self.read(match[0], workers.get(match[1]))
                if seen is not None:
                    workers[match[1]] = seen
                    # The name of the object, whatever the heartbeat reports.
                    seen.status["name"] = match[1]
                    if seen.status.get("role") not in WORKER_ROLES:
                        seen.status["role"] = "unknown"
        self.workers = workers

    def read(self, name: str, before: Seen | None) -> Seen | None:
        """Return the process whose heartbeat is the object `name`; None if there is none.

        Args:
            name: of an object.
            before: the result of the last call for this object.
        """
        try:
            changed = self.store.get_if_changed(name, before.tag if before else None, _MAX_BYTES)
        except (Missing, Refused):  # Refused: too large for a heartbeat
            return before
        if changed is None:
            return before
        status = _facts(changed.data)
        now = time.monotonic()
        moved = before is not None and status.get("count") != before.status.get("count")
        return Seen(status, changed.tag, now if moved else (before.changed_at if before else None))

    def processes(self) -> list[Seen]:
        """All processes with a heartbeat, the learner first."""
        return [*([self.learner] if self.learner else []), *self.workers.values()]

    def alarms(self, expects_evalaux: bool) -> list[str]:
        """Names of the workers' alarms, such as `no_selfplay`."""
        found = []
        for role in ("selfplay", *(["evalaux"] if expects_evalaux else [])):
            alive = [
                seen
                for seen in self.workers.values()
                if seen.status.get("role") == role and seen.is_alive()
            ]
            if not alive:
                found.append(f"no_{role}")
            elif all(_number(seen.status, "last_batch_s") > PRODUCING_S for seen in alive):
                found.append(f"{role}_not_producing")
        return found

    def all_alarms(self) -> list[str]:
        """Names of all alarms, `learner_down` included; none once the run is complete.

        The learner's heartbeat says if an eval-aux worker is expected.
        """
        if self.learner is not None and self.learner.is_complete():
            return []
        down = [] if self.learner is not None and self.learner.is_alive() else ["learner_down"]
        return down + self.alarms(bool(self.learner and self.learner.status.get("eval_aux")))
