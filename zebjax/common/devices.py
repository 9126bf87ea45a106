"""Several devices: the batch axis split over all that this process sees, everything else on each of
them.

The compiled functions are the same from one device up; what is split is said where a batch is made,
by `split`, and the compiler adds the communication (`jit` with `NamedSharding`).
`CUDA_VISIBLE_DEVICES` says which devices a process sees.
"""

import functools
from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


@functools.cache
def _mesh() -> Mesh:
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(AxisType.Auto,))


def split(tree: Tree, axis: int = 0) -> Tree:
    """The same arrays, `axis` divided over the devices; whole on each where it is no multiple of
    their number.
    """
    n = jax.device_count()
    if n == 1:
        return tree

    def place(leaf: jax.Array) -> jax.Array:
        divided = [None] * axis + ["batch"] if leaf.shape[axis] % n == 0 else []
        return jax.lax.with_sharding_constraint(
            leaf, NamedSharding(_mesh(), PartitionSpec(*divided))
        )

    return jax.tree.map(place, tree)


def everywhere(tree: Tree) -> Tree:
    """The same arrays, whole on every device; for what was read from a file, which is on the first
    alone.
    """
    if jax.device_count() == 1:
        return tree
    return jax.device_put(tree, NamedSharding(_mesh(), PartitionSpec()))


def check_divides(name: str, size: int) -> None:
    """ValueError that names the field if `size` is no multiple of the number of devices."""
    n = jax.device_count()
    if size % n:
        raise ValueError(
            f"{name}: expected a multiple of the {n} devices of this process, got {size}"
        )
