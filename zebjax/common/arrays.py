"""The type of an array, and the checks that public functions make of their arguments.

Shapes and dtypes are known when a function is traced. So inside `jax.jit` a check costs nothing at
run time, and a wrong argument is named before XLA compiles anything.
"""

from typing import Any, TypeAlias

import chex
import jax
import numpy as np

from zebjax.common.jax_settings import PRNG

Array: TypeAlias = jax.Array | np.ndarray
"""An array on a device or on the host. Functions that are not jitted themselves accept both."""
Scalar: TypeAlias = jax.Array | np.ndarray | int
"""One number: an array without axes, or a Python int."""

_KINDS = {int: "integer", float: "float", bool: "boolean"}


def check(
    name: str,
    value: Any,
    shape: tuple[int | str, ...],
    kind: type[int] | type[float] | type[bool],
    leading: bool = False,
) -> None:
    """Raise an error unless an argument has its shape and its kind of numbers.

    Args:
        name: the argument's name, for the message.
        value: an array (traced or not), or a Python number.
        shape: one entry per axis: its size, or a name such as "B" for an axis of any size.
        kind: `int`, `float` or `bool`, of any width.
        leading: allow any axes before those of `shape`.

    Raises:
        ValueError: the message names the argument, and the expected and the given value.

    >>> check("hands", np.zeros((4, 6)), (4, 7), int)
    Traceback (most recent call last):
    ValueError: hands: expected integers of shape (4, 7), got float64 of shape (4, 6)
    """
    sizes = [None if isinstance(axis, str) else axis for axis in shape]
    try:
        chex.assert_shape(value, (..., *sizes) if leading else tuple(sizes))
        chex.assert_type(value, kind)
    except (AssertionError, TypeError):  # TypeError: neither an array nor a number
        expected = f"{'an' if kind is int else 'a'} {_KINDS[kind]}"
        if shape or leading:
            axes = [*(["..."] if leading else []), *map(str, shape)]
            expected = f"{_KINDS[kind]}s of shape ({', '.join(axes)}{',' * (len(axes) == 1)})"
        raise ValueError(f"{name}: expected {expected}, got {_describe(value)}") from None


def check_key(name: str, key: Any) -> None:
    """Raise an error unless `key` is one typed random key of `jax_settings.PRNG`.

    Another generator would make other deals of the same seed.

    Raises:
        ValueError: the message names the argument.
    """
    is_key = jax.dtypes.issubdtype(getattr(key, "dtype", None), jax.dtypes.prng_key)
    if not is_key or key.shape != () or str(jax.random.key_impl(key)) != PRNG:
        raise ValueError(
            f"{name}: expected one typed {PRNG} key, as zebjax.common.jax_settings.key(seed) "
            f"makes, got {_describe(key)}"
        )


def _describe(value: Any) -> str:
    if not isinstance(value, (int, float)) and not hasattr(value, "dtype"):
        return type(value).__name__
    shape, dtype = np.shape(value), getattr(value, "dtype", type(value).__name__)
    return f"{dtype} of shape {shape}" if shape else f"one {dtype}"
