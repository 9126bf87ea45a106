"""The command `zebjax analyse`: what positions are worth, one by hand or many by lines of JSON."""

import argparse
import sys
from collections.abc import Sequence

from zebjax.common import cli
from zebjax.network import places
from zebjax.players import spec

_AT_ONCE = 64
"""Queries that are analysed together."""


def _file(text: str) -> str:
    """An argparse type: a file, or - for standard input."""
    return text if text == "-" else str(cli.file_to_read(text))


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "analyse",
        "What is each move of a position worth, and who holds the hidden tiles? With --position\n"
        "prints a table. Without it reads queries, one object of JSON a line, from standard input\n"
        "and writes a reply for each to standard output, until the input ends; lines that come\n"
        "together are analysed together. zebjax/study/queries.py describes both. Values are those\n"
        "of E[Q]: each move solved exactly in sampled worlds that fit what the mover has seen.",
        "--position position.txt",
        "--network none --max-worlds 1000",
        notes=spec.help_text(),
    )
    made.add_argument(
        "--position",
        type=_file,
        metavar="FILE",
        help="analyse the position of this file; - is standard input",
    )
    made.add_argument(
        "--game", type=cli.integer(1, 10**7), metavar="N", help="which game of the file, from 1"
    )
    made.add_argument(
        "--ply", type=cli.integer(0, 28), metavar="N", help="after N plays (default all)"
    )
    made.add_argument(
        "--n",
        type=cli.integer(1, 10_000),
        default=100,
        metavar="N",
        help="worlds, where a query has no maxWorlds (default 100)",
    )
    made.add_argument(
        "--max-worlds",
        type=cli.integer(1, 10_000),
        default=1000,
        metavar="N",
        help="limit of maxWorlds in a query (default 1000)",
    )
    made.add_argument(
        "--network",
        metavar="PATH",
        type=places.without_prefix,
        default=places.BUNDLED,
        help="whose policy and beliefs are shown, as for zeb:PATH; none: no network (default "
        "bundled)",
    )
    made.add_argument(
        "--player",
        action="append",
        default=[],
        metavar="PLAYER",
        help="show which tile this player would play; can be repeated",
    )
    made.add_argument(
        "--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of --position (default 0)"
    )
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax import players
    from zebjax.study import analysis, queries

    with cli.names_option("--network"):
        network = None if arguments.network == "none" else analysis.load(arguments.network)
    settings = queries.Settings(
        min(arguments.n, arguments.max_worlds) if arguments.position is None else arguments.n,
        arguments.max_worlds,
        network,
        [players.make(each) for each in arguments.player],
    )
    if arguments.position is None:
        return _answer(settings)
    from zebjax.common import console
    from zebjax.study import reading, tables, text

    position = reading.read_at(arguments.position, arguments.game, arguments.ply)
    [result] = analysis.analyse(
        [position], [arguments.seed], settings.worlds, settings.network, settings.players
    )
    out = console.make()
    out.print("\n".join(text.lines(position)))
    for part in tables.analysis(result, arguments.network):
        out.print(part)
    return 0


def _answer(settings: object) -> int:
    from zebjax import position_json
    from zebjax.common import lines
    from zebjax.study import queries

    assert isinstance(settings, queries.Settings)
    for batch in lines.batches(position_json.MAX_LINE_BYTES, _AT_ONCE):
        for reply in queries.answer(batch, settings):
            print(reply, flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("analyse", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
