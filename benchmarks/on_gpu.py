"""Measure a GPU in under ten minutes: parity, speeds, kernels, and the roofline's constants."""

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

from zebjax.common import cli, files

from . import report

ABOUT = """Each step has a process of its own, so that a failure or a hang of one loses nothing.
First all steps compile, several at a time; then they measure in turn, the most important first.
Each writes DIR/STEP.json as it goes, and its output to DIR/STEP.log; DIR/summary.json is written
after each. Exit status 1: a step failed; the others have their results.

parity: this device in float32, in bfloat16 and with the kernel of our own against the same network
on the CPU, and against the original's outputs if ZEBJAX_REFERENCE names the folder of golden data.
limits: the constants of the roofline. engine: the rules. The others are a program with its size:
self-play of a setting of `benchmark selfplay` with its lanes, updates of the learner by batch, or
evaluations of positions by tokens: speed, the largest kernels by time, and what the roofline says
of the same program. DIR also gets the optimised program and the time of each of its kernels.
`-xla`: without the kernel of our own. `+graphs`: whole loops in CUDA graphs.

Compilation takes most of the time: two minutes with 16 cores. With few of them choose some --steps.

It needs a GPU that nothing else uses; --smoke tries the same with tiny sizes on any device."""


class Step(NamedTuple):
    """One step of the measurement."""

    name: str
    seconds: float
    """Its time budget, compilation not included."""

    @property
    def flags(self) -> str:
        """Options of XLA, by what follows `+` in the name."""
        return FLAGS[self.name.partition("+")[2]]


FLAGS = {
    "": "",
    # Whole loops in CUDA graphs, not only rows of kernels.
    "graphs": "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL",
}
STEPS = (
    Step("parity", 20),
    Step("original-8192", 25),
    Step("original-16384", 30),
    Step("recommended-16384", 20),
    Step("recommended-32768", 20),
    Step("learner-64", 15),
    Step("learner-1024", 15),
    Step("learner-16384", 20),
    Step("evaluations-24", 10),
    Step("original-8192-xla", 25),
    Step("recommended-16384-xla", 20),
    Step("learner-64+graphs", 15),
    Step("limits", 20),
    Step("engine", 25),
)
"""In the order of importance. On an H200 each took at most half of its budget."""
COMPILE_S = 240.0
"""Budget for the compilation of all steps."""
_SMOKE = 20.0
"""Budgets are multiplied by this with --smoke."""
_ENDING_S = 10.0
"""Seconds between the request to a step to end and its kill."""
_POLL_S = 0.05
_LINES = 3


def command(step: str, out: Path, is_smoke: bool) -> list[str]:
    """Return the command of a step's process."""
    asked = [sys.executable, "-m", "zebjax", "benchmark", "on_gpu", "--out", str(out)]
    return [*asked, "--alone", step, "--in-turn", *["--smoke"] * is_smoke]


def wait_for_turn(step: str, out: Path) -> None:
    """Say that this process has compiled, and return when it may use the device alone."""
    files.write_text(out / f"{step}.ready", "")
    while not (out / f"{step}.go").exists():
        time.sleep(_POLL_S)


class Attempt:
    """A step's process."""

    def __init__(self, step: Step, call: Sequence[str], out: Path):
        """Start it.

        Args:
            step: its name and budget.
            call: the command.
            out: folder of its output and of its files.
        """
        self.step, self._out, self._began = step, out, time.monotonic()
        for name in (f"{step.name}.ready", f"{step.name}.go"):
            (out / name).unlink(missing_ok=True)
        surroundings = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # Many processes share the device.
        surroundings.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        surroundings["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {step.flags}".strip()
        with open(self._log, "wb") as output:
            self._process = subprocess.Popen(
                call,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=surroundings,
                start_new_session=True,  # so that what it started ends with it
            )

    @property
    def _log(self) -> Path:
        return self._out / f"{self.step.name}.log"

    @property
    def is_compiling(self) -> bool:
        """True until it is ready to measure, or has ended."""
        ready = self._out / f"{self.step.name}.ready"
        return self._process.poll() is None and not ready.exists()

    def measure(self, seconds: float, is_late: bool) -> dict[str, Any]:
        """Let it measure for at most `seconds`, and end it.

        Args:
            seconds: its budget.
            is_late: True if it was ended while it compiled.

        Returns:
            `status`: ok, failed or too slow; `exit_status`; `wall_s` and `measuring_s`;
            `last_lines` of its output.
        """
        began = time.monotonic()
        try:
            if not is_late:
                files.write_text(self._out / f"{self.step.name}.go", "")
                self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            self.end()
        status = "too slow" if is_late else "failed" if self._process.returncode else "ok"
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return {
            "status": status,
            "exit_status": self._process.returncode,
            "wall_s": round(time.monotonic() - self._began, 1),
            "measuring_s": round(time.monotonic() - began, 1),
            "last_lines": lines[-_LINES:],
        }

    def end(self) -> None:
        """End the process and all that it started, if it still runs."""
        for number, patience in ((signal.SIGTERM, _ENDING_S), (signal.SIGKILL, None)):
            if self._process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)


def run(
    steps: Sequence[Step],
    out: Path,
    make: Callable[[Step], Sequence[str]],
    compile_s: float = COMPILE_S,
    at_once: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Compile all steps, then measure one after the other; write `out`/summary.json after each.

    Args:
        steps: with their budgets.
        out: a folder.
        make: returns the command of a step.
        compile_s: seconds until steps that still compile are given up.
        at_once: processes that compile at the same time; by default as many as cores but one.

    Returns:
        For each step what `Attempt.measure` returns.
    """
    at_once = at_once or max(1, (os.cpu_count() or 1) - 1)
    began, waiting = time.monotonic(), list(steps)
    attempts: list[Attempt] = []
    done: dict[str, dict[str, Any]] = {}
    try:
        while time.monotonic() - began < compile_s:
            compiling = sum(attempt.is_compiling for attempt in attempts)
            if waiting and compiling < at_once:
                step = waiting.pop(0)
                print(f"{step.name}: compiles", flush=True)
                attempts.append(Attempt(step, make(step), out))
            elif not waiting and not compiling:
                break
            else:
                time.sleep(_POLL_S)
        print(f"compiled after {time.monotonic() - began:.0f} s", flush=True)
        # A process that still compiles would disturb the others.
        late = [attempt for attempt in attempts if attempt.is_compiling]
        for attempt in late:
            attempt.end()
        for attempt in attempts:
            name = attempt.step.name
            done[name] = found = attempt.measure(attempt.step.seconds, attempt in late)
            files.write_json(out / "summary.json", {"started": report.STARTED, "steps": done})
            print(f"{name}: {found['status']} after {found['measuring_s']:.1f} s", flush=True)
    finally:
        for attempt in attempts:
            attempt.end()
    done |= {step.name: {"status": "not begun", "last_lines": []} for step in waiting}
    files.write_json(out / "summary.json", {"started": report.STARTED, "steps": done})
    return done


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("on_gpu", f"{__doc__}\n\n{ABOUT}", "--out results-h100")
    add = parser.add_argument
    add("--out", type=cli.folder, required=True, metavar="DIR", help="folder for all results")
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
    add("--in-turn", action="store_true", help="with --alone: measure when DIR/NAME.go is there")
    add("--smoke", action="store_true", help="tiny sizes, to try the steps on any device")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = _parser().parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.alone:
        from .gpu import steps as here

        wait = (lambda: wait_for_turn(args.alone, args.out)) if args.in_turn else lambda: None
        here.run(args.alone, here.Job(args.alone, args.out, args.smoke), wait)
        return 0
    steps = [step for step in STEPS if step.name in args.steps]
    factor = _SMOKE if args.smoke else 1.0
    steps = [step._replace(seconds=factor * step.seconds) for step in steps]
    made = run(
        steps, args.out, lambda step: command(step.name, args.out, args.smoke), factor * COMPILE_S
    )
    bad = [name for name, found in made.items() if found["status"] != "ok"]
    for name in bad:
        print(f"{name} {made[name]['status']}: {' / '.join(made[name]['last_lines'])}")
    print(f"results in {args.out}; {len(made) - len(bad)} of {len(made)} steps ok")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(report.run("on_gpu", main))
