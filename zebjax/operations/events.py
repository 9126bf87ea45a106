"""What happened to the processes of a fleet: `events.jsonl` in the fleet's folder.

One JSON object a line, in the order in which it was noticed:

    time_s              seconds since 1970
    role                learner, selfplay or evalaux; "supervisor" for the program that watches them
    name                the process: learner, play-1, evalaux-1, ...
    event               one of `EVENTS`
    host                the machine
    gpu                 the name of its GPU; null without one
    price_usd_per_hour  this process's share of the machine's price; null if it is not known
    detail              a sentence for people; for `fatal` with the last lines of the log

A process that runs has `started` or `restarted` as its last event.
"""

import json
import socket
import time
from pathlib import Path
from typing import Any

from zebjax.common import parsing
from zebjax.training import metrics

FILE = "events.jsonl"
EVENTS = ("started", "exited", "restarted", "fatal", "stopped")
"""started, restarted: the process was started, for the first time or again. exited: it ended by
itself. fatal: it ended so often that it is not started again. stopped: it was asked to end."""
SUPERVISOR = "supervisor"
"""Role and name of the program that watches the others."""
_MAX_BYTES = 1 << 28
Row = dict[str, Any]


def row(
    role: str,
    name: str,
    event: str,
    detail: str = "",
    gpu: str | None = None,
    price_usd_per_hour: float | None = None,
) -> Row:
    """An event of now, on this machine.

    Raises:
        ValueError: if `event` is not one of `EVENTS`.
    """
    if event not in EVENTS:
        raise ValueError(f"event: expected {parsing.either(EVENTS)}, got {event!r}")
    return {
        "time_s": round(time.time(), 3),
        "role": role,
        "name": name,
        "event": event,
        "host": socket.gethostname(),
        "gpu": gpu,
        "price_usd_per_hour": price_usd_per_hour,
        "detail": detail,
    }


def append(folder: Path, *rows: Row) -> None:
    """Add events to the file in a fleet's folder; several processes may do so at once.

    Raises:
        OSError: if it cannot be written.
    """
    for each in rows:
        metrics.append(folder / FILE, each)


def read(folder: Path) -> list[Row]:
    """All events, the oldest first; none if there is no file. Lines that are no event are skipped.

    Raises:
        ValueError: if the file cannot be read.
    """
    path = folder / FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"{path}: larger than the {_MAX_BYTES:,} bytes allowed")
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    return [found for found in map(_parse, lines) if found is not None]


def _parse(line: bytes) -> Row | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    texts = ("role", "name", "event", "host", "detail")
    if not isinstance(found, dict) or not all(type(found.get(name)) is str for name in texts):
        return None
    return found if type(found.get("time_s")) in (int, float) else None


def since_start(rows: list[Row]) -> list[Row]:
    """The events since the supervisor was last started, its own start left out."""
    starts = [
        place
        for place, each in enumerate(rows)
        if each["name"] == SUPERVISOR and each["event"] == "started"
    ]
    return rows[starts[-1] + 1 :] if starts else rows
