"""The command `zebjax export`: a network as one HTML page to play against."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from zebjax.common import cli


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "export",
        "Write a network and a table as one HTML file. It opens from disk in any browser, needs\n"
        "no server and asks for nothing elsewhere: weights in float16, forward pass and rules in\n"
        "plain JavaScript. The file can also be put on any static web server.",
        "bundled --html page.html",
        "runs/quickstart@8 --html page.html",
    )
    made.add_argument(
        "network",
        metavar="PATH",
        help="`bundled`, a run, a step of a run (runs/NAME@8), a network folder, or hf://USER/REPO",
    )
    made.add_argument(
        "--html",
        required=True,
        type=partial(cli.file_to_write, suffix=".html"),
        metavar="FILE.html",
        help="the page to write; an existing file is replaced",
    )
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax import network
    from zebjax.common import files
    from zebjax.table import export

    config, params = network.load(arguments.network)
    page = export.page(arguments.network, config, params)
    files.write_text(arguments.html, page)
    size, count = len(page.encode()), network.n_params(params)
    print(f"{arguments.html}: {size:,} bytes, a network of {count:,} parameters")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("export", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
