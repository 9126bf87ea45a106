"""How many games a second does self-play make, and how long does it compile?"""

import argparse
import dataclasses
from typing import Any

import jax
import numpy as np

from benchmarks import report
from zebjax import network, selfplay
from zebjax.record import Kind
from zebjax.search import SearchConfig

HELP = """Times compiled self-play after a warm-up. The first two rows are the settings that the original was timed at
on two CPU cores (reference/throughput.json): 64 games at once, PUCT. It searched all 28 plies of a game; we search
the 17 or so that are decisions: that is part of why games a second differ.

example:
  python -m benchmarks.selfplay --games 64
"""
# Name -> preset, search, and the original's games and network evaluations a CPU second on two cores.
SETTINGS = {
    "medium-puct-50": ("medium", False, SearchConfig("puct", sims=50), {"games_per_cpu_s": 0.979}),
    "large-puct-16": ("large", True, SearchConfig("puct", sims=16), {"games_per_cpu_s": 0.636}),
    "small-gumbel-48": ("small", True, SearchConfig("gumbel", sims=48, gumbel_c_scale=1.0), {}),
}


def measure(name: str, lanes: int, games: int) -> dict[str, Any]:
    """One row: games, decisions and evaluations a second, wall and CPU, and seconds of compiling."""
    preset, belief_head, search, original = SETTINGS[name]
    net = dataclasses.replace(network.PRESETS[preset], belief_head=belief_head)
    config = selfplay.SelfPlayConfig(lanes=lanes, games_per_cycle=games, search=search)
    params = network.init(net, jax.random.key(0))
    actor = jax.block_until_ready(selfplay.init(config, jax.random.key(1)))
    compile_s, _ = report.wall_and_cpu_s(lambda: selfplay.advance.lower(config, net, params, actor, 0, 1).compile())

    def finish(actor: selfplay.Actor) -> selfplay.Actor:
        while int(actor.n_finished) < games:
            actor = selfplay.advance(config, net, params, actor, 0, 1000)
        return actor

    # The lanes begin in step with each other and are in all stages after a while: only then are they timed.
    actor, _ = selfplay.take(config, finish(actor))
    before = int(actor.n_finished)
    box = [actor]
    wall, cpu = report.wall_and_cpu_s(lambda: box.append(finish(box.pop())) or box[0].n_finished)
    made = int(box[0].n_finished) - before
    _, records = selfplay.take(config, box[0])
    decisions = float((np.asarray(records.kind) != Kind.FORCED).sum(1).mean())
    return {
        "setting": name,
        "lanes": lanes,
        "search": dataclasses.asdict(search),
        "compile_s": round(compile_s, 1),
        "games": made,
        "games_per_s": round(made / wall, 2),
        "games_per_cpu_s": round(made / cpu, 2),
        "decisions_per_game": round(decisions, 2),
        "evaluations_per_s": round(made * decisions * (search.sims + 1) / wall),
        "original": original,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selfplay", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lanes", type=int, default=64, help="games at once (default 64)")
    parser.add_argument(
        "--games",
        type=int,
        default=128,
        help="games to have waiting at the end; those waiting before do not count (default 128)",
    )
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--note", default="", help="what else the machine was doing; goes into the JSON")
    args = parser.parse_args()
    result = report.surroundings(args.note) | {"rows": []}
    for name in args.settings:
        row = measure(name, args.lanes, args.games)
        result["rows"].append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items() if key != "search"), flush=True)
    report.write(report.default_name("selfplay"), result)


if __name__ == "__main__":
    main()
