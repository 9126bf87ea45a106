"""Gradients of the objective on one batch, computed with little padding."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from zebjax import network
from zebjax.common import devices
from zebjax.network import bucketing
from zebjax.observe import shorten, tokenizer
from zebjax.training.batches import Batch
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.losses import BELIEF_LOSS, losses, with_beliefs


class LossWeights(NamedTuple):
    """Weights of the losses in the objective: numbers or float32 scalars."""

    policy: jax.Array | float
    value: jax.Array | float
    belief: jax.Array | float
    moves: jax.Array | float = 0.0


def own_weights(config: LearnerConfig) -> LossWeights:
    """Return the weights of the run's own games."""
    return LossWeights(
        config.policy_weight, config.value_weight, config.belief_weight, config.move_value_weight
    )


_GROUPS = 4
"""Number of groups that a batch is divided into by length."""
_UNDIVIDED = 1024
"""Largest batch that an accelerator computes as one group. Groups save a quarter of the tokens, but
each has its own kernels, and a small batch takes as long as its kernels need to be launched."""


def _n_groups(size: int) -> int:
    """Return the number of groups for a batch of `size` examples."""
    if jax.default_backend() != "cpu" and size <= _UNDIVIDED:
        return 1
    return next((n for n in (_GROUPS, 2) if size % (n * jax.device_count()) == 0), 1)


def cut_lengths(name: str, size: int) -> tuple[int, ...]:
    """Return the lengths that groups are cut off at, ascending; the last fits every observation.

    Args:
        name: name of the tokenizer.
        size: number of examples in the batch.
    """
    spec = tokenizer(name)
    if jax.default_backend() != "cpu" and _n_groups(size) == 1:
        # Products of bfloat16 on tensor cores need multiples of 8: XLA would pad their operands in
        # kernels of their own. In a large batch the further tokens would cost more than that.
        return (min(-(-spec.lengths[-1] // 8) * 8, spec.length),)
    # Only three lengths, near the ends of the quarters: the network is compiled for each.
    return (*spec.lengths[1:5:2], spec.lengths[-1])


def grads_and_output(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    batch: Batch,
    dropout_key: jax.Array | None,
    weights: LossWeights | None = None,
) -> tuple[network.Params, network.Output]:
    """Compute the gradients of the objective, and the output, as of `losses.with_beliefs`.

    The batch is sorted by length, and each quarter is cut off at the length that it needs (see
    `network.bucketing`); a small batch on an accelerator is computed whole.

    Args:
        config: static.
        network_config: static.
        params: the network's parameters.
        batch: `[B]` examples; its observations may be shortened already.
        dropout_key: one typed random key; None turns dropout off.
        weights: of the losses; None for those of `config`.
    """
    weights = weights or own_weights(config)
    size = batch.policy_weight.shape[0]
    n_groups = _n_groups(size)
    lengths = cut_lengths(network_config.tokenizer, size)
    if batch.observation.place is None:
        batch = batch._replace(observation=shorten(batch.observation, lengths[-1]))

    def gradients(
        batch: Batch, shares: LossWeights, key: jax.Array | None
    ) -> tuple[network.Params, network.Output]:
        def objective(params: network.Params) -> tuple[jax.Array, network.Output]:
            output = network.apply(network_config, params, batch.observation, key)
            output = with_beliefs(network_config, output, batch)
            metrics = losses(config, output, batch)[1]
            loss = weights.policy * shares.policy * metrics["policy_loss"]
            loss += weights.value * shares.value * metrics["value_loss"]
            if output.belief_logits is not None:
                loss += weights.belief * shares.belief * metrics[BELIEF_LOSS[config.belief_tiles]]
            if output.moves is not None:
                loss += weights.moves * shares.moves * metrics["move_loss"]
            return loss, output

        return jax.grad(objective, has_aux=True)(params)

    if n_groups == 1:
        return gradients(devices.split(batch), LossWeights(1.0, 1.0, 1.0, 1.0), dropout_key)

    # Every loss is a weighted mean over examples. So the loss of the batch is the sum of the
    # quarters' losses, each times its share of the total weight; the same holds for gradients.
    _, order, back = bucketing.sort(batch.observation.mask.sum(-1), size // n_groups)
    groups = jax.tree.map(lambda leaf: leaf[order].reshape(n_groups, -1, *leaf.shape[1:]), batch)
    groups = devices.split(groups, axis=1)

    def share(weights: jax.Array) -> jax.Array:
        """Return each group's share of the total weight, `[n_groups]`."""
        return weights.reshape(n_groups, -1).sum(1) / jnp.maximum(weights.sum(), 1e-8)

    belief_weights = groups.hidden if config.belief_tiles == "hidden" else groups.belief_mask
    shares = LossWeights(
        share(groups.policy_weight),
        jnp.full(n_groups, 1 / n_groups),
        share(belief_weights),
        jnp.zeros(n_groups)
        if groups.moves is None
        else share(jnp.isfinite(groups.moves).any((-2, -1))),
    )
    keys = None if dropout_key is None else jax.random.split(dropout_key, n_groups)

    def of_group(total: network.Params, group: tuple) -> tuple[network.Params, network.Output]:
        batch, shares, key = group

        def at_length(length: int) -> tuple[network.Params, network.Output]:
            observation = bucketing.cut(batch.observation, length)
            return gradients(batch._replace(observation=observation), shares, key)

        branches = [functools.partial(at_length, length) for length in lengths]
        grads, output = jax.lax.switch(
            bucketing.length_index(batch.observation.mask, lengths), branches
        )
        return jax.tree.map(jnp.add, total, grads), output

    zeros = jax.tree.map(jnp.zeros_like, params)
    grads, output = jax.lax.scan(of_group, zeros, (groups, shares, keys))
    return grads, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], output)
