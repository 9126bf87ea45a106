"""A thread for the store, so that training and playing never wait for the network."""

import queue
import threading
import time
from collections.abc import Callable

from zebjax.common.last_warning import LastWarning
from zebjax.distributed.store import StoreError, Unreachable


def _what_failed(error: Exception) -> str:
    if isinstance(error, Unreachable):
        return "the store does not answer"
    if isinstance(error, StoreError):
        return "the store refuses a call"
    return "the files of this process for the store cannot be read or written"


class Background:
    """Calls `work` every `every_s` seconds until stopped; immediately again if it returns True.

    A failure of the store is reported once and `work` is tried again. `check` passes notes, and the
    error that ended the thread, to the owner's thread. A store that refuses a call ends the thread
    only before the first success. Later the reason is an expired credential or a full disk, which
    can be repaired while the run continues.
    """

    def __init__(
        self, work: Callable[[], bool], every_s: float, warning: LastWarning | None = None
    ) -> None:
        """Create the thread; `start` starts it.

        Args:
            work: called repeatedly.
            every_s: seconds between two calls.
            warning: receives the text of each failure of the store.
        """
        self._work, self._every_s = work, every_s
        self._stop, self._now = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._has_worked = False
        self._failing_since: float | None = None
        self._warning = warning or LastWarning()
        self._notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def say(self, text: str) -> None:
        """Queue a note for the owner's thread."""
        self._notes.put(text)

    def hurry(self) -> None:
        """Call `work` now, without waiting for its time."""
        self._now.set()

    def check(self, note: Callable[[str], None]) -> None:
        """Pass queued notes to `note`; raise the error that ended the thread, if one did."""
        self.pass_notes(note)
        if self._error is not None:
            raise self._error

    def pass_notes(self, note: Callable[[str], None]) -> None:
        """Pass queued notes to `note`."""
        while not self._notes.empty():
            note(self._notes.get())

    def stop(self, timeout_s: float = 60) -> bool:
        """Stop after the current call of `work`. True if it ended within `timeout_s` seconds."""
        self._stop.set()
        self._now.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            is_more = False
            try:
                is_more = self._work()
                self._has_worked = True
                if self._failing_since is not None:
                    self.say(
                        "the store works again after "
                        f"{time.monotonic() - self._failing_since:.0f} s"
                    )
                    self._failing_since = None
            except (StoreError, OSError) as error:
                if not (self._has_worked or isinstance(error, Unreachable)):
                    self._error = error
                    return
                if self._failing_since is None:
                    self._failing_since = time.monotonic()
                    text = f"{_what_failed(error)}, continuing without the store: {error}"
                    self._warning.set(text)
                    self.say(text)
            # BaseException: a panic in obstore's Rust code is one. `check` raises it.
            except BaseException as error:
                self._error = error
                return
            if not is_more:
                self._now.wait(self._every_s)
            self._now.clear()
