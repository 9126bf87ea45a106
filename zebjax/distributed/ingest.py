"""Fetch and check the games that workers send to the learner, in a background thread.

Before the learner gets a file, its hash is compared with its name and every game is replayed. A bad
file is quarantined together with the reason, and the run continues. Two kinds are accepted:

    examples/WORKER/SEQUENCE-SHA256.safetensors    of zebjax's workers, taken in sequence
    examples/WORKER/ANY-NAME.pt                    of a PyTorch worker of the original system

The original names its files WORKER_SECONDS_ID.pt; they are taken by those seconds, then by name.
They have no sequence: a file may appear that sorts before one that was taken long ago.

The learner saves the cursor with its state, so that after a crash each file is taken exactly once.
The cursor holds the newest name of each zebjax worker, and the name of every torch file that was
taken and is still in the store.
"""

import contextlib
import dataclasses
import hashlib
import math
import queue
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax

from zebjax import record
from zebjax.common import files
from zebjax.distributed import spool
from zebjax.distributed.store import Entry, Store, StoreError, Unreachable
from zebjax.record import GameRecord, Metadata
from zebjax.torch_compat import examples as torch_examples

MAX_FILE_BYTES = 32 << 20  # some 50,000 games, 24,000 with values of moves
_MAX_WAITING, _MAX_WAITING_BYTES = 64, 256 << 20
_MAX_REASON = 500
_MAX_NAME = 200  # of a file in quarantine; file systems allow 255 bytes, suffixes included
_MAX_QUARANTINED, _MAX_QUARANTINED_BYTES = 1000, 256 << 20
_PATIENCE_S = 600.0
"""A file that cannot be fetched for this many seconds, while others can, is quarantined."""

_TORCH_NAME = re.compile(r"examples/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/[A-Za-z0-9][\w.-]*\.pt")
_TORCH_TIME = re.compile(r"_(\d{9,11})_[0-9a-f]+\.pt$")


def torch_worker(name: str) -> str | None:
    """The worker in the name of an example file of the original; None for other names."""
    match = _TORCH_NAME.fullmatch(name)
    return match[1] if match else None


def torch_order(name: str) -> tuple[int, str]:
    """Sort key for example files of the original: the seconds in the name, then the name."""
    match = _TORCH_TIME.search(name)
    return (int(match[1]) if match else 0, name)


def old_torch_files(names: Iterable[str], cursor: Mapping[str, str], keep: int) -> list[str]:
    """Return the example files of the original that were taken and may be deleted.

    Args:
        names: the names of all objects under `examples/`.
        cursor: the cursor of a saved state.
        keep: number of each worker's newest files to keep, at least 1.
    """
    by_worker: dict[str, list[str]] = {}
    for name in sorted(names, key=torch_order):
        if worker := torch_worker(name):
            by_worker.setdefault(worker, []).append(name)
    return [
        name for found in by_worker.values() for name in found[:-keep] if cursor.get(name) == name
    ]


class Arrived(NamedTuple):
    """A file of games from the store; `records` is None if it was quarantined."""

    name: str
    worker: str
    n_bytes: int
    records: GameRecord | None
    metadata: Metadata | None
    reason: str = ""
    """Why it was quarantined."""

    @property
    def cursor_key(self) -> str:
        """The key of this name in the cursor: the worker, or the name itself for a torch file."""
        return self.worker if torch_worker(self.name) is None else self.name


class Quarantine:
    """A folder of refused files, each with a file that gives the reason.

    It keeps the first thousand, and the contents of 256 MiB of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        there = [file.stat().st_size for file in folder.glob("*")]
        self._files, self._bytes = len(there) // 2, sum(there)

    def _place(self, name: str, size: int) -> Path:
        # Ours have a hash in their names. A torch file may grow under its name, so its size counts.
        whole = name if torch_worker(name) is None else f"{name}.{size}"
        short = whole.replace("/", "~")
        if len(short) > _MAX_NAME:
            short = f"{short[: _MAX_NAME - 17]}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
        return self.folder / short

    def holds(self, name: str, size: int) -> bool:
        """True if a file of this name, and for a PyTorch worker's of this size, was quarantined."""
        return self._place(name, size).exists()

    def put(self, name: str, size: int, data: bytes, reason: str) -> None:
        """Keep a file and the reason; errors of the disk are ignored."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self._place(name, size)
            if self._files < _MAX_QUARANTINED:
                files.write_text(place.with_name(place.name + ".reason.txt"), reason + "\n")
                place.write_bytes(
                    data if self._bytes + len(data) <= _MAX_QUARANTINED_BYTES else b""
                )
                self._files, self._bytes = self._files + 1, self._bytes + place.stat().st_size


def examine(name: str, data: bytes) -> tuple[GameRecord, Metadata]:
    """Parse an object's bytes and replay every game.

    Raises:
        InvalidRecords: if the games must not be used; no other error, whatever the bytes are.
    """
    if (worker := torch_worker(name)) is not None:
        with _on_cpu():
            records, metadata = torch_examples.parse(data, name)
        return records, dataclasses.replace(metadata, worker=worker)
    parsed = spool.parse_name(name)
    if parsed is None:
        raise record.InvalidRecords(f"{name}: not a name of example files")
    if hashlib.sha256(data).hexdigest() != parsed.sha256:
        raise record.InvalidRecords(f"{name}: its sha256 differs from the one in its name")
    with _on_cpu():
        records, metadata = record.from_bytes(data, name)
    if metadata.source not in (record.SELFPLAY, record.EVAL_AUX):
        raise record.InvalidRecords(
            f"{name}: source: expected {record.SELFPLAY} or {record.EVAL_AUX}, got "
            f"{metadata.source!r}"
        )
    if metadata.worker != parsed.worker:
        raise record.InvalidRecords(f"{name}: its metadata names the worker {metadata.worker!r}")
    if not metadata.games:
        raise record.InvalidRecords(f"{name}: it holds no games")
    return records, metadata


def _on_cpu() -> contextlib.AbstractContextManager[None]:
    """Replay games on the CPU in the block, because an accelerator trains for seconds at a time."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        return contextlib.nullcontext()


class _PerhapsUnfinished(Exception):
    """A torch file cannot be read, but may still be growing; the next poll reads it again."""


class Ingest:
    """Fetches new files from the store.

    A background thread calls `poll`; the learner calls `pop_arrived`.
    """

    def __init__(self, store: Store, folder: Path, cursor: dict[str, str]) -> None:
        """`cursor` holds the names taken, by `Arrived.cursor_key`; `folder` is the run's."""
        self._store = store
        self._cursor = dict(cursor)
        self._known: set[str] | None = None
        """Names that need no fetch: taken, or at the first poll before the cursor or quarantined.

        Names are never removed, so a file that one listing leaves out is not taken twice. A
        million of them are 100 MB."""
        self._new_torch: list[Entry] = []
        self._refused_torch: dict[str, int] = {}
        """Torch files in quarantine, and how large they were: one that has grown since was only
        unfinished, and is fetched again."""
        self._failing: dict[str, float] = {}
        self._doubted: dict[str, int] = {}
        """Size of each torch file at the time when it could not be read. If the size is the same
        at the next poll, the file is complete and bad."""
        self._fetched_at = -math.inf
        self._quarantine = Quarantine(folder / "quarantine")
        self._arrived: queue.Queue[Arrived] = queue.Queue()
        self.has_polled = threading.Event()
        """Set after the first poll: the files that were there at the start have been fetched, as
        far as the queue's limit allows."""
        self.busy_s = 0.0
        """Seconds spent on fetching and checking."""

    def poll(self) -> None:
        """Fetch and check new files, in each worker's order, until none is left or the queue is
        full.

        Raises:
            StoreError: if the store cannot be listed.
            Unreachable: for the first file that could not be fetched, after all others were.
        """
        self._fetch_new()
        self.has_polled.set()

    def _fetch_new(self) -> None:
        """Take the files of a first listing, in the order of a second one.

        A listing is not a snapshot: it may show a file and not the one that was created before it.
        The cursor would then skip the earlier file. A listing that begins after the later file was
        seen shows both.
        """
        # Entries are sorted by name, so this keeps the last sequence number of each worker.
        due = {parsed.worker: parsed.sequence for _, parsed in self._new_entries()}
        failed: dict[str, StoreError] = {}
        if due:
            self._fetch_ours(due, failed)
        self._fetch_torch(failed)
        # Unreachable, whatever the errors were: an error of one file, such as a missing permission,
        # must not end the thread.
        if failed:
            raise Unreachable(str(next(iter(failed.values()))))

    def _fetch_ours(self, due: Mapping[str, int], failed: dict[str, StoreError]) -> None:
        """Take the files of zebjax's workers up to the numbers in `due`.

        After a failure the later files of the same worker wait for the next poll.
        """
        for entry, parsed in self._new_entries():
            if parsed.sequence > due.get(parsed.worker, -1) or parsed.worker in failed:
                continue
            if self._is_full():
                return
            began = time.monotonic()
            try:
                if parsed.sequence <= self._taken(parsed.worker):
                    reason = (
                        f"{entry.name}: two workers have the id {parsed.worker}; give each its own "
                        "--worker-id"
                    )
                    self._refuse(entry.name, entry.size, parsed.worker, b"", reason)
                else:
                    if self._fetch(entry.name, parsed.worker, entry.size):
                        self._cursor[parsed.worker] = entry.name
            except StoreError as error:
                failed[parsed.worker] = error
                continue
            assert self._known is not None
            self._known.add(entry.name)
            self.busy_s += time.monotonic() - began

    def _fetch_torch(self, failed: dict[str, StoreError]) -> None:
        """Take the original's new files of the last listing.

        They have no sequence, so none of them waits for another.
        """
        for entry in sorted(self._new_torch, key=lambda entry: torch_order(entry.name)):
            if self._is_full():
                return
            began = time.monotonic()
            worker = torch_worker(entry.name)
            assert worker is not None and self._known is not None
            try:
                if self._fetch(entry.name, worker, entry.size):
                    self._cursor[entry.name] = entry.name
                    self._known.add(entry.name)
                else:
                    self._refused_torch[entry.name] = entry.size
            except _PerhapsUnfinished:
                continue
            except StoreError as error:
                failed[entry.name] = error
                continue
            self.busy_s += time.monotonic() - began

    def _is_full(self) -> bool:
        """True if the queue for the learner is full."""
        with self._arrived.mutex:
            waiting = [arrived.n_bytes for arrived in self._arrived.queue]
        return len(waiting) >= _MAX_WAITING or sum(waiting) >= _MAX_WAITING_BYTES

    def _taken(self, worker: str) -> int:
        """The sequence number of the newest file taken from a worker; -1 if none was."""
        parsed = spool.parse_name(self._cursor.get(worker, ""))
        return parsed.sequence if parsed else -1

    def _new_entries(self) -> list[tuple[Entry, spool.Name]]:
        """List the files that are not known: those of zebjax's workers, sorted by name, are
        returned; the original's are stored in `_new_torch`.
        """
        entries = self._store.entries("examples")
        found = [(entry, parsed) for entry in entries if (parsed := spool.parse_name(entry.name))]
        torch_entries = [entry for entry in entries if torch_worker(entry.name)]
        if self._known is None:
            behind = {
                entry.name
                for entry, parsed in found
                if parsed.sequence < self._taken(parsed.worker)
            }
            held = [entry for entry in entries if self._quarantine.holds(entry.name, entry.size)]
            self._refused_torch = {e.name: e.size for e in held if torch_worker(e.name)}
            refused = {entry.name for entry in held} - self._refused_torch.keys()
            self._known = set(self._cursor.values()) | behind | refused
        self._new_torch = [
            entry
            for entry in torch_entries
            if entry.name not in self._known and self._refused_torch.get(entry.name) != entry.size
        ]
        return [(entry, parsed) for entry, parsed in found if entry.name not in self._known]

    def _fetch(self, name: str, worker: str, size: int) -> bool:
        """Fetch and check a file, and queue it for the learner. True if its games are good.

        The caller must not move the cursor for a refused file: its number may be wrong.
        """
        data, is_good = b"", False
        try:
            data = self._store.get(name, MAX_FILE_BYTES)
            # A short read is an error of the connection, not of the file: the next poll repeats it.
            if len(data) != size:
                raise Unreachable(
                    f"{self._store.where}: {name} ended after {len(data):,} of {size:,} bytes"
                )
            records, metadata = examine(name, data)
        except record.InvalidRecords as error:
            # Without a hash in the name, a file that is being copied into the store looks damaged.
            if torch_worker(name) and self._doubted.get(name) != size:
                self._doubted[name] = size
                raise _PerhapsUnfinished from None
            self._doubted.pop(name, None)
            self._refuse(name, size, worker, data, str(error))
        except StoreError as error:
            since = self._failing.setdefault(name, time.monotonic())
            # If other files could be fetched since, the problem is this file and not the store.
            is_permanent = self._fetched_at > since and time.monotonic() - since > _PATIENCE_S
            if not is_permanent and size <= MAX_FILE_BYTES:
                raise
            self._refuse(name, size, worker, b"", str(error))
        else:
            self._fetched_at = time.monotonic()
            self._arrived.put(Arrived(name, worker, len(data), records, metadata))
            is_good = True
        self._failing.pop(name, None)
        return is_good

    def _refuse(self, name: str, size: int, worker: str, data: bytes, reason: str) -> None:
        # The reason may quote the file: strip control characters, which would move a terminal's
        # cursor, and limit its length in the log.
        reason = "".join(filter(str.isprintable, reason))[:_MAX_REASON]
        self._quarantine.put(name, size, data, reason)
        self._arrived.put(Arrived(name, worker, len(data), None, None, reason))

    def pop_arrived(self) -> list[Arrived]:
        """Return the files that arrived since the last call, in each worker's order."""
        taken = []
        while not self._arrived.empty():
            taken.append(self._arrived.get())
        return taken
