"""Deleting from the store what the run no longer needs: old weights, and games that are saved."""

import math
import threading

from zebjax.distributed import ingest, spool, weights
from zebjax.distributed.interval import Interval
from zebjax.distributed.store import Store
from zebjax.training.workers_config import StoreConfig

_RETRY_S = 300.0
"""Seconds until weights that could not be deleted are tried again."""


class Pruner:
    """Deletes old objects. `saved` is for the run's thread, the rest for the store's."""

    def __init__(self, store: Store, config: StoreConfig, cursor: dict[str, str]) -> None:
        """`cursor` holds each worker's newest file in the run's newest save."""
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
        """Called after a save with the files that it holds.

        What the save BEFORE this one holds may go: that one is left if this one breaks.
        """
        with self._lock:
            self._pending = self._saved_cursor
        self._saved_cursor = dict(cursor)

    def take_deleted(self) -> list[str]:
        """Torch example files deleted since the last call; the cursor need not hold them longer."""
        with self._lock:
            deleted, self._deleted = self._deleted, []
        return deleted

    def published(self) -> None:
        """Called after a publication: an older generation is to go."""
        self._are_weights_pruned = False
        self._retry = Interval(_RETRY_S)

    def prune_weights(self) -> bool:
        """Delete the parameters of old generations; True if that took a write.

        Raises:
            StoreError: if it could not be done; it is tried again.
        """
        if self._are_weights_pruned or not self._retry.is_due():
            return False
        self._retry.restart()
        any_deleted = weights.prune(self._store, self._config.keep_weights)
        self._are_weights_pruned = True
        return any_deleted

    def prune_examples(self) -> None:
        """Delete example files that are saved, but for the newest ones of each worker.

        Raises:
            StoreError: if it could not be done; it is tried again.
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
        doomed = [
            name
            for worker, names in by_worker.items()
            for name in names[:-n_kept]
            if name <= cursor.get(worker, "")
        ]
        doomed_torch = ingest.old_torch_files((entry.name for entry in entries), cursor, n_kept)
        if doomed or doomed_torch:
            self._store.delete([*doomed, *doomed_torch])
        with self._lock:
            self._deleted += doomed_torch
            if self._pending is cursor:
                self._pending = None
