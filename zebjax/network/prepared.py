"""The weights of ZebNet in the form that the forward pass multiplies.

`prepare` converts parameters once: casts to the dtype of the products, and the embedding tables
times their projection. A loop of evaluations uses the prepared weights again and again; XLA does
not move that work out of a loop or a branch by itself.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from zebjax.network.config import ZebConfig
from zebjax.observe import tokenizer

Params = dict[str, Any]
MULTIPLE = 8
"""Tensor cores want axes that are a multiple of this."""


class Affine(NamedTuple):
    """A product and its bias."""

    kernel: jax.Array
    """`[inputs, outputs]`."""
    bias: jax.Array | None
    """`[outputs]`; None if it is the row after the inputs in `kernel`, which zeros follow."""


class Layer(NamedTuple):
    """One layer, in the compute dtype.

    The scale and bias of a LayerNorm are part of the product that follows it.
    """

    qkv: tuple[Affine, ...]
    """Queries, keys and values: three products, or one of three times the width."""
    attention_out: Affine
    ff_in: Affine
    ff_out: Affine


class Prepared(NamedTuple):
    """The weights as `evaluate` multiplies them."""

    table: jax.Array
    """`[columns, width]`: the projected embedding of each value of each feature, and of each
    position; zeros up to a multiple of 8 columns. Its dtype is that of the residual stream."""
    layers: tuple[Layer, ...]
    policy: Affine
    value_hidden: Affine
    value_out: Affine
    belief_hidden: Affine | None
    belief_out: Affine | None
    """The heads are float32."""


def prepare(config: ZebConfig, params: Params) -> Prepared:
    """Convert parameters into the weights that are multiplied.

    Args:
        config: the network. Without `belief_head` a belief head in `params` is left out.
        params: from `init` or `load`, concrete or traced.
    """
    # The kernel of our own reads its part of one product; XLA would copy three parts of it.
    n_qkv = 1 if config.kernels == "pallas" else 3
    return _prepare(config, params, jnp.dtype(config.compute_dtype), n_qkv)


def prepare_for_training(config: ZebConfig, params: Params, joins_bias: bool) -> Prepared:
    """Convert parameters as `prepare`, for the gradient.

    Training adds many small updates to the residual stream, so it is float32. Queries, keys and
    values are one product: three would have nine in the gradient instead of three.

    Args:
        config: the network.
        params: from `init` or `load`, concrete or traced.
        joins_bias: make the bias of a layer's products a row of the kernel. Its gradient is then
            part of a product; otherwise it is a sum over all rows, which a GPU computes in a
            kernel of its own with little parallelism.
    """
    return _prepare(config, params, jnp.dtype(jnp.float32), 1, joins_bias)


def _prepare(
    config: ZebConfig, params: Params, residual: jnp.dtype, n_qkv: int, joins_bias: bool = False
) -> Prepared:
    compute = jnp.dtype(config.compute_dtype)

    def affine(weights: Params, dtype: Any = compute) -> Affine:
        return Affine(weights["kernel"].astype(dtype), weights["bias"].astype(dtype))

    def after_norm(norm: Params, weights: Params) -> Affine:
        # (x * scale + bias) @ kernel. So the gradient of scale and bias is a reduction over the
        # kernel, not over all activations.
        kernel, bias = weights["kernel"], weights["bias"]
        kernel, bias = norm["scale"][:, None] * kernel, norm["bias"] @ kernel + bias
        return Affine(kernel.astype(compute), bias.astype(compute))

    def layer(weights: Params) -> Layer:
        kernel, bias = after_norm(weights["norm1"], weights["qkv"])
        assert bias is not None
        kernels, biases = jnp.split(kernel, n_qkv, axis=1), jnp.split(bias, n_qkv)
        made = Layer(
            qkv=tuple(Affine(*pair) for pair in zip(kernels, biases, strict=True)),
            attention_out=affine(weights["attention_out"]),
            ff_in=after_norm(weights["norm2"], weights["ff_in"]),
            ff_out=affine(weights["ff_out"]),
        )
        return jax.tree.map(_joined, made, is_leaf=_is_affine) if joins_bias else made

    # All layers at once: a few kernels instead of a few for each layer.
    each = [weights for _, weights in sorted(params["layers"].items())]
    stacked = jax.vmap(layer)(jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))
    # One tuple of arrays a layer.
    unstacked = [list(leaf) for leaf in jax.tree.leaves(stacked)]
    structure = jax.tree.structure(stacked)
    layers = [jax.tree.unflatten(structure, leaves) for leaves in zip(*unstacked, strict=True)]
    belief = config.belief_head
    return Prepared(
        table=_table(config, params).astype(residual),
        layers=tuple(layers),
        policy=affine(params["policy"], jnp.float32),
        value_hidden=affine(params["value_hidden"], jnp.float32),
        value_out=affine(params["value_out"], jnp.float32),
        belief_hidden=affine(params["belief_hidden"], jnp.float32) if belief else None,
        belief_out=affine(params["belief_out"], jnp.float32) if belief else None,
    )


def _joined(weights: Affine) -> Affine:
    """The same with the bias as a row of the kernel."""
    assert weights.bias is not None
    rows = jnp.pad(weights.bias[None], ((0, MULTIPLE - 1), (0, 0)))
    return Affine(jnp.concatenate([weights.kernel, rows]), None)


def _is_affine(node: Any) -> bool:
    return isinstance(node, Affine)


def _table(config: ZebConfig, params: Params) -> jax.Array:
    """Project the embedding tables, float32 `[columns, width]`."""
    # The projection of a concatenation is a sum of projections. So project each embedding table
    # once (a few dozen rows), and multiply the result by one multi-hot row per token. This takes
    # fewer FLOP than projecting every token, and its gradient is a matrix product instead of a
    # scatter.
    kernel, start, blocks = params["embed_project"]["kernel"], 0, []
    for name in tokenizer(config.tokenizer).features:
        table = params["embed"][name]["embedding"]
        end = start + table.shape[1]
        blocks.append(jnp.pad(table, ((0, 0), (start, kernel.shape[0] - end))))
        start = end
    # Every token has one position, so the bias is added there.
    positions = params["position"]["embedding"] + params["embed_project"]["bias"]
    # The tables stand in one block-diagonal matrix, so that they are one product on a GPU.
    table = jnp.concatenate([jnp.concatenate(blocks) @ kernel, positions])
    # Otherwise every product copies its operands to pad them.
    return jnp.pad(table, ((0, -table.shape[0] % MULTIPLE), (0, 0)))
