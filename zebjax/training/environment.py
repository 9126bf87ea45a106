"""What a run was made with: versions, commit, device and command, one entry for each start."""

import datetime
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from zebjax import __version__
from zebjax.common import files, version

FILE = "environment.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "mctx", "numpy")


def _earlier_starts(folder: Path, note: Callable[[str], None]) -> list[Any]:
    """The entries of earlier starts of the run in `folder`; a damaged file is set aside."""
    file = folder / FILE
    try:
        starts = files.read_json(file) if file.exists() else []
        if not isinstance(starts, list):
            raise ValueError(f"{file}: expected a list of the run's starts")
    except ValueError as error:
        aside = files.unused_name(file.with_name(f"{file.stem}-damaged{file.suffix}"))
        file.replace(aside)
        note(f"{error}; the file is now {aside.name}, and a new list begins")
        return []
    return starts


def add_start(folder: Path, cycle: int, note: Callable[[str], None]) -> None:
    """Add an entry of this start, after `cycle` cycles, to those of earlier starts."""
    earlier = _earlier_starts(folder, note)
    files.write_json(folder / FILE, [*earlier, here(cycle)])


def here(cycle: int) -> dict[str, Any]:
    """Return the entry of a start on this machine after `cycle` cycles."""
    return {
        "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cycle": cycle,
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "platform": jax.default_backend(),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "command": sys.argv,
        "commit": version.commit(),
        "versions": {"zebjax": __version__} | {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str:
    """A package's version; `unknown` for one that only lies on the path."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
