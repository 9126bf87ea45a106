"""The devices that a process computes on: whether they are those that were meant, and how a batch
is divided over several.

The batch axis is split over all devices that this process sees (`CUDA_VISIBLE_DEVICES` decides
which); everything else is on each of them. The compiled functions are the same for any number of
devices: `split` says where a batch is made how it is divided, and the compiler adds the
communication (`jit` with `NamedSharding`).
"""

import functools
import importlib.metadata
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
Wanted = Literal["any", "cpu", "gpu"]
_INSTALL = 'pip install "zebjax[cuda12]" (or cuda13) and look at `nvidia-smi`'


def _platforms() -> str:
    """What JAX_PLATFORMS says, also if a program has set it; empty for JAX's own choice."""
    return str(getattr(jax.config, "jax_platforms", None) or "")


def backend() -> str:
    """The platform that JAX computes on: `cpu`, `gpu`, `tpu`, ...

    Raises:
        ValueError: if JAX cannot start the platform that it was told to use.
    """
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # AssertionError: a platform without devices
        first_line = (str(error).strip() or "it finds no such device").split("\n")[0]
        raise ValueError(
            f"device: JAX cannot start what JAX_PLATFORMS={_platforms()} asks for "
            f"({first_line}); {_INSTALL}, or unset JAX_PLATFORMS"
        ) from None


def unused_gpu(
    dev: Path = Path("/dev"), has_program: Callable[[str], object] = shutil.which
) -> str | None:
    """Why this machine seems to have a GPU that JAX does not use; None if nothing says so.

    A failed CUDA plugin only logs a warning, and JAX computes on the CPU. Whoever asked for the CPU
    by JAX_PLATFORMS means it.

    Args:
        dev: the folder of device nodes.
        has_program: finds a program by its name, as `shutil.which`.
    """
    if backend() != "cpu" or _platforms().split(",")[0] == "cpu":
        return None
    if any(re.fullmatch(r"nvidia\d+", node.name) for node in dev.glob("nvidia*")):
        return f"there is an NVIDIA device in {dev}"
    if has_program("nvidia-smi"):
        return "nvidia-smi is installed"
    for plugin in importlib.metadata.entry_points(group="jax_plugins"):
        if "cuda" in plugin.name or "rocm" in plugin.name:
            return f"the plugin {plugin.name} of JAX is installed"
    return None


def check(
    wanted: Wanted,
    note: Callable[[str], None] | None = None,
    find_unused: Callable[[], str | None] | None = None,
) -> None:
    """Refuse a device that is not the one that was meant, before anything is computed.

    Args:
        wanted: the experiment's `device`.
        note: with "any", called with one sentence if JAX uses the CPU of a machine with a GPU; None
            raises it instead.
        find_unused: finds such a GPU; None is `unused_gpu`.

    Raises:
        ValueError: in one sentence.
    """
    kind, find_unused = backend(), find_unused or unused_gpu
    if wanted != "any" and kind != wanted:
        seen = find_unused() if wanted == "gpu" else None
        but = f", though {seen}" if seen else ""
        advice = _INSTALL if wanted == "gpu" else "set JAX_PLATFORMS=cpu"
        raise ValueError(
            f"device: expected a {wanted.upper()}, but JAX computes on the {kind.upper()}{but}; "
            f"{advice}, or choose --device any"
        )
    if wanted == "any" and (seen := find_unused()):
        text = (
            f"WARNING: JAX computes on the CPU, though {seen}; {_INSTALL}, or choose --device cpu "
            "if that is meant"
        )
        if note is None:
            raise ValueError(text.removeprefix("WARNING: "))
        note(text)


@functools.cache
def _mesh() -> Mesh:
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(AxisType.Auto,))


def split(tree: Tree, axis: int = 0) -> Tree:
    """The same arrays with `axis` divided over the devices; an array whose axis is not a multiple
    of their number is whole on each.
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
    """The same arrays, whole on every device; what is read from a file is on the first alone."""
    if jax.device_count() == 1:
        return tree
    return jax.device_put(tree, NamedSharding(_mesh(), PartitionSpec()))


def check_divides(name: str, size: int) -> None:
    """ValueError that names the field if `size` is not a multiple of the number of devices."""
    n = jax.device_count()
    if size % n:
        raise ValueError(
            f"{name}: expected a multiple of the {n} devices of this process, got {size}"
        )
