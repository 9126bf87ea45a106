"""What a fleet is on disk, so that the same commands serve every kind of fleet.

A fleet is the processes of one run, with the program that starts and watches them. Its folder is
`fleet` in the run's folder:

    runs/NAME/fleet/fleet.json      what the fleet is; written before its first process starts
    runs/NAME/fleet/events.jsonl    what happened to its processes, see `events`

`fleet.json` is one JSON object. Every kind of fleet writes these fields and may add others:

    kind        a name in `KINDS`
    name        the run's name
    run         absolute path of the run's folder
    namespace   URL of the run's namespace in the store; the absolute path if that is a folder
    command     the command that starts the fleet, as the user would type it

`zebjax fleet status|logs|stop|restart FLEET` read it with `find`, and call the function of that
name in the module that `KINDS` names for the fleet's kind. Such a module defines `Actions`. So a
new kind of fleet needs a module with four functions, and a line in `KINDS`.
"""

import dataclasses
import importlib
import os
from pathlib import Path
from typing import Any, Protocol, cast

from zebjax.common import files, parsing

FOLDER, FILE = "fleet", "fleet.json"
KINDS = {
    "local": "zebjax.operations.local.actions",
    "rented": "zebjax.operations.rented.actions",
}
"""Kind of fleet -> the module with its `Actions`, imported when it is needed."""
_MAX_BYTES = 1 << 22
_FIELDS = ("kind", "name", "run", "namespace", "command")


@dataclasses.dataclass(frozen=True)
class Fleet:
    """A fleet as its `fleet.json` describes it."""

    folder: Path
    """The fleet's folder, absolute and without symbolic links: its processes are found by it."""
    kind: str
    name: str
    run: Path
    namespace: str
    command: str
    facts: dict[str, Any] = dataclasses.field(repr=False)
    """The whole object in `fleet.json`."""

    @property
    def typed(self) -> str:
        """The shortest argument that names this fleet on the command line."""
        return shown(self.run)


class Actions(Protocol):
    """The functions of the module of a kind. Each returns an exit status."""

    def status(self, fleet: Fleet, as_json: bool) -> int:
        """Print the state of every process, as a table or as one JSON object.

        Returns:
            0 if all is well, 1 if a process is not as it should be.
        """

    def logs(self, fleet: Fleet, names: list[str], n_lines: int, follow: bool) -> int:
        """Print the last lines of the logs of these processes (none: of all)."""

    def stop(self, fleet: Fleet) -> int:
        """Stop all processes: the workers, which send their finished games, then the learner."""

    def restart(self, fleet: Fleet, names: list[str]) -> int:
        """Stop these processes and start them again."""


def shown(path: Path) -> str:
    """The path as one would type it: relative if it is below the working folder."""
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def absolute_namespace(namespace: str) -> str:
    """The URL of a namespace, with the absolute path of a folder."""
    if "://" in namespace and not namespace.startswith("file://"):
        return namespace.rstrip("/")
    return os.path.abspath(namespace.removeprefix("file://"))


def shown_namespace(namespace: str) -> str:
    """A namespace as one would type it."""
    return namespace if "://" in namespace else shown(Path(namespace))


def write(fleet: Fleet) -> None:
    """Write `fleet.json`. The five fields come first, then the other facts.

    Raises:
        ValueError: if it cannot be written.
    """
    own = {name: getattr(fleet, name) for name in _FIELDS} | {"run": str(fleet.run)}
    with files.writing(fleet.folder / FILE):
        fleet.folder.mkdir(parents=True, exist_ok=True)
        files.write_json(fleet.folder / FILE, own | fleet.facts | own)


def read(folder: Path) -> Fleet:
    """Read the fleet in a folder.

    Raises:
        ValueError: if there is none; the message names the file.
    """
    folder = Path(folder).resolve()
    facts = files.read_json(folder / FILE, _MAX_BYTES)
    if not isinstance(facts, dict) or not all(type(facts.get(name)) is str for name in _FIELDS):
        raise ValueError(f"{folder / FILE}: expected an object with the texts {', '.join(_FIELDS)}")
    own = {name: facts[name] for name in _FIELDS} | {"run": Path(facts["run"])}
    return Fleet(folder=folder, facts=facts, **own)


def _below(runs: Path) -> list[Fleet]:
    """All fleets of the runs in a folder; what cannot be read is left out."""
    found = []
    for file in sorted(runs.glob(f"*/{FOLDER}/{FILE}")):
        try:
            found.append(read(file.parent))
        except ValueError:
            continue
    return found


def _is_called(fleet: Fleet, word: str) -> bool:
    plain = word.replace("_", "-")
    return plain == fleet.name.replace("_", "-") or (
        absolute_namespace(word) == absolute_namespace(fleet.namespace)
    )


def find(word: str, runs: Path = Path("runs")) -> Fleet:
    """Find the fleet that the user names.

    Args:
        word: the folder of a run (`runs/NAME`) or of its fleet, the run's namespace in the store
            (`runs/store/NAME`, `s3://BUCKET/PREFIX/NAME`), or the name of a run in `runs`.
        runs: the folder of all runs.

    Raises:
        ValueError: if there is no such fleet.
    """
    place = Path(word)
    for folder in (place, place / FOLDER):
        if (folder / FILE).is_file():
            return read(folder)
    # A store in a folder is below the folder of the runs: runs/store/NAME.
    roots = {runs.absolute(), *(place.absolute().parents[:2] if place.is_dir() else ())}
    known = {fleet.folder: fleet for root in sorted(roots) for fleet in _below(root)}
    matches = [fleet for fleet in known.values() if _is_called(fleet, word)]
    if len(matches) > 1:
        raise ValueError(
            f"{word}: there is more than one such fleet; expected one of "
            f"{', '.join(fleet.typed for fleet in matches)}"
        )
    if not matches:
        names = [fleet.typed for fleet in known.values()]
        hint = f"did you mean {parsing.nearest(word, names)}?" if names else "none is there"
        raise ValueError(
            f"{word}: there is no fleet; expected the folder of a run with a fleet, as in "
            f"runs/NAME, its store, or its name; {hint} (`zebjax fleet local` starts one)"
        )
    return matches[0]


def actions(fleet: Fleet) -> Actions:
    """The functions for a fleet of this kind.

    Raises:
        ValueError: if the kind is unknown.
    """
    if fleet.kind not in KINDS:
        raise ValueError(
            f"{fleet.folder / FILE}: kind: expected {parsing.either(KINDS)}, got {fleet.kind!r}"
        )
    return cast(Actions, importlib.import_module(KINDS[fleet.kind]))
