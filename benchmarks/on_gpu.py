"""Measure a GPU in under ten minutes: parity, speeds, lanes, a profile, Pallas kernels."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.common import files

from . import report

ABOUT = """Runs five steps, each in a process and a time budget of its own, so that a failure or a
hang of one loses nothing. Each writes DIR/STEP.json as it goes, and its output to DIR/STEP.log;
DIR/summary.json is written after each. Exit status 1: a step failed; the others have their results.

parity: this device in float32 and bfloat16 against the same network on the CPU, and against the
original's outputs if ZEBJAX_REFERENCE names the folder of golden data. all: the benchmark `all`.
sweep: self-play by number of lanes; in benchmarks/results, its file is what `--selfplay.lanes auto`
reads. profile: the largest kernels by time of self-play and of the learner, beside the roofline's
prediction; the traces for TensorBoard or Perfetto are in DIR/trace. pallas: the network with
Pallas kernels and without.

It needs a GPU that nothing else uses; --smoke tries the same with tiny sizes on any device."""


class Step(NamedTuple):
    """One step of the measurement."""

    name: str
    seconds: float
    """Its time budget, start and compilation included."""


STEPS = (
    Step("parity", 70),
    Step("all", 150),
    Step("sweep", 150),
    Step("profile", 120),
    Step("pallas", 90),
)
"""Under ten minutes together."""
_SMOKE_S = 900.0
_ENDING_S = 10.0
"""Seconds between the request to a step to end and its kill."""
_LINES = 3


def command(step: str, out: Path, is_smoke: bool) -> list[str]:
    """Return the command of a step's process."""
    asked = [sys.executable, "-m", "zebjax", "benchmark", "on_gpu", "--out", str(out)]
    return [*asked, "--alone", step, *["--smoke"] * is_smoke]


def attempt(call: Sequence[str], seconds: float, log: Path) -> dict[str, Any]:
    """Run a process in a time budget, with its output in a file.

    Returns:
        `status`: ok, failed or too slow; `exit_status`; `wall_s`; `last_lines` of its output.
    """
    began = time.monotonic()
    surroundings = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # Sizes recur in the steps, and each step is a new process.
    surroundings.setdefault("JAX_COMPILATION_CACHE_DIR", str(log.parent / "cache"))
    with open(log, "wb") as output:
        process = subprocess.Popen(
            call,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=surroundings,
            start_new_session=True,  # so that what it started ends with it
        )
        try:
            process.wait(seconds)
            status = "failed" if process.returncode else "ok"
        except subprocess.TimeoutExpired:
            status = "too slow"
        finally:
            _end(process)
    lines = log.read_text(errors="replace").strip().splitlines()
    return {
        "status": status,
        "exit_status": process.returncode,
        "wall_s": round(time.monotonic() - began, 1),
        "last_lines": lines[-_LINES:],
    }


def _end(process: subprocess.Popen) -> None:
    """End a process and all that it started, if it still runs."""
    for number, patience in ((signal.SIGTERM, _ENDING_S), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def run(
    steps: Sequence[Step], out: Path, make: Callable[[Step], Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Run the steps one after the other; write `out`/summary.json after each.

    Args:
        steps: with their budgets.
        out: a folder.
        make: returns the command of a step.

    Returns:
        For each step what `attempt` returns.
    """
    done: dict[str, dict[str, Any]] = {}
    for step in steps:
        print(f"{step.name}: up to {step.seconds:.0f} s", flush=True)
        done[step.name] = found = attempt(make(step), step.seconds, out / f"{step.name}.log")
        files.write_json(out / "summary.json", {"started": report.STARTED, "steps": done})
        print(f"{step.name}: {found['status']} after {found['wall_s']:.0f} s", flush=True)
    return done


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("on_gpu", f"{__doc__}\n\n{ABOUT}", "--out results-h100")
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder for all results")
    names = [step.name for step in STEPS]
    add(
        "--steps",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"of {', '.join(names)} (default all)",
    )
    add(
        "--alone",
        choices=names,
        metavar="NAME",
        help="one step in this process, without a budget",
    )
    add("--smoke", action="store_true", help="tiny sizes, to try the steps on any device")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = _parser().parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    asked = [args.alone] if args.alone else args.steps
    steps = [step for step in STEPS if step.name in asked]
    if args.smoke:
        steps = [step._replace(seconds=_SMOKE_S) for step in steps]
    if args.alone:
        from .gpu import steps as here

        here.run(args.alone, here.Job(args.out, steps[0].seconds, args.smoke))
        return 0
    done = run(steps, args.out, lambda step: command(step.name, args.out, args.smoke))
    bad = [name for name, found in done.items() if found["status"] != "ok"]
    for name in bad:
        print(f"{name} {done[name]['status']}: {' / '.join(done[name]['last_lines'])}")
    print(f"results in {args.out}; {len(done) - len(bad)} of {len(done)} steps ok")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(report.run("on_gpu", main))
