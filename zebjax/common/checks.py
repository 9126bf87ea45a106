"""Checks that every dataclass of settings needs: words from a list, and finite numbers."""

import math
import typing
from typing import Any


def check(settings: Any, prefix: str) -> None:
    """Check every `Literal[...]` field and every float of a dataclass.

    Args:
        settings: an instance of the dataclass.
        prefix: what stands before the field's name in messages, without the dot; may be empty.

    Raises:
        ValueError: naming the field, if it holds none of the words, or a float that is not finite.
    """
    before = f"{prefix}." if prefix else ""
    for name, annotation in typing.get_type_hints(type(settings)).items():
        options = typing.get_args(annotation)
        if (
            typing.get_origin(annotation) is typing.Literal
            and getattr(settings, name) not in options
        ):
            raise ValueError(
                f"{before}{name}: expected {' or '.join(options)}, got {getattr(settings, name)!r}"
            )
        if isinstance(getattr(settings, name), float) and not math.isfinite(
            getattr(settings, name)
        ):
            raise ValueError(
                f"{before}{name}: expected a finite number, got {getattr(settings, name)}"
            )
