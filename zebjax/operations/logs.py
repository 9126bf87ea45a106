"""Read the logs of processes while they are written and rotated."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

_POLL_S = 0.25
_MAX_TAIL_BYTES = 1 << 20


def tail(path: Path, n_lines: int) -> list[str]:
    """The last lines of a log, those of its newest rotated file included; none if it is missing."""
    if n_lines < 1:
        return []
    data = _last_bytes(path)
    if data.count(b"\n") <= n_lines:
        # A rotation may fall into the middle of a line.
        data = _last_bytes(path.with_name(path.name + ".1")) + data
    return [_text(line) for line in data.splitlines()[-n_lines:]]


def _last_bytes(file: Path) -> bytes:
    try:
        with open(file, "rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - _MAX_TAIL_BYTES))
            return opened.read()
    except OSError:
        return b""


def _text(line: bytes) -> str:
    """A line without characters that would move the cursor."""
    return "".join(c if c.isprintable() else " " for c in line.decode(errors="replace")).rstrip()


class _Followed:
    """A log file that is read as it grows."""

    def __init__(self, path: Path, n_lines: int) -> None:
        self._path = path
        self._rest = b""
        self._file = self._open()
        if self._file is not None:
            size = self._file.seek(0, os.SEEK_END)
            begin = self._file.seek(max(0, size - _MAX_TAIL_BYTES))
            lines = self._file.read(size - begin).splitlines(keepends=True)
            skipped = lines[: max(0, len(lines) - n_lines)]
            self._file.seek(begin + sum(map(len, skipped)))

    def _open(self) -> BinaryIO | None:
        try:
            return open(self._path, "rb")
        except OSError:
            return None

    def lines(self) -> Iterator[str]:
        """Yield the lines that are new since the last call."""
        if self._file is None:
            self._file = self._open()
        if self._file is None:
            return
        yield from self._read(self._file)
        # After a rotation the path is another file, and nothing more comes into this one.
        if self._has_moved(self._file):
            yield from self._read(self._file)
            self._file.close()
            self._file = self._open()
            if self._file is not None:
                yield from self._read(self._file)

    def _read(self, file: BinaryIO) -> Iterator[str]:
        if file.tell() > os.fstat(file.fileno()).st_size:  # it was emptied
            file.seek(0)
        *whole, self._rest = (self._rest + file.read()).split(b"\n")
        yield from map(_text, whole)

    def _has_moved(self, file: BinaryIO) -> bool:
        try:
            now = os.stat(self._path)
        except OSError:
            return False
        ours = os.fstat(file.fileno())
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)


def follow(paths: Mapping[str, Path], n_lines: int) -> Iterator[tuple[str, str] | None]:
    """Yield the last lines of several logs, and then new ones as they are written, without end.

    Args:
        paths: name -> log.
        n_lines: number of old lines of each log.

    Yields:
        Name and line; None after each look at all logs, before the next one.
    """
    followed = {name: _Followed(path, n_lines) for name, path in paths.items()}
    while True:
        for name, log in followed.items():
            for line in log.lines():
                yield name, line
        yield None
        time.sleep(_POLL_S)
