"""The command `zebjax watch`: a run live in a terminal."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence

from zebjax.common import cli, console, parsing
from zebjax.operations.watching import following

_EVERY_S = 2.0


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "watch",
        "Show a run live in a terminal, also over ssh: what `zebjax status` says, curves of the\n"
        "win rate, the losses and the games per second, and the logs of a fleet on this machine.\n"
        "Keys: 1 state, 2 charts, 3 logs, n next log, r poll now, q quit; Tab and arrows scroll.",
        "runs/quickstart",
        "s3://my-bucket/zeb/lb-v-eq-3740",
        "runs/store/quickstart --alert ./tell-me.sh",
        notes='It needs the extra watch: pip install "zebjax[watch]"',
    )
    made.add_argument(
        "run",
        metavar="RUN_OR_STORE",
        help="the folder of a run, or the URL of a store and the name of the run: FOLDER/NAME, "
        "s3://BUCKET/PREFIX/NAME or hf://USER/REPO/NAME",
    )
    made.add_argument(
        "--every-s",
        type=cli.checked(parsing.number(0.2, 3600)),
        default=_EVERY_S,
        metavar="S",
        help="seconds between two polls (default: 2; at least 15 on the Hub)",
    )
    following.add_options(made)
    return made


def _run(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("textual") is None:
        raise ValueError('it needs the extra "watch": pip install "zebjax[watch]"')
    if not (console.is_terminal() and sys.stdin.isatty()):
        raise ValueError("expected a terminal; elsewhere use `zebjax status --live`")
    from zebjax.operations.watching.app import WatchApp
    from zebjax.operations.watching.target import first_poll, open_target

    target = open_target(arguments.run)
    state = first_poll(target)
    notes: list[str] = []
    with following.following(arguments, target, state, notes.append) as follower:
        app = WatchApp(follower, target.poll_s(arguments.every_s), notes)
        app.run(mouse=False)  # so that the terminal's own selection of text works
    return app.return_code or 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("watch", _run, parser().parse(argv), compiles=False)


if __name__ == "__main__":
    sys.exit(main())
