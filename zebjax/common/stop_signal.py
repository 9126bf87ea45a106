"""Orderly stop of a long run: finish the current call, save, exit."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

NOTICE = (
    "stopping: the compiled call under way ends, then the run is saved; seconds, or a minute while "
    "programs compile (Ctrl-C again: stop at once)"
)
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
_SHOW_CURSOR = "\x1b[?25h"


def _to_stderr(text: str) -> None:
    # Not `print`: the terminal may be closed.
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


class StopSignal:
    """`asked` becomes True after Ctrl-C, SIGTERM, or when the terminal closes.

    A second Ctrl-C ends the process at once. Other signals do not: a terminal that closes may send
    SIGHUP twice, and a service manager SIGTERM after it, to a process that is still saving.

    Python runs signal handlers in the main thread, and not before a compiled call there has ended.
    So a thread listens, which the interpreter's own handler wakes at once.
    """

    def __init__(self, say: Callable[[str], None] = _to_stderr) -> None:
        """Listen from now on.

        Args:
            say: shows `NOTICE`; called once, in a thread of its own.
        """
        self.asked = False
        self._say = say
        listened = set()
        for name in _NAMES:
            number = getattr(signal, name, None)
            # `nohup` and a shell's `&` have the process ignore a signal: that stays so.
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
                listened.add(int(number))
        # Kept, because the interpreter writes to it as long as the process lives.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(listened,), daemon=True).start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def _listen(self, listened: set[int]) -> None:
        """Act on each signal as it comes: a byte with its number."""
        is_first = True
        while number := self._reader.recv(1):
            if number[0] not in listened:
                continue
            if is_first:
                is_first, self.asked = False, True
                with contextlib.suppress(Exception):  # a terminal that is gone must not end this
                    self._say(NOTICE)
            elif number[0] == signal.SIGINT:
                self._end()

    def _end(self) -> None:
        """End the process now. What is on disk is whole: it is written under other names."""
        with contextlib.suppress(Exception):
            if sys.stdout.isatty():  # a live display hides it
                os.write(1, _SHOW_CURSOR.encode())
        os._exit(128 + signal.SIGINT)
