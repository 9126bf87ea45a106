"""The command `zebjax imitate`: make the small network foresee what other players play."""

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import cli, parsing

if TYPE_CHECKING:  # imported when the command runs, so that `--help` does not import numba
    from zebjax.training.small_imitate import Games

_HELD_OUT = 0.05
"""Share of the games that are not fitted, at least one of each declaration."""


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "imitate",
        "Fit the small network to the moves in recorded games, so that it foresees what such\n"
        "players do: a model of the others for eq:...,belief=FILE. Make the games with\n"
        "`zebjax teach --criterion win` or --by; games of self-play do as well.\n\n"
        "It prints for games that were held out, before and after: the cross-entropy to the\n"
        "policy targets (nats a move) and the share of moves that the network foresees.",
        "runs/teacher runs/model.safetensors",
        "runs/strong runs/more runs/kin.safetensors --best 1",
    )
    add = made.add_argument
    add("games", type=Path, nargs="+", metavar="GAMES", help="folders with record files")
    add("out", type=Path, metavar="OUT", help="file of the new network")
    add(
        "--start",
        default="small",
        metavar="PATH",
        help="network to begin with, a file that `zebjax iterate` made (default: the bundled one)",
    )
    positive = cli.checked(parsing.number(1e-6, 1000))
    add(
        "--passes",
        type=positive,
        default=3.0,
        metavar="X",
        help="times that each game is read (default 3)",
    )
    add(
        "--best",
        type=cli.checked(parsing.number(0, 1)),
        default=0.0,
        metavar="SHARE",
        help="share of each target that is put on its best move; the rest is the policy target of "
        "the record (default 0). Use 1 where the targets are softer than the player's choices",
    )
    add(
        "--rate",
        type=positive,
        default=1e-3,
        metavar="X",
        help="highest learning rate (default 0.001)",
    )
    add("--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of the order (default 0)")
    return made


def _check_apart(folders: Sequence[Path]) -> None:
    """Raise ValueError if a folder is or contains another: a game would be fitted and held out."""
    for one, other in itertools.permutations(folders, 2):
        if one.resolve().is_relative_to(other.resolve()):
            raise ValueError(f"GAMES: {one} is in {other}; expected folders that share no file")


def _split(games: "Games", seed: int) -> "tuple[Games, Games]":
    """Return the games that are held out, and the others.

    Raises:
        ValueError: if a declaration has no games.
    """
    import numpy as np

    from zebjax.training.small_descent import by_declaration

    rng, is_held = np.random.default_rng(seed), np.zeros(len(games.slots), bool)
    for rows in by_declaration(games.declaration):
        is_held[rng.permutation(rows)[: math.ceil(_HELD_OUT * len(rows))]] = True
    return games.where(np.flatnonzero(is_held)), games.where(np.flatnonzero(~is_held))


def _run(arguments: argparse.Namespace) -> int:
    import numba
    import numpy as np

    from zebjax.small import storage
    from zebjax.solver import cached_code
    from zebjax.training import small_descent, small_imitate, warm_start

    with cli.names_option("--start"):
        start = storage.load(arguments.start)
    if arguments.out.is_dir() or not arguments.out.parent.is_dir():  # not after the whole fit
        raise ValueError(f"OUT: {arguments.out} is no file in a folder that exists")
    _check_apart(arguments.games)
    parts = [
        small_imitate.read(warm_start.games_in(folder, "GAMES"), arguments.best)
        for folder in arguments.games
    ]
    games = small_imitate.Games(*map(np.concatenate, zip(*parts, strict=True)))
    threads = numba.config.NUMBA_NUM_THREADS
    settings = small_descent.Fit(passes=arguments.passes, rate=arguments.rate)
    params = small_descent.params_of(start)
    try:
        held, fitted = _split(games, arguments.seed)
        kernel = small_imitate.gradient_of_games
        cached_code.announce("zebjax imitate", "the fit", "a minute", kernel)
        before = small_imitate.judge(start, held, threads)
        with cli.progress(f"fitting {len(fitted.slots):,} games") as show:
            small_imitate.fit(
                params, fitted, settings, arguments.seed, threads, lambda done: show(done, "")
            )
    except ValueError as error:
        raise ValueError(f"{', '.join(map(str, arguments.games))}: {error}") from None
    net = small_descent.net_of(params)
    after = small_imitate.judge(net, held, threads)
    facts = {"start": str(arguments.start), "games": str(len(fitted.slots))}
    storage.save(arguments.out, net, facts)
    for name, (nats, foreseen) in (("before", before), ("after", after)):
        print(f"{name:6}  {nats:.4f} nats a move, {100 * foreseen:.1f} % of moves foreseen")
    print(f"{arguments.out}; try: zebjax belief small:{arguments.out} --by eq:n=100")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("imitate", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
