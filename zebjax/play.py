"""The command `zebjax play`: play a hand in a terminal with three players."""

import argparse
import sys
from collections.abc import Sequence

from zebjax.common import cli, console
from zebjax.players import spec
from zebjax.table import MAX_SEED, options

DEFAULT = "zeb:bundled"


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "play",
        "Play Texas 42 in a terminal with three players: one for all three seats, or those on\n"
        "your left, opposite (your partner) and on your right. Hands, declaration and leader are\n"
        "drawn by the seed; with --bid you bid for them. Keys: 1 to 7 play a tile, h hint, b\n"
        "beliefs, t tricks, u undo, r review of a finished hand, n next hand, ? help, q quit; +,\n"
        "- and y bid, p passes, 0 to 9 declare, l, d and s nello and sevens.",
        "",
        "heuristic zeb:bundled heuristic --seat 2 --games runs/table",
        "--bid",
        "--bid --special nello,plunge,splash,sevens",
        "eq:n=20",
        notes=f'It needs the extra play: pip install "zebjax[play]"\n\n{spec.help_text()}',
    )
    made.add_argument(
        "players",
        nargs="*",
        metavar="PLAYER",
        help=f"none ({DEFAULT}; with --bid {options.BIDDING_PLAYER}), one, or three: left, "
        "partner, right; as listed below, not cheat",
    )
    made.add_argument("--seat", type=cli.integer(0, 3), default=0, help="yours, 0 to 3 (default 0)")
    options.add(made)
    return made


def _run(arguments: argparse.Namespace) -> int:
    options.need_extra("play", "textual")
    if not (console.is_terminal() and sys.stdin.isatty()):
        raise ValueError("expected a terminal; in a browser use `zebjax serve`")
    given = arguments.players or [options.BIDDING_PLAYER if arguments.bid else DEFAULT]
    if len(given) not in (1, 3):
        raise ValueError(f"players: expected one, or left, partner and right, got {len(given)}")
    others = tuple(given * 3 if len(given) == 1 else given)
    host = options.open_host(arguments, list(others))

    from zebjax.table import state
    from zebjax.table.terminal import PlayApp

    seed = options.seed_of(arguments)

    def seeds(number: int) -> int:
        return (seed + number - 1) % (MAX_SEED + 1)

    table = state.new(arguments.seat, others, seed, arguments.bid, host.options)
    app = PlayApp(host, table, seeds)
    app.run()
    return app.return_code or 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("play", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
