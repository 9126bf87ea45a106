"""Measure the network: evaluations per second, and the share of the device's maximum speed."""

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import jax

from zebjax import network, observe
from zebjax.common import cli

from . import report

ABOUT = """Times `network.evaluate` by preset, number of tokens and batch. The ceiling is the speed
of a large matrix product, measured in the same run."""


def measure(preset: str, dtype: str, batch: int, length: int, repeats: int = 5) -> dict[str, Any]:
    """One row: evaluations per second and TFLOP/s of one preset, batch and number of tokens."""
    config = dataclasses.replace(network.PRESETS[preset], compute_dtype=dtype)
    weights = network.prepare(config, network.init(config, jax.random.key(0)))
    seen = report.zeros(config, batch, length)
    run = jax.jit(lambda weights, seen: network.evaluate(config, weights, seen))
    compile_s, _ = report.wall_and_cpu_s(lambda: run.lower(weights, seen).compile())
    time = report.timed(lambda: run(weights, seen), repeats)
    tflops = batch * report.flop(config, length) / time["wall_s"] / 1e12
    return {
        "preset": preset,
        "compute_dtype": dtype,
        "batch": batch,
        "tokens": length,
        "compile_s": round(compile_s, 1),
        "evaluations_per_s": round(batch / time["wall_s"]),
        "evaluations_per_cpu_s": round(batch / time["cpu_s"]),
        "tflops": round(tflops, 4),
        "percent_of_ceiling": round(100 * tflops / report.ceiling_tflops(dtype), 1),
        "spread": round(time["spread"], 3),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "network", f"{__doc__}\n\n{ABOUT}", "--presets large --batches 64 256"
    )
    lengths = observe.tokenizer("v1").lengths
    parser.add_argument(
        "--presets",
        nargs="+",
        choices=network.PRESETS,
        default=["medium", "large"],
        help="sizes of network (default medium large)",
    )
    parser.add_argument(
        "--compute-dtype",
        choices=("float32", "bfloat16"),
        default=report.dtype_default(),
        help="dtype of the matrix products (default %(default)s)",
    )
    parser.add_argument(
        "--batches",
        type=cli.integer(1, 2**20),
        nargs="+",
        default=[16, 128] if report.on_cpu() else [512, 4096, 16384],
        metavar="N",
        help="observations per call (default %(default)s)",
    )
    parser.add_argument(
        "--tokens",
        type=cli.integer(1, 36),
        nargs="+",
        default=[lengths[2], 36],
        metavar="N",
        help="tokens per observation (default %(default)s)",
    )
    args = parser.parse_args(argv)
    ceiling = report.ceiling_tflops(args.compute_dtype)
    sizes = itertools.product(args.presets, args.batches, args.tokens)
    rows = (measure(preset, args.compute_dtype, batch, n) for preset, batch, n in sizes)
    report.collect("network", args, rows, ceiling_tflops=ceiling)


if __name__ == "__main__":
    sys.exit(report.run("network", main))
