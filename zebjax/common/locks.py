"""One process per folder, on every kind of file system.

The lock is an advisory lock of the operating system, so it goes when its process does, however it
ends. A file system without such locks (some network file systems, FUSE mounts) gets a marker file
with a heartbeat instead. Where that is not possible either, work continues without a lock.

A marker can be lost while its holder runs: a machine that sleeps, or is cut off from the file
system, does not refresh it, and another process takes it over. From then on `files` refuses every
write of the earlier holder in the folder.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from zebjax.common import console, files

_NO_LOCKS = {
    getattr(errno, name)
    for name in ("ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "EINVAL")
    if hasattr(errno, name)
}
"""Error numbers of `flock` on a file system without locks."""
MARKER_LASTS_S = 20.0
"""A marker that its holder has not refreshed for this long may be taken over."""
_MARKER_WAIT_S = MARKER_LASTS_S + 10.0
LOCK, MARKER = ".lock", ".lock-holder"


@contextmanager
def locked(folder: Path, advice: str, note: Callable[[str], None] = console.warn) -> Iterator[None]:
    """Keep a second process out of `folder`, which is created if missing, while the block runs.

    If the block raises, the lock file and the folders that were created are deleted again, unless
    there is something in them: a command that is refused leaves nothing.

    If another process takes the folder over nevertheless (only where it is kept by a marker), every
    later write of `files` in it raises a ValueError.

    Args:
        folder: the folder; temporary files of killed writers in it are deleted.
        advice: what to do about the other process; the end of the error message.
        note: called with one sentence if the file system has no locks.

    Raises:
        ValueError: if another process has the lock, or if the folder cannot be created.
    """
    folder = Path(folder)
    created = [path for path in (folder / LOCK, folder, *folder.parents) if not path.exists()]
    files.require_folder(folder)  # else the lock file, which nobody knows, would be named
    with files.writing(folder / LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).touch()
    lock = _acquire(folder, advice, note)
    still_ours = _still_ours(folder) if isinstance(lock, filelock.SoftFileLease) else _no_doubt
    try:
        files.remove_leftovers(folder)
        with files.checked(folder, still_ours):
            yield
    except BaseException:
        # While the lock is held; who waits for it sees that its file is gone, and makes a new one.
        files.remove_unused(created)
        raise
    finally:
        if lock is not None:
            with suppress(OSError):  # the folder may be gone; the lock ends with the process
                lock.release()


def _acquire(
    folder: Path, advice: str, note: Callable[[str], None]
) -> filelock.BaseFileLock | None:
    taken = ValueError(f"{folder}: another process is working here; {advice}")
    lock: filelock.BaseFileLock = filelock.FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
        return lock
    except filelock.Timeout:
        raise taken from None
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno not in _NO_LOCKS:
            raise ValueError(f"{folder / LOCK}: cannot be locked ({reason})") from None
    note(
        f"{folder}: this file system has no locks ({reason}); the file {MARKER} there keeps a "
        "second process out instead"
    )
    marker = filelock.SoftFileLease(
        folder / MARKER,
        lease_duration=MARKER_LASTS_S,
        on_compromise=lambda loss: note(
            _lost(folder)
        ),  # at once; `files` refuses at the next write
    )
    try:
        _acquire_marker(marker, folder, note)
        return marker
    except filelock.Timeout:
        raise taken from None
    except OSError as error:
        note(
            f"{folder}: continuing without a lock ({MARKER}: {error.strerror or error}); do not "
            "start a second process here, it would destroy the files of this one"
        )
        return None


def _acquire_marker(
    marker: filelock.BaseFileLock, folder: Path, note: Callable[[str], None]
) -> None:
    """Take the marker; wait long enough for a dead process's marker to expire."""
    try:
        marker.acquire(timeout=0)
    except filelock.Timeout:
        note(f"{folder}: waiting up to {_MARKER_WAIT_S:.0f} s to see if its holder is alive")
        marker.acquire(timeout=_MARKER_WAIT_S)


def _no_doubt() -> None:
    """The check of a lock that ends only with its process."""


def _still_ours(folder: Path) -> Callable[[], None]:
    """A check that the marker in `folder` is the one that is there now.

    filelock looks at the marker only every few seconds, and twice before it speaks of a loss. That
    is too late for a process that writes as soon as its machine wakes up.
    """
    ours = _identity(folder / MARKER)

    def check() -> None:
        # Another process may move the marker away for a moment to see if it is still refreshed.
        for pause_s in (0.0, 0.1, 0.4):
            time.sleep(pause_s)
            if _identity(folder / MARKER) == ours:
                return
        raise ValueError(_lost(folder))

    return check


def _identity(file: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        found = os.lstat(file)
        return found.st_dev, found.st_ino
    return None


def _lost(folder: Path) -> str:
    return (
        f"{folder}: this process did not refresh {folder / MARKER} for {MARKER_LASTS_S:.0f} s or "
        "more, and another one has taken the folder over; nothing more is written here; start "
        "this one again when the other one has ended"
    )


def kind(folder: Path) -> str:
    """Describe how `locked` keeps a second process out of an existing folder.

    Raises:
        ValueError: if it cannot.
    """
    notes: list[str] = []
    probe = files.temporary_name(Path(folder) / "lock-probe")
    try:
        with locked(probe, "try again", notes.append):
            pass
    finally:
        files.remove_folder(probe)
    if not notes:
        return "locks of the file system"
    if len(notes) == 1:
        return f"a marker file ({MARKER}), as the file system has no locks"
    raise ValueError(f"{folder}: no locks here: never start two processes in it")


def is_held(folder: Path) -> bool | None:
    """True if a process works in `folder`, False if none does; None if that cannot be known here.

    It takes the lock for a moment where no process has it.
    """
    if (Path(folder) / MARKER).exists():  # a file system without locks
        return None
    try:
        import fcntl  # Windows has none

        number = os.open(Path(folder) / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return None
    try:
        # A shared lock, so that two watchers do not see each other.
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(number)  # this ends the lock
    return False
