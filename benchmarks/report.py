"""Shared by all benchmarks: the command line, clocks, FLOP counts, the device's maximum speed, and
the JSON file with device, date and versions of a measurement.
"""

import argparse
import datetime
import functools
import hashlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import zebjax
from zebjax import network, observe
from zebjax.common import cli, devices, files
from zebjax.common.version import commit

IN_CHECKOUT = (Path(__file__).parents[1] / "pyproject.toml").is_file()
# An installed copy must not write beside its own code.
RESULTS = Path(__file__).parent / "results" if IN_CHECKOUT else Path("benchmarks-results")
STARTED = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
"""UTC of this process's start. Part of default file names, so that no result is overwritten."""
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "mctx", "numpy", "numba")


def cpu_name() -> str:
    """The processor's name, if the system reports it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str:
    """The installed version of a package; `unknown` if it has no metadata."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def surroundings(note: str) -> dict[str, Any]:
    """Device, load, date, commit and versions of this measurement."""
    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
        "note": note,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {"python": platform.python_version(), "zebjax": zebjax.__version__}
        | {name: _version(name) for name in _PACKAGES},
    }


def digest_of(*parts: object) -> str:
    """Return a name for what these parts determine: 16 digits."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def write(path: Path, result: dict[str, Any]) -> None:
    """Write `result` as a complete JSON file or not at all, and print the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, result)
    print(f"wrote {path}")


def wall_and_cpu_s(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of this process's CPU time that `work` takes, until its arrays are
    ready.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(work())
    return time.perf_counter() - wall, time.process_time() - cpu


def timed(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Time `work` `repeats` times.

    Returns:
        `wall_s` and `cpu_s`, medians in seconds; `spread`, (longest - shortest) / median of the
        wall times.
    """
    jax.block_until_ready(work())  # compiles; not counted
    walls, cpus = zip(*(wall_and_cpu_s(work) for _ in range(repeats)), strict=True)
    wall = statistics.median(walls)
    return {
        "wall_s": wall,
        "cpu_s": statistics.median(cpus),
        "spread": (max(walls) - min(walls)) / wall,
    }


def default_name(benchmark: str, device: str = "") -> Path:
    """The default path of a benchmark's JSON: its name, the device's (this one), date and time.

    Files without date and time in their names are committed results; only --out names one.
    """
    return RESULTS / f"{benchmark}-{device or device_name()}-{STARTED}.json"


def device_name() -> str:
    """The device's kind, as part of a file name."""
    return jax.devices()[0].device_kind.lower().replace(" ", "-")


def on_cpu() -> bool:
    """True without an accelerator; then the benchmarks use float32 and small sizes."""
    return jax.default_backend() == "cpu"


def _peak_resident_bytes() -> int:
    """The process's peak of resident memory; 0 where the system does not report it (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def process_peak_mb() -> int:
    """Peak memory since this process began, in MiB: the device's if it reports one, else the
    process's.
    """
    stats = jax.devices()[0].memory_stats() or {}
    used = stats.get("peak_bytes_in_use") or _peak_resident_bytes()
    return round(used / 2**20)


def is_out_of_memory(error: Exception) -> bool:
    """True if the error says that the device ran out of memory."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def flop(config: network.ZebConfig, length: float) -> float:
    """Floating point operations of the matrix products in one evaluation of `length` tokens.

    A multiply-add counts as two. With width d and feed-forward width f, each layer needs
    4 d^2 (query, key, value, output) + 2 d f (feed-forward) multiply-adds a token, and 2 d a pair
    of tokens (scores and weighted sum). The embedding is a one-hot product: one row of d a value.
    """
    d, f = config.embed_dim, config.ff_dim
    rows = sum(
        cardinality for cardinality, _ in observe.tokenizer(config.tokenizer).features.values()
    )
    per_token = rows * d + config.n_layers * (4 * d * d + 2 * d * f)
    per_pair = config.n_layers * 2 * d
    heads = 7 * d + d * d // 2 + (d * d + 84 * d if config.belief_head else 0)
    return 2 * (per_token * length + per_pair * length**2 + heads)


@functools.cache
def ceiling_tflops(dtype: str) -> float:
    """TFLOP/s of a large square matrix product on this machine: the maximum speed of a network.

    With several devices it is the speed of one, times their number.
    """
    n = 1024 if on_cpu() else 8192
    a = jax.random.normal(jax.random.key(0), (n, n)).astype(dtype)
    multiply = jax.jit(jnp.matmul)
    times = 20
    time = timed(lambda: [multiply(a, a) for _ in range(times)], 5)
    return round(2 * n**3 * times / time["wall_s"] / 1e12 * jax.device_count(), 3)


def parser(benchmark: str, about: str, example: str) -> cli.Parser:
    """The command line of a benchmark, with its help and an example."""
    # `python -m benchmarks.NAME` works in a checkout, `zebjax benchmark NAME` everywhere.
    called = "python -m benchmarks." if __package__ == "benchmarks" else "zebjax benchmark "
    return cli.Parser(f"benchmark {benchmark}", about, example, prog=called + benchmark)


def _output(text: str) -> Path:
    """An argparse type: a file to write."""
    return cli.file_to_write(text, "", creates_folder=True)


def run(benchmark: str, main: Callable[[], int | None]) -> int:
    """Run a benchmark's `main` and return its exit status; 2 after one sentence for an error."""
    arguments = argparse.Namespace()  # `main` parses its own
    return cli.run(f"benchmark {benchmark}", lambda _: main() or 0, arguments, compiles=False)


def parser_with_json(benchmark: str, about: str, example: str) -> cli.Parser:
    """Like `parser`, for a benchmark that writes a JSON file."""
    made = parser(benchmark, about, example)
    made.add_argument(
        "--note", default="", help="recorded in the JSON, such as what else the machine was doing"
    )
    made.add_argument(
        "--out",
        type=_output,
        metavar="FILE",
        help="JSON file (default: named after benchmark, device, date and time, in "
        "benchmarks/results, or in benchmarks-results without a checkout)",
    )
    return made


def show(row: dict[str, Any]) -> None:
    """Print one row of figures; nested settings are left out."""
    print(
        ", ".join(f"{key} {value}" for key, value in row.items() if not isinstance(value, dict)),
        flush=True,
    )


def collect(
    benchmark: str, args: argparse.Namespace, rows: Iterable[dict[str, Any]], **facts: Any
) -> None:
    """Show each row when it is measured, and write the JSON after each, so that an interruption
    loses one row at most.

    Args:
        benchmark: its name, for the default path of the JSON file.
        args: parsed by `parser_with_json`.
        rows: a lazy iterable: each row is measured when it is requested.
        facts: further entries of the JSON file.
    """
    result = surroundings(args.note) | facts | {"rows": []}
    for row in rows:
        show(row)
        result["rows"].append(row)
        write(args.out or default_name(benchmark), result)


def dtype_default() -> str:
    """The default compute dtype, as that of the experiments."""
    return devices.fast_dtype()


def sizes(low: int, high: int) -> list[int]:
    """Powers of two from `low` to `high`."""
    return [size for size in (2**i for i in range(24)) if low <= size <= high]


def zeros(config: network.ZebConfig, n: int, length: int) -> observe.Observation:
    """`n` observations of `length` tokens, all zero: the values do not change the speed."""
    features = len(observe.tokenizer(config.tokenizer).features)
    return observe.Observation(
        jnp.zeros((n, length, features), jnp.int8),
        jnp.ones((n, length), bool),
        jnp.tile(jnp.arange(length, dtype=jnp.int8), (n, 1)),
    )
