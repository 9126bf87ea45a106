"""The workers' heartbeats in the run's store, as the guard sees them."""

from collections.abc import Callable, Mapping
from typing import Any

from zebjax.distributed.heartbeat import Watch
from zebjax.distributed.open import open_store
from zebjax.distributed.store import StoreError
from zebjax.operations.rented.model import Beat


def reader(namespace: str, prefix: str) -> Callable[[], Mapping[str, Beat] | None]:
    """Return a function that reads the heartbeats of a fleet's workers; None if it cannot now.

    Args:
        namespace: URL of the run's namespace in the store.
        prefix: the fleet's name.

    Raises:
        StoreError: if there cannot be a store at this URL.
    """
    watch = Watch(open_store(namespace, create=False))

    def read() -> Mapping[str, Beat] | None:
        try:
            watch.poll()
        except StoreError:
            return None
        return {
            name: _beat(seen.status)
            for name, seen in watch.workers.items()
            if name.startswith(f"{prefix}-")
        }

    return read


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
    )
