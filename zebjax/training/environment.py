"""Record versions, commit, device and command of a run: one entry for each start."""

import datetime
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from zebjax import __version__
from zebjax.common import files, version

FILE = "environment.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "mctx", "numpy")


def earlier_starts(folder: Path) -> list[Any]:
    """Return the entries of earlier starts of the run in `folder`.

    Raises:
        ValueError: if the file does not hold a list.
    """
    file = folder / FILE
    starts = files.read_json(file) if file.exists() else []
    if not isinstance(starts, list):
        raise ValueError(f"{file}: expected a list of the run's starts; move the file away")
    return starts


def add_start(folder: Path, earlier: list[Any], cycle: int) -> None:
    """Write the entries of earlier starts and an entry for this start, after `cycle` cycles."""
    here = {
        "started_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cycle": cycle,
        "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(),
        "machine": platform.platform(),
        "python": platform.python_version(),
        "command": sys.argv,
        "commit": version.commit(),
        "versions": {"zebjax": __version__} | {name: _version(name) for name in _PACKAGES},
    }
    files.write_json(folder / FILE, [*earlier, here])


def _version(package: str) -> str:
    """Return a package's version; `unknown` if it is importable but not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
