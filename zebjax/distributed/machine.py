"""Facts about this machine for a heartbeat: its device, and its price if a fleet knows it."""

import hashlib
import os
from pathlib import Path

PRICE = "ZEBJAX_PRICE_USD_PER_HOUR"
"""Environment variable in which a fleet passes the price of this process's share of the machine."""
_MAX_PRICE = 10_000.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Of the kernel, so that two containers on one machine have the same."""


def price(text: str | None) -> float | None:
    """Return the price in USD per hour; None if the text is no possible price."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    # The comparison refuses nan too. A wrong variable must not keep a worker from playing.
    return found if 0 <= found <= _MAX_PRICE else None


def machine_id(path: Path = _BOOT_ID) -> str:
    """Return a word that is the same in all containers on this machine until it is booted again;
    "" if the system has none.

    Args:
        path: the kernel's file of its boot.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def facts() -> dict[str, str | float]:
    """Return `device` and `machine`, and `price_usd_per_hour` if the variable `PRICE` holds one."""
    from zebjax.common import devices  # jax: a fleet reads only the name of the variable

    known = price(os.environ.get(PRICE))
    return {"device": devices.name(), "machine": machine_id()} | (
        {} if known is None else {"price_usd_per_hour": known}
    )
