"""Fix the settings of JAX that change results, whatever the environment says.

JAX reads many settings from environment variables (`JAX_ENABLE_X64` and others). Some of them
would change the deals of a seed, or break compiled programs that rely on 32-bit numbers.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from zebjax.common import console

PRNG = "threefry2x32"
"""The generator behind every random key here."""


class _Setting(NamedTuple):
    name: str
    value: Any
    reason: str


_PINNED = (
    _Setting("jax_enable_x64", False, "the programs here are written for 32-bit numbers"),
    _Setting("jax_default_prng_impl", PRNG, "a seed must mean the same deals everywhere"),
    _Setting("jax_threefry_partitionable", True, "a seed must mean the same deals everywhere"),
    _Setting("jax_numpy_dtype_promotion", "standard", "types are mixed on purpose here"),
    _Setting("jax_numpy_rank_promotion", "allow", "shapes are broadcast on purpose here"),
)


def pin(note: Callable[[str], None] = console.warn) -> None:
    """Set what decides results, and call `note` with a sentence for each setting that was
    different.

    `compilation_cache.keep` calls this for every command that compiles.
    """
    for name, value, reason in _PINNED:
        before = getattr(jax.config, name)
        if before != value:
            jax.config.update(name, value)
            variable = name.upper()
            shown = f"{variable}={os.environ[variable]}" if variable in os.environ else variable
            note(f"{shown} is ignored: {reason} ({name} is set to {value})")


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Set the same settings silently, and only inside the block.

    This is for library functions whose result must not depend on the caller's settings.
    """
    with (
        jax.enable_x64(False),
        jax.default_prng_impl(PRNG),
        jax.threefry_partitionable(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def key(seed: int) -> jax.Array:
    """Return the typed random key of `seed`, one scalar, the same under every setting of JAX.

    The seed is a whole number from 0 to 2**32 - 1.
    """
    return jax.random.key(seed, impl=PRNG)


def remaining() -> dict[str, str]:
    """Return the settings that change rounding, are not pinned and are not at their default.

    They are part of the key under which results are cached.
    """
    found = {}
    precision = getattr(jax.config, "jax_default_matmul_precision", None)
    if precision is not None:
        found["jax_default_matmul_precision"] = str(precision)
    if os.environ.get("XLA_FLAGS"):
        found["XLA_FLAGS"] = " ".join(sorted(os.environ["XLA_FLAGS"].split()))
    return found
