"""The run's store, as the guard sees it: the workers' heartbeats, and if there are weights."""

from collections.abc import Callable, Mapping
from typing import Any

from zebjax.distributed import weights
from zebjax.distributed.heartbeat import Watch
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Store, StoreError
from zebjax.operations.rented.model import Beat, StoreSeen


def reader(namespace: str, prefix: str) -> Callable[[], StoreSeen]:
    """Return a function that reads the heartbeats of a fleet's workers.

    Args:
        namespace: URL of the run's namespace in the store.
        prefix: the fleet's name.

    Raises:
        StoreError: if there cannot be a store at this URL.
    """
    watch = Watch(open_store(namespace, create=False))

    has_weights = [False]

    def read() -> StoreSeen:
        try:
            watch.poll()
            # They are never withdrawn, so one look that finds them is enough.
            has_weights[0] = has_weights[0] or _has_weights(watch.store)
        except StoreError:
            return StoreSeen(None)
        beats = {
            name: _beat(seen.status)
            for name, seen in watch.workers.items()
            if name.startswith(f"{prefix}-")
        }
        return StoreSeen(beats, has_weights[0])

    return read


def _has_weights(store: Store) -> bool:
    try:
        store.get_if_changed(weights.NEWEST, None, weights.MAX_JSON_BYTES)
    except Missing:
        return False
    return True


def _beat(status: Mapping[str, Any]) -> Beat:
    def number(name: str) -> float:
        value = status.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    return Beat(
        str(status.get("count", "")),
        number("games"),
        number("games_per_s"),
        min(number("every_s"), 3600.0),
        str(status.get("host", ""))[:100],
        str(status.get("machine", ""))[:100],
    )
