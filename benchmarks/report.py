"""What every benchmark shares: where, when and with which versions it was measured, clocks, FLOP
and the ceiling.
"""

import argparse
import datetime
import functools
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import zebjax
from zebjax import network, observe
from zebjax.common import files

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "mctx", "numpy", "numba")


def cpu_name() -> str:
    """The processor's name, as well as this system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def commit() -> str:
    """The commit of this checkout, with `+` if files differ from it; empty outside of one."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True
    )
    return done.stdout.strip()


def _version(package: str) -> str:
    """A package's version; `unknown` for one that only lies on the path, as on a machine without an
    index.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def surroundings(note: str) -> dict[str, Any]:
    """Where and when this was measured."""
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


def write(path: Path, result: dict[str, Any]) -> None:
    """Write one JSON, whole or not at all, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, result)
    print(f"wrote {path}")


def wall_and_cpu_s(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of this process's CPU time that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(work())
    return time.perf_counter() - wall, time.process_time() - cpu


def timed(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Wall and CPU seconds of `work`, medians of `repeats` after one that is not counted; and the
    wall's spread.
    """
    jax.block_until_ready(work())
    walls, cpus = zip(*(wall_and_cpu_s(work) for _ in range(repeats)), strict=True)
    wall = statistics.median(walls)
    return {
        "wall_s": wall,
        "cpu_s": statistics.median(cpus),
        "spread": (max(walls) - min(walls)) / wall,
    }


def default_name(benchmark: str) -> Path:
    """Where a benchmark's JSON goes by default: its own name and the device's."""
    return RESULTS / f"{benchmark}-{device_name()}.json"


def device_name() -> str:
    """The device's kind, fit for a file name."""
    return jax.devices()[0].device_kind.lower().replace(" ", "-")


def on_cpu() -> bool:
    """Whether there is no accelerator: then float32 is what we would use, and sizes are small."""
    return jax.default_backend() == "cpu"


def _peak_resident_bytes() -> int:
    """The process's peak of resident memory; 0 where the system does not report it (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def process_peak_mb() -> int:
    """The most memory in use since this process began: the device's, or the process's where that
    does not tell.
    """
    stats = jax.devices()[0].memory_stats() or {}
    used = stats.get("peak_bytes_in_use") or _peak_resident_bytes()
    return round(used / 2**20)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device had too little memory for what was asked."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def flop(config: network.ZebConfig, length: float) -> float:
    """Floating point operations of one evaluation of `length` tokens: matrix products, two for each
    multiply-add.

    A token costs the embedding's rows, and per layer 4 d^2 (query, key, value, output) and 2 d f
    (feed-forward) multiply-adds; a pair of tokens 2 d (scores and weighted sum); the heads are
    small.
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
    """TFLOP/s of a large square matrix product here and now: what a network's speed is compared
    with.

    On several devices it is that of one times their number.
    """
    n = 1024 if on_cpu() else 8192
    a = jax.random.normal(jax.random.key(0), (n, n)).astype(dtype)
    multiply = jax.jit(jnp.matmul)
    times = 20
    time = timed(lambda: [multiply(a, a) for _ in range(times)], 5)
    return round(2 * n**3 * times / time["wall_s"] / 1e12 * jax.device_count(), 3)


def parser(benchmark: str, about: str, example: str) -> argparse.ArgumentParser:
    """A benchmark's command line: its help and its example."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{benchmark}",
        description=f"{about}\n\nexample:\n  python -m benchmarks.{benchmark} {example}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parser_with_json(benchmark: str, about: str, example: str) -> argparse.ArgumentParser:
    """The same for a benchmark that writes a JSON."""
    made = parser(benchmark, about, example)
    made.add_argument(
        "--note", default="", help="what else the machine was doing; goes into the JSON"
    )
    made.add_argument(
        "--out", type=Path, help="JSON (default: benchmarks/results/, by benchmark and device)"
    )
    return made


def show(row: dict[str, Any]) -> None:
    """Print one row, settings in braces left out."""
    print(
        ", ".join(f"{key} {value}" for key, value in row.items() if not isinstance(value, dict)),
        flush=True,
    )


def dtype_default() -> str:
    """What networks are timed in here: float32 on a CPU, bfloat16 on an accelerator."""
    return "float32" if on_cpu() else "bfloat16"


def sizes(low: int, high: int) -> list[int]:
    """Powers of two from `low` to `high`."""
    return [size for size in (2**i for i in range(24)) if low <= size <= high]


def zeros(config: network.ZebConfig, n: int, length: int) -> observe.Observation:
    """Shortened observations of `length` tokens, all alike: speed does not depend on what is in
    them.
    """
    features = len(observe.tokenizer(config.tokenizer).features)
    return observe.Observation(
        jnp.zeros((n, length, features), jnp.int8),
        jnp.ones((n, length), bool),
        jnp.tile(jnp.arange(length, dtype=jnp.int8), (n, 1)),
    )
