"""Compile the solver with numba, and cache the machine code on disk."""

import functools
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core.caching import FunctionCache, NullCache

from zebjax import tiles
from zebjax.common import caches

SOURCES = (
    *Path(__file__).parent.glob("*.py"),
    *(Path(__file__).parents[1] / "small").glob("*.py"),
    Path(tiles.__file__),
)
"""All whose compiled functions others call."""


@functools.cache
def folder() -> Path | None:
    """Where compiled code is kept, a folder in it for each copy of this package; None: nowhere.

    That is `$NUMBA_CACHE_DIR` if it can be written, else the cache folder `solver`, which is made.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen and caches.is_writable(Path(chosen)):
        return Path(chosen)
    return caches.folder("solver")


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


class _LazyCache:
    """The cache of one function, which is made when numba first asks it for something.

    Making it makes folders, which an import must not do.
    """

    def __init__(self, function: Callable) -> None:
        self._function = function

    @functools.cached_property
    def _made(self) -> Any:
        if folder() is None:
            return NullCache()
        # numba asks its global setting, only here, where a cache lies. Other users of numba in
        # this process keep theirs.
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder())
        try:
            made = _Cache(self._function)
        except (OSError, RuntimeError):  # the folder was writable a moment ago
            return NullCache()
        finally:
            numba.config.CACHE_DIR = before
        _forget_stale_once(Path(made.cache_path), Path(self._function.__code__.co_filename).parent)
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


def compiled(function: Callable) -> Any:
    """Compile a function with numba on first use, and keep the machine code in `folder()`.

    numba's own `cache=True` raises at import where it finds no folder that it can write.
    """
    return _cached(njit(nogil=True)(function), function)


def inlined(function: Callable) -> Any:
    """As `compiled`, for a function that is copied into its callers.

    A call with many arrays as arguments costs more than a microsecond, for counts of references.
    The compiler may reorder sums and use fused multiply-add, without which a scalar product is
    slow. So results are equal on one kind of CPU, and may differ in the last bits on another.
    """
    sums = {"contract", "reassoc", "nsz"}
    return _cached(njit(nogil=True, forceinline=True, fastmath=sums)(function), function)


def _cached(dispatcher: Any, function: Callable) -> Any:
    dispatcher._cache = _LazyCache(function)
    return dispatcher


@functools.cache
def _forget_stale_once(place: Path, package: Path) -> None:
    """Before any cached code of this process is loaded from there."""
    forget_stale(place, package.glob("*.py"))


def forget_stale(place: Path, own: Iterable[Path] = ()) -> None:
    """Delete the cached code in a folder that is older than any of `SOURCES` or its `own` ones.

    numba itself compares only the file that a function is in. It would keep a caller that was
    compiled with an older `bounds` or `tiles`.
    """
    newest = max(source.stat().st_mtime for source in (*SOURCES, *own))
    for index in place.glob("*.nbi"):
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
    """True if some compiled form of a function lies in the cache."""
    place, code = folder_of(kernel), kernel.py_func.__code__
    if place is None:
        return False
    name = f"{Path(code.co_filename).stem}.{code.co_name}-{code.co_firstlineno}.*.nbi"
    return any(place.glob(name))


def announce(who: str, what: str, time: str, *kernels: Any) -> None:
    """Print a note on stderr if one of some functions will be compiled when it is called.

    Args:
        who: the beginning of the note.
        what: is compiled.
        time: that it takes.
        kernels: the functions.
    """
    if all(kernel.signatures or is_cached(kernel) for kernel in kernels):
        return
    place = folder_of(kernels[0])
    then = NO_FOLDER if place is None else f"then cached in {place}"
    note = f"{who}: compiling {what}, which takes about {time}; {then}"
    print(note, file=sys.stderr, flush=True)
