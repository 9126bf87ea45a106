"""Choose the amount of work in one compiled call by the time that calls take."""

from zebjax.common.console import Reporter

CALL_S = 10.0
"""Seconds that a compiled call should take: long, so that the host's work between calls is
negligible; not longer, because a stop waits for the call."""
_SLOW_CALL_S = 30.0
_MAX_N = 1 << 20
"""Upper bound of n, which is an int32 in the call. A call that ends early, because it has enough
games, looks fast and would let n grow without end."""


class CallSizer:
    """Chooses the amount of work `n` in one compiled call, so that it takes about ten seconds."""

    def __init__(self, what: str, remedy: str, report: Reporter) -> None:
        self.n = 1
        self._what, self._remedy, self._report = what, remedy, report
        self._calls = 0

    def timed(self, seconds: float) -> None:
        """Choose the next `n`.

        Args:
            seconds: the time that a call with the current `n` took.
        """
        # Grow by a factor of 2 at most. The first call also compiles, so it looks slow.
        self._calls += 1
        self.n = max(1, min(2 * self.n, int(self.n * CALL_S / max(seconds, 1e-3)), _MAX_N))
        if self._calls == 2 and seconds > _SLOW_CALL_S:
            self._report.note(
                f"the smallest compiled {self._what} call takes {seconds:.0f} s here, and a stop "
                "waits for it; "
                f"{self._remedy} would make it shorter"
            )
