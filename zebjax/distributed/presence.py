"""The learner's heartbeat, and alarms about missing workers."""

import time
from collections.abc import Callable
from typing import Any

from zebjax.common.last_warning import LastWarning
from zebjax.distributed import heartbeat
from zebjax.distributed.heartbeat import Watch
from zebjax.distributed.interval import Interval
from zebjax.training.config import Experiment

_GRACE_S = 40.0
"""Seconds after the start without alarms, because workers may start together with the learner."""
_REPEAT_S = 60.0
"""Seconds between two reports of an alarm that lasts."""


class Presence:
    """The learner's heartbeat and its view of the workers.

    The run's thread calls `describe`, the store's thread the other methods.
    """

    def __init__(self, watch: Watch, settings: Experiment) -> None:
        self.watch = watch
        self.alarms: list[str] = []
        self._name, self._with_eval_aux = settings.name, settings.eval_aux.enabled
        self.beat = Interval(max(heartbeat.EVERY_S, settings.store.upload_interval_s))
        """The interval of the learner's heartbeats."""
        self._poll_interval = Interval(max(heartbeat.EVERY_S, settings.store.effective_poll_s))
        self._facts: dict[str, Any] = {}
        self._epoch, self._beats = 0, 0
        self.warning = LastWarning()
        self._since = {"step": (None, time.monotonic()), "phase": (None, time.monotonic())}

    def describe(self, epoch: int, facts: dict[str, Any]) -> None:
        """Set the contents of the next heartbeats; `epoch` is that of the learner's lease."""
        for name, (value, _) in self._since.items():
            if facts.get(name) != value:
                self._since[name] = (facts.get(name), time.monotonic())
        self._epoch, self._facts = epoch, {"epoch": epoch, **facts}

    def poll(self) -> None:
        """Read the heartbeats of the other processes if that is due.

        Raises:
            StoreError: if the store cannot be read.
        """
        if self._poll_interval.is_due():
            self._poll_interval.restart()
            self.watch.poll()
            self.alarms = self.watch.alarms(self._with_eval_aux)

    def heartbeat(self, state: str) -> dict[str, bytes]:
        """Return the next heartbeat as object name -> bytes."""
        self._beats += 1
        now = time.monotonic()
        # Ages are taken here and not in `describe`, which a run that hangs does not call any more.
        ages = {f"{name}_age_s": now - since for name, (_, since) in self._since.items()}
        facts = self._facts | ages | self.warning.facts()
        facts |= {"state": state, "alarms": self.alarms}
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
        """Report the alarms if they have changed, or if the last report is a minute old."""
        if time.monotonic() - self._began <= _GRACE_S:
            alarms = []
        if alarms != self._reported or (alarms and self._repeat.is_due()):
            self._reported = alarms
            self._repeat.restart()
            note(f"  ALARM: {', '.join(alarms)}" if alarms else "  all workers are running")
