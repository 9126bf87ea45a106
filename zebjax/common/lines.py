"""Lines of standard input as they come, for programs that answer line by line."""

import queue
import sys
import threading
from collections.abc import Iterator
from typing import IO

_AHEAD = 4096
"""Lines read ahead."""


def bounded(stream: IO[bytes], limit: int) -> Iterator[bytes]:
    """Yield the lines of a stream without their ends; of a longer line its first limit + 1 bytes.

    Args:
        stream: read to its end.
        limit: bytes of a line.
    """
    while line := stream.readline(limit + 2):
        kept = line
        while not line.endswith(b"\n") and len(kept) > limit:
            if not (line := stream.readline(limit)):
                break
        yield kept.rstrip(b"\r\n")[: limit + 1]


def batches(limit: int, most: int, stream: IO[bytes] | None = None) -> Iterator[list[bytes]]:
    """Yield the lines that have come, at least one, as soon as there are any.

    So a program answers one line at once, and many lines together.

    Args:
        limit: bytes of a line, see `bounded`.
        most: lines in one batch.
        stream: None for standard input.
    """
    waiting: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
    source = stream or sys.stdin.buffer

    def read() -> None:
        try:
            for line in bounded(source, limit):
                waiting.put(line)
        finally:
            waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    is_open = True
    while is_open:
        batch = [waiting.get()]
        while len(batch) < most and batch[-1] is not None:
            try:
                batch.append(waiting.get_nowait())
            except queue.Empty:
                break
        is_open = batch[-1] is not None
        if lines := [line for line in batch if line is not None]:
            yield lines
