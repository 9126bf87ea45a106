"""JAX as every command sets it up: compiled programs are kept on disk, so that the next process
starts without compiling.
"""

import jax

from zebjax.common import caches, jax_settings

_JAX_MINIMUM_S = 1.0  # JAX's own default


def keep() -> None:
    """Keep every program that takes 0.1 s or more to compile in the cache folder `jax`, see
    `caches.folder`.

    Every command calls this before anything is compiled; it also fixes the settings of JAX that
    decide results, see `jax_settings.pin`.

    `$JAX_COMPILATION_CACHE_DIR`, and a folder that the program has set already, are used instead
    where there is one. Without a folder that can be written every process compiles anew.
    """
    jax_settings.pin()
    minimum = "jax_persistent_cache_min_compile_time_secs"
    # JAX's default leaves out most of what a run compiles.
    if getattr(jax.config, minimum) == _JAX_MINIMUM_S:
        jax.config.update(minimum, 0.1)
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # options are made at import
        return
    folder = caches.folder("jax")
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
