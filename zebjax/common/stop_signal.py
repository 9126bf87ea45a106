"""Orderly stop of a long run: finish the current call, save, exit."""

import contextlib
import os
import signal
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class StopSignal:
    """`asked` becomes True after Ctrl-C, SIGTERM, or when the terminal closes.

    A second Ctrl-C ends the process at once. Other signals do not: a terminal that closes may send
    SIGHUP twice, and a service manager SIGTERM after it, to a process that is still saving.
    """

    def __init__(self) -> None:
        self.asked = False
        for name in _NAMES:
            number = getattr(signal, name, None)
            # `nohup` and a shell's `&` have the process ignore a signal: that stays so.
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if not self.asked:
            self.asked = True
            # Not `print`: the signal may have interrupted a print, and the terminal may be closed.
            with contextlib.suppress(OSError):
                os.write(
                    2,
                    b"\nstopping: finishing the current call, then saving "
                    b"(Ctrl-C again: stop at once)\n",
                )
