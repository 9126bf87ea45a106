"""The devices of a process: check that they are of the requested kind, and split batches over them.

The batch axis is split over all devices that this process sees (`CUDA_VISIBLE_DEVICES` decides
which); everything else is replicated. The compiled functions are the same for any number of
devices: `split` sets the sharding where a batch is created, and the compiler adds the
communication (`jit` with `NamedSharding`).
"""

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
Wanted = Literal["any", "cpu", "gpu"]
PLAIN_XLA = os.environ.get("ZEBJAX_PLAIN_XLA") == "1"
"""True if the environment asks for XLA's defaults: no kernel of our own, no options."""
# With its own products XLA computes bias, relu and residual in kernels after a product; cuBLAS does
# them in the product. 1.4 times faster self-play on an H200. Not for the learner: cublasLt refused
# a product of its gradient.
GPU_OPTIONS = {} if PLAIN_XLA else {"xla_gpu_enable_triton_gemm": False}
"""Options for `jax.jit` of a function that evaluates networks and that no other calls. They change
nothing on a CPU."""
_WITHOUT_BFLOAT16 = r"[1-7]\.\d"
"""NVIDIA's compute capabilities before 8.0 (Ampere)."""
_INSTALL = 'pip install "zebjax[cuda12]" (or cuda13) and check `nvidia-smi`'


def _platforms() -> str:
    """The platforms set by JAX_PLATFORMS or by the program; empty if JAX chooses."""
    return str(getattr(jax.config, "jax_platforms", None) or "")


def backend() -> str:
    """The platform that JAX computes on: `cpu`, `gpu`, `tpu`, ...

    Raises:
        ValueError: if JAX cannot start the platform that JAX_PLATFORMS names.
    """
    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # AssertionError: a platform without devices
        first_line = (str(error).strip() or "it finds no such device").split("\n")[0]
        raise ValueError(
            f"device: JAX cannot start what JAX_PLATFORMS={_platforms()} asks for "
            f"({first_line}); {_INSTALL}, or unset JAX_PLATFORMS"
        ) from None


def name() -> str:
    """The devices of this process: `NVIDIA H100`, or `2 x NVIDIA H100`."""
    found = jax.devices()
    return f"{len(found)} x " * (len(found) > 1) + found[0].device_kind


def fast_dtype() -> str:
    """The fastest dtype of matrix products here: bfloat16 on accelerators that have it."""
    if backend() == "cpu":
        return "float32"
    # NVIDIA's compute capability: there are tensor cores for bfloat16 from 8.0 (Ampere) on.
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))
    return "float32" if re.fullmatch(_WITHOUT_BFLOAT16, capability) else "bfloat16"


def runs_pallas() -> bool:
    """True if this process computes on one NVIDIA GPU that runs Pallas kernels made by Triton:
    compute capability 8 or more. XLA cannot divide such a kernel over several devices.
    """
    if PLAIN_XLA or jax.default_backend() != "gpu" or jax.device_count() > 1:
        return False
    # AMD's GPUs report such as gfx942; a described GPU reports nothing.
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))
    if capability.startswith("gfx") or re.fullmatch(_WITHOUT_BFLOAT16, capability):
        return False
    # jax 0.11 says that a later version will remove Triton from Pallas.
    return importlib.util.find_spec("jax.experimental.pallas.triton") is not None


def unused_gpu(
    dev: Path = Path("/dev"), has_program: Callable[[str], object] = shutil.which
) -> str | None:
    """Return the evidence that this machine has a GPU that JAX does not use; None if there is none.

    If the CUDA plugin fails, JAX only logs a warning and computes on the CPU. A CPU that was
    chosen by JAX_PLATFORMS is not reported.

    Args:
        dev: the folder of device nodes.
        has_program: returns the path of a program, or None, like `shutil.which`.
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
    """Refuse a device of the wrong kind before anything is computed.

    Args:
        wanted: the experiment's `device`.
        note: with "any", called with one sentence if JAX uses the CPU of a machine with a GPU; None
            raises it instead.
        find_unused: finds such a GPU (default: `unused_gpu`).

    Raises:
        ValueError: if JAX uses another kind of device, or, without `note`, leaves a GPU unused.
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
    """Return the same arrays with `axis` split over the devices.

    An array whose axis is not a multiple of the number of devices is replicated.
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
    """Return the same arrays, replicated. Arrays read from a file are on the first device only."""
    if jax.device_count() == 1:
        return tree
    return jax.device_put(tree, NamedSharding(_mesh(), PartitionSpec()))


def check_divides(name: str, size: int) -> None:
    """Raise ValueError, naming the field, unless `size` is a multiple of the number of devices."""
    n = jax.device_count()
    if size % n:
        raise ValueError(
            f"{name}: expected a multiple of the {n} devices of this process, got {size}"
        )
