"""The network on many observations at once with little padding: sorted by length, in groups that
are each as long as their longest observation.

The cost of a transformer is the number of its tokens. Games of one batch are in different tricks,
so their observations have from 8 to 29 valid tokens of 36. An observation without a valid token,
which means that no evaluation is wanted, costs nothing.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from zebjax import game, network
from zebjax.common import devices
from zebjax.common.arrays import Array, check
from zebjax.observe import Observation, check_observation, shorten

# Smaller groups have less padding and use a device worse: 16 was best on two CPU cores, see
# benchmarks/NOTES.md. An accelerator gets a fixed number of groups instead, each of them large.
_CPU_GROUP = 16
_ACCELERATOR_GROUPS = 8


def _group(n: int) -> int:
    """Games to evaluate together, of n in all."""
    group = (
        _CPU_GROUP
        if jax.default_backend() == "cpu"
        else max(_CPU_GROUP, -(-n // _ACCELERATOR_GROUPS))
    )
    # A group is divided over the devices, so its size is a multiple of their number.
    return -(-group // jax.device_count()) * jax.device_count()


def evaluate(
    config: network.ZebConfig,
    params: network.Params,
    observation: Observation,
    lengths: Sequence[int],
    group: int | None = None,
) -> network.Output:
    """`network.apply` on whole observations `[n]`, with the same result except for rounding.

    Differences: policy logits of slots that have been played mean nothing, and an observation
    without a valid token gives zeros. Under `vmap` the games of all batches are sorted together.

    Args:
        config: static.
        params: as for `network.apply`.
        observation: whole ones: tokens int8 `[n, length, features]`, mask bool `[n, length]`.
        lengths: static; a network is compiled for each. Ascending; the last is at least the maximum
            number of valid tokens in an observation.
        group: static; number of games evaluated together, padded to the longest of them. None: a
            size that suits the device.

    Returns:
        As `network.apply`, leading axis n.

    Raises:
        ValueError: if the observation's shapes or dtypes are wrong.
    """
    check_observation(observation)
    check("observation.mask", observation.mask, ("n", "length"), bool)

    # Under vmap, jax would turn the switch over lengths into the evaluation of every length. So
    # vmap is defined here: the batches become one long batch.
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
    # The whole batch is gathered once in sorted order, so that each group is a contiguous slice.
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
        # Only the branch of this group's length runs: lax.map is a loop, where a switch stays one.
        branches: list[Callable[[], network.Output]] = [lambda: nothing, *at_length]
        return jax.lax.switch(which(observation.mask, (0, *lengths)), branches)

    output = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], jax.lax.map(of_group, grouped)
    )
    # An observation without tokens may have been in a group with others: its softmax over no token
    # made it nan.
    return game.select(
        jnp.asarray(observation.mask).any(-1), output, jax.tree.map(jnp.zeros_like, output)
    )


def sort(n_valid: jax.Array, group: int) -> tuple[int, jax.Array, jax.Array]:
    """Sort rows by length into groups of one size.

    Args:
        n_valid: int `[n]`, the length of each row.
        group: rows in a group.

    Returns:
        The number of groups; the rows in order of length, int `[groups * group]`, where the first
        are repeated as padding; and each row's place in that order, int `[n]`.
    """
    n = n_valid.shape[0]
    group = min(group, n)
    groups = -(-n // group)
    order = jnp.argsort(n_valid)
    back = jnp.argsort(order)
    # Padding goes before the shortest row and repeats it, so it makes no group longer.
    return groups, jnp.pad(order, (groups * group - n, 0), mode="edge"), back + (groups * group - n)


def cut(observation: Observation, length: int) -> Observation:
    """Cut shortened observations `[n]` off at `length` tokens (static)."""
    return jax.tree.map(lambda leaf: leaf[:, :length], observation)


def which(mask: Array, lengths: Sequence[int]) -> jax.Array:
    """Index of the first of `lengths` that the longest row of `mask` `[n, length]` fits in,
    int32.
    """
    return jnp.searchsorted(jnp.asarray(lengths), mask.sum(-1).max())
