"""Facts about this machine for a heartbeat: its device, and its price if a fleet knows it."""

import os

PRICE = "ZEBJAX_PRICE_USD_PER_HOUR"
"""Environment variable in which a fleet passes the price of this process's share of the machine."""
_MAX_PRICE = 10_000.0


def price(text: str | None) -> float | None:
    """Return the price in USD per hour; None if the text is no possible price."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    # The comparison refuses nan too. A wrong variable must not keep a worker from playing.
    return found if 0 <= found <= _MAX_PRICE else None


def facts() -> dict[str, str | float]:
    """Return `device`, and `price_usd_per_hour` if the variable `PRICE` holds one."""
    from zebjax.common import devices  # jax: a fleet reads only the name of the variable

    known = price(os.environ.get(PRICE))
    return {"device": devices.name()} | ({} if known is None else {"price_usd_per_hour": known})
