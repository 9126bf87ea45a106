"""The steps of the benchmark `on_gpu`, each a process of its own: first compile, then measure."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zebjax.network.config import AUTO
from zebjax.search import SearchConfig

from .. import engine, report, selfplay
from . import limits, parity, speeds
from .programs import Compute


@dataclasses.dataclass(frozen=True)
class Job:
    """What a step is to do."""

    step: str
    out: Path
    """Folder of its results."""
    is_smoke: bool
    """True for tiny sizes."""


Measure = Callable[[], Iterator[dict[str, Any]]]
"""Measures what is compiled; yields rows. A row of the same program as the one before replaces
it."""


def _limits(job: Job) -> Measure:
    return functools.partial(limits.rows, limits.prepare(job.is_smoke))


def _parity(job: Job) -> Measure:
    """One row for each network and way to evaluate it: largest errors of its outputs.

    Raises:
        ValueError: at the end, if an error is beyond its limit.
    """
    n = 16 if job.is_smoke else 512
    # Nothing is timed, so all of it is done while other steps compile.
    rows = [parity.row(case, way) for case in parity.cases(n) for way in parity.WAYS]

    def measure() -> Iterator[dict[str, Any]]:
        yield from rows
        bad = [
            f"{row['network']}, {row['dtype']}, {row['kernels']}" for row in rows if not row["ok"]
        ]
        if bad:
            raise ValueError(f"beyond the limit of its error: {'; '.join(bad)}")

    return measure


def _play(name: str, lanes: int, moves: int, kernels: str = AUTO) -> Callable[[Job], Measure]:
    def prepare(job: Job) -> Measure:
        setting, n = name, lanes
        if job.is_smoke:
            setting, n = "smoke", 4
            selfplay.SETTINGS["smoke"] = selfplay.Setting("small", SearchConfig("gumbel", sims=2))
        made = speeds.self_play(setting, n, Compute("bfloat16", kernels), moves)
        return lambda: speeds.rows(made, job.out / job.step)

    return prepare


def _learn(batch: int, chunk: int) -> Callable[[Job], Measure]:
    def prepare(job: Job) -> Measure:
        sizes = ("small", 8) if job.is_smoke else ("large", batch)
        made = speeds.updates(*sizes, report.dtype_default(), 2 if job.is_smoke else chunk)
        return lambda: speeds.rows(made, job.out / job.step)

    return prepare


def _evaluate(kernels: str) -> Callable[[Job], Measure]:
    def prepare(job: Job) -> Measure:
        preset, n = ("small", 8) if job.is_smoke else ("large", 8192)
        made = speeds.evaluations(preset, n, _TOKENS, Compute("bfloat16", kernels))
        return lambda: speeds.rows(made, job.out / job.step)

    return prepare


def _engine(job: Job) -> Measure:
    sizes = (1024,) if job.is_smoke else (2**17, 2**20)
    return lambda: (engine.measure(games) for games in sizes)


_MOVES = {"original": 1, "recommended": 4}
"""Moves of a timed run: seconds, not minutes."""
_TOKENS = 24
_UPDATES = {64: 100, 1024: 50, 16384: 10}
_KERNELS = {"": AUTO, "-xla": "xla"}
STEPS: dict[str, Callable[[Job], Measure]] = {
    "limits": _limits,
    "parity": _parity,
    "engine": _engine,
    **{f"learner-{batch}": _learn(batch, chunk) for batch, chunk in _UPDATES.items()},
    **{f"evaluations-{_TOKENS}{end}": _evaluate(kernels) for end, kernels in _KERNELS.items()},
    **{
        f"{setting}-{lanes}{end}": _play(setting, lanes, moves, kernels)
        for setting, moves in _MOVES.items()
        for lanes in (8192, 16384, 32768)
        for end, kernels in _KERNELS.items()
    },
}
"""`SETTING-LANES` is self-play, `learner-BATCH` updates; `-xla`: without the kernel of our own."""


def run(step: str, job: Job, wait: Callable[[], None]) -> None:
    """Run one step; its rows are in its file as soon as each is known.

    Args:
        step: a key of `STEPS`; what follows `+` names options of XLA.
        job: what to do.
        wait: called between compiling and measuring; returns when the device is free.
    """
    measure = STEPS[step.partition("+")[0]](job)
    wait()
    result: dict[str, Any] = report.surroundings(f"on_gpu {step}") | {"rows": []}
    path, rows = job.out / f"{step}.json", result["rows"]
    report.write(path, result)
    for row in measure():
        report.show(row)
        # A program's row comes again when its trace is there.
        if row.get("is_traced"):
            rows.pop()
        rows.append(row)
        report.write(path, result)
