"""Measure the rules engine: plies per second in random play."""

import functools
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from zebjax import game
from zebjax.common import cli

from . import report

ABOUT = """Deals games and plays them with uniformly random legal moves in one compiled call. A ply
is: compute the legal slots, draw one, play it. On a CPU one such call runs on each core at the same
time: the kernels of one call are too short to be divided among cores."""


@functools.partial(jax.jit, static_argnames="games")
def play(key: jax.Array, games: int) -> jax.Array:
    """Points by team of `games` random games, int8 `[games, 2]`."""

    def one(key: jax.Array) -> jax.Array:
        deal_key, play_key = jax.random.split(key)
        return game.play_randomly(play_key, game.fast_deal(deal_key), game.N_PLIES)[0].points

    return jax.vmap(one)(jax.random.split(key, games))


def measure(games: int, repeats: int = 5) -> dict[str, Any]:
    """One row: plies per second of wall time and of CPU time."""
    key = jax.random.key(0)
    compile_s, _ = report.wall_and_cpu_s(lambda: play.lower(key, games).compile())
    calls = (os.cpu_count() or 1) if report.on_cpu() else 1
    with ThreadPoolExecutor(calls) as threads:
        keys = list(jax.random.split(key, calls))

        def play_all() -> list[jax.Array]:
            return list(threads.map(lambda key: jax.block_until_ready(play(key, games)), keys))

        time = report.timed(play_all, repeats)
    plies = calls * games * game.N_PLIES
    return {
        "games_at_once": games,
        "calls_at_once": calls,
        "compile_s": round(compile_s, 1),
        "mplies_per_s": round(plies / time["wall_s"] / 1e6, 2),
        "mplies_per_cpu_s": round(plies / time["cpu_s"] / 1e6, 2),
        "spread": round(time["spread"], 3),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json("engine", f"{__doc__}\n\n{ABOUT}", "--games 1024 16384")
    default = [8192, 32768] if report.on_cpu() else [2**14, 2**17, 2**20]
    parser.add_argument(
        "--games",
        type=cli.integer(1, 2**24),
        nargs="+",
        default=default,
        metavar="N",
        help="games in one call (default %(default)s)",
    )
    args = parser.parse_args(argv)
    report.collect("engine", args, (measure(games) for games in args.games))


if __name__ == "__main__":
    sys.exit(report.run("engine", main))
