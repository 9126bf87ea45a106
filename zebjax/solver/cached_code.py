"""Compile the solver with numba, and cache the machine code on disk."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core.caching import FunctionCache

from zebjax import tiles
from zebjax.common import caches

SOURCES = (*Path(__file__).parent.glob("*.py"), Path(tiles.__file__))


def _folder() -> Path | None:
    """`$NUMBA_CACHE_DIR` if it can be written, else the cache folder `solver`, else None."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen and caches.is_writable(Path(chosen)):
        return Path(chosen)
    return caches.folder("solver")


FOLDER = _folder()
"""Folder of the compiled code, with a subfolder for each copy of this package; None: no cache."""
NO_FOLDER = (
    "no cache folder can be written, so every process compiles it anew; "
    "set NUMBA_CACHE_DIR or XDG_CACHE_HOME to a folder that this user can write"
)
_complained: list[str] = []


class _Cache(FunctionCache):
    """numba's cache; after a full disk or a damaged file it compiles again instead of raising."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # unpickling a damaged file can raise anything
            self._give_up(error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.disable()
        if not _complained:
            reason = f"{type(error).__name__}: {error}".split("\n")[0]
            _complained.append(reason)
            print(
                f"zebjax.solver: cannot use the cached code in {self.cache_path} ({reason}); "
                "compiling without a cache; delete that folder, or make room on its disk",
                file=sys.stderr,
            )


def compiled(function: Callable) -> Any:
    """Decorate a function: numba compiles it on first use and caches the code in `FOLDER`."""
    # Not `cache=True`: that raises at import if numba finds no folder that it can write.
    dispatcher = njit(nogil=True)(function)
    if FOLDER is not None:
        # numba reads the cache folder from a global setting, here only. Restore it, for the other
        # users of numba in this process.
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(FOLDER)
        try:
            dispatcher._cache = _Cache(function)
        except (OSError, RuntimeError):  # the folder was writable a moment ago
            pass
        finally:
            numba.config.CACHE_DIR = before
    return dispatcher


def forget_stale(folder: Path | None) -> None:
    """Delete the cached code in `folder` that is older than the newest of `SOURCES`."""
    # numba compares only the file that holds the function. It would keep a caller that was compiled
    # with an older `bounds` or `tiles`.
    if folder is None:
        return
    newest = max(source.stat().st_mtime for source in SOURCES)
    for index in folder.glob("*.nbi"):
        try:
            if index.stat().st_mtime < newest:
                index.unlink(missing_ok=True)
        except OSError:  # another process deleted it, or it belongs to another user
            continue


def folder_of(kernel: Any) -> Path | None:
    """Return the folder where numba caches a function and its package; None: no cache."""
    path = kernel.stats.cache_path
    return None if path is None else Path(path)


def is_cached(kernel: Any) -> bool:
    """True if the cache holds compiled code of a function."""
    folder, code = folder_of(kernel), kernel.py_func.__code__
    if folder is None:
        return False
    name = f"{Path(code.co_filename).stem}.{code.co_name}-{code.co_firstlineno}.*.nbi"
    return any(folder.glob(name))
