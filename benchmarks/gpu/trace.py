"""Summarise a trace of the profiler: the largest kernels by time."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jax.profiler import ProfileData


class Event(NamedTuple):
    """One run of a kernel."""

    name: str
    start_ns: float
    ns: float
    instruction: str = ""
    """The instruction of the optimised program that it belongs to, or the row of kernels that is a
    CUDA graph (`command_buffer_294`); "" if the trace does not say. The kernel of a fusion has its
    name, with `_` for `.`."""


def read(folder: Path) -> list[Event]:
    """Read the kernels of the newest trace in a folder, those of the first device.

    On a GPU they are the events of its streams; without one those of the CPU's threads.

    Raises:
        ValueError: if there is no trace, or nothing ran in it.
    """
    found = sorted(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"{folder}: expected a trace of the profiler, *.xplane.pb")
    planes = list(ProfileData.from_file(str(found[-1])).planes)
    gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    events = []
    for plane in gpu[:1] or [plane for plane in planes if plane.name == "/host:CPU"]:
        for line in plane.lines:
            # Other lines of a device repeat its kernels by module and by source.
            if gpu and not line.name.startswith("Stream"):
                continue
            events += [
                Event(event.name, event.start_ns, event.duration_ns, _instruction(event))
                for event in line.events
                if gpu or _is_operation(event.name)
            ]
    if not events:
        raise ValueError(f"{found[-1]}: nothing ran while it was made")
    return events


def _instruction(event: Any) -> str:
    return next((str(value) for name, value in event.stats if name == "hlo_op"), "")


def _is_operation(name: str) -> bool:
    """True for an instruction of a compiled program, except loops and branches, whose instructions
    are there too; its thread also has events of the runtime.
    """
    is_instruction = re.fullmatch(r"[a-z][a-z0-9_\-]*(\.\d+)*", name) is not None
    return is_instruction and not re.match(r"(while|cond|conditional|call)\b", name)


def busy_ns(events: Iterable[Event]) -> float:
    """Return the time in which at least one kernel ran."""
    total, end = 0.0, 0.0
    for event in sorted(events, key=lambda event: event.start_ns):
        total += max(0.0, event.start_ns + event.ns - max(event.start_ns, end))
        end = max(end, event.start_ns + event.ns)
    return total


def summary(events: Iterable[Event], units: float, n: int) -> dict[str, Any]:
    """Sum up kernels by name and instruction.

    Args:
        events: the kernels of `units` units of work.
        units: moves or updates that ran.
        n: number of names to list, those with the most time.

    Returns:
        `kernels_per_unit`, `busy_ms` (at least one kernel runs) of a unit, and `largest`: name,
        instruction, ms and number a unit, and share of the kernels' time.
    """
    events = list(events)
    sums: dict[tuple[str, str], list[float]] = {}
    for event in events:
        sums.setdefault((event.name, event.instruction), []).append(event.ns)
    total = sum(map(sum, sums.values())) or 1.0
    largest = sorted(sums.items(), key=lambda one: -sum(one[1]))[:n]
    return {
        "kernels_per_unit": round(len(events) / units, 1),
        "busy_ms": round(busy_ns(events) / units / 1e6, 4),
        "largest": [
            {
                "name": name,
                "instruction": instruction,
                "ms": round(sum(ns) / units / 1e6, 6),
                "number": round(len(ns) / units, 1),
                "share": round(sum(ns) / total, 4),
            }
            for (name, instruction), ns in largest
        ],
    }
