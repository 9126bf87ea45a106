"""Standard output and error that may fail without ending a long run.

A terminal closes, the reader of a pipe goes away (`| head`), a locale cannot write "±": none of
this is a reason to lose a training run.
"""

import os
import sys
from typing import Any, TextIO, cast


class ForgivingStream:
    """A text stream whose output is dropped once its reader has gone."""

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
        """Flush, or drop what waits."""
        if not self._is_gone:
            try:
                self._stream.flush()
            except BlockingIOError:
                pass
            except (OSError, ValueError):
                self._drop()

    def isatty(self) -> bool:
        """True if a person reads it still."""
        return not self._is_gone and self._stream.isatty()

    def _drop(self) -> None:
        """Point the stream at the null device: what it still buffers must go somewhere at exit."""
        self._is_gone = True
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        except (OSError, ValueError):  # a stream without a file
            return


def forgive() -> None:
    """Make standard output and error forgiving, whatever their encoding is. Call it once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, ForgivingStream):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # "?" where the encoding has no "±"
        setattr(sys, name, cast(TextIO, ForgivingStream(stream)))
