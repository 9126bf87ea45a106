"""ZebNet: a pre-LN transformer over tokens, with policy, value and belief heads.

Parameters are a plain nested dict of arrays; `apply` is a pure function of (config, params,
observation). "Pre-LN" means LayerNorm before each block, not after it (Xiong et al. 2020, "On
layer normalization in the transformer architecture").
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from zebjax import tiles
from zebjax.common.arrays import Array, check, check_key
from zebjax.network.config import ZebConfig
from zebjax.observe import Observation, check_observation, tokenizer

Params = dict[str, Any]
N_OPPONENTS = 3
_LAYER_NORM_EPSILON = 1e-5


class Output(NamedTuple):
    """Raw outputs, with the leading batch axes of the observation; float32."""

    policy_logits: jax.Array
    """`[..., 7]` by slot, unmasked: the numbers of played and illegal slots mean nothing."""
    value: jax.Array
    """`[...]` in [-1, 1], for the player to move."""
    belief_logits: jax.Array | None
    """`[..., 28, 3]` by tile and holder (left, partner, right); None without a belief head."""


def _drop(key: jax.Array, rate: float, values: jax.Array) -> jax.Array:
    """Apply dropout at `rate`, rounded to a multiple of 1/256."""
    # Eight random bits per value: drawing bits is the main cost of dropout. With 32 bits, as in
    # `nnx.Dropout`, it took 4.6 times as long on a CPU, a third of a training step.
    dropped = round(rate * 256)
    words = jax.random.bits(key, (-(-values.size // 4),), jnp.uint32)
    chance = (
        jax.lax.bitcast_convert_type(words, jnp.uint8)
        .reshape(-1)[: values.size]
        .reshape(values.shape)
    )
    return jnp.where(chance >= dropped, values * (256 / (256 - dropped)), 0)


class _EncoderLayer(nnx.Module):
    """Pre-LN transformer layer: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, config: ZebConfig, linear: Any, rngs: nnx.Rngs):
        self.n_heads = config.n_heads
        self.norm1 = nnx.LayerNorm(config.embed_dim, epsilon=_LAYER_NORM_EPSILON, rngs=rngs)
        self.qkv = linear(config.embed_dim, 3 * config.embed_dim, rngs=rngs)
        self.attention_out = linear(config.embed_dim, config.embed_dim, rngs=rngs)
        self.norm2 = nnx.LayerNorm(config.embed_dim, epsilon=_LAYER_NORM_EPSILON, rngs=rngs)
        self.ff_in = linear(config.embed_dim, config.ff_dim, rngs=rngs)
        self.ff_out = linear(config.ff_dim, config.embed_dim, rngs=rngs)
        self.dropout = config.dropout

    def __call__(self, x: jax.Array, mask: Array, rngs: nnx.Rngs | None) -> jax.Array:
        def drop(values: jax.Array) -> jax.Array:
            return (
                values if rngs is None or not self.dropout else _drop(rngs(), self.dropout, values)
            )

        qkv = self.qkv(self.norm1(x))
        query, key, value = jnp.moveaxis(qkv.reshape(*qkv.shape[:-1], 3, self.n_heads, -1), -3, 0)
        scores = jnp.einsum("...qhd,...khd->...hqk", query, key) / math.sqrt(query.shape[-1])
        # Softmax in float32 even with bfloat16 products: sums of small weights need the precision.
        scores = jnp.where(mask[..., None, None, :], scores.astype(jnp.float32), -jnp.inf)
        weights = drop(jax.nn.softmax(scores)).astype(value.dtype)
        attended = jnp.einsum("...hqk,...khd->...qhd", weights, value)
        x = x + drop(self.attention_out(attended.reshape(*attended.shape[:-2], -1)))
        hidden = drop(jax.nn.relu(self.ff_in(self.norm2(x))))
        return x + drop(self.ff_out(hidden))


class ZebNet(nnx.Module):
    """The network: from tokens to policy logits, value and belief logits."""

    def __init__(self, config: ZebConfig, rngs: nnx.Rngs):
        spec = tokenizer(config.tokenizer)
        self.spec = spec
        width = config.embed_dim
        compute = jnp.dtype(config.compute_dtype)
        # U(+-1/sqrt(fan_in)) as torch.nn.Linear, so that training starts as the original's does;
        # biases start at 0.
        torch_uniform = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        linear = functools.partial(nnx.Linear, dtype=compute, kernel_init=torch_uniform)
        head = functools.partial(nnx.Linear, kernel_init=torch_uniform)
        embed = functools.partial(nnx.Embed, embedding_init=nnx.initializers.normal(1.0), rngs=rngs)
        widths = {name: int(width // 8 * share) for name, (_, share) in spec.features.items()}
        self.embed = nnx.Dict(
            {
                name: embed(cardinality, widths[name])
                for name, (cardinality, _) in spec.features.items()
            }
        )
        self.embed_project = nnx.Linear(
            sum(widths.values()), width, kernel_init=torch_uniform, rngs=rngs
        )
        self.position = embed(spec.length, width)
        self.layers = nnx.Dict(
            {f"{i:02d}": _EncoderLayer(config, linear, rngs) for i in range(config.n_layers)}
        )
        self.policy = head(width, 1, rngs=rngs)
        self.value_hidden = head(width, width // 2, rngs=rngs)
        self.value_out = head(width // 2, 1, rngs=rngs)
        if config.belief_head:
            self.belief_hidden = head(width, width, rngs=rngs)
            self.belief_out = head(width, tiles.N_TILES * N_OPPONENTS, rngs=rngs)

    def __call__(self, observation: Observation, rngs: nnx.Rngs | None = None) -> Output:
        mask = observation.mask
        x = self._embed_tokens(observation)
        for layer in self.layers.values():
            x = layer(x, mask, rngs)
        policy_logits = self.policy(self._hand(x, observation.place))[..., 0]
        # The mean over valid tokens. `where` removes the padding, not a product: inf * 0 is nan.
        pooled = jnp.where(mask[..., None], x, 0).sum(-2) / mask.sum(-1, keepdims=True)
        hidden = jax.nn.gelu(self.value_hidden(pooled), approximate=False)
        value = jnp.tanh(self.value_out(hidden))[..., 0]
        belief_logits = None
        if hasattr(self, "belief_out"):
            hidden = jax.nn.gelu(self.belief_hidden(pooled), approximate=False)
            belief_logits = self.belief_out(hidden)
            belief_logits = belief_logits.reshape(
                *belief_logits.shape[:-1], tiles.N_TILES, N_OPPONENTS
            )
        return Output(policy_logits, value, belief_logits)

    def _hand(self, x: jax.Array, place: Array | None) -> jax.Array:
        """Hidden states of the mover's seven slots; zeros for a slot that `shorten` removed."""
        if place is None:
            return x[..., self.spec.hand, :]
        slots = jnp.arange(self.spec.hand.start, self.spec.hand.stop)
        return (slots[:, None] == place[..., None, :]).astype(x.dtype) @ x

    def _embed_tokens(self, observation: Observation) -> jax.Array:
        """Concatenate the feature embeddings, project them, and add position embeddings."""
        # The projection of a concatenation is a sum of projections. So project each embedding
        # table once (a few dozen rows), and multiply the result by one multi-hot row per token.
        # This takes fewer FLOP than projecting every token, and its gradient is a matrix product
        # instead of a scatter.
        kernel = self.embed_project.kernel[...]
        rows, multi_hot, start = [], [], 0
        for index, (name, (cardinality, _)) in enumerate(self.spec.features.items()):
            table = self.embed[name].embedding[...]
            rows.append(table @ kernel[start : start + table.shape[1]])
            multi_hot.append(
                jax.nn.one_hot(observation.tokens[..., index], cardinality, dtype=kernel.dtype)
            )
            start += table.shape[1]
        position = self.position.embedding[...]
        if observation.place is not None:
            rows.append(position)
            multi_hot.append(
                jax.nn.one_hot(observation.place, position.shape[0], dtype=kernel.dtype)
            )
        bias = self.embed_project.bias
        assert bias is not None  # the type allows None
        embedded = jnp.concatenate(multi_hot, -1) @ jnp.concatenate(rows) + bias[...]
        return embedded if observation.place is not None else embedded + position


@functools.cache
def _structure(config: ZebConfig) -> tuple[nnx.GraphDef, nnx.State]:
    """Return the graph definition of a ZebNet and the shapes of its parameters."""
    abstract = nnx.eval_shape(lambda: ZebNet(config, nnx.Rngs(0)))
    return nnx.split(abstract, nnx.Param)


def init(config: ZebConfig, key: jax.Array) -> Params:
    """Draw fresh parameters, float32.

    Args:
        config: the network.
        key: one typed random key.
    """
    check_key("key", key)
    return nnx.to_pure_dict(nnx.state(ZebNet(config, nnx.Rngs(key)), nnx.Param))


def abstract_params(config: ZebConfig) -> Params:
    """Return the parameters of this config as `jax.ShapeDtypeStruct`s."""
    # All layers have the same shapes, and tracing takes time about quadratic in their number: one
    # is traced, so that a file's claim costs little before its arrays are compared with it.
    params = nnx.to_pure_dict(_structure(dataclasses.replace(config, n_layers=1))[1])
    layer = params["layers"]["00"]
    layers = {f"{i:02d}": jax.tree.map(lambda leaf: leaf, layer) for i in range(config.n_layers)}
    return params | {"layers": layers}


def n_params(params: Params) -> int:
    """Return the number of parameters in a pytree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _check_params(config: ZebConfig, params: Params) -> None:
    """Raise ValueError unless `params` has the names and shapes of this config's network."""

    def shapes(tree: Params) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}

    expected, got = shapes(abstract_params(config)), shapes(params)
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            raise ValueError(
                f"params{name}: expected shape {expected.get(name, 'none: no such parameter')}, "
                f"got {got.get(name, 'none')}; these are not the weights of this config"
            )


# jit here, although callers compile it too: a program that evaluates several lengths then contains
# one function per length, and a length is traced only once.
@functools.partial(jax.jit, static_argnames="config")
def apply(
    config: ZebConfig,
    params: Params,
    observation: Observation,
    dropout_key: jax.Array | None = None,
) -> Output:
    """Evaluate the network.

    Args:
        config: the config that the parameters were made with.
        params: from `init` or `load`.
        observation: tokens `[..., length, features]` and mask `[..., length]`, any leading axes.
        dropout_key: a typed random key turns dropout on, for training; None turns it off.

    Returns:
        Raw logits, unmasked, float32: `.policy_logits` `[..., 7]`, `.value` `[...]` in [-1, 1],
        `.belief_logits` `[..., 28, 3]` or None.

    Raises:
        ValueError: if an argument has a wrong shape or dtype, or `params` do not fit `config`.

    >>> from zebjax import game, network, observe
    >>> config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    >>> params = network.init(config, jax.random.key(0))
    >>> seen = observe.observe(game.deal(jax.random.key(1)))
    >>> network.apply(config, params, seen).policy_logits.shape
    (7,)
    """
    spec = tokenizer(config.tokenizer)
    check_observation(observation)
    check("observation.tokens", observation.tokens, ("length", len(spec.features)), int, True)
    if observation.place is None:
        check("observation.mask", observation.mask, (spec.length,), bool, leading=True)
    _check_params(config, params)
    if dropout_key is not None:
        check_key("dropout_key", dropout_key)
    graphdef, abstract = _structure(config)
    state = jax.tree.map(lambda leaf: leaf, abstract)  # a copy: replacing below is in place
    nnx.replace_by_pure_dict(state, params)
    rngs = None if dropout_key is None else nnx.Rngs(dropout_key)
    return nnx.merge(graphdef, state)(observation, rngs)
