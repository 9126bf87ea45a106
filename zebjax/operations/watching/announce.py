"""Run a command when an alarm begins and when it ends, once each, also over restarts.

The texts of alarms contain words from the store, which anybody with access to it may write. They
are passed in environment variables only; the shell reads nothing but the user's own command.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from zebjax.common import caches, files, locks

BEGAN, ENDED = "began", "ended"
SETTLE_S = 30.0
"""An alarm is announced after it has lasted this long, and ended after it was away this long: the
first heartbeats of a machine with a wrong clock look old, and a restart takes a moment."""
LIMIT_S = 30.0
"""Maximum seconds that the command may take."""
_MAX_BYTES, _MAX_TEXT, _MAX_ALARMS = 1 << 20, 500, 100
_STATE = "announced.json"


class Event(NamedTuple):
    """A beginning or an end to announce."""

    state: str
    name: str
    text: str


def safe(text: str) -> str:
    """Return the text on one line, without characters that mean something in JSON or in a shell."""
    odd = '"\\`$'
    return "".join(c for c in text if c.isprintable() and c not in odd)[:_MAX_TEXT]


def due(
    now: Mapping[str, str], announced: Mapping[str, str], changed_s: Mapping[str, float]
) -> list[Event]:
    """Return what to announce.

    Args:
        now: the present alarms, name -> sentence.
        announced: the alarms whose beginning was announced and whose end was not.
        changed_s: name -> seconds since the alarm began or ended.
    """
    began = [Event(BEGAN, name, text) for name, text in now.items() if name not in announced]
    ended = [Event(ENDED, name, text) for name, text in announced.items() if name not in now]
    return [event for event in (*began, *ended) if changed_s.get(event.name, 0.0) >= SETTLE_S]


def run_command(command: str, event: Event, run: str, limit_s: float = LIMIT_S) -> str | None:
    """Run the user's command in a shell; return what went wrong, or None.

    Args:
        command: of the user, with `ZEBJAX_ALARM`, `ZEBJAX_STATE` and `ZEBJAX_RUN` in its
            environment.
        event: what to announce.
        run: the name of the run.
        limit_s: after this many seconds the command and its children are killed.
    """
    told = {
        "ZEBJAX_ALARM": safe(f"{event.name}: {event.text}"),
        "ZEBJAX_STATE": event.state,
        "ZEBJAX_RUN": safe(run),
    }
    # A file and not a pipe: a child in the background would keep a pipe open.
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                shell=True,
                env=os.environ | told,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"--alert: the command cannot be started: {error}"
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"--alert: the command was killed after {limit_s:.0f} s"
        if status == 0:
            return None
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
        lines = errors.read().decode(errors="replace").strip().splitlines()
        last = safe(lines[-1] if lines else "")
        return f"--alert: the command failed with status {status}: {last}"


class Announcer:
    """Announces the alarms of one run with one command."""

    def __init__(self, command: str, folder: Path) -> None:
        """Read which alarms were announced before.

        Args:
            command: of the user.
            folder: keeps the state; see `opened`.
        """
        self._command, self._file = command, folder / _STATE
        self._announced = _read(self._file)
        self._changed: dict[str, float] = {}

    def update(self, alarms: Mapping[str, str], run: str) -> list[str]:
        """Announce what is due; return a sentence for each problem.

        Args:
            alarms: the present alarms, name -> sentence.
            run: the name of the run.
        """
        now = time.monotonic()
        known = set(alarms) | set(self._announced)
        waits = {name for name in known if (name in alarms) != (name in self._announced)}
        self._changed = {name: self._changed.get(name, now) for name in waits}
        since = {name: now - began for name, began in self._changed.items()}
        problems = []
        for event in due(alarms, self._announced, since):
            if event.state == BEGAN:
                self._announced[event.name] = safe(event.text)
            else:
                del self._announced[event.name]
            # Before the command: one that is killed with its watcher must not run twice.
            problems += [self._keep(), run_command(self._command, event, run)]
        return [problem for problem in problems if problem is not None]

    def _keep(self) -> str | None:
        try:
            files.write_json(self._file, self._announced)
        except OSError as error:
            return f"--alert: {self._file} cannot be written ({error.strerror or error})"
        return None


def _read(file: Path) -> dict[str, str]:
    try:
        found = files.read_json(file, _MAX_BYTES)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    texts = {name: text for name, text in found.items() if isinstance(text, str)}
    return dict(list(texts.items())[:_MAX_ALARMS])


@contextlib.contextmanager
def opened(command: str, where: str, note: Callable[[str], None]) -> Iterator[Announcer]:
    """Open the announcer of a run, kept in the user's cache folder by run and command.

    Args:
        command: of the user.
        where: the run's folder or store.
        note: receives a sentence about a file system without locks.

    Raises:
        ValueError: if another process announces the same run with the same command.
    """
    key = hashlib.sha256(f"{where}\n{command}".encode()).hexdigest()[:24]
    root = caches.folder("alerts")
    with contextlib.ExitStack() as stack:
        if root is None:
            note("--alert: no cache folder can be written; a restart announces again what lasts")
            root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        advice = "it announces the alarms of this run with the same --alert command"
        stack.enter_context(locks.locked(root / key, advice, note))
        yield Announcer(command, root / key)
