"""Convert between the original's state_dict and our parameters: names and shapes.

Kernels are `[in, out]` in zebjax and `[out, in]` in torch; no other tensor is transposed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from zebjax import network
from zebjax.network import Params, ZebConfig
from zebjax.network.config import NONE
from zebjax.observe import tokenizer
from zebjax.torch_compat.pickle import TorchFileError, shown

_FLOATS = (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)


class _Entry(NamedTuple):
    """One tensor in both forms."""

    key: str
    """Key in torch's state_dict."""
    path: tuple[str, ...]
    """Path in our parameters."""
    is_kernel: bool
    """True if torch stores it transposed."""


def _linear(weight: str, bias: str, *path: str) -> list[_Entry]:
    return [_Entry(weight, (*path, "kernel"), True), _Entry(bias, (*path, "bias"), False)]


def _module(key: str, *path: str) -> list[_Entry]:
    return _linear(f"{key}.weight", f"{key}.bias", *path)


def _norm(key: str, *path: str) -> list[_Entry]:
    return [
        _Entry(f"{key}.weight", (*path, "scale"), False),
        _Entry(f"{key}.bias", (*path, "bias"), False),
    ]


def _entries(config: ZebConfig) -> Iterator[_Entry]:
    """Yield every tensor of a network, in the order of the original's state_dict."""
    for feature in tokenizer(config.tokenizer).features:
        key = f"embeddings.{'decl' if feature == 'declaration' else feature}_embed.weight"
        yield _Entry(key, ("embed", feature, "embedding"), False)
    yield from _module("embeddings.proj", "embed_project")
    yield _Entry("pos_embed.weight", ("position", "embedding"), False)
    for index in range(config.n_layers):
        theirs, ours = f"encoder.layers.{index}", ("layers", f"{index:02d}")
        attention = f"{theirs}.self_attn"
        yield from _linear(f"{attention}.in_proj_weight", f"{attention}.in_proj_bias", *ours, "qkv")
        yield from _module(f"{attention}.out_proj", *ours, "attention_out")
        yield from _module(f"{theirs}.linear1", *ours, "ff_in")
        yield from _module(f"{theirs}.linear2", *ours, "ff_out")
        yield from _norm(f"{theirs}.norm1", *ours, "norm1")
        yield from _norm(f"{theirs}.norm2", *ours, "norm2")
    yield from _module("policy_proj", "policy")
    yield from _module("value_head.0", "value_hidden")
    yield from _module("value_head.2", "value_out")
    if config.belief_head:
        yield from _module("belief_proj.0", "belief_hidden")
        yield from _module("belief_proj.2", "belief_out")


def from_state_dict(config: ZebConfig, state_dict: Mapping[str, Any]) -> Params:
    """Convert the original's state_dict to our parameters, float32.

    Every key must be used exactly once.

    Args:
        config: the network.
        state_dict: arrays by the original's keys.

    Raises:
        TorchFileError: if a key is missing or unexpected, or a tensor has a wrong shape, no
            floating-point dtype or values that are not finite in float32; the message names the
            key.
    """
    expected = []
    # Check key by key, so that a wrong and huge n_layers fails at the first missing layer.
    for entry in _entries(config):
        if entry.key not in state_dict:
            raise TorchFileError(f"key {entry.key} is missing")
        expected.append(entry)
    keys = {entry.key for entry in expected}
    for key in state_dict:
        if key not in keys:
            raise TorchFileError(
                f"key {shown(key)} is not expected in a network of this configuration"
            )
    shapes = network.abstract_params(config)
    params: Params = {}
    for entry in expected:
        *parents, name = entry.path
        wanted, place = shapes, params
        for parent in parents:
            wanted, place = wanted[parent], place.setdefault(parent, {})
        place[name] = _parameter(entry, state_dict[entry.key], wanted[name].shape)
    return params


def _parameter(entry: _Entry, tensor: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Check one tensor, and return it as contiguous float32 in our orientation."""
    if not isinstance(tensor, np.ndarray):
        raise TorchFileError(f"key {entry.key}: expected a tensor, got {shown(tensor)}")
    theirs = shape[::-1] if entry.is_kernel else shape
    if tensor.shape != theirs:
        raise TorchFileError(f"key {entry.key}: shape {tensor.shape}, expected {theirs}")
    if tensor.dtype not in _FLOATS:
        raise TorchFileError(f"key {entry.key}: type {tensor.dtype}, expected floating point")
    with np.errstate(over="ignore", invalid="ignore"):
        values = tensor.astype(np.float32)
    if not np.isfinite(values).all():
        raise TorchFileError(f"key {entry.key}: holds values that are not finite in float32")
    return np.ascontiguousarray(values.T if entry.is_kernel else values)


def to_state_dict(config: ZebConfig, params: Params) -> dict[str, np.ndarray]:
    """Convert our parameters to the original's state_dict, contiguous float32.

    Args:
        config: the network.
        params: its parameters.

    Raises:
        TorchFileError: if the original has no such network.
    """
    if config.tokenizer != "v1":
        raise TorchFileError(
            f"tokenizer: the original only has v1, these weights were made with {config.tokenizer}"
        )
    if config.move_values:
        raise TorchFileError(
            "move_values: the original has no head for the values of moves; expected a network "
            "without it"
        )
    if config.belief_prior != NONE:
        raise TorchFileError(
            "belief_prior: the original has none; expected a network with none, got "
            f"{config.belief_prior}"
        )
    state_dict = {}
    for entry in _entries(config):
        leaf: Any = params
        for part in entry.path:
            leaf = leaf[part]
        values = np.asarray(leaf, np.float32)
        state_dict[entry.key] = np.ascontiguousarray(values.T if entry.is_kernel else values)
    return state_dict
