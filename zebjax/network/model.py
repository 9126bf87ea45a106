"""ZebNet: a pre-LN transformer over tokens, with heads for policy, value, belief and moves.

Parameters are a plain nested dict of arrays. `apply` is a pure function of (config, params,
observation); `prepare` and `evaluate` are its two halves, for a loop of evaluations with the same
parameters. "Pre-LN" means LayerNorm before each block, not after it (Xiong et al. 2020, "On layer
normalization in the transformer architecture").
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from zebjax import tiles
from zebjax.common import devices
from zebjax.common.arrays import check, check_key
from zebjax.network import forward, prepared
from zebjax.network.config import AUTO, NONE, ZebConfig
from zebjax.network.forward import N_MOVE_OUTPUTS, N_OPPONENTS, Output
from zebjax.network.prepared import Params, Prepared
from zebjax.observe import Observation, check_observation, tokenizer


class _EncoderLayer(nnx.Module):
    """The parameters of one layer."""

    def __init__(self, config: ZebConfig, linear: Any, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(config.embed_dim, epsilon=forward.LAYER_NORM_EPSILON, rngs=rngs)
        self.qkv = linear(config.embed_dim, 3 * config.embed_dim)
        self.attention_out = linear(config.embed_dim, config.embed_dim)
        self.norm2 = nnx.LayerNorm(config.embed_dim, epsilon=forward.LAYER_NORM_EPSILON, rngs=rngs)
        self.ff_in = linear(config.embed_dim, config.ff_dim)
        self.ff_out = linear(config.ff_dim, config.embed_dim)


class ZebNet(nnx.Module):
    """The parameters of the network: names, shapes and first values; `forward` uses them."""

    def __init__(self, config: ZebConfig, rngs: nnx.Rngs):
        spec = tokenizer(config.tokenizer)
        width = config.embed_dim
        # U(+-1/sqrt(fan_in)) as torch.nn.Linear, so that training starts as the original's does;
        # biases start at 0.
        torch_uniform = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        linear = functools.partial(nnx.Linear, kernel_init=torch_uniform, rngs=rngs)
        embed = functools.partial(nnx.Embed, embedding_init=nnx.initializers.normal(1.0), rngs=rngs)
        widths = {name: int(width // 8 * share) for name, (_, share) in spec.features.items()}
        self.embed = nnx.Dict(
            {
                name: embed(cardinality, widths[name])
                for name, (cardinality, _) in spec.features.items()
            }
        )
        self.embed_project = linear(sum(widths.values()), width)
        self.position = embed(spec.length, width)
        self.layers = nnx.Dict(
            {f"{i:02d}": _EncoderLayer(config, linear, rngs) for i in range(config.n_layers)}
        )
        self.policy = linear(width, 1)
        self.value_hidden = linear(width, width // 2)
        self.value_out = linear(width // 2, 1)
        if config.belief_head:
            self.belief_hidden = linear(width, width)
            # On the marginal 0 at first, so that training begins at the marginal.
            first = torch_uniform if config.belief_prior == NONE else nnx.initializers.zeros_init()
            self.belief_out = linear(width, tiles.N_TILES * N_OPPONENTS, kernel_init=first)
        if config.move_values:
            # 0 at first, as in a network that gets the head later, see `with_move_values`. It
            # draws no random number, so that the other parameters are the same with and without.
            self.move_values = nnx.Linear(
                width, N_MOVE_OUTPUTS, kernel_init=nnx.initializers.zeros_init(), rngs=rngs
            )


# Up to so many tokens on a GPU a bias is part of its product. More tokens fill a kernel that sums
# them up, and the product's longer axis costs more than it saves: on an H200 14 % of an update were
# saved at 2,048 tokens, and 6 % lost at 32,768. Between them nothing was measured.
_FEW_TOKENS = 8192


def resolved(config: ZebConfig) -> ZebConfig:
    """Return the config with this device's compute dtype if it has `auto`, else unchanged."""
    if config.compute_dtype != AUTO:
        return config
    return dataclasses.replace(config, compute_dtype=devices.fast_dtype())


def _joins_bias(n_tokens: int) -> bool:
    """True if a training step with so many tokens makes biases part of their products."""
    # Several devices divide a batch.
    is_small = n_tokens <= _FEW_TOKENS * jax.device_count()
    return is_small and jax.default_backend() == "gpu"


def _with_usable_kernels(config: ZebConfig) -> ZebConfig:
    return resolved(config).with_kernels(devices.runs_pallas())


def on_this_device(config: ZebConfig) -> ZebConfig:
    """Return the config with this device's compute dtype, whatever the network was trained with.

    Args:
        config: of any network; the parameters stay the same.
    """
    return dataclasses.replace(config, compute_dtype=devices.fast_dtype(), kernels=AUTO)


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


def with_move_values(config: ZebConfig, params: Params) -> tuple[ZebConfig, Params]:
    """Add a head for the values of moves that answers 0, to a network without one.

    Args:
        config: of any network.
        params: its parameters; if it has the head, they are returned as they are.
    """
    if config.move_values:
        return config, params
    config = dataclasses.replace(config, move_values=True)
    head = abstract_params(config)["move_values"]
    return config, params | {"move_values": jax.tree.map(jnp.zeros_like, head)}


def fresh_belief_head(config: ZebConfig, key: jax.Array) -> Params:
    """Return random parameters of the belief head alone, for a network of this config.

    Args:
        config: of a network with a belief head.
        key: one typed random key.
    """
    return {name: leaf for name, leaf in init(config, key).items() if name.startswith("belief_")}


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


@functools.partial(jax.jit, static_argnames="config")
def apply(
    config: ZebConfig,
    params: Params,
    observation: Observation,
    dropout_key: jax.Array | None = None,
) -> Output:
    """Evaluate the network. For many evaluations with the same parameters use `evaluate`.

    Args:
        config: the config that the parameters were made with.
        params: from `init` or `load`.
        observation: tokens `[..., length, features]` and mask `[..., length]`, any leading axes.
        dropout_key: a typed random key turns dropout on, for training; None turns it off.

    Returns:
        Raw logits, unmasked, float32: `.policy_logits` `[..., 7]`, `.value` `[...]` in [-1, 1],
        `.belief_logits` `[..., 28, 3]` or None, which `network.corrected_beliefs` completes,
        `.moves` `[..., 7, 2]` or None.

    Raises:
        ValueError: if an argument has a wrong shape or dtype, or `params` do not fit `config`.

    >>> from zebjax import game, network, observe
    >>> config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    >>> params = network.init(config, jax.random.key(0))
    >>> seen = observe.observe(game.deal(jax.random.key(1)))
    >>> network.apply(config, params, seen).policy_logits.shape
    (7,)
    """
    config = resolved(config)
    _check_params(config, params)
    # Training adds many small updates to the residual stream, so it stays float32 here.
    # It uses no kernel of our own either: that has no gradient.
    config = dataclasses.replace(config, kernels="xla")
    weights = prepared.prepare_for_training(config, params, _joins_bias(observation.mask.size))
    return evaluate(config, weights, observation, dropout_key)


@functools.partial(jax.jit, static_argnames="config")
def prepare(config: ZebConfig, params: Params) -> Prepared:
    """Convert parameters once for many evaluations: see `evaluate`.

    Args:
        config: the config that the parameters were made with; without `belief_head` or
            `move_values`, that head of `params` is left out.
        params: from `init` or `load`, concrete or traced.

    Raises:
        ValueError: if `params` do not fit `config`.
    """
    config = _with_usable_kernels(config)
    expected = abstract_params(config)
    _check_params(config, {name: params[name] for name in expected if name in params})
    return prepared.prepare(config, params)


# jit here, although callers compile it too: a program that evaluates several lengths then contains
# one function per length, and a length is traced only once.
@functools.partial(jax.jit, static_argnames="config")
def evaluate(
    config: ZebConfig,
    weights: Prepared,
    observation: Observation,
    dropout_key: jax.Array | None = None,
) -> Output:
    """Evaluate the network with prepared weights.

    With compute dtype bfloat16 the residual stream is bfloat16 too: half the memory traffic, which
    is what an evaluation on a GPU costs. In float32 the result is that of `apply`.

    Args:
        config: the config that the weights were prepared with.
        weights: from `prepare`.
        observation: as for `apply`.
        dropout_key: as for `apply`.

    Returns:
        As `apply`.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.

    >>> from zebjax import game, network, observe
    >>> config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    >>> weights = network.prepare(config, network.init(config, jax.random.key(0)))
    >>> seen = observe.observe(game.deal(jax.random.key(1)))
    >>> network.evaluate(config, weights, seen).policy_logits.shape
    (7,)
    """
    config = _with_usable_kernels(config)
    if dropout_key is not None:
        config = dataclasses.replace(config, kernels="xla")
    spec = tokenizer(config.tokenizer)
    check_observation(observation)
    check("observation.tokens", observation.tokens, ("length", len(spec.features)), int, True)
    if observation.place is None:
        check("observation.mask", observation.mask, (spec.length,), bool, leading=True)
    if dropout_key is not None:
        check_key("dropout_key", dropout_key)
    return forward.forward(config, weights, observation, dropout_key)
