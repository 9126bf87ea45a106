"""The game source of a learner with workers: it takes games from the store and publishes weights.

The run's thread takes the arrived games and offers weights; the thread of `learner_link` does all
communication with the store.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator

from zebjax import record
from zebjax.common.console import Reporter
from zebjax.distributed import heartbeat, leadership, machine, weights
from zebjax.distributed.ingest import Arrived
from zebjax.distributed.interval import Interval
from zebjax.distributed.learner_facts import LearnerFacts, Waiting
from zebjax.distributed.learner_link import LearnerLink
from zebjax.distributed.open import open_store
from zebjax.distributed.presence import AlarmNotes, Presence
from zebjax.distributed.store import Missing
from zebjax.game import N_PLIES
from zebjax.training import eval_aux, replay, sources
from zebjax.training.config import Experiment
from zebjax.training.metrics import Row
from zebjax.training.session import Session, Stopped

_WAIT_NOTE_S = 15.0
"""Seconds between two reports of a wait."""
_FIRST_POLL_S = 60.0
"""Maximum seconds that a starting learner waits for the games that are already in the store; then
it trains on the games that it has."""


class WorkerSource:
    """Games from workers. Implements `GameSource`."""

    def __init__(
        self,
        settings: Experiment,
        report: Reporter,
        take_over: bool = False,
        stop_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open the store, and wait until no other learner is alive.

        Args:
            settings: the experiment; `settings.namespace` is the store.
            report: receives notes and progress.
            take_over: become the learner even if another one is alive.
            stop_asked: returns True once a stop is requested.

        Raises:
            ValueError: if the store cannot be opened, or another learner is alive.
            Stopped: if a stop is requested while waiting.
        """
        self.store = open_store(settings.namespace)
        self._here = leadership.place(settings.folder)
        self._take_over = take_over
        watch = heartbeat.Watch(self.store)
        poll_s = settings.store.effective_poll_s
        if not take_over:
            leadership.wait_for_other_learner(watch, self._here, poll_s, report.note, stop_asked)
        self._presence = Presence(watch, settings)
        self._alarms = AlarmNotes()
        self._link: LearnerLink | None = None
        self._facts: LearnerFacts | None = None
        self._machine = machine.facts()
        self._began = self._last_kept = time.monotonic()

    def begin(self, session: Session) -> None:
        """Become the store's learner and start fetching."""
        lease = leadership.take_lease(self.store, session, self._here, self._take_over)
        self._link = LearnerLink(self.store, lease, self._presence, session)
        self._describe(session)
        self._link.start()

    def complete(self, session: Session) -> None:
        """Publish the last weights if a process that was killed saved them and did not."""
        try:
            found = weights.newest(self.store)
        except (Missing, weights.BadWeights):
            found = None
        if found is None or found[0].step < session.progress.cycle:
            self.begin(session)
            self.weights_changed(session, is_last=True)

    @property
    def link(self) -> LearnerLink:
        """The connection to the store, after `begin`."""
        assert self._link is not None, "begin was not called"
        return self._link

    def fill(self, session: Session) -> Iterator[None]:
        """Take the arrived games; wait while there are too few, or no new ones, to train on."""
        began, note = time.monotonic(), Interval(_WAIT_NOTE_S)
        note.restart()
        while True:
            # Read first: all files of the first poll are then in what is taken now.
            has_polled = self.link.ingest.has_polled.is_set()
            self._take(session)
            waits = self.facts(session).waits = self._waits_for(session, has_polled)
            if waits is None:
                break
            if note.is_due():
                note.restart()
                session.report.note(f"  waiting: {waits.why}")
            yield
            time.sleep(min(0.2, session.settings.store.poll_s))
        session.progress.play_s += time.monotonic() - began

    def check(self, session: Session) -> None:
        """Report notes of the store's thread and alarms; raise the error that ended the thread."""
        self._describe(session)
        self.link.check(session.report.note)
        self._alarms.report(self._presence.alarms, session.report.note)

    def play_ahead(self, session: Session) -> None:
        """Nothing to begin: workers play."""

    def weights_changed(self, session: Session, is_last: bool) -> None:
        """Offer the weights for publication if that is due.

        Raises:
            ValueError: if they are not finite.
        """
        if self.link.publisher.is_due(session, is_last):
            self.link.publisher.offer(session)
            self.link.hurry()

    def saved(self, session: Session) -> None:
        """Let the store's thread delete files that the saved state covers."""
        for name in self.link.pruner.take_deleted():
            session.progress.cursor.pop(name, None)
        self.link.pruner.saved(session.progress.cursor)

    def metrics(self, session: Session) -> Row:
        """Metrics of the games that arrived in this cycle, by the original's names."""
        progress = session.progress
        wall_s = max(progress.wall_s, 1e-9)
        examples = progress.ingest.get("selfplay_examples", 0)
        return {
            "perf/games_per_s": progress.games_in_cycle / wall_s,
            "ingest/selfplay_examples": examples,
            "ingest/selfplay_files": progress.ingest.get("selfplay_files", 0),
            "ingest/selfplay_examples_per_s": examples / wall_s,
            "ingest/bytes": progress.ingest.get("bytes", 0),
            "ingest/quarantined_files_total": progress.quarantined,
            "ingest/busy_s_total": self.link.ingest.busy_s,
            **sources.eval_aux_row(progress, wall_s),
        }

    def close(self, session: Session) -> None:
        """Publish the pending weights and a final heartbeat."""
        if self._link is not None:
            error = sys.exception()  # the error that ends the run, if one does
            if isinstance(error, Exception) and not isinstance(error, Stopped):
                session.warning.set(f"ended by {type(error).__name__}: {error}")
            self._describe(session)
            self._link.close(session.report.note)

    def facts(self, session: Session) -> LearnerFacts:
        """The facts for heartbeats, since the first call."""
        if self._facts is None:
            self._facts = LearnerFacts(session.progress)
        return self._facts

    def _describe(self, session: Session) -> None:
        facts = self.facts(session).of(session) | self._machine
        self._presence.describe(self.link.lease.epoch, facts)

    def _take(self, session: Session) -> None:
        """Put the games that have arrived into their rings."""
        for arrived in self.link.ingest.pop_arrived():
            if arrived.records is None:
                session.progress.quarantined += 1
                session.warn(f"  quarantined: {arrived.reason}")
                continue
            session.progress.cursor[arrived.cursor_key] = arrived.name
            if arrived.metadata is not None and arrived.metadata.source == record.SELFPLAY:
                self._take_selfplay(session, arrived)
            else:
                self._take_eval_aux(session, arrived)

    def _take_selfplay(self, session: Session, arrived: Arrived) -> None:
        assert arrived.records is not None
        progress, n = session.progress, len(arrived.records.slots)
        kept = sources.add_selfplay(session, arrived.records)
        counts = {"selfplay_examples": n * N_PLIES, "selfplay_files": 1, "bytes": arrived.n_bytes}
        sources.count(progress, counts)
        progress.arrived_examples += kept * N_PLIES
        self._last_kept = time.monotonic()

    def _take_eval_aux(self, session: Session, arrived: Arrived) -> None:
        assert arrived.records is not None and arrived.metadata is not None
        settings, progress = session.settings, session.progress
        if not settings.eval_aux.enabled:
            sources.count_disabled(progress, len(arrived.records.slots))
            return
        lag = max(0, progress.cycle - arrived.metadata.model_step)
        sifted = eval_aux.sift(settings.eval_aux, arrived.records, lag, settings.seed, arrived.name)
        sources.count_eval_aux(progress, sifted, arrived.metadata.search)
        sources.count(progress, {"bytes": arrived.n_bytes})
        if sifted.kept:
            sources.add_eval_aux(session, sifted.records)
            progress.total_games += sifted.seen
            progress.arrived_examples += sifted.kept * N_PLIES
            self._last_kept = time.monotonic()

    def _waits_for(self, session: Session, has_polled: bool) -> Waiting | None:
        """Return why the run may not train yet; None if it may."""
        config, progress = session.settings.replay, session.progress
        learner = session.settings.learner
        if not has_polled and time.monotonic() - self._began < _FIRST_POLL_S:
            return Waiting("reading the games in the store")
        in_ring = self.facts(session).buffer = int(replay.n_examples(session.state.ring))
        needed = max(config.min_buffer, N_PLIES)
        if in_ring < needed:
            why = f"{in_ring:,} of {needed:,} examples of self-play are in the buffer"
            return Waiting(why, in_ring, needed)
        rows = progress.trained_rows + learner.updates_per_cycle * learner.batch
        if config.max_reuse and rows > config.max_reuse * progress.arrived_examples:
            why = (
                f"{progress.arrived_examples:,} examples arrived, too few for {rows:,} training "
                "rows (max_reuse)"
            )
            least = math.ceil(rows / config.max_reuse)
            return Waiting(why, progress.arrived_examples, least)
        age_s = time.monotonic() - self._last_kept
        if config.max_example_age_s and age_s > config.max_example_age_s:
            return Waiting(f"no new game for {age_s:.0f} s (max_example_age_s)")
        return None
