"""The tables of a server: bounded in number, each with its own state."""

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from zebjax.table.state import Table
from zebjax.table.web.guard import Refused

MAX_TABLES = 100
IDLE_S = 3600.0
"""A table that nobody has touched for so long gives way to a new one."""


@dataclasses.dataclass
class Sitting:
    """One table in use."""

    table: Table
    touched: float
    saved: tuple[int, Path] | None = None
    """Number of the last hand that was saved, and its text."""
    lock: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)


class Tables:
    """Tables by a name that cannot be guessed."""

    def __init__(
        self, limit: int = MAX_TABLES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit, self._clock = limit, clock
        self._sittings: dict[str, Sitting] = {}

    def __len__(self) -> int:
        return len(self._sittings)

    def check_room(self) -> None:
        """Raise Refused unless there is room for one more, after idle tables have given way."""
        if len(self._sittings) >= self._limit:
            for name, sitting in list(self._sittings.items()):
                if self._clock() - sitting.touched > IDLE_S:
                    del self._sittings[name]
        if len(self._sittings) >= self._limit:
            raise Refused(429, f"all {self._limit} tables are taken; try again later")

    def add(self, table: Table) -> str:
        """Add a table and return its name.

        Raises:
            Refused: if there are too many.
        """
        self.check_room()
        name = secrets.token_urlsafe(16)
        self._sittings[name] = Sitting(table, self._clock())
        return name

    def find(self, name: str) -> Sitting:
        """The table of a name.

        Raises:
            Refused: if there is none.
        """
        if name not in self._sittings:
            raise Refused(404, "there is no such table; start a new one")
        sitting = self._sittings[name]
        sitting.touched = self._clock()
        return sitting

    def remove(self, name: str) -> None:
        """Forget a table."""
        self._sittings.pop(name, None)
