"""Compiled functions are kept on disk, so that the next process of the same kind begins at once."""

import os
from pathlib import Path

import jax

_JAX_MINIMUM_S = 1.0


def keep() -> None:
    """Keep what takes a moment to compile in `~/.cache/zebjax/jax` (or below `$XDG_CACHE_HOME`).

    `$JAX_COMPILATION_CACHE_DIR` and what the program has set already go first. Without a home that
    can be written, everything is compiled anew each time. The folder may be deleted at any time.
    """
    minimum = "jax_persistent_cache_min_compile_time_secs"
    if getattr(jax.config, minimum) == _JAX_MINIMUM_S:  # leaves out most of what a run compiles
        jax.config.update(minimum, 0.1)
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # JAX makes its options at import
        return
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zebjax" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
