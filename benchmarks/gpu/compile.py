"""Compile a jitted function for a described GPU: needs JAX's CUDA plugin, but no GPU, no driver."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from zebjax.common import devices

from .cards import Card, target_config

_OPTIONS = {
    "xla_gpu_autotune_level": 0,  # nothing can be timed here
    # XLA's Triton products need autotuning: without it one of ours cannot be tiled. cuBLAS is used.
    "xla_gpu_enable_triton_gemm": False,
}


def problem() -> str:
    """What is missing for compiling; "" if nothing is."""
    plugins = ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13")
    try:
        has_plugin = any(importlib.util.find_spec(name) for name in plugins)
    except ModuleNotFoundError:
        has_plugin = False
    if not has_plugin:
        return (
            "JAX's CUDA plugin is not installed; install zebjax[cuda12] (6 GB; no GPU and no "
            "driver are needed)"
        )
    return ""


def prepare() -> None:
    """Set JAX up. Call this before anything initialises its backends.

    Raises:
        ValueError: if the CUDA plugin is missing.
    """
    if missing := problem():
        raise ValueError(missing)
    # The plugin refuses to load without a driver unless told so.
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    jax.config.update("jax_platforms", "cpu,cuda")


def compiled(card: Card, n_devices: int, function: Any, *arguments: Any) -> Any:
    """Compile a jitted function.

    Args:
        card: the GPU.
        n_devices: their number in one host. The program divides batches over them as it does over
            the devices of a process; its arguments are replicated.
        function: made by `jax.jit`.
        arguments: its arguments by position. Pytrees of arrays or `jax.ShapeDtypeStruct`s are
            traced as shapes; all others are passed as they are, for static arguments.

    Returns:
        The compiled program, a `jax.stages.Compiled` that cannot be run here.
    """
    from jax.experimental import topologies

    topology = topologies.get_topology_desc(
        "", platform="cuda", topology=f"1x1x{n_devices}", target_config=target_config(card)
    )
    mesh = Mesh(np.array(topology.devices), ("batch",), axis_types=(AxisType.Auto,))
    place = NamedSharding(mesh, PartitionSpec())

    def shape(leaf: Any) -> Any:
        if not hasattr(leaf, "shape"):
            return leaf
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    shapes = [jax.tree.map(shape, argument) for argument in arguments]
    with _traced_as_on_gpus(mesh, card):
        lowered = function.trace(*shapes).lower(lowering_platforms=("cuda",))
    return lowered.compile(compiler_options=_OPTIONS)


@contextlib.contextmanager
def _traced_as_on_gpus(mesh: Mesh, card: Card) -> Iterator[None]:
    """Let code that asks for the backend and the devices while it is traced see these GPUs."""
    real = jax.default_backend, jax.device_count, devices._mesh
    jax.default_backend = lambda: "gpu"
    jax.device_count = lambda: mesh.size  # type: ignore[assignment]
    devices._mesh = lambda: mesh  # type: ignore[assignment]
    try:
        with _known_to_pallas(card):
            yield
    finally:
        jax.default_backend, jax.device_count, devices._mesh = real


def _known_to_pallas(card: Card) -> contextlib.AbstractContextManager:
    """From jax 0.11 on Pallas asks for a GPU by name, for its compute capability."""
    if not hasattr(jax.sharding, "AbstractDevice"):
        return contextlib.nullcontext()
    # It knows few names; these have the same capability.
    names = {(8, 6): "NVIDIA A10", (8, 9): "NVIDIA L4", (9, 0): "NVIDIA H100"}
    device = jax.sharding.AbstractDevice(names[card.capability], None, "gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=device))
