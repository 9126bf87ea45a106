"""The forward pass of ZebNet, and the weights in the form that it multiplies.

`prepare` converts parameters once: casts to the dtype of the products, and the embedding tables
times their projection. A loop of evaluations uses the prepared weights again and again; XLA does
not move that work out of a loop or a branch by itself.

Inside, activations are `[tokens, games, width]`. In that order the heads of all games are one batch
axis with one stride, so that a batched product reads queries, keys and values where they are; in
the order `[games, tokens, width]` each of them is transposed in memory first.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import tiles
from zebjax.common.arrays import Array
from zebjax.network.config import ZebConfig
from zebjax.observe import Observation, tokenizer

Params = dict[str, Any]
N_OPPONENTS = 3
N_MOVE_OUTPUTS = 2
"""Of each move: value and points."""
LAYER_NORM_EPSILON = 1e-5
_MULTIPLE = 8
"""Tensor cores want axes that are a multiple of this."""


class Output(NamedTuple):
    """Raw outputs, with the leading batch axes of the observation; float32."""

    policy_logits: jax.Array
    """`[..., 7]` by slot, unmasked: the numbers of played and illegal slots mean nothing."""
    value: jax.Array
    """`[...]` in [-1, 1], for the player to move."""
    belief_logits: jax.Array | None
    """`[..., 28, 3]` by tile and holder (left, partner, right); None without a belief head."""
    moves: jax.Array | None = None
    """`[..., 7, 2]` by slot, for the team of the player to move: the value of the move in [-1, 1],
    and (our points - theirs) at the end over `tiles.POINTS_SCALE`; those of played and illegal
    slots mean nothing. None without the head `move_values`."""


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
        move_values=affine(params["move_values"], jnp.float32) if config.move_values else None,
    )


def _joined(weights: Affine) -> Affine:
    """The same with the bias as a row of the kernel."""
    assert weights.bias is not None
    rows = jnp.pad(weights.bias[None], ((0, _MULTIPLE - 1), (0, 0)))
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
    return jnp.pad(table, ((0, -table.shape[0] % _MULTIPLE), (0, 0)))


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
    for layer in weights.layers:
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
    config: ZebConfig, weights: Layer, x: jax.Array, mask: Array, drop: "Dropout"
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
    config: ZebConfig, weights: Layer, normed: jax.Array, mask: Array, drop: "Dropout"
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


def _times(weights: Affine, x: jax.Array) -> jax.Array:
    if weights.bias is not None:
        return x @ weights.kernel + weights.bias
    ones = jnp.pad(
        jnp.ones((*x.shape[:-1], 1), x.dtype), [(0, 0)] * (x.ndim - 1) + [(0, _MULTIPLE - 1)]
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
    assert weights.policy.bias is not None
    return jnp.where(at_slot, logits[..., None], 0).sum(1) + weights.policy.bias


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

    value = jnp.tanh(head(weights.value_hidden, weights.value_out))[..., 0]
    belief_logits = None
    if weights.belief_hidden is not None and weights.belief_out is not None:
        belief_logits = head(weights.belief_hidden, weights.belief_out)
        belief_logits = belief_logits.reshape(-1, tiles.N_TILES, N_OPPONENTS)
    return Output(policy_logits, value, belief_logits)


class Dropout:
    """Dropout with one random number for each value of each call."""

    def __init__(self, rate: float, key: jax.Array | None):
        self.rate, self.n_drawn = rate, 0
        # Two words, however many the key's implementation has.
        self.words = (
            None if key is None else jax.random.key_data(key).reshape(-1)[jnp.array([0, -1])]
        )

    def __call__(self, values: jax.Array) -> jax.Array:
        """Set a share of the values to 0, and keep the mean."""
        if self.words is None or not self.rate:
            return values
        index = jax.lax.iota(jnp.uint32, values.size).reshape(values.shape)
        chance = _hash(index + jnp.uint32(self.n_drawn % 2**32), self.words)
        self.n_drawn += values.size
        return jnp.where(chance >= jnp.uint32(self.rate * 2**32), values / (1 - self.rate), 0)


def _hash(index: jax.Array, words: jax.Array) -> jax.Array:
    """Return pseudorandom uint32 for indices, with two words of a key.

    The hash is `triple32` of Wellons 2018, "Prospecting for Hash Functions", with the words added
    before and within it. jax's Threefry, made for cryptography, took a third of a training step
    of the large network on a CPU, and kernels of its own on a GPU; XLA joins these few operations
    to whatever uses the numbers.
    """
    x = index + words[0]
    x = (x ^ (x >> 17)) * jnp.uint32(0xED5AD4BB)
    x = ((x ^ (x >> 11)) + words[1]) * jnp.uint32(0xAC4C1B51)
    x = (x ^ (x >> 15)) * jnp.uint32(0x31848BAB)
    return x ^ (x >> 14)
