"""The settings that a run changed on its way, in `changes.json` in its folder.

The file is a JSON list with one object for each changed field, oldest first:

    {"step": 120, "time": "2026-11-28T10:00:00+00:00", "field": "replay.capacity_examples",
     "from": 1000000, "to": 500000}

`step` is the number of completed cycles when the run resumed with the new value; cycle `step + 1`
is the first that it applies to. `time` is UTC. `from` and `to` are the values as in
`experiment.json`. A field that did not exist when the run was saved had its default. A rollback to
an earlier step moves later changes to that step, because they apply from there.

The list is a part of the saved progress, beside the settings that it explains: both are saved
together, atomically, and a process that was killed before the save finds the same differences again
when it resumes. The file is written from it.
"""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zebjax.common import files
from zebjax.training.config import Experiment, to_json

FILE = "changes.json"
Change = dict[str, Any]
"""See the module."""
_NOT_STEERED = ("cycles", "name", "runs")
"""Fields whose change changes nothing in what a run does."""


def differences(saved: Any, experiment: Experiment) -> list[Change]:
    """Return the settings that differ from the saved ones, with `field`, `from` and `to`.

    A field that did not exist when the run was saved counts as its default. `cycles`, `name` and
    `runs` are left out.

    Args:
        saved: the saved experiment, as read from JSON.
        experiment: the present experiment.
    """
    before, now = defaults() | flat(saved), flat(json.loads(to_json(experiment)))
    return [
        {"field": name, "from": before.get(name), "to": value}
        for name, value in now.items()
        if before.get(name) != value and name not in _NOT_STEERED
    ]


def at(step: int, found: list[Change]) -> list[Change]:
    """Return differences as entries of the list, of the present time."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return [{"step": step, "time": now, **change} for change in found]


def text(found: list[Change]) -> str:
    """Return changes as one line, `field: before -> now, ...`."""
    return ", ".join(f"{change['field']}: {change['from']} -> {change['to']}" for change in found)


def moved_to(step: int, changes: list[Change]) -> list[Change]:
    """Return the list of a run that is rolled back to `step`."""
    return [change | {"step": min(change["step"], step)} for change in changes]


def write(folder: Path, changes: list[Change]) -> None:
    """Write the file of a run, unless it is as it should be; none if nothing ever changed.

    Raises:
        OSError: if it cannot be written.
    """
    file = folder / FILE
    if (changes or file.exists()) and read(folder) != changes:
        files.write_json(file, changes)


def read(folder: Path) -> list[Change]:
    """Return the changes of the run in a folder; empty if it has none, or the file is damaged."""
    try:
        found = files.read_json(folder / FILE)
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def defaults() -> dict[str, Any]:
    """Return the value of each field in a run that is older than the field."""
    # Products were float32 before the dtype was a setting.
    of_today = flat(json.loads(to_json(Experiment(name="defaults"))))
    return of_today | {"network.compute_dtype": "float32"}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted name.

    >>> flat({"replay": {"min_buffer": 0}, "seed": 1})
    {'replay.min_buffer': 0, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, leaf in tree.items():
        if isinstance(leaf, dict):
            found |= flat(leaf, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = leaf
    return found
