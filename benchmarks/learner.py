"""Measure the learner: updates (optimiser steps) per second, and seconds of compilation."""

import dataclasses
import itertools
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import jax

from zebjax import game, network, record
from zebjax.common import cli
from zebjax.training import learner, replay
from zebjax.training.learner_config import LearnerConfig

from . import report

ABOUT = """Times the compiled training call: draw examples, make tokens, update with AdamW. Dropout
is on and all metrics are computed. The first row has the original system's setting: large network
with a belief head, batch 64."""
# Updates per CPU second of the original's code, two cores, batch 64 (reference/throughput.json).
ORIGINAL = {
    "medium": {"updates_per_cpu_s": 3.70},
    "large": {"updates_per_cpu_s": 0.959},
    "small": {},
}


def random_games(n: int, key: jax.Array) -> record.GameRecord:
    """Records of `n` games of uniform random play; the policy target is the move played."""

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
    """One row: updates and examples per second, memory, seconds of compilation."""
    # The original was timed with a medium network without a belief head.
    net = dataclasses.replace(
        network.PRESETS[preset], belief_head=preset != "medium", compute_dtype=compute_dtype
    )
    config = LearnerConfig(batch=batch, updates_per_cycle=updates, updates_per_call=updates)
    ring = replay.add(replay.init(28 * 1000), random_games(1000, jax.random.key(0)))
    state = learner.init(config, net, network.init(net, jax.random.key(1)), jax.random.key(2))
    compile_s, _ = report.wall_and_cpu_s(
        lambda: learner.train.lower(config, net, state, ring, 1).compile()
    )
    # A list, because `train` donates the state: the old one must not be used again.
    box = [state]

    def work() -> learner.LearnerState:
        box.append(learner.train(config, net, box.pop(), ring, 1))
        return box[0]

    time = report.timed(work, 3)
    # A backward pass costs two forward passes. Only valid tokens count; all plies are equally
    # likely.
    lengths = [8 + ply - ply // 4 for ply in range(game.N_PLIES)]
    flop = 3 * statistics.mean(report.flop(net, length) for length in lengths)
    tflops = updates * batch * flop / time["wall_s"] / 1e12
    return {
        "preset": preset,
        "batch": batch,
        "compute_dtype": compute_dtype,
        "compile_s": round(compile_s, 1),
        "updates_per_s": round(updates / time["wall_s"], 2),
        "updates_per_cpu_s": round(updates / time["cpu_s"], 2),
        "examples_per_s": round(updates * batch / time["wall_s"]),
        "tflops": round(tflops, 3),
        "percent_of_ceiling": round(100 * tflops / report.ceiling_tflops(compute_dtype), 1),
        "process_peak_mb": report.process_peak_mb(),
        "spread": round(time["spread"], 3),
        "original": ORIGINAL[preset] if batch == 64 else {},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "learner", f"{__doc__}\n\n{ABOUT}", "--presets medium large --updates 40"
    )
    parser.add_argument(
        "--presets",
        nargs="+",
        choices=network.PRESETS,
        default=["large", "medium"],
        help="sizes of network (default large medium)",
    )
    batches = [64] if report.on_cpu() else [64, 1024, 8192]
    parser.add_argument(
        "--batches",
        type=cli.integer(2, 2**20),
        nargs="+",
        default=batches,
        metavar="N",
        help="examples per update (default %(default)s)",
    )
    parser.add_argument(
        "--updates",
        type=cli.integer(1, 10**6),
        default=20,
        metavar="N",
        help="updates per timed call (default %(default)s)",
    )
    parser.add_argument(
        "--compute-dtype",
        choices=("float32", "bfloat16"),
        default=report.dtype_default(),
        help="dtype of the matrix products (default %(default)s)",
    )
    args = parser.parse_args(argv)
    ceiling = report.ceiling_tflops(args.compute_dtype)
    sizes = itertools.product(args.presets, args.batches)
    rows = (measure(preset, batch, args.updates, args.compute_dtype) for preset, batch in sizes)
    report.collect("learner", args, rows, ceiling_tflops=ceiling)


if __name__ == "__main__":
    sys.exit(report.run("learner", main))
