"""Signs of life: what each process of a run says of itself in the store, and who is judged to be
missing.

A sign is a small JSON object that its process replaces every few seconds: the learner's under
`weights/`, a worker's among its examples. Machines' clocks may be an hour apart, so a process is
alive when its sign changes while one looks, by the looker's own clock; the time in a sign is only a
first guess.
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
EVERY_S = 5.0
_SIGN = re.compile(rf"examples/({WORKER_ID.pattern})/status\.json")
"""What `spool.status_name` makes."""
_MAX_BYTES = 1 << 16
_MOST = 1e300
_MOST_EVERY_S = 86_400.0
_QUIET_BEATS = 4
_LEAST_QUIET_S = 30.0
_CLOCKS_AGREE_S = 30.0
WORKER_ROLES = ("selfplay", "evalaux")
RUNNING, STOPPED = "running", "stopped"
PRODUCING_S = 900.0
"""A worker that lives but made no batch for so long is not producing."""


def sign(role: str, name: str, count: str, every_s: float, facts: Mapping[str, Any]) -> bytes:
    """A process's sign as JSON; `count` must be another one each time. Whatever the facts are, it
    raises nothing.
    """
    own = {"role": role, "name": name, "count": count, "every_s": every_s, "time_s": time.time()}
    told = own | {"host": socket.gethostname(), "state": RUNNING} | dict(facts)
    return json.dumps(told, default=str, skipkeys=True).encode()


@dataclasses.dataclass
class Seen:
    """A process as its signs tell of it."""

    sign: dict[str, Any]
    tag: str
    changed_at: float | None
    """By this process's monotonic clock; None while its sign has not changed since this process
    first looked."""

    def quiet_s(self) -> float:
        """Seconds since it is known to have lived: since its sign changed, or by the clocks where
        it has not.
        """
        if self.changed_at is not None:
            return time.monotonic() - self.changed_at
        by_clock = time.time() - _number(self.sign, "time_s")
        return (
            max(by_clock, 0.0) if by_clock > -_CLOCKS_AGREE_S else math.inf
        )  # a clock that is ahead tells nothing

    def is_alive(self) -> bool:
        """Whether it gave a sign of late, and not that it stops."""
        return not self.has_stopped() and self.quiet_s() < max(
            _LEAST_QUIET_S, _QUIET_BEATS * self.every_s()
        )

    def has_stopped(self) -> bool:
        """Whether it said that it stops."""
        return self.sign.get("state") == STOPPED

    def every_s(self) -> float:
        """How often it gives a sign, as it says; a day at most, or a process could live for ever by
        its word.
        """
        return min(_number(self.sign, "every_s"), _MOST_EVERY_S)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Whether it can be reckoned with: JSON has NaN, infinities and integers beyond every float."""
    return isinstance(value, int | float) and abs(value) < _MOST


def _number(values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    return float(value) if _is_number(value) else 0.0


def _facts(data: bytes) -> dict[str, Any]:
    """The texts and numbers in a sign, whatever the bytes are; all else that it may hold is left
    out.
    """
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {
        name: value for name, value in told.items() if isinstance(value, str) or _is_number(value)
    }


class Watch:
    """Who gives signs in a store; `look` again and again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.learner: Seen | None = None
        self.workers: dict[str, Seen] = {}

    def look(self) -> None:
        """See what has changed. An odd object among the examples, or a sign that cannot be read, is
        nobody's sign.

        Other threads may ask for alarms meanwhile: they see how it was before or how it is after.

        Raises:
            StoreError: if the store cannot be read: it cannot be listed, or does not answer for the
                learner's sign.
        """
        self.learner = self.look_at(LEARNER, self.learner)
        workers = dict(self.workers)
        for match in filter(
            None, (_SIGN.fullmatch(entry.name) for entry in self.store.entries("examples"))
        ):
            with contextlib.suppress(
                Unreachable
            ):  # the store has just been listed: it is this object
                seen = self.look_at(match[0], workers.get(match[1]))
                if seen is not None:
                    workers[match[1]] = seen
                    seen.sign["name"] = match[1]  # by where it lies, whatever it says
                    if seen.sign.get("role") not in WORKER_ROLES:
                        seen.sign["role"] = "unknown"
        self.workers = workers

    def look_at(self, name: str, before: Seen | None) -> Seen | None:
        """The process whose heartbeat is the object `name`, given how it was seen before; None if
        there is no heartbeat.
        """
        try:
            changed = self.store.get_if_changed(name, before.tag if before else None, _MAX_BYTES)
        except (Missing, Refused):  # it is not there, or too large to be a sign
            return before
        if changed is None:
            return before
        told = _facts(changed.data)
        now = time.monotonic()
        moved = before is not None and told.get("count") != before.sign.get("count")
        return Seen(told, changed.tag, now if moved else (before.changed_at if before else None))

    def processes(self) -> list[Seen]:
        """All that gave signs, the learner first."""
        return [*([self.learner] if self.learner else []), *self.workers.values()]

    def alarms(self, wants_evalaux: bool) -> list[str]:
        """What is wrong, by name, without the learner."""
        found = []
        for role in ("selfplay", *(["evalaux"] if wants_evalaux else [])):
            alive = [
                seen
                for seen in self.workers.values()
                if seen.sign.get("role") == role and seen.is_alive()
            ]
            if not alive:
                found.append(f"no_{role}")
            elif all(_number(seen.sign, "last_batch_s") > PRODUCING_S for seen in alive):
                found.append(f"{role}_not_producing")
        return found

    def all_alarms(self) -> list[str]:
        """What is wrong, the learner included; whether there should be an eval-aux worker is what
        it says.
        """
        down = [] if self.learner is not None and self.learner.is_alive() else ["learner_down"]
        return down + self.alarms(bool(self.learner and self.learner.sign.get("eval_aux")))
