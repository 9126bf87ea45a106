"""The learner's side of the store: games that arrive, checked in the background.

A file is fetched, its hash compared with its name, and every game replayed, before the learner
gets it. A bad one is quarantined with its reason and never stops anything. Two kinds are taken:

    examples/WORKER/SEQUENCE-SHA256.safetensors    of our workers, in the order of their sequence
    examples/WORKER/ANY-NAME.pt                    of a PyTorch worker of the original's

The original names its files WORKER_SECONDS_ID.pt, and they are taken by those seconds, then by
name. They have no sequence: one may appear beside or before another that was taken long ago.

The learner's saved state holds the cursor, so that after a crash each file is taken exactly once:
the newest name of each of our workers, and the name of every torch file that is in the store.
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

MAX_FILE_BYTES = 32 << 20  # some 50,000 games
_MOST_WAITING, _MOST_WAITING_BYTES = 64, 256 << 20
_MOST_REASON = 500
_MOST_NAME = 200  # of a file in quarantine; file systems allow 255 bytes, suffixes included
_MOST_QUARANTINED, _MOST_QUARANTINED_BYTES = 1000, 256 << 20
_PATIENCE_S = 600.0
"""A file that cannot be fetched for so long, while others can, is given up."""


_TORCH_NAME = re.compile(r"examples/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/[A-Za-z0-9][\w.-]*\.pt")
_TORCH_TIME = re.compile(r"_(\d{9,11})_[0-9a-f]+\.pt$")


def torch_worker(name: str) -> str | None:
    """The worker in the name of an example file of the original's; None if it is not one."""
    match = _TORCH_NAME.fullmatch(name)
    return match[1] if match else None


def torch_order(name: str) -> tuple[int, str]:
    """Sorts example files of the original's by the seconds in their names, then by name."""
    match = _TORCH_TIME.search(name)
    return (int(match[1]) if match else 0, name)


def old_torch_files(names: Iterable[str], cursor: Mapping[str, str], keep: int) -> list[str]:
    """Example files of the original's that have been taken and may be deleted.

    Args:
        names: of all objects under `examples/`.
        cursor: of a saved state.
        keep: how many of each worker's newest files stay.
    """
    by_worker: dict[str, list[str]] = {}
    for name in sorted(names, key=torch_order):
        if worker := torch_worker(name):
            by_worker.setdefault(worker, []).append(name)
    return [
        name for found in by_worker.values() for name in found[:-keep] if cursor.get(name) == name
    ]


class Arrived(NamedTuple):
    """A file of games that the store had: `records` are None where it was quarantined."""

    name: str
    worker: str
    n_bytes: int
    records: GameRecord | None
    metadata: Metadata | None
    reason: str = ""
    """Why it is quarantined."""

    @property
    def cursor_key(self) -> str:
        """Where the cursor holds this name, once its games have been taken."""
        return self.worker if torch_worker(self.name) is None else self.name


class Quarantine:
    """A folder of files that must not be used, each with its reason beside it: the first thousand,
    256 MiB in all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        there = [file.stat().st_size for file in folder.glob("*")]
        self._files, self._bytes = len(there) // 2, sum(there)

    def _place(self, name: str, size: int) -> Path:
        # Ours have a hash in their names. A torch file may grow under its name, so its size counts.
        whole = name if torch_worker(name) is None else f"{name}.{size}"
        short = whole.replace("/", "~")
        if len(short) > _MOST_NAME:
            short = f"{short[: _MOST_NAME - 17]}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
        return self.folder / short

    def holds(self, name: str, size: int) -> bool:
        """True if a file of this name is here; one of a PyTorch worker must have this size too."""
        return self._place(name, size).exists()

    def put(self, name: str, size: int, data: bytes, reason: str) -> None:
        """Keep a file and why it is here; a disk that is full keeps neither, which stops
        nothing.
        """
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            place = self._place(name, size)
            if self._files < _MOST_QUARANTINED:
                files.write_text(place.with_name(place.name + ".reason.txt"), reason + "\n")
                place.write_bytes(
                    data if self._bytes + len(data) <= _MOST_QUARANTINED_BYTES else b""
                )
                self._files, self._bytes = self._files + 1, self._bytes + place.stat().st_size


def examine(name: str, data: bytes) -> tuple[GameRecord, Metadata]:
    """The games in an object's bytes, every one replayed.

    Raises:
        InvalidRecords: if they must not be used; nothing else, whatever the bytes are.
    """
    if (worker := torch_worker(name)) is not None:
        with _on_cpu():
            records, metadata = torch_examples.parse(data, name)
        return records, dataclasses.replace(metadata, worker=worker)
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


class _PerhapsUnfinished(Exception):
    """A torch file cannot be read, but may still be growing; the next poll looks again."""


class Ingest:
    """Fetches what is new in the store; `poll` is for a background thread, `take` for the
    learner's.
    """

    def __init__(self, store: Store, folder: Path, cursor: dict[str, str]) -> None:
        """`cursor` holds what was taken, by `Arrived.cursor_key`; `folder` is the run's own."""
        self._store = store
        self._cursor = dict(cursor)
        self._known: set[str] | None = None
        """Names that were taken, or at the first look lay behind the cursor or in quarantine. A
        million are 100 MB; a file that is not listed for a moment is known when it is there
        again."""
        self._new_torch: list[Entry] = []
        self._refused_torch: dict[str, int] = {}
        """Torch files in quarantine, and how large they were: one that has grown since was only
        unfinished, and is fetched again."""
        self._failing: dict[str, float] = {}
        self._doubted: dict[str, int] = {}
        """Torch files that could not be read, and how large they were then: perhaps they are still
        being written."""
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
        # Ordered by name, so this is the last one of each worker.
        due = {parsed.worker: parsed.sequence for _, parsed in self._new_entries()}
        failed: dict[str, StoreError] = {}
        if due:
            self._fetch_ours(due, failed)
        self._fetch_torch(failed)
        # What one file meets, a credential that must not read it too, is no reason to end.
        if failed:
            raise Unreachable(str(next(iter(failed.values()))))

    def _fetch_ours(self, due: Mapping[str, int], failed: dict[str, StoreError]) -> None:
        """Take our workers' files up to the sequence numbers that are due; a failure stops only its
        own worker.
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
                        f"{entry.name}: two workers call themselves {parsed.worker}; give each its "
                        "own --worker-id"
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
        """Take the new files of the original's that the last listing showed.

        Each stands by itself: they have no sequence, so none waits for another.
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
        """Whether enough waits for the learner."""
        with self._arrived.mutex:
            waiting = [arrived.n_bytes for arrived in self._arrived.queue]
        return len(waiting) >= _MOST_WAITING or sum(waiting) >= _MOST_WAITING_BYTES

    def _taken(self, worker: str) -> int:
        """The number of the newest file taken of a worker."""
        parsed = spool.parse_name(self._cursor.get(worker, ""))
        return parsed.sequence if parsed else -1

    def _new_entries(self) -> list[tuple[Entry, spool.Name]]:
        """The files of our workers that are not known, by name; the original's go to
        `_new_torch`.
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
            # Without a hash in the name, a file that is being copied into the store looks damaged.
            if torch_worker(name) and self._doubted.get(name) != size:
                self._doubted[name] = size
                raise _PerhapsUnfinished from None
            self._doubted.pop(name, None)
            self._refuse(name, size, worker, data, str(error))
        except StoreError as error:
            since = self._failing.setdefault(name, time.monotonic())
            is_its_own_fault = self._fetched_at > since and time.monotonic() - since > _PATIENCE_S
            if not is_its_own_fault and size <= MAX_FILE_BYTES:
                raise
            self._refuse(
                name, size, worker, b"", str(error)
            )  # if it was deleted the next listing does not show it
        else:
            self._fetched_at = time.monotonic()
            self._arrived.put(Arrived(name, worker, len(data), records, metadata))
            is_good = True
        self._failing.pop(name, None)
        return is_good

    def _refuse(self, name: str, size: int, worker: str, data: bytes, reason: str) -> None:
        # What a stranger's file says of itself neither moves a terminal's cursor nor fills the log.
        reason = "".join(filter(str.isprintable, reason))[:_MOST_REASON]
        self._quarantine.put(name, size, data, reason)
        self._arrived.put(Arrived(name, worker, len(data), None, None, reason))

    def take(self) -> list[Arrived]:
        """What has arrived since the last time, in each worker's order."""
        taken = []
        while not self._arrived.empty():
            taken.append(self._arrived.get())
        return taken
