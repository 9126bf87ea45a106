"""Compile a jitted function for a described GPU: needs JAX's CUDA plugin, but no GPU, no driver."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

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


def compiled(card: Card, function: Any, *arguments: Any) -> Any:
    """Compile a jitted function.

    Args:
        card: the GPU.
        function: made by `jax.jit`.
        arguments: its arguments by position. Pytrees of arrays or `jax.ShapeDtypeStruct`s are
            traced as shapes; all others are passed as they are, for static arguments.

    Returns:
        The compiled program, a `jax.stages.Compiled` that cannot be run here.
    """
    from jax.experimental import topologies

    topology = topologies.get_topology_desc(
        "", platform="cuda", topology="1x1x1", target_config=target_config(card)
    )
    mesh = jax.sharding.Mesh(np.array(topology.devices[:1]), ("device",))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def shape(leaf: Any) -> Any:
        if not hasattr(leaf, "shape"):
            return leaf
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    shapes = [jax.tree.map(shape, argument) for argument in arguments]
    with _traced_as_on_a_gpu():
        lowered = function.trace(*shapes).lower(lowering_platforms=("cuda",))
    return lowered.compile(compiler_options=_OPTIONS)


@contextlib.contextmanager
def _traced_as_on_a_gpu() -> Iterator[None]:
    """Let code that asks for the backend while it is traced see a GPU."""
    real = jax.default_backend
    jax.default_backend = lambda: "gpu"
    try:
        yield
    finally:
        jax.default_backend = real
