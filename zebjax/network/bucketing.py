"""The network on many observations at once, with little padding: sorted by length, and each group
as long as it needs.

A transformer's price is the number of its tokens. Games of one batch stand in different tricks, so
their observations have from 8 to 29 valid tokens of 36; and what nobody asks about (a mask without
a single token) costs nothing here.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from zebjax import game, network
from zebjax.common import devices
from zebjax.observe import Observation, shorten

# Smaller groups fit their games better and use a device worse: 16 was best on two CPU cores, see
# benchmarks/NOTES.md.
_CPU_GROUP = 16
_ACCELERATOR_GROUPS = 8


def _group(n: int) -> int:
    group = (
        _CPU_GROUP
        if jax.default_backend() == "cpu"
        else max(_CPU_GROUP, -(-n // _ACCELERATOR_GROUPS))
    )
    return -(-group // jax.device_count()) * jax.device_count()  # what is divided over the devices


def evaluate(
    config: network.ZebConfig,
    params: network.Params,
    observation: Observation,
    lengths: Sequence[int],
    group: int | None = None,
) -> network.Output:
    """`network.apply` on whole observations `[n]`, with the same result but for rounding.

    Differences: policy logits of slots that have been played mean nothing, and an observation
    without a valid token gives zeros. Under `vmap` the games of all batches are sorted together.

    Args:
        config: static.
        params: as for `network.apply`.
        observation: `[n]`, whole.
        lengths: static; one compiled network each. Ascending, the last at least the most valid
            tokens of a game.
        group: static; games evaluated together, padded to the longest of them. None: what suits the
            device.
    """

    @jax.custom_batching.custom_vmap
    def flat(params: network.Params, observation: Observation) -> network.Output:
        return _evaluate(config, params, observation, lengths, group)

    @flat.def_vmap
    def _(axis_size: int, in_batched: tuple, params: network.Params, observation: Observation):
        if any(jax.tree.leaves(in_batched[0])):
            raise ValueError(
                "params: expected one network for all games; vmap over observations alone"
            )

        def flatten(leaf: jax.Array, batched: bool) -> jax.Array:
            leaf = leaf if batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
            return leaf.reshape(-1, *leaf.shape[2:])

        rows = jax.tree.map(flatten, observation, in_batched[1])
        output = flat(params, rows)
        output = jax.tree.map(lambda leaf: leaf.reshape(axis_size, -1, *leaf.shape[1:]), output)
        return output, jax.tree.map(lambda _: True, output)

    return flat(params, observation)


def _evaluate(
    config: network.ZebConfig,
    params: network.Params,
    observation: Observation,
    lengths: Sequence[int],
    group: int | None,
) -> network.Output:
    n = observation.mask.shape[0]
    groups, order, back = sort(observation.mask.sum(-1), group or _group(n))
    shortened = shorten(observation, lengths[-1])
    grouped = jax.tree.map(lambda leaf: leaf[order].reshape(groups, -1, *leaf.shape[1:]), shortened)
    grouped = devices.split(grouped, axis=1)

    def of_group(observation: Observation) -> network.Output:
        at_length = [
            functools.partial(network.apply, config, params, cut(observation, length))
            for length in lengths
        ]
        nothing = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(at_length[0])
        )
        branches: list[Callable[[], network.Output]] = [lambda: nothing, *at_length]
        return jax.lax.switch(which(observation.mask, (0, *lengths)), branches)

    output = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], jax.lax.map(of_group, grouped)
    )
    # A row without tokens may have shared its group with others: then it holds nan.
    return game.select(observation.mask.any(-1), output, jax.tree.map(jnp.zeros_like, output))


def sort(n_valid: jax.Array, group: int) -> tuple[int, jax.Array, jax.Array]:
    """The number of groups, the rows `[groups * group]` sorted by length and padded, and each row's
    place in that.
    """
    n = n_valid.shape[0]
    group = min(group, n)
    groups = -(-n // group)
    order = jnp.argsort(n_valid)
    back = jnp.argsort(order)
    return groups, jnp.pad(order, (groups * group - n, 0), mode="edge"), back + (groups * group - n)


def cut(observation: Observation, length: int) -> Observation:
    """Shortened observations `[n]` without the padding past `length` (static)."""
    return jax.tree.map(lambda leaf: leaf[:, :length], observation)


def which(mask: jax.Array, lengths: Sequence[int]) -> jax.Array:
    """The first of `lengths` that the longest row of `mask` fits in, by its index, int32."""
    return jnp.searchsorted(jnp.asarray(lengths), mask.sum(-1).max())
