"""The learner's connection to the store: one thread that publishes, prunes, fetches and watches."""

from collections.abc import Callable
from typing import Any

from zebjax.distributed import heartbeat, weights
from zebjax.distributed.ingest import Ingest
from zebjax.distributed.interval import Interval
from zebjax.distributed.presence import Presence
from zebjax.distributed.pruner import Pruner
from zebjax.distributed.publisher import Publisher
from zebjax.distributed.store import Store, StoreError
from zebjax.distributed.store_thread import Background
from zebjax.training.session import Session
from zebjax.training.workers_config import StoreConfig


class LearnerLink:
    """Does on a thread of its own whatever talks to the store, so that training never waits.

    A Hub takes few commits, so one `write` interval spaces all of them: a publication carries a
    heartbeat in the same commit.
    """

    def __init__(
        self, store: Store, lease: weights.Lease, presence: Presence, session: Session
    ) -> None:
        """Make the parts; `start` starts the thread."""
        config: StoreConfig = session.settings.store
        self.lease = lease
        self.publisher = Publisher(store)
        self.pruner = Pruner(store, config, session.progress.cursor)
        self.ingest = Ingest(store, session.folder, session.progress.cursor)
        self._store, self._presence = store, presence
        self._write = Interval(config.upload_interval_s)
        self._thread = Background(self._work, config.effective_poll_s)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def hurry(self) -> None:
        """Have the thread work now."""
        self._thread.hurry()

    def check(self, note: Callable[[str], None]) -> None:
        """Report what the thread has to report; raise what ended it."""
        self._thread.check(note)

    def close(self, note: Callable[[str], None]) -> None:
        """Stop the thread, then publish and report what is left, as far as the store takes it."""
        trouble: Any = "it does not answer"
        if self._thread.stop():
            try:
                weights.check_lease(self._store, self.lease)
                if self.publisher.has_pending():
                    self._publish(heartbeat.STOPPED)
                else:
                    self._beat(heartbeat.STOPPED)
                return
            except (StoreError, weights.Fenced) as error:
                trouble = error
        note(f"could not write the final heartbeat to the store: {trouble}")

    def _work(self) -> bool:
        """Do all that is due. An error of one part does not keep the others from their work."""
        failed: StoreError | None = None
        for part in (self._presence.look_around, self._lead, self.ingest.poll):
            try:
                part()
            except StoreError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return False

    def _lead(self) -> None:
        """What only the holder of the lease may do: publish, give a heartbeat, delete."""
        weights.check_lease(self._store, self.lease)
        try:
            self._publish_and_beat()
        finally:  # examples that cannot be listed do not keep weights from the workers
            self.pruner.prune_examples()

    def _publish_and_beat(self) -> None:
        if not self._write.is_due():
            return
        if self.pruner.prune_weights():
            self._write.restart()
            if self._write.every_s:
                return
        try:
            if self.publisher.has_pending():
                self._publish(heartbeat.RUNNING)
        finally:
            if self._presence.beat.is_due():
                self._beat(heartbeat.RUNNING)

    def _publish(self, state: str) -> None:
        self._write.restart()
        manifest = self.publisher.publish(self.lease, self._presence.heartbeat(state))
        self._presence.beat.restart()
        self.pruner.published()
        self._thread.say(
            f"  published step {manifest.step} as generation {manifest.generation}, "
            f"{manifest.size:,} bytes"
        )

    def _beat(self, state: str) -> None:
        self._write.restart()
        self._store.put({}, self._presence.heartbeat(state))
        self._presence.beat.restart()
