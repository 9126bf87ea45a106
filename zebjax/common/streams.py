"""Standard output and error whose failures do not end a long run.

A terminal that closes, a pipe whose reader exits (`| head`) or a locale without "±" is no reason to
lose a training run.
"""

import os
import sys
from typing import Any, TextIO, cast


class ForgivingStream:
    """A text stream that drops all output after the first write that fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_gone = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        if not self._is_gone:
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:  # a stream that cannot be reconfigured
                return self._stream.write(text.encode("ascii", "replace").decode("ascii"))
            except BlockingIOError:  # a reader that is slow: this text is lost, later ones are not
                pass
            except (OSError, ValueError):  # ValueError: the stream is closed
                self._drop()
        return len(text)

    def flush(self) -> None:
        """Flush, or drop the buffered text."""
        if not self._is_gone:
            try:
                self._stream.flush()
            except BlockingIOError:
                pass
            except (OSError, ValueError):
                self._drop()

    def isatty(self) -> bool:
        """True if it is a terminal that is still open."""
        return not self._is_gone and self._stream.isatty()

    def _drop(self) -> None:
        """Connect the stream to the null device: at exit Python flushes what it still buffers."""
        self._is_gone = True
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        except (OSError, ValueError):  # a stream without a file
            return


def forgive() -> None:
    """Make failures of standard output and error harmless, also those of their encoding."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, ForgivingStream):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # "?" where the encoding has no "±"
        setattr(sys, name, cast(TextIO, ForgivingStream(stream)))
