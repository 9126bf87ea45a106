"""The command `zebjax show`: a game or a position in a terminal and as a picture."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax.common import cli


def _picture(text: str) -> Path:
    return cli.file_to_write(text, ".svg")


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "show",
        "Show a game or a position: the hands, what each seat has played, the tricks. A file is\n"
        "text (see the module zebjax/notation.py), or a record file of games.",
        "game.txt --ply 8 --svg game.svg",
        "games.safetensors --game 3 --text > third.txt",
    )
    made.add_argument(
        "file", metavar="FILE", help="text or *.safetensors; - reads text from standard input"
    )
    made.add_argument(
        "--game", type=cli.integer(1, 10**7), metavar="N", help="which game of the file, from 1"
    )
    made.add_argument(
        "--ply", type=cli.integer(0, 28), metavar="N", help="after N plays (default all)"
    )
    made.add_argument("--seat", type=cli.integer(0, 3), metavar="N", help="only what seat N knows")
    made.add_argument("--text", action="store_true", help="print it as a file in the notation")
    made.add_argument("--svg", type=_picture, metavar="FILE.svg", help="draw it")
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax import dominoes, notation
    from zebjax.common import files
    from zebjax.study import reading, text

    position = reading.read_at(arguments.file, arguments.game, arguments.ply)
    if arguments.seat is not None:
        position = position.seen_by(arguments.seat)
    print(notation.write(position) if arguments.text else "\n".join(text.lines(position)))
    if arguments.svg is not None:
        drawn = dominoes.document(dominoes.position(position), dominoes.describe(position))
        with files.writing(arguments.svg):
            files.write_text(arguments.svg, drawn)
        print(f"wrote {arguments.svg}", file=sys.stderr)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("show", _run, parser().parse(argv), compiles=False)


if __name__ == "__main__":
    sys.exit(main())
