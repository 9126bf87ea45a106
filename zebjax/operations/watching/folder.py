"""The state of a run from its folder: `metrics.jsonl` and the progress of its newest save."""

import statistics
import time
from pathlib import Path
from typing import Any

from zebjax.common import checkpoint, files, locks
from zebjax.distributed import heartbeat
from zebjax.distributed.learner_facts import shown
from zebjax.operations.watching import alarms
from zebjax.operations.watching.facts import COMPLETE, MAX_S, State
from zebjax.training import metrics, warnings
from zebjax.training.metrics import Row

_MAX_BYTES = 1 << 26
_RECENT = 50
_LIVES_S = 300.0
"""Without locks, a run counts as running if its files changed within this many seconds."""


def is_run(folder: Path) -> bool:
    """True if the folder is that of a run: it has settings, metrics or saves."""
    return any((folder / name).exists() for name in ("experiment.json", metrics.FILE, "state"))


class Rows:
    """The rows of a run's metrics file, read again only when the file has changed."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / metrics.FILE
        self._read_at: tuple[int, int] | None = None
        self._rows: list[Row] = []

    def read(self) -> list[Row]:
        """Return all rows; none if there is no file.

        Raises:
            ValueError: if the file is damaged.
        """
        try:
            found = self._file.stat()
        except OSError:
            return []
        if self._read_at != (found.st_mtime_ns, found.st_size):
            self._rows = metrics.read(self._file)
            self._read_at = (found.st_mtime_ns, found.st_size)
        return self._rows


def newest_metrics(rows: list[Row]) -> Row:
    """Return the newest value of each metric that is shown."""
    found: Row = {}
    for row in rows[-1000:]:
        found |= {name: value for name, value in shown(row).items() if heartbeat.is_number(value)}
    return found


def warnings_of(rows: list[Row]) -> dict[str, str]:
    """Return the warnings about the metrics that hold now, name -> sentence."""
    return {one.title: one.text for one in warnings.find(rows)}


def settings(folder: Path) -> dict[str, Any]:
    """Return the settings in the run's `experiment.json`; {} if there are none."""
    return _object(folder / "experiment.json")


def _object(file: Path) -> dict[str, Any]:
    try:
        found = files.read_json(file, _MAX_BYTES)
    except ValueError:  # missing, or deleted meanwhile with its save
        return {}
    return found if isinstance(found, dict) else {}


def _number(values: dict[str, Any], *names: str) -> Any:
    """Return the number at a path of names; None if there is none."""
    found: Any = values
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if heartbeat.is_number(found) and type(found) is not bool else None


def _progress(folder: Path) -> dict[str, Any]:
    saves = checkpoint.steps(folder / "state")
    if not saves:
        return {}
    return _object(checkpoint.step_folder(folder / "state", saves[-1]) / "progress.json")


def _age_s(*paths: Path) -> float:
    """Seconds since one of the files changed last, by the clock of this machine."""
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return min(max(time.time() - max(times), 0.0), MAX_S) if times else MAX_S


def _learner(folder: Path, rows: list[Row], progress: dict[str, Any]) -> dict[str, Any]:
    config, newest = settings(folder), rows[-1] if rows else {}
    walls = [row["perf/cycle_wall_time_s"] for row in rows if "perf/cycle_wall_time_s" in row]
    first, cycles = _number(progress, "first_cycle"), _number(config, "cycles")
    facts = {
        "step": newest.get("cycle", _number(progress, "cycle")),
        "last_step": None if first is None or cycles is None else first + cycles,
        "total_games": _number(progress, "total_games") or newest.get("stats/total_games"),
        "phase": progress.get("phase") if isinstance(progress.get("phase"), str) else None,
        "step_age_s": round(_age_s(folder / (metrics.FILE if rows else "experiment.json")), 1),
        "cycle_s": statistics.median(walls[-_RECENT:]) if walls else None,
        "longest_cycle_s": max(walls[-_RECENT:]) if walls else None,
        "buffer": newest.get("stats/replay_buffer_selfplay"),
        "capacity": _number(config, "replay", "capacity_examples"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _is_running(folder: Path) -> bool:
    held = locks.is_held(folder)
    if held is not None:
        return held
    return _age_s(folder / metrics.FILE, folder / "state") < _LIVES_S


def _device(folder: Path) -> str | None:
    try:
        starts = files.read_json(folder / "environment.json", _MAX_BYTES)
    except ValueError:
        return None
    newest = starts[-1] if isinstance(starts, list) and starts else {}
    found = newest.get("device") if isinstance(newest, dict) else None
    return heartbeat.printable(found) if isinstance(found, str) else None


def of_folder(folder: Path, rows: list[Row]) -> State:
    """Return the state of a run without a store, in the form of `facts.of_store`.

    Args:
        folder: of the run.
        rows: its metrics.
    """
    progress = _progress(folder)
    learner, running = _learner(folder, rows, progress), _is_running(folder)
    step, last = learner.get("step", 0), learner.get("last_step")
    is_complete = last is not None and step >= last and progress.get("phase") != "judge"
    if is_complete:
        learner["phase"] = COMPLETE
    texts = {}
    if not is_complete and not running:
        texts[alarms.NOT_RUNNING] = alarms.TEXTS[alarms.NOT_RUNNING]
    elif not is_complete and (stands := alarms.step_stands(learner)):
        texts[alarms.STEP_STANDS] = stands
    shown = newest_metrics(rows)
    speed = shown.get("perf/games_per_s")
    quarantined = _number(progress, "quarantined")
    process = {
        "role": "all",
        "name": folder.name,
        "alive": running,
        "last_seen_s": round(_age_s(folder / metrics.FILE, folder / "state"), 1),
        "state": "running" if running else "stopped",
        "step": learner.get("step"),
        "games": learner.get("total_games"),
        "games_per_s": speed,
        "phase": learner.get("phase"),
        "device": _device(folder),
    }
    return {
        "run": folder.absolute().name,
        "where": str(folder),
        "alarms": list(texts),
        "alarm_texts": texts,
        "warnings": warnings_of(rows),
        "last_warnings": [],
        "weights": None,
        "quarantined": int(quarantined) if quarantined is not None else None,
        "learner": learner | {"alive": running, "stopped": not running, "complete": is_complete},
        "metrics": shown,
        "games_per_s": {"all": speed} if speed is not None and running else {"all": 0.0},
        "usd_per_hour": None,
        "processes": [{name: value for name, value in process.items() if value is not None}],
    }
