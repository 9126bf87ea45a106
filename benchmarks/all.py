"""Measure the speed of this machine in limited time: the main figures of all benchmarks."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from zebjax import observe
from zebjax.common import cli

from . import engine, learner, network, report, selfplay

ABOUT = """Runs the parts in order of importance, the original system's setting first. Skips parts
that would exceed the time budget, and names them at the end. Writes one JSON file with all parts,
again after each part. Needs no internet and no files."""


class Part(NamedTuple):
    """One measurement."""

    name: str
    seconds: float
    """Expected duration, compiling included."""
    measure: Callable[[], list[dict[str, Any]]]


def parts() -> Iterator[Part]:
    """Yield the parts, the most important first."""
    cpu, dtype = report.on_cpu(), report.dtype_default()
    lengths = observe.tokenizer("v1").lengths

    def play(name: str, lanes: int) -> list[dict[str, Any]]:
        row = selfplay.fitting(name, lanes, 10)
        return [row] if row else []

    def learn(preset: str, batch: int) -> list[dict[str, Any]]:
        return [learner.measure(preset, batch, 10 if cpu else 50, dtype)]

    def lanes_of(name: str) -> int:
        return selfplay.remembered_lanes(name)

    # Few lanes on a CPU, where the original's setting takes minutes with many; thousands on a GPU.
    yield Part(
        "selfplay-original", 90 if cpu else 60, lambda: play("original", 32 if cpu else 4096)
    )
    yield Part("selfplay-recommended", 50, lambda: play("recommended", 32 if cpu else 8192))
    yield Part("learner-large-64", 40, lambda: learn("large", 64))
    if not cpu:
        for batch in (1024, 4096, 16384):
            yield Part(f"learner-large-{batch}", 40, lambda b=batch: learn("large", b))
    yield Part(
        "engine",
        15,
        lambda: [engine.measure(games) for games in ((8192,) if cpu else (2**17, 2**20))],
    )
    yield Part(
        "selfplay-medium-puct-50", 40, lambda: play("medium-puct-50", lanes_of("medium-puct-50"))
    )
    yield Part(
        "selfplay-medium-recommended",
        40,
        lambda: play("medium-recommended", lanes_of("medium-recommended")),
    )
    batch = 64 if cpu else 8192
    yield Part(
        "network",
        30,
        lambda: [network.measure("large", dtype, batch, n) for n in (lengths[2], lengths[4])],
    )
    if not cpu:
        for lanes in (1024, 2048, 8192, 16384):
            yield Part(f"selfplay-original-{lanes}", 60, lambda n=lanes: play("original", n))
    yield Part("learner-medium-64", 30, lambda: learn("medium", 64))


def seconds_of(text: str) -> float:
    """Parse a time such as `8min`, `90s` or `1h` into seconds.

    Raises:
        ValueError: if `text` is not such a time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", text)
    if not match or float(match[1]) == 0:
        raise ValueError(f"expected a time such as 8min, 90s or 1h, got {text!r}")
    return float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]]


def run(budget_s: float, result: dict[str, Any], save: Callable[[], None]) -> list[str]:
    """Measure into `result["parts"]`, and call `save` after each part.

    Returns:
        The names of the parts that were skipped.
    """
    began, left_out = time.monotonic(), []
    for part in parts():
        if time.monotonic() - began + part.seconds > budget_s:
            left_out.append(part.name)
            continue
        print(f"{part.name} ({time.monotonic() - began:.0f} s of {budget_s:.0f})", flush=True)
        part_began = time.monotonic()
        try:
            rows = part.measure()
        except jax.errors.JaxRuntimeError as error:
            if not report.is_out_of_memory(error):
                raise
            print(f"  {part.name} does not fit in this device's memory", flush=True)
            rows = []
        for row in rows:
            report.show(row)
        result["parts"][part.name] = {
            "rows": rows,
            "seconds": round(time.monotonic() - part_began, 1),
        }
        save()
    return left_out


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = report.parser_with_json("all", f"{__doc__}\n\n{ABOUT}", "--budget 8min")
    parser.add_argument(
        "--budget",
        type=cli.checked(seconds_of),
        default="8min",
        metavar="TIME",
        help="total time, such as 90s, 8min or 1h (default %(default)s)",
    )
    args = parser.parse_args(argv)
    budget_s: float = args.budget
    ceiling = report.ceiling_tflops(report.dtype_default())
    print(
        f"{jax.devices()[0].device_kind}: ceiling {ceiling} TFLOP/s in {report.dtype_default()}",
        flush=True,
    )
    result = report.surroundings(args.note) | {"ceiling_tflops": ceiling, "parts": {}}
    out = args.out or report.default_name("all")
    left_out = run(budget_s, result, lambda: report.write(out, result))
    if left_out:
        print(f"skipped for lack of time: {', '.join(left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(report.run("all", main))
