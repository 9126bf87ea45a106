"""The learner's side of the store: games that arrive, checked in the background; and which of them
are kept.

A file is fetched, its hash compared with its name, and every game replayed, before the learner
hears of it. A bad one is quarantined with its reason and never stops anything. The learner's saved
state holds one name a worker, the cursor, so that after a crash each file is taken exactly once.
"""

import contextlib
import hashlib
import math
import queue
import threading
import time
from pathlib import Path
from typing import NamedTuple

import jax

from zebjax import record
from zebjax.common import checkpoint
from zebjax.distributed import spool
from zebjax.distributed.store import Entry, Store, StoreError, Unreachable
from zebjax.record import GameRecord, Metadata

MAX_FILE_BYTES = 32 << 20  # some 50,000 games
_MOST_WAITING, _MOST_WAITING_BYTES = 64, 256 << 20
_MOST_REASON = 500
_MOST_QUARANTINED, _MOST_QUARANTINED_BYTES = 1000, 256 << 20
_PATIENCE_S = 600.0
"""A file that cannot be fetched for so long, while others can, is given up."""


class Arrived(NamedTuple):
    """A file of games that the store had: `records` are None where it was quarantined."""

    name: str
    worker: str
    n_bytes: int
    records: GameRecord | None
    metadata: Metadata | None
    reason: str = ""
    """Why it is quarantined."""


class Quarantine:
    """A folder of files that must not be used, each with its reason beside it: the first thousand,
    256 MiB in all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        there = [file.stat().st_size for file in folder.glob("*")]
        self._files, self._bytes = len(there) // 2, sum(there)

    def _place(self, name: str) -> Path:
        return self.folder / name.replace("/", "~")[:200]

    def holds(self, name: str) -> bool:
        """Whether a file of this name, which has its hash in it, is here."""
        return self._place(name).exists()

    def put(self, name: str, data: bytes, reason: str) -> None:
        """Keep a file and why it is here; a disk that is full keeps neither, which stops
        nothing.
        """
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self._place(name)
            if self._files < _MOST_QUARANTINED:
                checkpoint.write_text(place.with_name(place.name + ".reason.txt"), reason + "\n")
                place.write_bytes(
                    data if self._bytes + len(data) <= _MOST_QUARANTINED_BYTES else b""
                )
                self._files, self._bytes = self._files + 1, self._bytes + place.stat().st_size


def examine(name: str, data: bytes) -> tuple[GameRecord, Metadata]:
    """The games in an object's bytes, every one replayed.

    Raises:
        InvalidRecords: if they must not be used; nothing else, whatever the bytes are.
    """
    parsed = spool.parse_name(name)
    if parsed is None:
        raise record.InvalidRecords(f"{name}: not a name of example files")
    if hashlib.sha256(data).hexdigest() != parsed.sha256:
        raise record.InvalidRecords(f"{name}: its sha256 is not that in its name")
    with _on_cpu():
        records, metadata = record.from_bytes(data, name)
    if metadata.source not in (record.SELFPLAY, record.EVAL_AUX):
        raise record.InvalidRecords(
            f"{name}: source {metadata.source!r} is not one of a running system"
        )
    if metadata.worker != parsed.worker:
        raise record.InvalidRecords(f"{name}: it says that {metadata.worker!r} made it")
    if not metadata.games:
        raise record.InvalidRecords(f"{name}: it holds no games")
    return records, metadata


def _on_cpu() -> contextlib.AbstractContextManager[None]:
    """Replay games there, so that they need not wait for an accelerator that trains for seconds on
    end.
    """
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return contextlib.nullcontext()


class Ingest:
    """Fetches what is new in the store; `poll` is for a background thread, `take` for the
    learner's.
    """

    def __init__(self, store: Store, folder: Path, cursor: dict[str, str]) -> None:
        """`cursor` holds the newest name taken of each worker; `folder` is the run's own."""
        self._store = store
        self._cursor = dict(cursor)
        self._known: set[str] | None = None
        """Names that were taken, or at the first look lay behind the cursor or in quarantine. A
        million are 100 MB; a file that is not listed for a moment is known when it is there
        again."""
        self._failing: dict[str, float] = {}
        self._fetched_at = -math.inf
        self._quarantine = Quarantine(folder / "quarantine")
        self._arrived: queue.Queue[Arrived] = queue.Queue()
        self.has_looked = threading.Event()
        """Set when what was there at the start has been fetched, or as much of it as may wait."""
        self.busy_s = 0.0
        """Seconds spent on fetching and checking."""

    def poll(self) -> None:
        """Fetch and check what is new, in each worker's order, until there is nothing more or
        enough waits.

        Raises:
            StoreError: if the store cannot be listed.
            Unreachable: of the first file that could not be fetched, when all others have been.
        """
        self._fetch_new()
        self.has_looked.set()

    def _fetch_new(self) -> None:
        """Take the files that a first listing shows to be due, from a second one.

        A listing is no picture of one moment: it may show a file and not the one that was created
        before it, which the cursor would then pass over. A listing that begins after the file was
        seen shows both.
        """
        due = {
            parsed.worker: parsed.sequence for _, parsed in self._new_entries()
        }  # ordered: the last of each
        if not due:
            return
        failed: dict[str, StoreError] = {}
        for entry, parsed in self._new_entries():
            if parsed.sequence > due.get(parsed.worker, -1) or parsed.worker in failed:
                continue
            if self._is_full():
                return
            began = time.monotonic()
            try:
                if parsed.sequence <= self._taken(parsed.worker):
                    reason = f"{entry.name}: two workers call themselves {parsed.worker}; give each its own --worker-id"
                    self._refuse(entry.name, parsed.worker, b"", reason)
                else:
                    if self._fetch(entry.name, parsed.worker, entry.size):
                        self._cursor[parsed.worker] = entry.name
            except StoreError as error:
                failed[parsed.worker] = error
                continue
            assert self._known is not None
            self._known.add(entry.name)
            self.busy_s += time.monotonic() - began
        if (
            failed
        ):  # what one file meets, a credential that must not read it too, is no reason to end
            raise Unreachable(str(next(iter(failed.values()))))

    def _is_full(self) -> bool:
        """Whether enough waits for the learner."""
        with self._arrived.mutex:
            waiting = [arrived.n_bytes for arrived in self._arrived.queue]
        return len(waiting) >= _MOST_WAITING or sum(waiting) >= _MOST_WAITING_BYTES

    def _taken(self, worker: str) -> int:
        """The number of the newest file taken of a worker."""
        parsed = spool.parse_name(self._cursor.get(worker, ""))
        return parsed.sequence if parsed else -1

    def _new_entries(self) -> list[tuple[Entry, spool.Name]]:
        """The example files that are not known, by name."""
        found = [
            (entry, parsed)
            for entry in self._store.entries("examples")
            if (parsed := spool.parse_name(entry.name))
        ]
        if self._known is None:
            self._known = set(self._cursor.values()) | {
                entry.name
                for entry, parsed in found
                if parsed.sequence < self._taken(parsed.worker)
                or self._quarantine.holds(entry.name)
            }
        return [(entry, parsed) for entry, parsed in found if entry.name not in self._known]

    def _fetch(self, name: str, worker: str, size: int) -> bool:
        """Give a file to the learner; whether its games are good. A refused one moves no cursor:
        its number may lie.
        """
        data, is_good = b"", False
        try:
            data = self._store.get(name, MAX_FILE_BYTES)
            if (
                len(data) != size
            ):  # the line's fault, not the file's: the next poll fetches it again
                raise Unreachable(
                    f"{self._store.where}: {name} ended after {len(data):,} of {size:,} bytes"
                )
            records, metadata = examine(name, data)
        except record.InvalidRecords as error:
            self._refuse(name, worker, data, str(error))
        except StoreError as error:
            since = self._failing.setdefault(name, time.monotonic())
            is_its_own_fault = self._fetched_at > since and time.monotonic() - since > _PATIENCE_S
            if not is_its_own_fault and size <= MAX_FILE_BYTES:
                raise
            self._refuse(
                name, worker, b"", str(error)
            )  # if it was deleted the next listing does not show it
        else:
            self._fetched_at = time.monotonic()
            self._arrived.put(Arrived(name, worker, len(data), records, metadata))
            is_good = True
        self._failing.pop(name, None)
        return is_good

    def _refuse(self, name: str, worker: str, data: bytes, reason: str) -> None:
        # What a stranger's file says of itself neither moves a terminal's cursor nor fills the log.
        reason = "".join(filter(str.isprintable, reason))[:_MOST_REASON]
        self._quarantine.put(name, data, reason)
        self._arrived.put(Arrived(name, worker, len(data), None, None, reason))

    def take(self) -> list[Arrived]:
        """What has arrived since the last time, in each worker's order."""
        taken = []
        while not self._arrived.empty():
            taken.append(self._arrived.get())
        return taken


# ---- which eval-aux games are kept
