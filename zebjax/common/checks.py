"""Checking what every settings dataclass wants checked: words that are among a few, numbers that
are finite.
"""

import math
import typing
from typing import Any


def check(settings: Any, prefix: str) -> None:
    """ValueError for a `Literal[...]` field that holds anything else, or a float that is not
    finite, by its name.
    """
    for name, annotation in typing.get_type_hints(type(settings)).items():
        options = typing.get_args(annotation)
        if (
            typing.get_origin(annotation) is typing.Literal
            and getattr(settings, name) not in options
        ):
            raise ValueError(
                f"{prefix}.{name}: expected {' or '.join(options)}, got {getattr(settings, name)!r}"
            )
        if isinstance(getattr(settings, name), float) and not math.isfinite(
            getattr(settings, name)
        ):
            raise ValueError(
                f"{prefix}.{name}: expected a finite number, got {getattr(settings, name)}"
            )
