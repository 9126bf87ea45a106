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
    """Does all communication with the store in its own thread, so that training never waits.

    A Hub accepts few commits, so all writes share one interval, and a publication includes a
    heartbeat in the same commit.
    """

    def __init__(
        self, store: Store, lease: weights.Lease, presence: Presence, session: Session
    ) -> None:
        """Create the parts; `start` starts the thread."""
        config: StoreConfig = session.settings.store
        self.lease = lease
        self.publisher = Publisher(store)
        self.pruner = Pruner(store, config, session.progress.cursor)
        self.ingest = Ingest(store, session.folder, session.progress.cursor)
        self._store, self._presence = store, presence
        self._write = Interval(config.upload_interval_s)
        presence.warning = session.warning
        self._thread = Background(self._work, config.effective_poll_s, session.warning)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def hurry(self) -> None:
        """Have the thread work now."""
        self._thread.hurry()

    def check(self, note: Callable[[str], None]) -> None:
        """Report the thread's notes; raise the error that ended it, if one did."""
        self._thread.check(note)

    def close(self, note: Callable[[str], None]) -> None:
        """Stop the thread, then publish the pending weights and a final heartbeat.

        If the store fails, that is reported and not raised.
        """
        trouble: Any = "store unreachable"
        has_ended = self._thread.stop()
        self._thread.pass_notes(note)
        if has_ended:
            try:
                weights.check_lease(self._store, self.lease)
                if self.publisher.has_pending():
                    self._publish(heartbeat.STOPPED)
                else:
                    self._beat(heartbeat.STOPPED)
                return
            except (StoreError, OSError, weights.Fenced) as error:
                trouble = error
            finally:
                self._thread.pass_notes(note)
        what = "publish the last weights, which the same command tries again"
        if not self.publisher.has_pending():
            what = "write the final heartbeat"
        note(f"could not {what}: {trouble}")

    def _work(self) -> bool:
        """Do everything that is due. After an error of one part the others still run."""
        failed: StoreError | None = None
        for part in (self._presence.poll, self._lead, self.ingest.poll):
            try:
                part()
            except StoreError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return False

    def _lead(self) -> None:
        """Publish, write a heartbeat and delete: only the holder of the lease may do this."""
        weights.check_lease(self._store, self.lease)
        try:
            self._publish_and_beat()
        # Last, because examples that cannot be listed must not delay weights; `finally`, because
        # old examples must go even if weights cannot be published.
        finally:
            self.pruner.prune_examples()

    def _publish_and_beat(self) -> None:
        if not self._write.is_due():
            return
        refused: StoreError | None = None
        try:
            if self.pruner.prune_weights():
                # That was a write; on a Hub the publication waits for the next one.
                self._write.restart()
                if self._write.every_s:
                    return
        except StoreError as error:  # a credential that may not delete can still publish
            refused = error
        try:
            if self.publisher.has_pending():
                self._publish(heartbeat.RUNNING)
        finally:
            if self._presence.beat.is_due():
                self._beat(heartbeat.RUNNING)
        if refused is not None:
            raise refused

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
