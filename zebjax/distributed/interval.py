"""A minimum time between two actions."""

import math
import time


class Interval:
    """Due when `every_s` seconds have passed since the last `restart`, and before the first one."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._last = -math.inf

    def is_due(self) -> bool:
        """True if the action may be done now."""
        return time.monotonic() - self._last >= self.every_s

    def restart(self) -> None:
        """Start the interval again. Call it also if the action fails, so that it is not repeated
        at once.
        """
        self._last = time.monotonic()
