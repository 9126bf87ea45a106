"""Processes of a fleet whose `supervisord` is gone.

After a kill -9 of supervisord its processes go on: the learner learns and the workers play, only
nobody restarts them or writes their logs. So they are not killed at once, but stopped in order when
the fleet is started again or stopped. They are found by a variable in their environment.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from zebjax.operations.local import child, configuration, daemon
from zebjax.operations.local.configuration import Policy
from zebjax.operations.local.programs import LEARNER

_LOOKS, _LOOK_S = 10, 0.02
_KERNEL = (0, 2)
"""Parents of the threads of the kernel, which have no environment."""


class Orphan(NamedTuple):
    """A process without its supervisord."""

    name: str
    process: psutil.Process


def find(folder: Path) -> list[Orphan]:
    """The processes of the fleet in this folder; call it only if its supervisord does not run.

    What a process of the fleet has started itself, such as W&B's service, is not listed: it ends
    with that process.
    """
    marked = {}
    for process in psutil.process_iter():
        environment = _environment(process)
        if environment.get(child.MARK) == daemon.token(folder) and process.pid != os.getpid():
            marked[process.pid] = (environment.get("SUPERVISOR_PROCESS_NAME", ""), process)
    found = []
    for name, process in marked.values():
        try:
            is_top = process.ppid() not in marked
        except psutil.Error:
            continue
        if is_top and name != configuration.EVENTS:  # the listener ends by itself
            found.append(Orphan(name, process))
    return found


def _environment(process: psutil.Process) -> dict[str, str]:
    """Return the environment of a process, empty if it cannot be known.

    While a process replaces its program (execve) its environment reads as empty, for a moment.
    """
    found: dict[str, str] = {}
    for _ in range(_LOOKS):
        try:
            found = process.environ()
            is_short = not found and process.status() != psutil.STATUS_ZOMBIE
            if not is_short or process.ppid() in _KERNEL:
                break
        except (psutil.Error, OSError):  # of another user, or ended meanwhile
            break
        time.sleep(_LOOK_S)
    return found


def stop(folder: Path, policy: Policy, note: Callable[[str], None]) -> list[str]:
    """Stop these processes: the workers first, then the learner.

    Args:
        folder: the fleet's folder.
        policy: how long each may take before it is killed.
        note: called with a sentence before each wait.

    Returns:
        Their names.
    """
    found = find(folder)
    workers = [orphan for orphan in found if orphan.name != LEARNER]
    learners = [orphan for orphan in found if orphan.name == LEARNER]
    for group, wait_s in ((workers, policy.worker_stop_s), (learners, policy.learner_stop_s)):
        if group:
            named = ", ".join(orphan.name for orphan in group)
            note(f"stopping {named}, which ran without their supervisord")
            _stop([orphan.process for orphan in group], wait_s)
    return [orphan.name for orphan in found]


def _stop(processes: list[psutil.Process], wait_s: float) -> None:
    for process in processes:
        try:
            process.terminate()
        except psutil.Error:
            continue
    for process in psutil.wait_procs(processes, timeout=wait_s)[1]:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(processes, timeout=10)
