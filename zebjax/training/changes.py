"""Changes of a run's settings: `changes.jsonl` in the run's folder, one JSON object a line.

    cycle    the cycle after which the change took effect
    time_s   when it was made, in seconds since 1970; null if that is not known
    name     the setting by its dotted name, such as `replay.capacity_examples`
    before   its value before
    after    its value from then on

The lines are in the order in which the changes were made. With the settings in `experiment.json`,
which are the last ones, they say what the settings were at every cycle.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.common import files

FILE = "changes.jsonl"


class Change(NamedTuple):
    """One change of one setting; the fields are those of a line."""

    cycle: int
    time_s: float | None
    name: str
    before: Any
    after: Any


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted name.

    >>> flat({"seed": 1, "replay": {"min_buffer": 28}})
    {'seed': 1, 'replay.min_buffer': 28}
    """
    leaves: dict[str, Any] = {}
    for name, leaf in tree.items():
        if isinstance(leaf, dict):
            leaves |= flat(leaf, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = leaf
    return leaves


def between(
    before: Mapping[str, Any], after: Mapping[str, Any], cycle: int, time_s: float | None
) -> list[Change]:
    """Return the changes from one experiment to another.

    Args:
        before: an experiment as in `experiment.json`.
        after: the later one. A setting that only one of the two has is left out: it belongs to
            another version of zebjax.
        cycle: see `Change`.
        time_s: see `Change`.
    """
    old, new = flat(before), flat(after)
    return [
        Change(cycle, time_s, name, old[name], value)
        for name, value in new.items()
        if name in old and old[name] != value
    ]


def append(folder: Path, made: Sequence[Change]) -> None:
    """Add changes to those of the run in `folder`.

    Raises:
        ValueError: if the file cannot be read or written.
    """
    lines = "".join(json.dumps(change._asdict()) + "\n" for change in [*read(folder), *made])
    with files.writing(folder / FILE):
        files.write_text(folder / FILE, lines)


def read(folder: Path) -> list[Change]:
    """Return all changes, the oldest first; none if there is no file. Other lines are skipped.

    Raises:
        ValueError: if the file cannot be read.
    """
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ValueError(f"{folder / FILE}: cannot be read ({error.strerror})") from None
    return [change for change in map(_parse, lines) if change is not None]


def _parse(line: bytes) -> Change | None:
    try:
        change = Change(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    is_time = change.time_s is None or (
        type(change.time_s) in (int, float) and math.isfinite(change.time_s)
    )
    return change if type(change.cycle) is int and type(change.name) is str and is_time else None
