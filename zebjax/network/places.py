"""The message about a place without a network: where was looked, what was expected, what was meant.

It is apart from `storage`, which reads networks.
"""

from collections.abc import Iterator
from pathlib import Path

from zebjax.common import parsing

_EXPECTED = (
    "expected a folder made by `zebjax convert` or by a training run, a step of a run as in "
    "runs/NAME@8, `bundled`, or hf://USER/REPO"
)
BUNDLED = "bundled"
"""The path of the network that comes with zebjax."""
_PREFIX = "zeb:"
_RUNS = Path("runs")
"""The folder of all runs, unless an experiment says otherwise."""
_MAX_SIBLINGS = 1000


def without_prefix(name: str) -> str:
    """Return the path in `zeb:PATH`, the spec of a player, where only a network can be meant.

    >>> without_prefix("zeb:bundled"), without_prefix("runs/mine")
    ('bundled', 'runs/mine')
    """
    return name if exists(Path(name)) else name.removeprefix(_PREFIX)


def not_found(path: Path, expected: str = _EXPECTED) -> str:
    """Return the message about a path that names no network.

    Args:
        path: as the user gave it, relative or absolute.
        expected: what the place may be.
    """
    meant = suggestion(path)
    return (
        f"{path}: no network here: {_found(path)}; {expected}"
        f"{f'; did you mean {meant}?' if meant else ''}"
    )


def _found(path: Path) -> str:
    where = "" if path.is_absolute() else f" {path.absolute()}"
    if not exists(path):
        return f"there is no file or folder{where or ' of this name'}"
    if not path.is_dir():
        return f"the file{where} is no network"
    return f"the folder{where} holds neither config.json nor checkpoints/step_..."


def suggestion(path: Path) -> str:
    """Return the network that was probably meant by a path that does not exist; "" if none is
    similar.
    """
    if exists(path):
        return ""
    if str(path).startswith(_PREFIX):
        return str(path).removeprefix(_PREFIX)
    if len(path.parts) == 1 and exists(_RUNS / path / "checkpoints"):
        return str(_RUNS / path)
    meant = parsing.similar(path.name, _others(path))
    return meant and str(path.with_name(meant))


def _others(path: Path) -> Iterator[str]:
    """Names of networks in the same place."""
    if len(path.parts) == 1:
        yield BUNDLED
    try:
        siblings = sorted(path.parent.iterdir())[:_MAX_SIBLINGS]
        yield from (other.name for other in siblings if other.is_dir())
    except OSError:
        return


def exists(path: Path) -> bool:
    """True if there is such a file or folder; False too for a name that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name that is too long, or a null character
        return False
