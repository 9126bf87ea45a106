"""Publish the learner's weights: the run's thread offers them, the store's thread writes them."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from zebjax.distributed import weights
from zebjax.distributed.store import Store
from zebjax.distributed.weights import Lease, Manifest
from zebjax.torch_compat import weights as torch_weights
from zebjax.training.config import to_json
from zebjax.training.session import Session


class Publication(NamedTuple):
    """Weights on their way to the store."""

    network: bytes
    facts: dict[str, object]
    """Fields of the manifest that the learner knows."""
    torch: dict[str, bytes]
    """The same weights for a PyTorch worker, by object name; empty if not wanted."""


class Publisher:
    """Holds the newest publication until it is in the store; it replaces an older one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._pending: Publication | None = None
        self._offered = -1

    def is_due(self, session: Session, is_last: bool) -> bool:
        """True if this cycle's weights should be published and were not offered yet."""
        cycle = session.progress.cycle
        if self._offered == cycle:
            return False
        done = cycle - session.progress.first_cycle
        is_nth = done % session.settings.store.publish_every_cycles == 0
        return self._offered < 0 or is_last or is_nth

    def offer(self, session: Session) -> None:
        """Offer the run's weights for publication.

        Raises:
            ValueError: if they are not finite.
        """
        settings, progress = session.settings, session.progress
        params = jax.device_get(session.state.learner.published)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise ValueError(
                f"cycle {progress.cycle}: the weights are no longer finite and were not published; "
                "resume with a lower --learner.lr, or go back with `zebjax rollback`"
            )
        facts = {
            "step": progress.cycle,
            "total_games": progress.total_games,
            "wandb_run_id": progress.wandb_run_id,
            "experiment": json.loads(to_json(settings)),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        torch: dict[str, bytes] = {}
        if settings.store.publish_torch:
            name = Path(f"{settings.name}.pt")
            contents = torch_weights.hub_contents(name, settings.network, params, facts)
            torch = {str(path): data for path, data in contents.items()}
        data = weights.to_bytes(settings.network, params)
        with self._lock:
            self._pending = Publication(data, facts, torch)
        self._offered = progress.cycle

    def has_pending(self) -> bool:
        """True if weights are waiting for publication."""
        return self._pending is not None

    def publish(self, lease: Lease, beside: dict[str, bytes]) -> Manifest:
        """Publish the pending weights, and replace the objects `beside` in the same write.

        Raises:
            Fenced: if another learner has taken over.
            StoreError: if the store cannot accept them now; they stay pending.
        """
        pending = self._pending
        assert pending is not None
        manifest = weights.publish(
            self._store, lease, pending.network, pending.facts, {**pending.torch, **beside}
        )
        with self._lock:
            if self._pending is pending:  # no newer one was offered meanwhile
                self._pending = None
        return manifest
