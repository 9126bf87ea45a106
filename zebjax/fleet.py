"""The command `zebjax fleet SUBCOMMAND ...`: start and watch all processes of a run together."""

import importlib
import sys
from collections.abc import Sequence

from zebjax.common import cli, parsing
from zebjax.common.commands import Command

SUBCOMMANDS = {
    "local": Command("zebjax.operations.local.command", "start all roles on this machine"),
    "plan": Command("zebjax.operations.rented.subcommands", "plan rented workers: files, prices"),
    "up": Command("zebjax.operations.rented.subcommands", "rent them and hold them there"),
    "scale": Command("zebjax.operations.rented.subcommands", "change their number"),
    "cull": Command("zebjax.operations.rented.subcommands", "end some; others replace them"),
    "down": Command("zebjax.operations.rented.subcommands", "end all and wait until none is left"),
    "status": Command("zebjax.operations.subcommands", "show the processes of a fleet"),
    "logs": Command("zebjax.operations.subcommands", "show or follow their logs"),
    "restart": Command("zebjax.operations.subcommands", "restart some of them"),
    "stop": Command("zebjax.operations.subcommands", "stop them: games are sent, the run is saved"),
}
"""Subcommand -> a module with `parser(name)` and `main(name, argv)`, imported when it is called."""


def parser(name: str | None = None) -> cli.Parser:
    """The parser of a subcommand; without a name that of the command itself."""
    if name is not None:
        made: cli.Parser = importlib.import_module(SUBCOMMANDS[name].module).parser(name)
        return made
    width = max(map(len, SUBCOMMANDS))
    listed = "\n".join(f"  {name:{width}}  {sub.about}" for name, sub in SUBCOMMANDS.items())
    made = cli.Parser(
        "fleet",
        "Run the learner and the workers of an experiment as one fleet: supervised processes,\n"
        "each with a log of its own. `zebjax fleet SUBCOMMAND --help` shows the options of each.",
        "local quickstart --selfplay 2",
        "status runs/quickstart",
        "logs runs/quickstart play-1 -f",
        "stop runs/quickstart",
        usage="SUBCOMMAND [options]",
        notes=f"subcommands:\n{listed}",
    )
    made.add_argument("subcommand", metavar="SUBCOMMAND", nargs="?", help="one of those below")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status; without one list them all."""
    words = list(sys.argv[1:] if argv is None else argv)
    made = parser()
    if not words:
        made.print_help()
        return 0
    if words[0].startswith("-"):
        made.parse(words)  # --help, or an error
    name = words[0]
    if name not in SUBCOMMANDS:
        made.error(
            f"unknown subcommand {name!r}; "
            + parsing.hint(name, SUBCOMMANDS, "`zebjax fleet` lists them")
        )
    status: int = importlib.import_module(SUBCOMMANDS[name].module).main(name, words[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
