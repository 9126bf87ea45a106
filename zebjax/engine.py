"""The command `zebjax engine`: a player that other programs can ask, line by line."""

import argparse
import sys
from collections.abc import Sequence

from zebjax.common import cli
from zebjax.players import spec

_AT_ONCE = 64
"""Requests that are answered together."""


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "engine",
        "Answer requests for moves and bids, one object of JSON a line, from standard input on\n"
        "standard output, until the input ends. Each request has the whole public record of a\n"
        "game and the hand of the seat to play, so the program keeps no state. The protocol is in\n"
        "zebjax/engine.md. Another program that answers it is a player: ext:COMMAND.",
        "zeb:bundled",
        notes=spec.help_text(),
    )
    made.add_argument("player", metavar="PLAYER", help="who answers, as listed below")
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax import players, position_json
    from zebjax.common import lines
    from zebjax.study import answering

    answering.check_spec(arguments.player)
    player = players.make(arguments.player)
    for batch in lines.batches(position_json.MAX_LINE_BYTES, _AT_ONCE):
        for reply in answering.answer(batch, player):
            print(reply, flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("engine", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
