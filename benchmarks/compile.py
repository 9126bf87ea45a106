"""Measure compilation: seconds of `zebjax train` without and with the persistent cache."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zebjax
from zebjax import experiment

from . import report

ABOUT = """Runs one very short cycle of an experiment twice, each time in a new process, the first
time with an empty compilation cache. Reports the seconds of tracing, lowering and compilation (or
reading from the cache), and of the whole command."""

_CHILD = """
import json, sys, time
began = time.perf_counter()
import jax
seconds = {}
def note(name, duration, **_):
    if name.startswith("/jax/core/compile/"):
        seconds[name.rsplit("/", 1)[1]] = seconds.get(name.rsplit("/", 1)[1], 0) + duration
jax.monitoring.register_event_duration_secs_listener(note)
from zebjax import train
status = train.main(sys.argv[1:])
print("RESULT", json.dumps({"compile": seconds, "command_s": time.perf_counter() - began}))
sys.exit(status)
"""
_SHORT = [
    *("--name=compile", "--cycles=1", "--selfplay.games-per-cycle=1", "--replay.min-buffer=28"),
    *("--learner.updates-per-cycle=2", "--evaluation.deals=8"),
]


def measure(experiment: Path, cache: Path) -> dict[str, Any]:
    """Run the experiment with this cache folder; return one row."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "PYTHONPATH": str(Path(zebjax.__file__).parents[1]),
        }
        command = [sys.executable, "-c", _CHILD, str(experiment.resolve()), *_SHORT]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise SystemExit(f"compile: {experiment} failed:\n{done.stderr[-2000:]}")
    found = json.loads(lines[0].removeprefix("RESULT "))
    return {
        "experiment": experiment.name,
        "compile_s": round(sum(found["compile"].values()), 1),
        "command_s": round(found["command_s"], 1),
        "parts": {name: round(s, 1) for name, s in found["compile"].items()},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = report.parser_with_json(
        "compile", f"{__doc__}\n\n{ABOUT}", "--experiment experiments/quickstart.py"
    )
    default = Path(__file__).parents[1] / "experiments" / "quickstart.py"
    parser.add_argument(
        "--experiment",
        type=Path,
        default=default,
        metavar="FILE.py",
        help="the experiment (default experiments/quickstart.py)",
    )
    args = parser.parse_args(argv)
    args.experiment = experiment.find(args.experiment)
    with tempfile.TemporaryDirectory() as cache:
        rows = (
            {"cache": name} | measure(args.experiment, Path(cache)) for name in ("cold", "cached")
        )
        report.collect("compile", args, rows)


if __name__ == "__main__":
    sys.exit(report.run("compile", main))
