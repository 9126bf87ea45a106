"""The configuration file of `supervisord` for a fleet.

`supervisord` runs in the fleet's folder, so all paths but those of commands are short and relative.
A command is always `child.py NAME`, which reads the real one from `fleet.json`: in this file "%",
";" and "#" have meanings of their own.
"""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax.operations.local import child
from zebjax.operations.local.programs import LEARNER, Program

FILE, LOGS, PID_FILE, LOG_FILE = "supervisor.conf", "logs", "supervisord.pid", "supervisord.log"
WORKERS = "workers"
"""The group of all workers."""
EVENTS = "events"
"""The process that writes `events.jsonl`."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """When processes are restarted, given up, and killed."""

    start_s: int = 30
    """A process that ends sooner than this has not started: it is tried again after 1, 2, 3, ...
    seconds. One that ends later is started again at once."""
    retries: int = 10
    """Number of such tries in a row before it is given up."""
    max_exits: int = 20
    """A process that started but ends this often within `exits_within_s` is given up too."""
    exits_within_s: float = 3600.0
    worker_stop_s: int = 300
    """Seconds that a worker has to finish its compiled call and send its games, before SIGKILL."""
    learner_stop_s: int = 600
    log_bytes: int = 10_000_000
    """Size at which a log begins a new file."""
    log_files: int = 3
    """Number of earlier files kept of each log."""

    @property
    def stop_s(self) -> float:
        """Maximum seconds of an orderly stop: workers, then the learner, then the events."""
        return self.worker_stop_s + self.learner_stop_s + 30.0


def text(programs: Sequence[Program], policy: Policy, socket: Path, token: str) -> str:
    """The configuration file.

    Args:
        programs: the processes; exactly one is the learner.
        policy: limits.
        socket: path of the socket on which supervisord answers.
        token: marks all processes of the fleet, see `orphans`; letters and digits.
    """
    own = [
        "[supervisord]",
        f"logfile={LOG_FILE}",
        "logfile_maxbytes=1MB",
        "logfile_backups=2",
        f"pidfile={PID_FILE}",
        f"umask={_umask():03o}",
        # Otherwise it complains that it was not told to leave root.
        *(["user=root"] if os.geteuid() == 0 else []),
        "",
        "[unix_http_server]",
        f"file={_escaped(str(socket))}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    workers = [program.name for program in programs if program.name != LEARNER]
    # A group is stopped when all groups of a higher number have ended: the workers send their last
    # games first, and the events are written to the end.
    groups = ["", f"[group:{WORKERS}]", f"programs={','.join(workers)}", "priority=20"]
    sections = [_program(program, policy, token) for program in programs]
    listener = [
        "",
        f"[eventlistener:{EVENTS}]",
        f"command={_child(EVENTS)}",
        "events=PROCESS_STATE,SUPERVISOR_STATE_CHANGE",
        "buffer_size=10000",
        "priority=-1",
        "startretries=1000000",
        "autorestart=true",
        f"environment={child.MARK}={token}",
        f"stderr_logfile={LOGS}/{EVENTS}.log",
        f"stderr_logfile_maxbytes={policy.log_bytes}",
        "stderr_logfile_backups=1",
    ]
    lines = [*own, *(line for section in sections for line in section)]
    return "\n".join([*lines, *(groups if workers else []), *listener]) + "\n"


def _program(program: Program, policy: Policy, token: str) -> list[str]:
    is_learner = program.name == LEARNER
    stop_s = policy.learner_stop_s if is_learner else policy.worker_stop_s
    return [
        "",
        f"[program:{program.name}]",
        f"command={_child(program.name)}",
        f"priority={10 if is_learner else 20}",
        f"environment={child.MARK}={token}",
        # The learner ends with 0 when the run is complete, and when somebody has stopped it: the
        # listener knows which. Workers have no end of their own.
        f"autorestart={'unexpected' if is_learner else 'true'}",
        f"startsecs={policy.start_s}",
        f"startretries={policy.retries}",
        f"stopwaitsecs={stop_s}",
        # SIGTERM for the process alone, so that what it has started serves it to the end; SIGKILL
        # for all.
        "stopasgroup=false",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={LOGS}/{program.name}.log",
        f"stdout_logfile_maxbytes={policy.log_bytes}",
        f"stdout_logfile_backups={policy.log_files}",
    ]


def _child(name: str) -> str:
    # -I: the program that `child.py` becomes reads the environment, not this one.
    return _escaped(shlex.join([sys.executable, "-I", child.__file__, name]))


def _escaped(value: str) -> str:
    """The value of a setting. A blank before ";" or "#" would begin a comment."""
    for mark in (";", "#"):
        value = value.replace(f" {mark}", f" ''{mark}")
    return value.replace("%", "%%")


def _umask() -> int:
    """The umask of this process, which supervisord would replace by one of its own."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
