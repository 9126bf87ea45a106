"""A worker's connection to the store: weights come in, games and heartbeats go out."""

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, Literal

from zebjax import record
from zebjax.common import console
from zebjax.common.last_warning import LastWarning
from zebjax.distributed import claims, heartbeat, machine, spool
from zebjax.distributed.interval import Interval
from zebjax.distributed.learner_facts import COMPILE
from zebjax.distributed.store import Missing, Store
from zebjax.distributed.store_thread import Background
from zebjax.distributed.subscription import Current, Subscription
from zebjax.record import GameRecord, Metadata
from zebjax.training.config import Experiment
from zebjax.training.session import Stopped

Role = Literal["selfplay", "evalaux"]
PLAY = "play"
_MAX_FILES_PER_WRITE, _MAX_FILES_PER_COMMIT = 16, 256
_WAIT_NOTE_S = 60.0
"""Seconds between two reports of a wait for the first weights."""


@dataclasses.dataclass(frozen=True)
class Job:
    """The task of a worker."""

    role: Role
    worker_id: str
    max_games: int | None = None
    """Number of games after which the worker stops; None: no limit."""
    waits_for_weights: bool = False
    """True: a worker that finds no published weights waits for them; False: it is an error."""


@dataclasses.dataclass
class Counts:
    """Counts that a worker reports in its heartbeats."""

    games: int = 0
    """Games played since the start, dropped ones included."""
    dropped: int = 0
    """Dropped games that the log has reported."""
    beats: int = 0
    """Heartbeats made."""
    began: float = dataclasses.field(default_factory=time.monotonic)
    last_batch: float = dataclasses.field(default_factory=time.monotonic)


class Link:
    """The connection. The worker's own thread calls `begin`, `current`, `send` and `end`."""

    def __init__(
        self, settings: Experiment, job: Job, store: Store, note: Callable[[str], None]
    ) -> None:
        config = settings.store
        self._folder = settings.folder / "workers" / job.worker_id
        self.spool = spool.Spool(self._folder / "spool", job.worker_id, config.spool_bytes)
        self.counts = Counts()
        self._job, self._store, self._note = job, store, note
        self._beat_every_s = max(heartbeat.EVERY_S, config.upload_interval_s)
        self._upload_interval_s = config.upload_interval_s
        self._write_interval = Interval(self._beat_every_s)
        self._claim: claims.Claim | None = None
        self._taken_over: claims.TakenOver | None = None
        self._phase = (COMPILE, time.monotonic())
        self._machine = machine.facts()
        self.warning = LastWarning()
        self._poll_s = min(config.effective_poll_s, self._beat_every_s)
        self._thread = Background(self._work, self._poll_s, self.warning)
        self._subscription = Subscription(store, settings, self._thread.say)

    def begin(self, stop_asked: Callable[[], bool] = lambda: False) -> Current:
        """Fetch the weights, claim the worker id, write once to the store, and start the thread.

        Raises:
            ValueError: if one of these fails.
            Stopped: if a stop is requested while waiting for weights, or for another process of
                this id.
        """
        self._fetch_first(stop_asked)  # before the folder gets a name: it may refuse
        worker, owner = self._job.worker_id, claims.owner_of(self._folder)
        claims.wait_for_others(self._store, worker, owner, self._note, stop_asked)
        self._claim = claims.acquire(self._store, worker, owner)
        self.first = self.spool.begin(self._store)
        self._write(heartbeat.RUNNING)
        self._thread.start()
        return self.current()

    def _fetch_first(self, stop_asked: Callable[[], bool]) -> None:
        """Fetch the weights; wait for the learner's first publication if the job says so."""
        note = Interval(_WAIT_NOTE_S)
        poll = Interval(self._poll_s)
        while True:
            poll.restart()
            try:
                self._subscription.pull()
                return
            except Missing:
                if not self._job.waits_for_weights:
                    raise ValueError(
                        f"{self._store.where}: no weights are published there yet; start the "
                        "learner first: zebjax train EXPERIMENT --role learner, or use "
                        "--wait-for-weights"
                    ) from None
            if note.is_due():
                note.restart()
                self._note("waiting: the learner has published no weights yet")
            while not poll.is_due():
                if stop_asked():
                    raise Stopped
                time.sleep(min(0.5, self._poll_s))  # a stop is noticed before the next poll

    def compiled(self) -> None:
        """Called after each compiled call; the first one ends the phase `compile`."""
        if self._phase[0] == COMPILE:
            self._phase = (PLAY, time.monotonic())

    def current(self) -> Current:
        """The newest weights; raises the error that ended the store's thread, if one did."""
        self._thread.check(self._note)
        newest = self._subscription.newest
        assert newest is not None
        return newest

    def send(self, records: GameRecord, model_step: int, facts: dict[str, Any]) -> None:
        """Add games to the spool, which the store's thread ships."""
        if not len(records.slots):
            return
        source = record.SELFPLAY if self._job.role == "selfplay" else record.EVAL_AUX
        is_written = self.spool.add(
            records, Metadata(source, self._job.worker_id, model_step, facts)
        )
        if self.spool.dropped_games > self.counts.dropped:
            self.counts.dropped = self.spool.dropped_games
            waiting = f"the store is unreachable and the spool holds {self.spool.max_bytes:,} bytes"
            why = self.spool.trouble or waiting
            text = f"{console.counted(self.counts.dropped, 'game')} dropped so far: {why}"
            self.warning.set(text)
            self._note(text)
        self.counts.games += len(records.slots)
        if is_written:
            self.counts.last_batch = time.monotonic()
        self._thread.hurry()

    def end(self) -> None:
        """Send the remaining games; if the store fails, the next start sends them."""
        trouble: object = "store unreachable"
        if self._taken_over is not None:  # only the other process may send under this id now
            self._thread.stop()
            trouble = "another process has this worker id"
        elif self._thread.stop():
            try:
                while len(self.spool.files()) > self._max_files():
                    self._write(heartbeat.RUNNING)
                self._write(heartbeat.STOPPED)
                return
            except (ValueError, OSError) as error:
                trouble = error
        n = len(self.spool.files())
        self._note(
            f"{console.counted(n, 'file')} {'stays' if n == 1 else 'stay'} in {self.spool.folder} "
            f"for the next start: {trouble}"
        )

    # ---- the store's thread

    def _work(self) -> bool:
        """Write and pull if due. True if more files wait and may be sent immediately."""
        # Files are sent as soon as the store allows a write; without files only heartbeats are.
        self._write_interval.every_s = (
            self._upload_interval_s if self.spool.files() else self._beat_every_s
        )
        try:
            if self._write_interval.is_due():
                self._write(heartbeat.RUNNING)
        finally:  # a worker that cannot write still plays with the newest weights
            self._subscription.pull()
        return bool(self.spool.files()) and not self._upload_interval_s

    def _write(self, state: str) -> None:
        """Send the oldest files and a heartbeat in one write, which on a Hub is one commit."""
        # Before the write, so that a failure is not repeated at once: the Hub may have refused it
        # because there were too many.
        self._write_interval.restart()
        if self._claim is not None:
            try:
                claims.check(self._store, self._claim)
            except claims.TakenOver as error:
                self._taken_over = error
                raise
        n_files = self._max_files()
        self.spool.ship(self._store, self._heartbeat(state, n_files), n_files)

    def _max_files(self) -> int:
        """Maximum number of files in one write; on a Hub writes are rare, so it is larger."""
        return _MAX_FILES_PER_COMMIT if self._upload_interval_s else _MAX_FILES_PER_WRITE

    def _heartbeat(self, state: str, n_files: int) -> dict[str, bytes]:
        """The heartbeat to send together with the oldest `n_files` files, which it counts as
        sent.
        """
        counts, now = self.counts, time.monotonic()
        counts.beats += 1
        waiting = len(self.spool.files())
        sent = min(waiting, n_files)
        newest = self._subscription.newest
        phase, since = self._phase
        facts = {
            "state": state,
            "step": newest.manifest.step if newest else None,
            "generation": newest.manifest.generation if newest else None,
            "games": counts.games,
            "games_per_s": counts.games / max(now - counts.began, 1e-9),
            "last_batch_s": now - counts.last_batch,
            "batches": self.spool.sent_files + sent,
            "spooled_files": waiting - sent,
            "dropped_games": self.spool.dropped_games,
            "sent_bytes": self.spool.sent_bytes,
            "phase": phase,
            "phase_age_s": now - since,
            **self.warning.facts(),
            **self._machine,
            **(self._claim.facts() if self._claim is not None else {}),
        }
        count = f"{os.getpid()}-{counts.beats}"
        data = heartbeat.to_bytes(
            self._job.role, self._job.worker_id, count, self._beat_every_s, facts
        )
        return {spool.status_name(self._job.worker_id): data}
