"""The command `zebjax review`: what each decision of a game has cost."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax.common import cli, console


def _page(text: str) -> Path:
    return cli.file_to_write(text, ".html")


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "review",
        "What has each decision of a game cost? Against the best move by what the seat could know\n"
        "(E[Q]: each move solved exactly in N sampled worlds), and against the best move in the\n"
        "true deal, which no player can know. Plays without a choice are left out.",
        "game.txt --html review.html",
        "games.safetensors --game 3 --seat 0",
    )
    made.add_argument(
        "file", metavar="GAME", help="text or *.safetensors; - reads text from standard input"
    )
    made.add_argument(
        "--game", type=cli.integer(1, 10**7), metavar="N", help="which game of the file, from 1"
    )
    made.add_argument(
        "--seat", type=cli.integer(0, 3), metavar="N", help="only the decisions of seat N"
    )
    made.add_argument(
        "--n",
        type=cli.integer(1, 10_000),
        default=100,
        metavar="N",
        help="worlds of E[Q] (default 100)",
    )
    made.add_argument(
        "--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of the worlds (default 0)"
    )
    made.add_argument("--html", type=_page, metavar="FILE.html", help="write it as a page")
    made.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.common import files
    from zebjax.study import page, reading, review, tables

    game = reading.read_one(arguments.file, arguments.game)
    seats = range(4) if arguments.seat is None else [arguments.seat]
    decisions = review.review(game, arguments.n, arguments.seed, seats)
    if arguments.json:
        print(json.dumps({"n": arguments.n, "decisions": [*map(review.to_json, decisions)]}))
    else:
        out = console.make()
        for part in tables.review(game, decisions, arguments.n):
            out.print(part)
    if arguments.html is not None:
        name = "standard input" if arguments.file == "-" else Path(arguments.file).stem
        with files.writing(arguments.html):
            files.write_text(arguments.html, page.render(game, decisions, arguments.n, name))
        print(f"wrote {arguments.html}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("review", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
