"""`zebjax fleet plan|up|scale|cull|down`: the subcommands that only rented fleets have."""

import sys
from collections.abc import Callable, Sequence

from zebjax.common import cli
from zebjax.operations.rented import command_line, commands, holding_commands, plan_command

_RUN: dict[str, tuple[Callable[[], cli.Parser], command_line.Work]] = {
    "plan": (plan_command.plan_parser, plan_command.plan),
    "up": (holding_commands.up_parser, holding_commands.up),
    "scale": (commands.scale_parser, commands.scale),
    "cull": (commands.cull_parser, commands.cull),
    "down": (holding_commands.down_parser, holding_commands.down),
}


def parser(name: str) -> cli.Parser:
    """The parser of one of these subcommands."""
    return _RUN[name][0]()


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status; 2 after one sentence for bad input."""
    words = list(sys.argv[1:] if argv is None else argv)
    return command_line.run(name, parser(name), _RUN[name][1], words)
