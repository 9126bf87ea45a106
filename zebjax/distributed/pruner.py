"""Delete from the store what the run no longer needs: old weights, and games in a saved state."""

import math
import threading

from zebjax.distributed import ingest, spool, weights
from zebjax.distributed.interval import Interval
from zebjax.distributed.store import Store
from zebjax.training.workers_config import StoreConfig

_RETRY_S = 300.0
"""Seconds until weights that could not be deleted are tried again."""


class Pruner:
    """Deletes old objects.

    The run's thread calls `saved` and `take_deleted`, the store's thread the other methods.
    """

    def __init__(self, store: Store, config: StoreConfig, cursor: dict[str, str]) -> None:
        """`cursor` is that of the run's newest saved state."""
        self._store, self._config = store, config
        self._lock = threading.Lock()
        self._saved_cursor = dict(cursor)
        self._pending: dict[str, str] | None = None
        self._deleted: list[str] = []
        self._examples_interval = Interval(config.upload_interval_s)
        self._are_weights_pruned = True
        self._retry = Interval(0.0)
        """Between two tries to delete weights."""

    def saved(self, cursor: dict[str, str]) -> None:
        """Called after a save, with its cursor.

        Files up to the cursor of the save BEFORE this one may be deleted. If this save turns out
        to be damaged, the run resumes from the one before and needs the files after it.
        """
        with self._lock:
            self._pending = self._saved_cursor
        self._saved_cursor = dict(cursor)

    def take_deleted(self) -> list[str]:
        """Return the torch files deleted since the last call; the cursor can drop their names."""
        with self._lock:
            deleted, self._deleted = self._deleted, []
        return deleted

    def published(self) -> None:
        """Called after a publication, which makes an older generation obsolete."""
        self._are_weights_pruned = False
        self._retry = Interval(_RETRY_S)

    def prune_weights(self) -> bool:
        """Delete the parameters of old generations. True if any were deleted.

        Raises:
            StoreError: if that fails; the next call tries again.
        """
        if self._are_weights_pruned or not self._retry.is_due():
            return False
        self._retry.restart()
        any_deleted = weights.prune(self._store, self._config.keep_weights)
        self._are_weights_pruned = True
        return any_deleted

    def prune_examples(self) -> None:
        """Delete example files that a saved state covers, except the newest ones of each worker.

        Raises:
            StoreError: if that fails; a later call tries again.
        """
        cursor = self._pending
        if cursor is None or not self._examples_interval.is_due():
            return
        self._examples_interval.restart()
        by_worker: dict[str, list[str]] = {}
        entries = self._store.entries("examples")
        for entry in entries:
            if parsed := spool.parse_name(entry.name):
                by_worker.setdefault(parsed.worker, []).append(entry.name)
        n_kept = math.ceil(self._config.keep_examples / max(len(by_worker), 1))
        obsolete = [
            name
            for worker, names in by_worker.items()
            for name in names[:-n_kept]
            if name <= cursor.get(worker, "")
        ]
        old_torch = ingest.old_torch_files((entry.name for entry in entries), cursor, n_kept)
        if obsolete or old_torch:
            self._store.delete([*obsolete, *old_torch])
        with self._lock:
            self._deleted += old_torch
            if self._pending is cursor:  # no save since
                self._pending = None
