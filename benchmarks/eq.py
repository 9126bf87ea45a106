"""Measure E[Q], the exact player: time per decision by trick, and games per second."""

import sys
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from zebjax import players
from zebjax.common import cli
from zebjax.evaluation import matches
from zebjax.players import exact
from zebjax.solver import positions

from . import report
from .oracle import random_states

PLIES = (0, 4, 8, 12, 16, 20)
ABOUT = """E[Q] solves each legal move in many sampled worlds and plays the best on average. Times
decisions at the start of each trick, after uniform random play, in milliseconds of CPU time on
one thread of the solver: drawing the worlds, checking them for the solver, and the whole decision
(including both), by mean points and by the probability of winning. Then plays games against random
and reports games per second."""


def cpu_ms(work: Callable[[], object], decisions: int) -> float:
    """Milliseconds of this process's CPU time per decision, if `work` makes `decisions` of them."""
    work()  # compiles
    start = time.process_time()
    work()
    return round(1e3 * (time.process_time() - start) / decisions, 3)


def measure_decisions(n: int, decisions: int, seed: int) -> list[dict[str, float]]:
    """One row for each ply. Late plies are cheap and get up to 16 times as many decisions."""
    rows = []
    for ply in PLIES:
        many = decisions * min(16, 2 ** (ply // 4))
        states = random_states(many, ply, seed + ply)
        keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(seed + ply), many)))
        drawn = list(exact.worlds_of(states, keys, n))
        row = {
            "ply": ply,
            "worlds": round(sum(len(decision) for decision, _ in drawn) / many, 1),
            "draw_ms": cpu_ms(lambda s=states, k=keys: list(exact.worlds_of(s, k, n)), many),
            "check_ms": cpu_ms(lambda d=drawn: [positions.read(states) for _, states in d], many),
            "points_ms": cpu_ms(lambda s=states, k=keys: exact.eq_values(s, k, n, threads=1), many),
            "win_ms": cpu_ms(lambda s=states, k=keys: exact.count_wins(s, k, n, threads=1), many),
        }
        row["draws_per_cpu_s"] = round(1e3 * row["worlds"] / row["draw_ms"])
        rows.append(row)
        report.show(row)
    return rows


def measure_games(specs: list[str], deals: int, seed: int) -> list[dict[str, object]]:
    """Games per second and the win rate of each player against random."""
    rows = []
    for spec in specs:
        player = players.make(spec)
        # Compile: `random` with the timed number of deals, the slow player with one deal.
        for some in (player, players.random()):
            n_deals = deals if some.spec == "random" else 1
            matches.play_deals(some, players.random(), jax.random.key(seed), 0, n_deals)
        start, wall = time.process_time(), time.perf_counter()
        margins = matches.play_deals(player, players.random(), jax.random.key(seed), 0, deals)
        cpu_s, wall_s = time.process_time() - start, time.perf_counter() - wall
        result = matches.summarise(spec, "random", margins)
        row = {
            "player": spec,
            "games": 2 * deals,
            "games_per_cpu_s": round(2 * deals / cpu_s, 2),
            "games_per_s": round(2 * deals / wall_s, 2),
            "win_rate": round(result.win_rate, 4),
            "win_rate_ci95": [round(bound, 4) for bound in result.win_rate_ci95],
        }
        rows.append(row)
        report.show(row)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "eq", f"{__doc__}\n\n{ABOUT}", "--n 20 --decisions 10 --deals 20"
    )
    parser.add_argument(
        "--n",
        type=cli.integer(1, 10**5),
        default=100,
        metavar="N",
        help="worlds per decision (default %(default)s)",
    )
    parser.add_argument(
        "--decisions",
        type=cli.integer(1, 10**6),
        default=20,
        metavar="N",
        help="decisions at ply 0; later plies get more (default %(default)s)",
    )
    parser.add_argument(
        "--deals",
        type=cli.integer(2, 10**6),
        default=50,
        metavar="N",
        help="deals, each played twice (default %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=cli.integer(0, 2**31),
        default=0,
        help="seed of positions and games (default 0)",
    )
    args = parser.parse_args(argv)
    result = report.surroundings(args.note) | {"n": args.n}
    result["decisions"] = measure_decisions(args.n, args.decisions, args.seed)
    first = max(1, args.n // 5)
    specs = [
        f"eq:n={args.n},criterion=points",
        f"eq:n={args.n}",
        f"eq:n={args.n},n_trick1={first}",
        "cheat",
    ]
    result["games"] = measure_games(specs, args.deals, args.seed)
    report.write(args.out or report.default_name("eq"), result)


if __name__ == "__main__":
    sys.exit(report.run("eq", main))
