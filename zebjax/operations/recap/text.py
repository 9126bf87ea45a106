"""Numbers and foreign texts as they are shown on the page."""

import datetime
import math
from typing import Any

NONE = "–"
"""Shown for a value that is not known."""
_MAX_TEXT = 300


def clean(value: Any, at_most: int = _MAX_TEXT) -> str:
    """A text from a file or from another machine, without control characters and not too long."""
    shown = "".join(c if c.isprintable() else " " for c in str(value)[: at_most + 1])
    return shown if len(shown) <= at_most else shown[: at_most - 1] + "…"


def number(value: Any) -> float | None:
    """The value as a finite float; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None  # false for nan too


def fixed(value: float | None, decimals: int = 3) -> str:
    """A number with that many decimals.

    >>> fixed(0.4994), fixed(None)
    ('0.499', '–')
    """
    return NONE if value is None else f"{value:.{decimals}f}"


def signed(value: float, decimals: int = 3) -> str:
    """A difference, with its sign."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def percent(share: float | None, decimals: int = 1) -> str:
    """A share in percent.

    >>> percent(0.763)
    '76.3 %'
    """
    return NONE if share is None else f"{100 * share:.{decimals}f} %"


def count(value: float | None) -> str:
    """A large whole number in three digits.

    >>> [count(n) for n in (0, 950, 4_000, 169_600, 999_600, 1_700_608, None)]
    ['0', '950', '4 K', '170 K', '1.00 M', '1.70 M', '–']
    """
    if value is None:
        return NONE
    if value < 999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.0f} K" if value < 999_500 else f"{value / 1e6:.2f} M"


def usd(value: float | None, decimals: int = 2) -> str:
    """An amount of money."""
    return NONE if value is None else f"{value:,.{decimals}f} USD"


def duration(seconds: float | None) -> str:
    """Seconds as hours or minutes.

    >>> [duration(s) for s in (180_000, 5_400, 90, 2)]
    ['50.0 h', '1.5 h', '1.5 min', '2 s']
    """
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def moment(time_s: float | None) -> str:
    """A time in seconds since 1970 as UTC date and time."""
    if time_s is None or not 0 <= time_s < 4e9:
        return NONE
    at = datetime.datetime.fromtimestamp(time_s, datetime.UTC)
    return f"{at:%Y-%m-%d %H:%M} UTC"


def seconds_of(iso: Any) -> float | None:
    """A time in ISO 8601 in seconds since 1970; None if it is not one."""
    try:
        return datetime.datetime.fromisoformat(iso).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def spread(values: list[float], decimals: int) -> str:
    """The smallest and the largest of some values.

    >>> spread([4.1, 4.2], 1), spread([3.0], 1), spread([], 1)
    ('4.1–4.2', '3.0', '–')
    """
    if not values:
        return NONE
    low, high = fixed(min(values), decimals), fixed(max(values), decimals)
    return low if low == high else f"{low}–{high}"


def value(found: Any) -> str:
    """The value of a setting.

    >>> value(1_000_000), value(True), value(1e-4), value("muon")
    ('1,000,000', 'True', '0.0001', 'muon')
    """
    if type(found) is int:
        return f"{found:,}"
    return clean(found, 80)
