"""Compiled functions are kept on disk, so that the next process of the same kind begins at once."""

import os
from pathlib import Path

import jax


def keep() -> None:
    """Keep what takes a moment to compile in `~/.cache/zebjax/jax` (or below `$XDG_CACHE_HOME`).

    `$JAX_COMPILATION_CACHE_DIR` and what the program has set already go first. Without a home that can be written,
    everything is compiled anew each time. The folder may be deleted at any time.
    """
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:  # JAX's own second leaves out most of it
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # JAX makes its options at import
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zebjax" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
