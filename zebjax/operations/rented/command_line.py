"""Shared by the subcommands of `zebjax fleet`: the folder that is meant, parsers, errors."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from zebjax.common import cli, locks
from zebjax.operations import fleets
from zebjax.operations.rented import spec
from zebjax.operations.rented.model import ROLES
from zebjax.operations.rented.provider import ProviderError

ADVICE = "a guard of this fleet already runs; stop it, or leave the work to it"


def folder_of(text: str) -> Path:
    """The folder of the rented fleet that a user names, see `fleets.find`.

    Raises:
        ValueError: if there is none, or it is not a rented one.
    """
    found = fleets.find(text)
    spec.read(found.folder)  # or say what is wrong with it
    return found.folder


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


Work = Callable[[argparse.Namespace], int]
"""What a subcommand does with its parsed arguments; the result is its exit status."""


def checked(work: Work) -> Work:
    """Turn an error of dstack into a ValueError."""

    def do(arguments: argparse.Namespace) -> int:
        try:
            return work(arguments)
        except ProviderError as error:
            raise ValueError(f"dstack: {error}") from None

    return do


def run(name: str, parser: cli.Parser, work: Work, argv: Sequence[str]) -> int:
    """Parse, run the subcommand and return its exit status; 2 after one sentence for an error."""
    return cli.run(f"fleet {name}", checked(work), parser.parse(argv), compiles=False)


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
