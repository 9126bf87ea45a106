"""The command `zebjax teach`: make training games of the exact teacher."""

import argparse
import dataclasses
import math
import sys
import time
import typing
from collections.abc import Sequence
from pathlib import Path

from zebjax.common import cli, console, locks, parsing
from zebjax.players import spec
from zebjax.training.teacher_config import Settings, Targets


def parser() -> cli.Parser:
    """The command's parser."""
    defaults = Settings()
    made = cli.Parser(
        "teach",
        "Play games of E[Q], the exact teacher, and write them as training games. E[Q] solves\n"
        "each move exactly in sampled worlds (hands that are consistent with the play so far).\n"
        "The same command resumes an interrupted one.\n"
        "Policy target: softmax(mean points / temperature), or the best move; value target:\n"
        "P(win) - P(lose) after the best move.",
        "--games 20 --n 5 --out runs/teacher",
        notes=spec.help_text(),
    )
    add = made.add_argument
    add("--games", type=cli.integer(1, 10**9), required=True, metavar="N", help="games in all")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the files")
    worlds = cli.integer(1, spec.MAX_WORLDS)
    add(
        "--n",
        type=worlds,
        default=defaults.n,
        metavar="N",
        help="worlds per decision (default %(default)s)",
    )
    add(
        "--n-trick1",
        type=worlds,
        metavar="N",
        help="worlds per decision in the first trick, which takes longest (default: as --n)",
    )
    add(
        "--temperature",
        type=cli.checked(parsing.number(0.01, 100)),
        default=defaults.temperature,
        metavar="POINTS",
        help="temperature of the policy target: a move that is POINTS worse gets 1/e of the weight "
        "(default %(default)s)",
    )
    add(
        "--targets",
        choices=typing.get_args(Targets),
        default=defaults.targets,
        metavar="soft|one_hot",
        help="policy target: soft, the softmax, or one_hot, the best move (default %(default)s)",
    )
    add(
        "--opponent",
        default=defaults.opponent,
        metavar="PLAYER",
        help="the other team (default: E[Q] itself)",
    )
    add(
        "--seed",
        type=cli.integer(0, 2**32 - 1),
        default=defaults.seed,
        help="of deals and play (default 0)",
    )
    add(
        "--games-per-file",
        type=cli.integer(1, 100_000),
        default=defaults.games_per_file,
        metavar="N",
        help="games per file; a kill loses at most one file (default %(default)s)",
    )
    return made


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.training.teacher import make

    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    start = time.perf_counter()
    with cli.progress(f"teacher games in {arguments.out}") as show:

        def on_ply(done: float, made: float) -> None:
            show(done, f"{made / (time.perf_counter() - start):.1f} games/s")

        with locks.locked(arguments.out, "wait for it or choose another --out"):
            found, made = make(settings, arguments.games, arguments.out, on_ply)
    seconds = time.perf_counter() - start
    n_files = math.ceil(arguments.games / settings.games_per_file)
    print(
        f"{console.counted(arguments.games, 'game')} in {console.counted(n_files, 'file')} in "
        f"{arguments.out}: {found:,} found, "
        f"{made:,} made" + (f" at {made / seconds:.1f} games/s" if made else "")
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("teach", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
