"""How many optimiser steps a second does the learner make, and how long does it compile?"""

import argparse
import dataclasses
from typing import Any

import jax

from benchmarks import report
from zebjax import game, learner, network, record, replay

HELP = """Times the compiled training call, examples drawn and tokens made within it, dropout on, all metrics.

example:
  python -m benchmarks.learner --presets medium large --updates 40
"""
# The original's steps a CPU second on two cores at batch 64 (reference/throughput.json).
ORIGINAL = {"medium": {"updates_per_cpu_s": 3.70}, "large": {"updates_per_cpu_s": 0.959}, "small": {}}


def random_games(n: int, key: jax.Array) -> record.GameRecord:
    """`n` games of uniform random play as records, their targets one-hot on what was played."""

    def one(key: jax.Array) -> record.GameRecord:
        deal_key, play_key = jax.random.split(key)
        start = game.deal(deal_key)
        _, slots = game.play_randomly(play_key, start, game.N_PLIES)
        blank = jax.tree.map(lambda leaf: leaf[0], record.empty(1))
        return blank._replace(
            hands=start.hands,
            declaration=start.declaration,
            leader=start.leader,
            slots=slots.astype("int8"),
            policy=jax.nn.one_hot(slots, 7, dtype="float16"),
            weight=jax.numpy.ones(28, "float16"),
        )

    return jax.jit(jax.vmap(one))(jax.random.split(key, n))


def measure(preset: str, batch: int, updates: int, compute_dtype: str) -> dict[str, Any]:
    """One row: steps and examples a second, wall and CPU, and seconds of compiling."""
    net = dataclasses.replace(
        network.PRESETS[preset], belief_head=preset != "medium", compute_dtype=compute_dtype
    )  # as the original was timed: its medium network has no belief head
    config = learner.LearnerConfig(batch=batch, updates_per_cycle=updates, updates_per_call=updates)
    ring = replay.add(replay.init(28 * 1000), random_games(1000, jax.random.key(0)))
    state = learner.init(config, net, network.init(net, jax.random.key(1)), jax.random.key(2))
    compile_s, _ = report.wall_and_cpu_s(lambda: learner.train.lower(config, net, state, ring, 1).compile())
    box = [jax.block_until_ready(learner.train(config, net, state, ring, 1))]
    wall, cpu = report.wall_and_cpu_s(lambda: box.append(learner.train(config, net, box.pop(), ring, 1)) or box[0])
    return {
        "preset": preset,
        "batch": batch,
        "compute_dtype": compute_dtype,
        "compile_s": round(compile_s, 1),
        "updates_per_s": round(updates / wall, 2),
        "updates_per_cpu_s": round(updates / cpu, 2),
        "examples_per_s": round(updates * batch / wall),
        "original": ORIGINAL[preset] if batch == 64 else {},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learner", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", choices=network.PRESETS, default=["medium", "large"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--updates", type=int, default=40, help="optimiser steps to time (default 40)")
    parser.add_argument("--compute-dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--note", default="", help="what else the machine was doing; goes into the JSON")
    args = parser.parse_args()
    result = report.surroundings(args.note) | {"rows": []}
    for preset in args.presets:
        row = measure(preset, args.batch, args.updates, args.compute_dtype)
        result["rows"].append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    report.write(report.default_name("learner"), result)


if __name__ == "__main__":
    main()
