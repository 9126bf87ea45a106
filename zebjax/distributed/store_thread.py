"""A thread that talks to the store, so that nothing compiled ever waits for it."""

import queue
import threading
import time
from collections.abc import Callable

from zebjax.distributed.store import StoreError, Unreachable


def _what_failed(error: Exception) -> str:
    if isinstance(error, Unreachable):
        return "the store does not answer"
    if isinstance(error, StoreError):
        return "the store refuses a call"
    return "the files of this process for the store cannot be read or written"


class Background:
    """Calls `work` every `every_s` seconds until stopped; at once again if it returns True.

    A store that is unreachable is reported once and tried again. Notes, and the error that ended
    the thread, are passed on by `check` in the owner's thread. A store that refuses a call ends the
    thread only before the first success: later the reason is a credential that expired or a full
    disk, which somebody can repair meanwhile.
    """

    def __init__(self, work: Callable[[], bool], every_s: float) -> None:
        self._work, self._every_s = work, every_s
        self._stop, self._now = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._has_worked = False
        self._away_since: float | None = None
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
        while not self._notes.empty():
            note(self._notes.get())
        if self._error is not None:
            raise self._error

    def stop(self, timeout_s: float = 60) -> bool:
        """Stop after the present call of `work`. True if that ended within `timeout_s` seconds."""
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
                if self._away_since is not None:
                    self.say(
                        f"the store can be used again, after "
                        f"{time.monotonic() - self._away_since:.0f} s"
                    )
                    self._away_since = None
            except (StoreError, OSError) as error:
                if not (self._has_worked or isinstance(error, Unreachable)):
                    self._error = error
                    return
                if self._away_since is None:
                    self._away_since = time.monotonic()
                    self.say(f"{_what_failed(error)}, continuing without the store: {error}")
            except (
                BaseException
            ) as error:  # also a panic in a library: the owner raises it in its own thread
                self._error = error
                return
            if not is_more:
                self._now.wait(self._every_s)
            self._now.clear()
