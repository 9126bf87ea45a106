"""The spool: a worker's finished games on its disk until they are in the store.

    examples/<worker>/<sequence>-<sha256>.safetensors

The sequence is the worker's own counter, not a time, and files are sent in this order. So the
learner only needs to remember one name for each worker. A file that is sent twice has the same name
and is one object.
"""

import contextlib
import errno
import hashlib
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from zebjax import record
from zebjax.common import files
from zebjax.distributed.store import Store
from zebjax.record import GameRecord, Metadata

WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"examples/([A-Za-z0-9][A-Za-z0-9_-]{0,63})/(\d{9})-([0-9a-f]{64})\.safetensors")
_FILE = re.compile(r"\d{9}-[0-9a-f]{64}\.safetensors")
_MAX_NUMBER = 999_999_999
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Name(NamedTuple):
    """The parts of an example object's name."""

    worker: str
    sequence: int
    sha256: str


def parse_name(name: str) -> Name | None:
    """Parse an example object's name; None if it is not one."""
    match = _NAME.fullmatch(name)
    return Name(match[1], int(match[2]), match[3]) if match else None


def object_name(worker: str, sequence: int, data: bytes) -> str:
    """The name of a file's object in the store."""
    return f"examples/{worker}/{sequence:09d}-{hashlib.sha256(data).hexdigest()}.safetensors"


def status_name(worker: str) -> str:
    """The name of a worker's heartbeat.

    It is among the worker's examples, so that its credential needs no other permission.
    """
    return f"examples/{worker}/status.json"


class Spool:
    """The files of one worker that wait for the store, oldest first, in their own folder.

    One thread may call `add` while another calls `ship`.
    """

    def __init__(self, folder: Path, worker: str, max_bytes: int) -> None:
        self.folder, self.worker, self.max_bytes = folder, worker, max_bytes
        self.dropped_games = 0
        """Games deleted because the store was unreachable for too long, or the disk was full."""
        self.trouble = ""
        """Why the newest games could not be written; empty if they were."""
        self._errno: int | None = None
        self.sent_files = self.sent_bytes = 0
        self._lock = threading.Lock()
        self._being_sent: set[Path] = set()
        """Files that must not be deleted now."""
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: expected a folder for unsent games, got a file")
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(folder)

    def begin(self, store: Store) -> int:
        """Find the number of the next file, from this folder and from the store.

        Files that are already in the store are deleted here.

        Raises:
            ValueError: if `sequence.json` is damaged, or no number is left.
            StoreError: if the store cannot be listed.
        """
        waiting = self.files()
        here = [int(file.name[:9]) for file in waiting]
        listed = {
            entry.name: parsed.sequence
            for entry in store.entries(f"examples/{self.worker}")
            if (parsed := parse_name(entry.name))
        }
        noted, newest = self._noted(), max(listed.values(), default=0)
        # Sent just before an earlier process was killed. By its whole name: another process under
        # this id may have sent other games by the same number. Files are sent in order, so those
        # before a sent one were sent too, even if the learner has deleted them since.
        sent = [i for i, file in enumerate(waiting) if self._name_of(file) in listed]
        for file in waiting[: max(sent, default=-1) + 1]:
            file.unlink()
        self.next = max([noted, newest, *here]) + 1
        if self.next + len(self.files()) > _MAX_NUMBER:
            raise ValueError(
                f"{store.where}: examples/{self.worker} holds a file with the highest possible "
                f"number, {_MAX_NUMBER}; delete it, or give this worker another --worker-id"
            )
        if any(int(file.name[:9]) <= newest for file in self.files()):
            self._renumber()
        return self.next

    def _name_of(self, file: Path) -> str:
        """The name that a waiting file gets in the store."""
        return f"examples/{self.worker}/{file.name}"

    def _renumber(self) -> None:
        """Give the waiting files the next numbers.

        Another process has used theirs, and the learner refuses a second file of a number.
        """
        for file in self.files():
            files.write_json(self.folder / "sequence.json", self.next)
            file.rename(self.folder / f"{self.next:09d}{file.name[9:]}")
            self.next += 1

    def _noted(self) -> int:
        file = self.folder / "sequence.json"
        try:
            noted = files.read_json(file) if file.exists() else 0
        except ValueError:
            noted = None
        if type(noted) is not int or noted < 0:
            raise ValueError(f"{file}: expected the number of the newest file; delete it")
        return noted

    def files(self) -> list[Path]:
        """The waiting files, oldest first."""
        return sorted(
            file for file in self.folder.iterdir() if _FILE.fullmatch(file.name) and file.is_file()
        )

    def add(self, records: GameRecord, metadata: Metadata) -> bool:
        """Write games as one file, and delete the oldest files beyond `max_bytes`.

        On a full disk the oldest file is deleted and writing is tried again; games that still
        cannot be written are dropped.

        Returns:
            True if the games were written.
        """
        is_written = self._try_write(records, metadata) or (
            self._make_room() and self._try_write(records, metadata)
        )
        if not is_written:
            self.dropped_games += len(records.slots)
        while (
            self._waiting_bytes() > self.max_bytes and len(self.files()) > 1 and self._drop_oldest()
        ):
            pass
        return is_written

    def _try_write(self, records: GameRecord, metadata: Metadata) -> bool:
        try:
            self._write(records, metadata)
        except OSError as error:
            self.trouble, self._errno = error.strerror or str(error), error.errno
            return False
        self.trouble = ""
        return True

    def _make_room(self) -> bool:
        """Delete the oldest file if the last write found a full disk. True if one was deleted."""
        return self._errno in _FULL and self._drop_oldest()

    def _write(self, records: GameRecord, metadata: Metadata) -> None:
        # The final name contains the hash of the bytes, so the file is written first.
        temporary = files.temporary_name(self.folder / "games")
        try:
            record.write(temporary, records, metadata)
            name = object_name(self.worker, self.next, temporary.read_bytes()).rpartition("/")[2]
            # Recorded before the file exists: a number may stay unused, but is never used twice.
            files.write_json(self.folder / "sequence.json", self.next)
            temporary.rename(self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        self.next += 1

    def _waiting_bytes(self) -> int:
        with self._lock:  # so that no file is sent and deleted between listing and `stat`
            return sum(file.stat().st_size for file in self.files())

    def _drop_oldest(self) -> bool:
        """Delete the oldest file that is not being sent. True if there was one."""
        with self._lock:
            oldest = next((file for file in self.files() if file not in self._being_sent), None)
            if oldest is None:
                return False
            with contextlib.suppress(record.InvalidRecords):  # damaged: its games cannot be counted
                self.dropped_games += record.peek(oldest).games
            oldest.unlink()
            return True

    def ship(self, store: Store, replace: Mapping[str, bytes], max_files: int) -> int:
        """Send the oldest files in one call of the store, which on a Hub is one commit.

        Args:
            store: the destination.
            replace: objects to replace in the same call, even if no file waits.
            max_files: maximum number of files.

        Returns:
            The number of files that were sent and then deleted here.

        Raises:
            StoreError: if the store does not accept them; the files stay here.
        """
        contents = self._take(max_files)
        try:
            store.put(
                {self._name_of(file): data for file, data in contents.items()},
                replace,
            )
            with self._lock:
                for file in contents:
                    file.unlink()
        finally:
            self._being_sent = set()
        self.sent_files += len(contents)
        self.sent_bytes += sum(map(len, contents.values()))
        return len(contents)

    def _take(self, n: int) -> dict[Path, bytes]:
        """Read the oldest `n` files, and mark them as being sent."""
        with self._lock:
            contents = {file: file.read_bytes() for file in self.files()[:n]}
            self._being_sent = set(contents)
            return contents
