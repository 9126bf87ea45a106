"""The command `zebjax teach`: make training games of the exact teacher or of a small network."""

import argparse
import dataclasses
import math
import sys
import time
import typing
from collections.abc import Sequence

from zebjax.common import cli, console, locks, parsing
from zebjax.players import spec
from zebjax.training import teacher_files
from zebjax.training.teacher_config import (
    CONTRACT_TEMPERATURE,
    MAX_RANDOM,
    TEMPERATURE,
    Criterion,
    Declare,
    Settings,
    Targets,
    Value,
)


def parser() -> cli.Parser:
    """The command's parser."""
    defaults = Settings()
    made = cli.Parser(
        "teach",
        "Play games of E[Q], the exact teacher, and write them as training games. E[Q] solves\n"
        "each move exactly in sampled worlds (hands that are consistent with the play so far).\n"
        "The same command resumes an interrupted one.\n"
        "Policy target: softmax(mean points / temperature), or the best move; value target:\n"
        "P(win) - P(lose) after the best move. With --contract both are of making or setting it.\n"
        "With --rollouts a small network plays instead: hundreds of games a second, when it is\n"
        "compiled, which takes a minute the first time.",
        "--games 20 --n 5 --out runs/teacher",
        "--games 1000 --rollouts small --out runs/rollouts",
        "--games 20 --by eq:n=16,belief=small,candidates=200,opening=small --out runs/strong",
        "--games 20 --n 5 --contract 30-42 --out runs/contracts",
        notes=spec.help_text(),
    )
    add = made.add_argument
    add("--games", type=cli.integer(1, 10**9), required=True, metavar="N", help="games in all")
    add("--out", type=cli.folder, required=True, metavar="DIR", help="folder of the files")
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
        metavar="POINTS",
        help="temperature of the policy target: a move that is POINTS worse gets 1/e of the weight "
        f"(default {TEMPERATURE:g}); with --contract, --criterion win or --by percent of P(make), "
        f"P(set) or P(win) (default {CONTRACT_TEMPERATURE:g})",
    )
    add(
        "--targets",
        choices=typing.get_args(Targets),
        default=defaults.targets,
        metavar="soft|one_hot",
        help="policy target: soft, the softmax, or one_hot, the best move (default %(default)s)",
    )
    add(
        "--criterion",
        choices=typing.get_args(Criterion),
        default=defaults.criterion,
        metavar="points|win",
        help="what E[Q] plays for in games without a contract, and what the targets come from "
        "(default %(default)s)",
    )
    add(
        "--opponent",
        type=cli.checked(parsing.not_empty),
        default=None,  # argparse would check "" as if it had been given
        metavar="PLAYER",
        help="the other team (default: the teacher itself); its moves are judged too",
    )
    add(
        "--by",
        type=cli.checked(parsing.not_empty),
        default=None,
        metavar="PLAYER",
        help="a stronger teacher than E[Q]: a player eq:... that weighs worlds by belief or plays "
        "rollouts, and judges every move, so without adaptive; targets come from its P(win) "
        "(default: E[Q])",
    )
    add(
        "--random",
        type=cli.checked(parsing.number(0, MAX_RANDOM)),
        default=defaults.random,
        metavar="SHARE",
        help="of the teacher's moves that are drawn at random, to reach more positions; targets "
        "stay its own (default %(default)g)",
    )
    add(
        "--contract",
        default=defaults.contract,
        metavar="BID[-BID]",
        help="each first leader must make a bid, 30 to 42 points, drawn from these; E[Q] plays to "
        "make or set it, and the files hold the contracts (default: no contracts)",
    )
    add(
        "--declare",
        choices=typing.get_args(Declare),
        default=defaults.declare,
        metavar="make|pips",
        help="with --contract: the bidder's declaration, the one with the highest P(make), or the "
        "longest suit (default %(default)s)",
    )
    add(
        "--declare-worlds",
        type=worlds,
        default=defaults.declare_worlds,
        metavar="N",
        help="worlds per declaration of --declare make (default %(default)s)",
    )
    add(
        "--value",
        choices=typing.get_args(Value),
        default=defaults.value,
        metavar="make/set|points",
        help="with --contract: points plays the same deals for points won, and the files hold no "
        "contracts, for a comparison (default %(default)s)",
    )
    add(
        "--rollouts",
        metavar="PATH",
        help="a small network plays instead of E[Q], each seat from its own view, and plays the "
        "game to the end after every other legal move too; the files keep these outcomes, as "
        "those of `zebjax iterate`. PATH is small, imitator or a file, as in small:PATH. Of the "
        "other options --games, --out, --seed and --games-per-file apply",
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


def _by_eq(arguments: argparse.Namespace) -> teacher_files.Maker:
    from zebjax.training import teacher

    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Settings)}
    given |= {name: given[name] or "" for name in ("opponent", "by")}
    if given["temperature"] is None:
        by_points = "points" in (arguments.value if arguments.contract else arguments.criterion)
        is_points = by_points and not arguments.by
        given["temperature"] = TEMPERATURE if is_points else CONTRACT_TEMPERATURE
    return teacher.Maker(Settings(**given))


def _by_rollouts(arguments: argparse.Namespace) -> teacher_files.Maker:
    default = parser().parse(["--games", "1", "--out", str(arguments.out)])
    applies = ("games", "out", "rollouts", "seed", "games_per_file")
    for name, value in vars(arguments).items():
        if name not in applies and value != getattr(default, name):
            option = f"--{name.replace('_', '-')}"
            if name == "by":
                raise ValueError(f"{option}: not with --rollouts; leave one of them out")
            raise ValueError(f"{option} applies to E[Q] only; leave it out with --rollouts")
    import numba

    from zebjax.training import rollout_teacher

    settings = rollout_teacher.Settings(
        arguments.rollouts, arguments.seed, arguments.games_per_file
    )
    with cli.names_option("--rollouts"):
        return rollout_teacher.Maker(settings, numba.config.NUMBA_NUM_THREADS)


def _run(arguments: argparse.Namespace) -> int:
    maker = _by_eq(arguments) if arguments.rollouts is None else _by_rollouts(arguments)
    start = time.perf_counter()
    with cli.progress(f"teacher games in {arguments.out}") as show:

        def report(done: float, made: float) -> None:
            show(done, f"{made / (time.perf_counter() - start):.1f} games/s")

        with locks.locked(arguments.out, "wait for it or choose another --out"):
            found, made = teacher_files.make(maker, arguments.out, arguments.games, report)
    seconds = time.perf_counter() - start
    n_files = math.ceil(arguments.games / arguments.games_per_file)
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
