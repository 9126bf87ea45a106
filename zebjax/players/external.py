"""A player that is another program: it answers the lines of the protocol, see engine.md.

The program is given what its seat knows and nothing else. It has a time limit for each decision. A
reply that is wrong forfeits the game (`base.FORFEIT`): an illegal tile, another leader or other
points than ours, a line that is no reply, none in time, the program's end.
"""

import collections
import contextlib
import os
import queue
import shlex
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np

from zebjax import game, position_arrays, position_json, protocol
from zebjax.common import console, lines
from zebjax.contract import Contract
from zebjax.players import base
from zebjax.players.base import Player
from zebjax.position import Bid, Position
from zebjax.protocol import Request

TIMEOUT_S = 10.0
START_S = 60.0
"""Time for the reply to the greeting, since a program may load a network."""
MAX_FAILURES = 5
"""Failures in a row, without a reply that could be used, after which a program is given up."""
_SHOWN = 3
"""Forfeits that are described; the others are counted."""
_AHEAD = 16


class _Failure(Exception):
    """A program has not answered as the protocol says; its text says how."""


class Program:
    """A running program. It is started again after a failure, so that no late reply is mistaken."""

    def __init__(self, command: str, timeout_s: float) -> None:
        """Start the program and greet it.

        Raises:
            ValueError: if the command is empty, or the program does not answer the greeting.
            OSError: if it cannot be started.
        """
        self._words = shlex.split(command)
        if not self._words:
            raise ValueError("expected a command as in ext:python3 player.py, got an empty one")
        self._timeout_s = timeout_s
        self.decisions = 0
        self.forfeits: collections.Counter[str] = collections.Counter()
        """By kind: `illegal`, `late`, `failed`."""
        self._failures = 0
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._kill: weakref.finalize | None = None
        self._replies: queue.Queue[bytes | None] = queue.Queue()
        try:
            self._start()
        except _Failure as failure:
            raise ValueError(f"it does not answer the greeting: {failure}") from None

    def _start(self) -> None:
        self.close()
        process = subprocess.Popen(
            self._words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A group of its own: also what it has started is killed, and Ctrl-C comes only to us.
            start_new_session=True,
        )
        self._process, self._replies = process, queue.Queue(_AHEAD)
        self._kill = weakref.finalize(self, _kill, process)
        threading.Thread(target=_read, args=(process, self._replies), daemon=True).start()
        self._exchange(Request(self._next(), protocol.HELLO), START_S)

    def close(self) -> None:
        """Kill the program and everything that it has started."""
        if self._kill is not None:
            self._kill()
        self._process = None

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _exchange(self, request: Request, limit_s: float) -> int:
        """Send one request and read its reply.

        Raises:
            _Failure: if there is no reply in time.
            ValueError: if the reply is wrong.
        """
        assert self._process is not None and self._process.stdin is not None
        end = time.monotonic() + limit_s
        try:
            self._process.stdin.write(protocol.write_request(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._replies.get(timeout=max(0, end - time.monotonic()))
        except OSError:
            line = None
        except queue.Empty:
            raise _Failure(f"no reply in {limit_s:g} s") from None
        if line is None:
            raise _Failure("it has ended")
        try:
            return protocol.read_reply(line, request)
        except ValueError as error:
            if request.kind == protocol.HELLO:
                raise _Failure(str(error)) from None
            raise

    def ask(self, position: Position, seed: int) -> int | None:
        """The tile that the program plays; None if it has forfeited.

        Raises:
            ValueError: if it has failed `MAX_FAILURES` times in a row.
        """
        self.decisions += 1
        try:
            if self._process is None:
                self._start()
            request = Request(self._next(), protocol.PLAY, position, seed)
            tile = self._exchange(request, self._timeout_s)
        except (_Failure, ValueError, OSError) as error:
            self._forfeit(error)
            return None
        self._failures = 0
        return tile

    def _forfeit(self, error: Exception) -> None:
        is_illegal = isinstance(error, ValueError) and str(error).startswith("move:")
        kind = "late" if str(error).startswith("no reply") else "failed"
        self.forfeits["illegal" if is_illegal else kind] += 1
        if self.forfeits.total() <= _SHOWN:
            console.warn(f"{self._words[0]} forfeits a game: {error}")
        if is_illegal:
            self._failures = 0
            return
        self.close()
        self._failures += 1
        if self._failures == MAX_FAILURES:
            raise ValueError(f"it has failed {MAX_FAILURES} times in a row, at last: {error}")

    def summary(self) -> str:
        """What has been forfeited; empty if nothing."""
        if not self.forfeits:
            return ""
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.forfeits.items()))
        return (
            f"{console.counted(self.forfeits.total(), 'game')} forfeited ({kinds}) in "
            f"{console.counted(self.decisions, 'decision')}"
        )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a program's group; also called when zebjax ends."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def _read(process: "subprocess.Popen[bytes]", replies: "queue.Queue[bytes | None]") -> None:
    assert process.stdout is not None
    # A read fails when the pipe is closed by `_kill`.
    with contextlib.suppress(OSError, ValueError):
        for line in lines.bounded(process.stdout, position_json.MAX_LINE_BYTES):
            replies.put(line)
    with contextlib.suppress(queue.Full):
        replies.put_nowait(None)


def load(command: str, timeout: float = TIMEOUT_S) -> Player:
    """Make the player of the spec `ext:COMMAND`.

    Args:
        command: the program and its arguments. They are divided as a shell would, but no shell
            runs.
        timeout: seconds for one decision.

    Raises:
        ValueError: if the program does not answer the greeting.
        OSError: if it cannot be started.
    """
    program = Program(command, timeout)
    spec = f"ext:{command}"

    def ask_all(states: game.GameState, bids: Sequence[Bid | None], keys: np.ndarray) -> np.ndarray:
        slots = np.full(len(keys), base.FORFEIT, np.int32)
        for row, bid in enumerate(bids):
            view = position_arrays.view(base.one(states, row), bid)
            try:
                tile = program.ask(view, int(keys[row, 1]))
            except ValueError as error:
                raise ValueError(f"player {spec!r}: {error}") from None
            if tile is not None:
                slots[row] = view.hands[view.mover].index(tile)
        return slots

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        return ask_all(states, [None] * len(keys), keys)

    def choose_in_contract(
        states: game.GameState, contracts: Contract, keys: np.ndarray
    ) -> np.ndarray:
        return ask_all(states, position_arrays.bids(contracts), keys)

    def choose_special(seen: Position, seed: int) -> int:
        tile = program.ask(seen, seed)
        return base.FORFEIT if tile is None else tile

    return Player(
        spec,
        choose,
        may_forfeit=True,
        summary=program.summary,
        choose_in_contract=choose_in_contract,
        choose_special=choose_special,
    )
