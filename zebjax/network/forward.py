"""The forward pass of ZebNet.

Inside, activations are `[tokens, games, width]`. In that order the heads of all games are one batch
axis with one stride, so that a batched product reads queries, keys and values where they are; in
the order `[games, tokens, width]` each of them is transposed in memory first.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import tiles
from zebjax.common.arrays import Array
from zebjax.network.config import MARGINAL, ZebConfig
from zebjax.network.dropout import Dropout
from zebjax.network.prepared import MULTIPLE, Affine, Layer, Prepared
from zebjax.observe import Observation, tokenizer

N_OPPONENTS = 3
N_MOVE_OUTPUTS = 2
"""Of each move: value and points."""
LAYER_NORM_EPSILON = 1e-5


class Output(NamedTuple):
    """Raw outputs, with the leading batch axes of the observation; float32."""

    policy_logits: jax.Array
    """`[..., 7]` by slot, unmasked: the numbers of played and illegal slots mean nothing."""
    value: jax.Array
    """`[...]` in [-1, 1], for the player to move."""
    belief_logits: jax.Array | None
    """`[..., 28, 3]` by tile and holder (left, partner, right); `corrected_beliefs` completes them.
    None without a belief head."""
    moves: jax.Array | None = None
    """`[..., 7, 2]` by slot, for the team of the player to move: the value of the move in [-1, 1],
    and (our points - theirs) at the end over `tiles.POINTS_SCALE`; those of played and illegal
    slots mean nothing. None without the head `move_values`."""


_LEAST = 1e-9
"""Instead of a marginal of 0, whose logarithm would make gradients nan."""


def corrected_beliefs(config: ZebConfig, raw: jax.Array, marginal: jax.Array) -> jax.Array:
    """Return the logits of who holds each tile.

    Args:
        config: with `belief_prior`.
        raw: `[..., 28, 3]`, `Output.belief_logits`.
        marginal: `[..., 28, 3]`, see `worlds.marginals`.

    Returns:
        `[..., 28, 3]`; with the prior `marginal` those of hidden tiles have log(marginal) added.
    """
    if config.belief_prior != MARGINAL:
        return raw
    is_hidden = marginal.sum(-1, keepdims=True) > 0
    return raw + jnp.where(is_hidden, jnp.log(jnp.maximum(marginal, _LEAST)), 0)


def forward(
    config: ZebConfig,
    weights: Prepared,
    observation: Observation,
    dropout_key: jax.Array | None = None,
) -> Output:
    """Evaluate the network; arguments and result as for `model.apply`, unchecked."""
    lead = observation.mask.shape[:-1]
    # From [..., tokens] to [tokens, games].
    flat = jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf.reshape(-1, *leaf.shape[len(lead) :]), 1, 0), observation
    )
    place = jnp.arange(flat.mask.shape[0])[:, None] if flat.place is None else flat.place
    place = jnp.broadcast_to(place, flat.mask.shape).astype(jnp.int8)
    length, games = flat.mask.shape
    drop = Dropout(config.dropout, dropout_key)
    tokens, at = flat.tokens, place
    if jax.device_count() == 1:
        # The gradient of a product over two axes transposes its operands in memory. Over several
        # devices games are divided, and an axis of both could not be.
        tokens, at = tokens.reshape(-1, tokens.shape[-1]), place.reshape(-1)
    x = embed(config, weights, tokens, at)
    layers = weights.layers
    if weights.joined_heads:  # small batches on a GPU: few kernels
        layers = _with_biases_per_row(layers, x.shape)
        # Several devices draw for their own games: one vector would be divided in other places.
        if jax.device_count() == 1:
            drop.draw_ahead(
                len(layers),
                (config.n_heads * length * flat.mask.size, x.size),
                config.ff_dim * flat.mask.size + x.size,
            )
    for layer in layers:
        x = _layer(config, layer, x, flat.mask, drop)
    output = _heads(config, weights, x.reshape(length, games, -1), flat.mask, place)
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), output)


def embed(config: ZebConfig, weights: Prepared, tokens: Array, place: Array) -> jax.Array:
    """Return the first activations, `[..., width]`.

    Args:
        config: the network.
        weights: from `prepare`.
        tokens: int8 `[..., features]`.
        place: int8 `[...]`, the position of each token in the whole observation.
    """
    # A row has 1 for each column of the table that its token adds up.
    features = tokenizer(config.tokenizer).features
    sizes = [cardinality for cardinality, _ in features.values()]
    values = jnp.concatenate([tokens, place[..., None]], axis=-1)
    n_columns, dtype = weights.table.shape[0], weights.table.dtype
    sizes.append(n_columns - sum(sizes))  # positions, and the zeros after them
    hot = [jax.nn.one_hot(values[..., i], size, dtype=dtype) for i, size in enumerate(sizes)]
    return jnp.concatenate(hot, axis=-1) @ weights.table


def _layer(
    config: ZebConfig, weights: Layer, x: jax.Array, mask: Array, drop: Dropout
) -> jax.Array:
    """Pre-LN transformer layer: x + attention(norm(x)), then x + feed-forward(norm(x)).

    Args:
        config: the network.
        weights: of this layer.
        x: `[tokens, games, width]` or `[tokens * games, width]`.
        mask: bool `[tokens, games]`.
        drop: dropout.
    """
    normed = norm(x).astype(config.compute_dtype)
    if config.kernels == "pallas":
        from zebjax.network import fused_attention  # takes a second to import

        qkv = _times(weights.qkv[0], normed)
        attended = fused_attention.attend(qkv, mask, config.n_heads)
    else:
        attended = _attention(config, weights, normed, mask, drop)
    x = x + drop(_times(weights.attention_out, attended)).astype(x.dtype)
    normed = norm(x).astype(config.compute_dtype)
    hidden = drop(jax.nn.relu(_times(weights.ff_in, normed)))
    return x + drop(_times(weights.ff_out, hidden)).astype(x.dtype)


def _attention(
    config: ZebConfig, weights: Layer, normed: jax.Array, mask: Array, drop: Dropout
) -> jax.Array:
    """What attention gives to each token, in the shape of `normed`."""
    if len(weights.qkv) == 1:
        # Split with the axes of the mask: XLA makes one kernel of that, of rows it makes three.
        parts = jnp.split(_times(weights.qkv[0], normed).reshape(*mask.shape, -1), 3, axis=-1)
    else:
        # Three products of one array, which XLA would merge into one and copy its three parts.
        inputs = jax.lax.optimization_barrier((normed, normed, normed))
        parts = [_times(part, x_in) for part, x_in in zip(weights.qkv, inputs, strict=True)]
    query, key, value = (part.reshape(*mask.shape, config.n_heads, -1) for part in parts)
    scores = jnp.einsum("qbhd,kbhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    # Softmax in float32 even with bfloat16 products: sums of small weights need the precision.
    valid = jnp.moveaxis(jnp.asarray(mask), 0, 1)[:, None, None, :]
    scores = jnp.where(valid, scores.astype(jnp.float32), -jnp.inf)
    attention = drop(jax.nn.softmax(scores)).astype(value.dtype)
    return jnp.einsum("bhqk,kbhd->qbhd", attention, value).reshape(normed.shape)


def _with_biases_per_row(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[Layer, ...]:
    """Give each layer the bias of `attention_out` for every row of activations of this shape."""
    biases = jnp.stack([_bias(layer.attention_out) for layer in layers])
    return tuple(
        layer._replace(attention_out=Affine(layer.attention_out.kernel, rows))
        for layer, rows in zip(layers, per_row(biases, shape), strict=True)
    )


def _bias(weights: Affine) -> jax.Array:
    assert weights.bias is not None
    return weights.bias


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def per_row(biases: jax.Array, shape: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Repeat the bias of each layer for every row of its activations.

    The gradient sums the rows of all layers together, in two kernels on a GPU, where each layer's
    sum would be two.

    Args:
        biases: `[layers, width]`.
        shape: of the activations of a layer, `(rows, width)` or `(tokens, games, width)`.
    """
    return tuple(jnp.broadcast_to(bias, shape) for bias in biases)


def _per_row_forward(
    biases: jax.Array, shape: tuple[int, ...]
) -> tuple[tuple[jax.Array, ...], None]:
    return per_row(biases, shape), None


def _per_row_backward(
    shape: tuple[int, ...], _: None, gradients: tuple[jax.Array, ...]
) -> tuple[jax.Array]:
    rows = jnp.stack(gradients).astype(jnp.float32)
    # Many short sums, then one sum of them: a long sum of few columns occupies few processors.
    if len(shape) == 2:
        rows = rows.reshape(len(gradients), math.gcd(shape[0], _SHORT_SUM), -1, shape[1])
    parts = jax.lax.optimization_barrier(rows.sum(1))
    return (parts.sum(1).astype(gradients[0].dtype),)


per_row.defvjp(_per_row_forward, _per_row_backward)
_SHORT_SUM = 32


def _times(weights: Affine, x: jax.Array) -> jax.Array:
    if weights.bias is not None:
        return x @ weights.kernel + weights.bias
    ones = jnp.pad(
        jnp.ones((*x.shape[:-1], 1), x.dtype), [(0, 0)] * (x.ndim - 1) + [(0, MULTIPLE - 1)]
    )
    return jnp.concatenate([x, ones], axis=-1) @ weights.kernel


def norm(x: jax.Array) -> jax.Array:
    """LayerNorm over the last axis without scale and bias, float32."""
    x = x.astype(jnp.float32)
    # One reduction after the other, in the form that XLA makes one kernel of on a GPU. With the
    # mean of x and of its square it makes three.
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + LAYER_NORM_EPSILON)


def _heads(
    config: ZebConfig, weights: Prepared, x: jax.Array, mask: Array, place: jax.Array
) -> Output:
    """All outputs of `[tokens, games, width]`, with the leading axis games."""
    x = x.astype(jnp.float32)
    logits = (x * weights.policy.kernel[:, 0]).sum(-1)
    policy_logits = at_slots(config, weights, logits.T, place.T)
    # The mean over valid tokens. `where` removes the padding, not a product: inf * 0 is nan.
    valid = jnp.asarray(mask)[..., None]
    output = heads(weights, policy_logits, jnp.where(valid, x, 0).sum(0) / valid.sum(0))
    return output._replace(moves=_moves(config, weights.move_values, x, place))


def at_slots(config: ZebConfig, weights: Prepared, logits: jax.Array, place: Array) -> jax.Array:
    """Give each of the mover's slots the logit of its token, or 0 if it has none.

    Args:
        config: the network.
        weights: from `prepare`.
        logits: `[games, tokens]`, without the bias.
        place: int8 `[games, tokens]`.

    Returns:
        The policy logits, `[games, 7]`.
    """
    hand = tokenizer(config.tokenizer).hand
    slots = np.arange(hand.start, hand.stop, dtype=np.int8)
    at_slot = place[..., None] == slots
    return jnp.where(at_slot, logits[..., None], 0).sum(1) + _bias(weights.policy)


def _moves(
    config: ZebConfig, weights: Affine | None, x: jax.Array, place: jax.Array
) -> jax.Array | None:
    """Value and points of each slot, `[games, 7, 2]`, of `[tokens, games, width]`."""
    if weights is None or weights.bias is None:
        return None
    hand = tokenizer(config.tokenizer).hand
    at_slot = place[..., None] == np.arange(hand.start, hand.stop, dtype=np.int8)
    of_tokens = x @ weights.kernel
    raw = jnp.where(at_slot[..., None], of_tokens[:, :, None], 0).sum(0) + weights.bias
    return jnp.stack([jnp.tanh(raw[..., 0]), raw[..., 1]], axis=-1)


def heads(weights: Prepared, policy_logits: jax.Array, pooled: jax.Array) -> Output:
    """Return the outputs but those of moves, with value and belief of the mean of valid tokens
    `[games, width]`.
    """

    def head(hidden: Affine, out: Affine) -> jax.Array:
        return _times(out, jax.nn.gelu(_times(hidden, pooled), approximate=False))

    belief_logits = None
    if weights.joined_heads is not None:
        both = head(*weights.joined_heads)
        value = both[..., :1]
        if weights.belief_out is not None:
            belief_logits = both[..., 1 : 1 + tiles.N_TILES * N_OPPONENTS]
    else:
        value = head(weights.value_hidden, weights.value_out)
        if weights.belief_hidden is not None and weights.belief_out is not None:
            belief_logits = head(weights.belief_hidden, weights.belief_out)
    if belief_logits is not None:
        belief_logits = belief_logits.reshape(-1, tiles.N_TILES, N_OPPONENTS)
    return Output(policy_logits, jnp.tanh(value)[..., 0], belief_logits)
