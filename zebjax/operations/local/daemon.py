"""Start `supervisord` for a fleet, and talk to it."""

import hashlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn

import psutil
from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from zebjax.operations.local import configuration
from zebjax.operations.local.programs import LEARNER

_ANSWER_S = 10.0
"""Seconds to wait for an answer of supervisord."""
_POLL_S = 0.1
SOCKET = "supervisor.sock"
_LONGEST = ".1234567"  # supervisord binds SOCKET.PID first
Info = dict[str, Any]


class NoAnswer(Exception):
    """supervisord did not answer; the message says why."""


def full_name(name: str) -> str:
    """The name by which supervisord knows a process: that of its group comes first."""
    return f"{LEARNER if name == LEARNER else configuration.WORKERS}:{name}"


def token(folder: Path) -> str:
    """A name of the fleet in this folder, of letters and digits, the same at every start."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def pid(folder: Path) -> int | None:
    """The process id of the supervisord of this fleet; None if it does not run."""
    try:
        number = int((folder / configuration.PID_FILE).read_text())
        process = psutil.Process(number)
        # The file outlives a kill -9, and the number may belong to another process by now.
        is_ours = str(folder / configuration.FILE) in process.cmdline()
        return number if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.Error):
        return None


def place_of_socket(folder: Path) -> Path:
    """A path at which supervisord can listen.

    That is in the fleet's folder, unless the path is too long for a socket (about 100 bytes) or
    the file system has none; then in a folder of this user among the temporary files.

    Raises:
        ValueError: if neither can be used.
    """
    try:
        _try_socket(folder / SOCKET)
        return folder / SOCKET
    except OSError as error:
        reason = f"{folder}: {error.strerror or error}"
    mine = Path(tempfile.gettempdir()) / f"zebjax-{os.getuid()}"
    mine.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(mine)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ValueError(f"{mine}: expected a folder that only this user can read")
    path = mine / f"{token(folder)}.sock"
    try:
        _try_socket(path)
    except OSError as error:
        raise ValueError(
            f"no socket can be made for supervisord ({reason}; {mine}: {error.strerror or error})"
        ) from None
    return path


def _try_socket(path: Path) -> None:
    """Make and link a socket as supervisord will; raise OSError if that is impossible."""
    first, second = (path.with_name(path.name + end) for end in (_LONGEST, ".probe"))
    for probe in (first, second):
        probe.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(first))
            os.link(first, second)
    finally:
        for probe in (first, second):
            probe.unlink(missing_ok=True)


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc]  # supervisor has no types
    """A connection that does not wait for ever."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(self.socketfile)


class Client:
    """Calls to the supervisord of a fleet."""

    def __init__(self, path: str | Path) -> None:
        """`path` is that of the socket."""
        transport = SupervisorTransport("", "", f"unix://{path}")

        def connection() -> _Connection:
            made = _Connection("localhost")
            made.socketfile = str(path)
            return made

        transport._get_connection = connection
        self._server = xmlrpc.client.ServerProxy("http://localhost", transport)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of supervisord's XML-RPC interface.

        Raises:
            NoAnswer: if it does not answer.
            ValueError: if it refuses the call.
        """
        try:
            return getattr(self._server.supervisor, name)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise ValueError(f"supervisord refuses {name}: {fault.faultString}") from None
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise NoAnswer(str(error) or type(error).__name__) from None

    def processes(self) -> dict[str, Info]:
        """Name -> state of every process but the listener."""
        found = {info["name"]: info for info in self.call("getAllProcessInfo")}
        found.pop(configuration.EVENTS, None)
        return found


def command(folder: Path, *more: str) -> list[str]:
    """The command that starts supervisord."""
    file = str(folder / configuration.FILE)
    return [sys.executable, "-m", "supervisor.supervisord", "-c", file, *more]


def launch(folder: Path, path: Path) -> int:
    """Start supervisord, which leaves the terminal, and wait until it answers.

    Args:
        folder: the fleet's folder, with the configuration.
        path: of its socket.

    Returns:
        Its process id.

    Raises:
        ValueError: if it does not start.
    """
    done = subprocess.run(
        command(folder),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log = folder / configuration.LOG_FILE
    if done.returncode:
        said = " ".join(done.stdout.split("For help")[0].split()) or f"see {log}"
        raise ValueError(f"supervisord does not start: {said}")
    end = time.monotonic() + _ANSWER_S
    while time.monotonic() < end:
        number = pid(folder)
        if number is not None:
            try:
                Client(path).call("getState")
                return number
            except NoAnswer:
                pass
        time.sleep(_POLL_S)
    raise ValueError(f"supervisord does not answer {_ANSWER_S:.0f} s after its start; see {log}")


def become(folder: Path) -> NoReturn:
    """Replace this process by supervisord, which stays in the foreground."""
    os.chdir(folder)
    words = command(folder, "--nodaemon")
    os.execv(words[0], words)


def wait_for_end(folder: Path, at_most_s: float, meanwhile: Callable[[], None]) -> bool:
    """Wait until the supervisord of this fleet has ended.

    Args:
        folder: the fleet's folder.
        at_most_s: seconds.
        meanwhile: called repeatedly.

    Returns:
        False if it still runs.
    """
    end = time.monotonic() + at_most_s
    while pid(folder) is not None:
        if time.monotonic() > end:
            return False
        meanwhile()
        time.sleep(_POLL_S)
    return True
