"""Changes of a run's settings, from its record; see `training.changes` for the file."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from zebjax.operations.recap.text import clean, seconds_of
from zebjax.training.changes import flat


class Change(NamedTuple):
    """One change of one setting."""

    step: int
    time_s: float | None
    """In seconds since 1970; None if it is not known."""
    field: str
    before: Any
    after: Any


def parse(entries: list[Any]) -> list[Change]:
    """Return the changes in the file's list; other entries are left out."""
    return [
        Change(
            entry["step"],
            seconds_of(entry.get("time")),
            clean(entry["field"], 80),
            entry.get("from"),
            entry.get("to"),
        )
        for entry in entries
        if isinstance(entry, dict)
        and type(entry.get("step")) is int
        and type(entry.get("field")) is str
    ]


def between(
    before: Mapping[str, Any], after: Mapping[str, Any], step: int, time_s: float | None
) -> list[Change]:
    """Return the changes from one experiment to another.

    Args:
        before: an experiment as in `experiment.json`.
        after: the later one. A setting that only one of the two has is left out: it belongs to
            another version of zebjax.
        step: see `Change`.
        time_s: see `Change`.
    """
    old, new = flat(before), flat(after)
    return [
        Change(step, time_s, name, old[name], value)
        for name, value in new.items()
        if name in old and old[name] != value
    ]
