"""Shared by the subcommands of `zebjax fleet`: the folder that is meant, parsers, errors."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from zebjax import experiment
from zebjax.common import cli, locks
from zebjax.operations.rented import spec
from zebjax.operations.rented.model import ROLES
from zebjax.operations.rented.provider import ProviderError

ADVICE = "a guard of this fleet already runs; stop it, or leave the work to it"


def folder_of(text: str) -> Path:
    """The folder of the fleet that a user names: by folder, by run or by experiment.

    Raises:
        ValueError: if there is none.
    """
    places = [Path(text), Path(text) / "fleet", Path("runs") / text / "fleet"]
    if not any(sign in text for sign in ("/", "\\")) or text.endswith(".py"):
        try:
            places.append(experiment.read(text).folder / "fleet")
        except ValueError:
            pass  # no experiment; perhaps a folder
    for place in places:
        if (place / spec.SPEC).is_file():
            spec.read(place)  # or say what is wrong with it
            return place
    raise ValueError(
        f"{text}: no fleet is planned there; expected the name of a run, or the folder "
        "runs/NAME/fleet, see zebjax fleet plan"
    )


def fleet_parser(name: str, about: str, *examples: str) -> cli.Parser:
    """The parser of a subcommand on a planned fleet."""
    made = cli.Parser(f"fleet {name}", about, *examples)
    made.add_argument(
        "fleet", metavar="FLEET", help="the run's name, or the folder runs/NAME/fleet"
    )
    return made


def add_counts(parser: cli.Parser, default: int | None) -> None:
    """Add an option for the number of workers of each role."""
    for role in ROLES:
        parser.add_argument(
            f"--{role}",
            type=cli.integer(0, 100),
            default=default,
            metavar="N",
            help=f"number of {role} workers",
        )


def run(
    name: str, parser: cli.Parser, work: Callable[[argparse.Namespace], int], argv: Sequence[str]
) -> int:
    """Parse, run the subcommand and return its exit status; an error of dstack is one sentence too."""

    def checked(arguments: argparse.Namespace) -> int:
        try:
            return work(arguments)
        except ProviderError as error:
            raise ValueError(f"dstack: {error}") from None

    return cli.run(f"fleet {name}", checked, parser.parse(argv), compiles=False)


def guard_runs(folder: Path) -> bool:
    """True if a process of this machine holds the fleet's lock."""
    import filelock

    lock = filelock.FileLock(folder / locks.LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False
