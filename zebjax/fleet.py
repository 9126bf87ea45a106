"""The command `zebjax fleet`: the workers of a run on rented machines."""

import importlib
import sys
from collections.abc import Sequence

from zebjax.common import cli, parsing

_RENTED = "zebjax.operations.rented."
# Subcommand -> module and function, imported when it is called.
SUBCOMMANDS = {
    "plan": f"{_RENTED}plan_command:plan",
    "up": f"{_RENTED}holding_commands:up",
    "status": f"{_RENTED}commands:status",
    "scale": f"{_RENTED}commands:scale",
    "cull": f"{_RENTED}commands:cull",
    "logs": f"{_RENTED}commands:logs",
    "down": f"{_RENTED}holding_commands:down",
}
_ABOUT = {
    "plan": "write a fleet's files and print offers and prices",
    "up": "rent its workers and hold them there",
    "status": "show its workers and its cost",
    "scale": "change the number of workers",
    "cull": "end some workers; others replace them",
    "logs": "print a worker's output",
    "down": "end everything and wait until nothing is left",
}


def parser() -> cli.Parser:
    """The command's own parser; each subcommand has another one for its options."""
    listed = "\n".join(f"  {name:8} {_ABOUT[name]}" for name in SUBCOMMANDS)
    made = cli.Parser(
        "fleet",
        "Run a run's workers on rented machines.",
        "plan lb_v_eq_3740 --store.url s3://my-bucket/zeb --selfplay 2 --max-price 0.10 "
        "--package zebjax-0.2.0-py3-none-any.whl",
        "up lb-v-eq-3740",
        usage="SUBCOMMAND [options]",
        notes=f"subcommands (each has its own --help):\n{listed}",
    )
    made.add_argument("subcommand", metavar="SUBCOMMAND", help="one of those listed below")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status; 2 after one sentence for bad input."""
    words = list(sys.argv[1:] if argv is None else argv)
    made = parser()
    if not words:
        made.print_help()
        return 0
    if words[0].startswith("-"):
        made.parse(words)
    if words[0] not in SUBCOMMANDS:
        near = parsing.nearest(words[0], SUBCOMMANDS)
        made.error(f"unknown subcommand {words[0]!r}; did you mean {near!r}?")
    module, _, function = SUBCOMMANDS[words[0]].partition(":")
    status: int = getattr(importlib.import_module(module), function)(words[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
