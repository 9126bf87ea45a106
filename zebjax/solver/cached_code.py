"""What numba keeps of this package on disk."""

from pathlib import Path
from typing import Any

from zebjax import tiles

SOURCES = (*Path(__file__).parent.glob("*.py"), Path(tiles.__file__))


def forget_stale(folder: Path) -> None:
    """Drop the cached code in `folder` that is older than any of `SOURCES`.

    numba itself looks only at the file a function is in, so it would go on using a caller compiled
    with what an edited or updated `bounds` or `tiles` used to hold.
    """
    newest = max(source.stat().st_mtime for source in SOURCES)
    for index in folder.glob("*.nbi"):
        if index.stat().st_mtime < newest:
            index.unlink(missing_ok=True)


def folder_of(kernel: Any) -> Path:
    """Where numba caches a function and all others of its package."""
    return Path(kernel.stats.cache_path)


def is_cached(kernel: Any) -> bool:
    """Whether some compiled form of a function lies in the cache."""
    code = kernel.py_func.__code__
    return any(
        folder_of(kernel).glob(
            f"{Path(code.co_filename).stem}.{code.co_name}-{code.co_firstlineno}.*.nbi"
        )
    )
