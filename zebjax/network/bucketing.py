"""Evaluate a network on many observations with little padding.

Observations are sorted by length and divided into groups; each group is cut off at the length of
its longest observation. A transformer's cost grows with the number of tokens, and the games of a
batch are in different tricks: their observations have 8 to 29 valid tokens of 36. An observation
whose mask is all False means "no evaluation needed"; a group of only these costs nothing.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from zebjax import game, network
from zebjax.common import devices
from zebjax.common.arrays import Array, check
from zebjax.observe import Observation, check_observation, shorten

# Smaller groups have less padding, but use the device less well. 16 was best on two CPU cores (see
# benchmarks/NOTES.md). An accelerator gets a fixed number of groups, each of them large.
_CPU_GROUP = 16
_ACCELERATOR_GROUPS = 8


def _group(n: int) -> int:
    """Return the number of games in a group, for n games in all."""
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
    """Evaluate `network.apply` on n observations; the result is the same except for rounding.

    Two differences: policy logits of played slots mean nothing, and an observation without a valid
    token gives zeros. Under `vmap` the games of all batches are sorted together.

    Args:
        config: static.
        params: as for `network.apply`.
        observation: not shortened: tokens int8 `[n, length, features]`, mask bool `[n, length]`.
        lengths: static, ascending; the network is compiled for each. The last must be at least the
            maximum number of valid tokens in an observation.
        group: static; number of games in a group. None chooses a size for the device.

    Returns:
        As `network.apply`, with the leading axis n.

    Raises:
        ValueError: if the observation's shapes or dtypes are wrong.
    """
    check_observation(observation)
    check("observation.mask", observation.mask, ("n", "length"), bool)

    # Under vmap, jax would turn the switch over lengths into an evaluation of every length. This
    # vmap rule joins all batches into one long batch instead.
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
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(at_length[0])
        )
        # Only the branch for this group's length runs: lax.map is a loop, so the switch stays a
        # switch.
        branches: list[Callable[[], network.Output]] = [lambda: zeros, *at_length]
        return jax.lax.switch(length_index(observation.mask, (0, *lengths)), branches)

    output = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], jax.lax.map(of_group, grouped)
    )
    # An observation without tokens can share a group with others. Its softmax over no token gives
    # nan, which must not reach the caller.
    return game.select(
        jnp.asarray(observation.mask).any(-1), output, jax.tree.map(jnp.zeros_like, output)
    )


def sort(n_valid: jax.Array, group: int) -> tuple[int, jax.Array, jax.Array]:
    """Sort rows by length and divide them into groups of one size.

    Args:
        n_valid: int `[n]`, the length of each row.
        group: number of rows in a group.

    Returns:
        The number of groups; the row numbers in order of length, int `[groups * group]`, the first
        of them repeated as padding; and the place of each row in that order, int `[n]`.
    """
    n = n_valid.shape[0]
    group = min(group, n)
    groups = -(-n // group)
    order = jnp.argsort(n_valid)
    back = jnp.argsort(order)
    # Padding repeats the shortest row, so no group gets longer.
    return groups, jnp.pad(order, (groups * group - n, 0), mode="edge"), back + (groups * group - n)


def cut(observation: Observation, length: int) -> Observation:
    """Cut off shortened observations `[n]` at `length` tokens (static)."""
    return jax.tree.map(lambda leaf: leaf[:, :length], observation)


def length_index(mask: Array, lengths: Sequence[int]) -> jax.Array:
    """Return the index of the smallest of `lengths` (ascending) that fits all rows, int32.

    Args:
        mask: bool `[n, length]`, the valid tokens of each row.
        lengths: static.
    """
    return jnp.searchsorted(jnp.asarray(lengths), mask.sum(-1).max())
