"""Checks of settings dataclasses: allowed words, names, finite numbers, lower limits."""

import math
import typing
from typing import Any

from zebjax.common import parsing

MAX_COUNT = 1_000_000_000
"""Maximum of counts that become int32 on the device."""


def check(settings: Any, prefix: str) -> None:
    """Check every `Literal[...]` field and every float of a dataclass, and `names`.

    Args:
        settings: an instance of the dataclass.
        prefix: text before the field's name in messages, without the dot; may be empty.

    Raises:
        ValueError: if a field holds a word that is not allowed, an empty name, or a float that is
            not finite; the message names the field.
    """
    names(settings, prefix)
    before = f"{prefix}." if prefix else ""
    for name, annotation in typing.get_type_hints(type(settings)).items():
        options = typing.get_args(annotation)
        if (
            typing.get_origin(annotation) is typing.Literal
            and getattr(settings, name) not in options
        ):
            raise ValueError(
                f"{before}{name}: expected {parsing.either(options)}, "
                f"got {getattr(settings, name)!r}"
            )
        if isinstance(getattr(settings, name), float) and not math.isfinite(
            getattr(settings, name)
        ):
            raise ValueError(
                f"{before}{name}: expected a finite number, got {getattr(settings, name)}"
            )


def names(settings: Any, prefix: str) -> None:
    """Raise ValueError for the first field of type `str | None` that is empty.

    As a path an empty name would be the current folder.
    """
    for name, annotation in typing.get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if annotation == str | None and value is not None and not value.strip():
            raise ValueError(f"{prefix}.{name}: expected None or a name, got {value!r}")


def at_least(settings: Any, prefix: str, low: float, *names: str) -> None:
    """Raise ValueError for the first of these fields that is less than `low`."""
    for name in names:
        value = getattr(settings, name)
        if not value >= low:  # also true for nan
            expected = "0 or more" if low == 0 else f"at least {low:g}"
            raise ValueError(f"{prefix}.{name}: expected {expected}, got {value}")


def at_most(settings: Any, prefix: str, high: int, *names: str) -> None:
    """Raise ValueError for the first of these fields that is greater than `high`."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and value > high:
            raise ValueError(f"{prefix}.{name}: expected at most {high:,}, got {value:,}")


def positive(settings: Any, prefix: str, *names: str) -> None:
    """Raise ValueError for the first of these fields that is not above 0."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise ValueError(
                f"{prefix}.{name}: expected a positive number, got {getattr(settings, name)}"
            )
