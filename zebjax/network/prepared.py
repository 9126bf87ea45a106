"""The weights of ZebNet in the form that the forward pass multiplies.

`prepare` converts parameters once: casts to the dtype of the products, and the embedding tables
times their projection. A loop of evaluations uses the prepared weights again and again; XLA does
not move that work out of a loop or a branch by itself.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
    move_values: Affine | None
    """The heads are float32."""
    joined_heads: tuple[Affine, Affine] | None = None
    """The hidden and the last layers of value and belief head as one of each, for the gradient of
    small batches: the columns of the value come first, zeros after the belief."""


def prepare(config: ZebConfig, params: Params) -> Prepared:
    """Convert parameters into the weights that are multiplied.

    Args:
        config: the network. A head of `params` that it does not have is left out.
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
        joins_bias: for small batches on a GPU, which take as long as their kernels are many. Make
            the bias of a product a row of its kernel: then its gradient is part of a product, and
            not a sum over all rows, a kernel of its own with little parallelism. That of
            `attention_out` stays, as the row would be a copy of what attention gives (see
            `forward.per_row`). Join value and belief head.
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
        if not joins_bias:
            return made
        return made._replace(
            qkv=tuple(_joined(part) for part in made.qkv),
            ff_in=_joined(made.ff_in),
            ff_out=_joined(made.ff_out),
        )

    # All layers at once: a few kernels instead of a few for each layer.
    each = [weights for _, weights in sorted(params["layers"].items())]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    policy = affine(params["policy"], jnp.float32)
    if joins_bias:
        # The learner's optimiser overwrites one vector of all parameters. A kernel that reads other
        # places of it, or that need not come before, makes XLA copy it: as gradients are products
        # with a norm's scale, and metrics need the policy's bias, these get arrays of their own.
        norms = {name: together[name] for name in ("norm1", "norm2")}
        norms, policy = jax.lax.optimization_barrier((norms, policy))
        together |= norms
    stacked = jax.vmap(layer)(together)
    # One tuple of arrays a layer.
    unstacked = [list(leaf) for leaf in jax.tree.leaves(stacked)]
    structure = jax.tree.structure(stacked)
    layers = [jax.tree.unflatten(structure, leaves) for leaves in zip(*unstacked, strict=True)]
    belief = config.belief_head
    heads = [
        (affine(params[f"{name}_hidden"], jnp.float32), affine(params[f"{name}_out"], jnp.float32))
        for name in ("value", "belief")[: 1 + belief]
    ]
    return Prepared(
        table=_table(config, params).astype(residual),
        layers=tuple(layers),
        policy=policy,
        value_hidden=heads[0][0],
        value_out=heads[0][1],
        belief_hidden=heads[1][0] if belief else None,
        belief_out=heads[1][1] if belief else None,
        move_values=affine(params["move_values"], jnp.float32) if config.move_values else None,
        joined_heads=_joined_heads(heads) if joins_bias else None,
    )


def _joined(weights: Affine) -> Affine:
    """The same with the bias as a row of the kernel."""
    assert weights.bias is not None
    rows = jnp.pad(weights.bias[None], ((0, MULTIPLE - 1), (0, 0)))
    return Affine(jnp.concatenate([weights.kernel, rows]), None)


def _joined_heads(heads: list[tuple[Affine, Affine]]) -> tuple[Affine, Affine]:
    """Both layers of all heads, each as one product."""
    hidden, out = zip(*heads, strict=True)
    n_columns = sum(part.kernel.shape[1] for part in out)
    kernels, start = [], 0
    for part in out:
        # Each head reads its own hidden units: a block-diagonal matrix.
        after = n_columns - start - part.kernel.shape[1] + -n_columns % MULTIPLE
        kernels.append(jnp.pad(part.kernel, ((0, 0), (start, after))))
        start += part.kernel.shape[1]
    biases = jnp.concatenate([part.bias for part in out])
    return (
        _joined(
            Affine(
                jnp.concatenate([part.kernel for part in hidden], axis=1),
                jnp.concatenate([part.bias for part in hidden]),
            )
        ),
        _joined(Affine(jnp.concatenate(kernels), jnp.pad(biases, (0, -n_columns % MULTIPLE)))),
    )


def _table(config: ZebConfig, params: Params) -> jax.Array:
    """Project the embedding tables, float32 `[columns, width]`."""
    # The projection of a concatenation is a sum of projections. So project each embedding table
    # once (a few dozen rows), and multiply the result by one multi-hot row per token. This takes
    # fewer FLOP than projecting every token, and its gradient is a matrix product instead of a
    # scatter.
    # One product makes the whole table: the embedding tables stand in a block-diagonal matrix, and
    # each position picks its own row and, as every token has one position, the bias.
    kernel, positions = params["embed_project"]["kernel"], params["position"]["embedding"]
    factors = jnp.concatenate([kernel, positions, params["embed_project"]["bias"][None]])
    # Products copy operands to pad them if their axes are not multiples.
    factors = jnp.pad(factors, ((0, -len(factors) % MULTIPLE), (0, 0)))
    start, blocks = 0, []
    for name in tokenizer(config.tokenizer).features:
        table = params["embed"][name]["embedding"]
        end = start + table.shape[1]
        blocks.append(jnp.pad(table, ((0, 0), (start, len(factors) - end))))
        start = end
    n_rows = sum(len(block) for block in blocks) + len(positions)
    picks = np.zeros((len(positions) + -n_rows % MULTIPLE, len(factors)), np.float32)
    rows = np.arange(len(positions))
    picks[rows, start + rows] = picks[rows, start + len(positions)] = 1
    return jnp.concatenate([*blocks, picks]) @ factors
