"""How much work to put into one compiled call."""

from zebjax.common.console import Reporter

CALL_S = 10.0
"""How long a compiled call should take; a stop waits for one."""
_SLOW_CALL_S = 30.0
_MOST = 1 << 20
"""Work may end before a call's share of it is done, so that no call ever seems long; and it is an
int32 in there."""


class CallSizer:
    """How much work to put into one compiled call so that it takes about ten seconds."""

    def __init__(self, what: str, remedy: str, report: Reporter) -> None:
        self.n = 1
        self._what, self._remedy, self._report = what, remedy, report
        self._calls = 0

    def timed(self, seconds: float) -> None:
        """Learn from how long a call of `n` took; the first also compiled, so it only makes the
        second small.
        """
        self._calls += 1
        self.n = max(1, min(2 * self.n, int(self.n * CALL_S / max(seconds, 1e-3)), _MOST))
        if self._calls == 2 and seconds > _SLOW_CALL_S:
            self._report.note(
                f"the smallest compiled {self._what} call takes {seconds:.0f} s here, and a stop "
                "waits for it; "
                f"{self._remedy} would make it shorter"
            )
