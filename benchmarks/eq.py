"""What does a decision of E[Q] cost by trick, and how much of it is not the solver?"""

import time
from collections.abc import Callable

import jax
import numpy as np

from zebjax import players
from zebjax.evaluation import matches
from zebjax.players import exact
from zebjax.solver import positions

from . import report
from .oracle import random_states

PLIES = (0, 4, 8, 12, 16, 20)
ABOUT = """Times E[Q] in milliseconds of CPU time a decision, leaders after uniform random play,
on one thread of the solver: drawing the worlds, checking them for the solver, and the whole
decision by both criteria (the first two included). Then games of each criterion against random,
whole games a second of CPU time."""


def cpu_ms(work: Callable[[], object], decisions: int) -> float:
    """Milliseconds of this process's CPU time a decision; once before, to compile."""
    work()
    start = time.process_time()
    work()
    return round(1e3 * (time.process_time() - start) / decisions, 3)


def measure_decisions(n: int, decisions: int, seed: int) -> list[dict[str, float]]:
    """A row a ply. Late plies are cheap and get up to 16 times as many decisions."""
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
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return rows


def measure_games(specs: list[str], deals: int, seed: int) -> list[dict[str, object]]:
    """Games a second and the win rate of each player against random, forced moves free on both
    sides.
    """
    rows = []
    for spec in specs:
        player = players.make(spec)
        for some in (player, players.random()):  # compile, at little cost
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
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return rows


def main() -> None:
    """The command."""
    parser = report.parser_with_json(
        "eq", f"{__doc__}\n\n{ABOUT}", "--n 20 --decisions 10 --deals 20"
    )
    parser.add_argument("--n", type=int, default=100, help="worlds a decision (default 100)")
    parser.add_argument(
        "--decisions", type=int, default=20, help="at ply 0; later plies get more (default 20)"
    )
    parser.add_argument("--deals", type=int, default=50, help="each played twice (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
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
    main()
