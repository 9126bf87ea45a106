"""A minimum time between two actions."""

import math
import time


class Interval:
    """Says when `every_s` seconds have passed since the last `restart`; due at once before that."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._last = -math.inf

    def is_due(self) -> bool:
        """True if the action may be done now."""
        return time.monotonic() - self._last >= self.every_s

    def restart(self) -> None:
        """The action is done now, or fails now: a failure is not repeated at once either."""
        self._last = time.monotonic()
