"""Checking the fields of a settings dataclass that are one of a few words."""

import typing
from typing import Any


def check(settings: Any, prefix: str) -> None:
    """ValueError for a field annotated `Literal[...]` that holds anything else, naming it as `prefix.field`."""
    for name, annotation in typing.get_type_hints(type(settings)).items():
        options = typing.get_args(annotation)
        if typing.get_origin(annotation) is typing.Literal and getattr(settings, name) not in options:
            raise ValueError(f"{prefix}.{name}: expected {' or '.join(options)}, got {getattr(settings, name)!r}")
