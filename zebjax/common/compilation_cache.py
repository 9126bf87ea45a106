"""The persistent compilation cache: the next process loads compiled programs from disk."""

import jax

from zebjax.common import caches, jax_settings

_JAX_MINIMUM_S = 1.0  # JAX's own default


def keep() -> None:
    """Keep every program that takes 0.1 s or more to compile in the cache folder `jax`, see
    `caches.folder`.

    Every command that compiles calls this first. It also fixes the settings of JAX that change
    results, see `jax_settings.pin`.

    `$JAX_COMPILATION_CACHE_DIR`, or a folder that the program has already set, takes precedence.
    Without a writable folder every process compiles again.
    """
    jax_settings.pin()
    minimum = "jax_persistent_cache_min_compile_time_secs"
    # JAX's default of 1 s would skip most programs of a run.
    if getattr(jax.config, minimum) == _JAX_MINIMUM_S:
        jax.config.update(minimum, 0.1)
    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]  # options are made at import
        return
    folder = caches.folder("jax")
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
