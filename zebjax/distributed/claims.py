"""One process per worker id, on one machine or several.

    examples/<worker>/claims/<number>.json    created by each process that starts; the owner of the
                                              newest claim may work under this id

Only one process can create a claim, so of two that start together only one gets it. A heartbeat
names the claim of its process, so a process notices when another one works under its id.
"""

import contextlib
import json
import re
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.common import files
from zebjax.distributed import heartbeat
from zebjax.distributed.spool import WORKER_ID, status_name
from zebjax.distributed.store import Missing, Store, StoreError
from zebjax.training.session import Stopped

_CLAIM = re.compile(rf"examples/{WORKER_ID.pattern}/claims/(\d{{9}})\.json")
_MAX_BYTES = 1 << 16
_MAX_CLAIM = 999_999_999
_MAX_WAIT_S = 600.0
_KEPT = 2
"""Claims of one worker id that stay in the store."""


class TakenOver(ValueError):
    """Another process works under this worker id, so the learner would refuse this one's games."""


class Owner(NamedTuple):
    """The process that claims a worker id."""

    host: str
    folder: str
    """Random name of the worker's folder, stored in it; a lock keeps a second process out."""
    nonce: str
    """Random name of the process."""


class Claim(NamedTuple):
    """The right to work under a worker id, until another process takes the next number."""

    worker: str
    number: int
    owner: Owner

    def facts(self) -> dict[str, Any]:
        """The fields of this process's heartbeats that describe the claim."""
        return {"claim": self.number, "nonce": self.owner.nonce, "folder": self.owner.folder}


def owner_of(folder: Path) -> Owner:
    """Return this process as an owner; give the folder a random name if it has none yet."""
    file = folder / "identity.json"
    try:
        name = files.read_json(file) if file.exists() else None
    except ValueError:
        name = None
    if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{32}", name):
        name = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(file, name)
    return Owner(socket.gethostname(), name, uuid.uuid4().hex)


def wait_for_others(
    store: Store,
    worker: str,
    owner: Owner,
    note: Callable[[str], None],
    stop_asked: Callable[[], bool],
) -> None:
    """Wait until it is certain that no other process works under this id.

    A process that ran in this folder is known to have ended. Otherwise a heartbeat that does not
    change for three intervals is that of a process that was killed.

    Raises:
        TakenOver: if the heartbeat of another process changes.
        Stopped: if a stop is requested while waiting.
    """
    watch, name = heartbeat.Watch(store), status_name(worker)
    seen = watch.read(name, None)
    if seen is None or seen.has_stopped():
        return
    if (seen.status.get("host"), seen.status.get("folder")) == (owner.host, owner.folder):
        return  # this process holds the folder's lock, so the earlier one has ended
    every_s = max(heartbeat.EVERY_S, seen.every_s())
    wait_s = min(_MAX_WAIT_S, 3 * every_s)
    if seen.quiet_s() > 10 * wait_s:  # long enough even if the clocks differ by minutes
        return
    host = seen.status.get("host", "another machine")
    note(
        f"worker {worker} has a recent heartbeat from {host}; waiting up to {wait_s:.0f} s for "
        "another one"
    )
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if stop_asked():
            raise Stopped
        time.sleep(min(5.0, wait_s / 15))
        seen = watch.read(name, seen)
        if seen is None or seen.has_stopped():
            return
        if seen.changed_at is not None:
            raise _taken_over(store, worker, seen.status.get("host"))


def acquire(store: Store, worker: str, owner: Owner) -> Claim:
    """Claim the worker id with the next number. Delete all but the newest two claims of it.

    Raises:
        TakenOver: if another process claims it at the same time.
        ValueError: if no number is left.
        StoreError: if the store cannot be read or written.
    """
    earlier = sorted(_numbers(store, worker))
    number = 1 + max(earlier, default=0)
    if number > _MAX_CLAIM:
        raise ValueError(
            f"{store.where}: {_name(worker, _MAX_CLAIM)} was not written by a worker; delete it, "
            "or give this worker another --worker-id"
        )
    name, data = _name(worker, number), json.dumps(owner._asdict()).encode()
    # The object may exist because an earlier attempt of this call succeeded and its answer was
    # lost.
    if name not in store.put({name: data}):
        try:
            is_own = store.get(name, _MAX_BYTES) == data
        except Missing:  # deleted since, by a process with a later claim
            is_own = False
        if not is_own:
            raise _taken_over(store, worker, _host(store, name))
    # After a listing that is out of date, the name may be one that was taken and deleted since.
    # The newest claims are never deleted, so a later one is there.
    if max(_numbers(store, worker), default=0) > number:
        raise _taken_over(store, worker, None)
    # The newest numbers stay, so none is given twice. Others cost time in each listing.
    if old := [_name(worker, n) for n in earlier[: 1 - _KEPT]]:
        with contextlib.suppress(StoreError):  # a credential that may not delete can still work
            store.delete(old)
    return Claim(worker, number, owner)


def check(store: Store, claim: Claim) -> None:
    """Check that no later process has written the heartbeat of this worker id.

    Raises:
        TakenOver: if a process with a later claim wrote it.
        StoreError: if the store cannot be read.
    """
    seen = heartbeat.Watch(store).read(status_name(claim.worker), None)
    number = seen.status.get("claim") if seen is not None else None
    # Even if that process has stopped since: it has used the numbers of this one's next files.
    if seen is not None and isinstance(number, int) and number > claim.number:
        raise _taken_over(store, claim.worker, seen.status.get("host"))


def _numbers(store: Store, worker: str) -> list[int]:
    entries = store.entries(f"examples/{worker}/claims")
    return [int(match[1]) for entry in entries if (match := _CLAIM.fullmatch(entry.name))]


def _name(worker: str, number: int) -> str:
    return f"examples/{worker}/claims/{number:09d}.json"


def _host(store: Store, name: str) -> Any:
    try:
        return json.loads(store.get(name, _MAX_BYTES)).get("host")
    except (StoreError, ValueError, RecursionError, AttributeError):
        return None


def _taken_over(store: Store, worker: str, host: Any) -> TakenOver:
    where = f" on {host}" if isinstance(host, str) else ""
    return TakenOver(
        f"{store.where}: another process{where} works as {worker}; give each worker a --worker-id "
        "of its own, or stop the other one"
    )
