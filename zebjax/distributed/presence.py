"""The learner's heartbeat, and which processes of the run are missing."""

import time
from collections.abc import Callable
from typing import Any

from zebjax.distributed import heartbeat
from zebjax.distributed.heartbeat import Watch
from zebjax.distributed.interval import Interval
from zebjax.training.config import Experiment

_GRACE_S = 40.0
"""Workers that start together with the learner are not missed before this time."""
_REPEAT_S = 60.0


class Presence:
    """The learner among the processes of its run; `describe` is for the run's thread."""

    def __init__(self, watch: Watch, settings: Experiment) -> None:
        self.watch = watch
        self.alarms: list[str] = []
        self._name, self._with_eval_aux = settings.name, settings.eval_aux.enabled
        self.beat = Interval(max(heartbeat.EVERY_S, settings.store.upload_interval_s))
        """How often a heartbeat is written."""
        self._look = Interval(max(heartbeat.EVERY_S, settings.store.effective_poll_s))
        self._facts: dict[str, Any] = {}
        self._epoch, self._beats = 0, 0

    def describe(self, epoch: int, facts: dict[str, Any]) -> None:
        """Set what the next heartbeats say; `epoch` is of the learner's lease."""
        self._epoch, self._facts = epoch, {"epoch": epoch, **facts}

    def look_around(self) -> None:
        """Read the others' heartbeats if that is due.

        Raises:
            StoreError: if the store cannot be read.
        """
        if self._look.is_due():
            self._look.restart()
            self.watch.look()
            self.alarms = self.watch.alarms(self._with_eval_aux)

    def heartbeat(self, state: str) -> dict[str, bytes]:
        """The next heartbeat as the object to put into the store, by its name."""
        self._beats += 1
        facts = self._facts | {"state": state, "alarms": self.alarms}
        count = f"{self._epoch}-{self._beats}"
        data = heartbeat.to_bytes("learner", self._name, count, self.beat.every_s, facts)
        return {heartbeat.LEARNER: data}


class AlarmNotes:
    """Reports alarms when they change, and again every minute while they last."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._reported: list[str] = []
        self._repeat = Interval(_REPEAT_S)

    def report(self, alarms: list[str], note: Callable[[str], None]) -> None:
        """Report what there is to report now."""
        if time.monotonic() - self._began <= _GRACE_S:
            alarms = []
        if alarms != self._reported or (alarms and self._repeat.is_due()):
            self._reported = alarms
            self._repeat.restart()
            note(f"  ALARM: {', '.join(alarms)}" if alarms else "  all workers are there")
