"""The learner's parameters and optimiser state as vectors, while compiled updates run.

The network has a hundred arrays. An elementwise optimiser on one vector of all parameters needs a
few kernels instead of a few hundred, and a kernel of an accelerator takes microseconds however
small its array is. On a CPU the copies would cost more than they save. Saved states keep their
arrays.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


class Layout(NamedTuple):
    """How the parameters are kept between two updates."""

    pack: Callable[[Any], Any]
    """From a pytree with the structure of the parameters."""
    unpack: Callable[[Any], Any]
    """Back to that pytree."""
    norm_of: Callable[[Any, Any], jax.Array]
    """From a packed tree and its last arrays: the norm of these."""


AS_THEY_ARE = Layout(
    lambda tree: tree,
    lambda tree: tree,
    lambda _, last: jnp.linalg.norm(ravel_pytree(last)[0]),
)


def as_vector(params: Any) -> Layout:
    """Return the layout as one vector; all arrays must have one dtype."""
    return Layout(lambda tree: ravel_pytree(tree)[0], ravel_pytree(params)[1], _norm_of_end)


def _norm_of_end(vector: jax.Array, last: Any) -> jax.Array:
    # Over all of the vector, as the norm of the vector is: XLA makes one kernel of both.
    start = len(vector) - sum(leaf.size for leaf in jax.tree.leaves(last))
    squares = jnp.where(jnp.arange(len(vector)) >= start, jnp.square(vector), 0)
    return jnp.sqrt(squares.sum())


def _is_like(params: Any) -> Callable[[Any], bool]:
    structure: Any = jax.tree.structure(params)
    return lambda tree: bool(structure == jax.tree.structure(tree))


def pack(layout: Layout, params: Any, tree: Any) -> Any:
    """Pack every part of `tree` that has the structure of `params`, such as Adam's moments."""
    is_like = _is_like(params)
    return jax.tree.map(
        lambda part: layout.pack(part) if is_like(part) else part, tree, is_leaf=is_like
    )


def unpack(layout: Layout, params: Any, like: Any, packed: Any) -> Any:
    """Undo `pack`.

    Args:
        layout: the same.
        params: the same.
        like: the tree that was packed, or another of its structure.
        packed: the result of `pack`, with other values.
    """
    is_like = _is_like(params)
    return jax.tree.map(
        lambda part, now: layout.unpack(now) if is_like(part) else now,
        like,
        packed,
        is_leaf=is_like,
    )
