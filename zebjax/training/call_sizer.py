"""The amount of work in one compiled call."""

from zebjax.common.console import Reporter

CALL_S = 10.0
"""Seconds that a compiled call should take: long enough that the host's part costs nothing, short
because a stop waits for the call."""
_SLOW_CALL_S = 30.0
_MAX_N = 1 << 20
"""A call may end before it has done all of its n (no games are wanted), and then n would grow
without end; inside the call it is an int32."""


class CallSizer:
    """Chooses the amount of work `n` in one compiled call, so that it takes about ten seconds."""

    def __init__(self, what: str, remedy: str, report: Reporter) -> None:
        self.n = 1
        self._what, self._remedy, self._report = what, remedy, report
        self._calls = 0

    def timed(self, seconds: float) -> None:
        """Choose the next `n`.

        Args:
            seconds: how long a call with the present `n` took.
        """
        # At most twice as much at a time. The first call also compiles, so it looks slow: the
        # second is then small, and the third grows again.
        self._calls += 1
        self.n = max(1, min(2 * self.n, int(self.n * CALL_S / max(seconds, 1e-3)), _MAX_N))
        if self._calls == 2 and seconds > _SLOW_CALL_S:
            self._report.note(
                f"the smallest compiled {self._what} call takes {seconds:.0f} s here, and a stop "
                "waits for it; "
                f"{self._remedy} would make it shorter"
            )
