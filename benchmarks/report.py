"""What every benchmark says beside its figures: where, when and with which versions it was measured."""

import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

import zebjax

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
    done = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True)
    return done.stdout.strip()


def surroundings(note: str) -> dict[str, Any]:
    """Where and when this was measured."""
    return {
        "device": jax.devices()[0].device_kind,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
        "note": note,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": {"python": platform.python_version(), "zebjax": zebjax.__version__}
        | {name: metadata.version(name) for name in _PACKAGES},
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Write one JSON, whole or not at all, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(temporary, path)
    print(f"wrote {path}")


def wall_and_cpu_s(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of this process's CPU time that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(work())
    return time.perf_counter() - wall, time.process_time() - cpu


def default_name(benchmark: str) -> Path:
    """Where a benchmark's JSON goes by default: its own name and the device's."""
    device = jax.devices()[0].device_kind.lower().replace(" ", "-")
    return RESULTS / f"{benchmark}-{device}.json"
