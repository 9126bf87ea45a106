"""Evaluate a network on many observations with little padding.

Observations are sorted by length, because a transformer's cost grows with the number of tokens, and
the games of a batch are in different tricks: their observations have 8 to 29 valid tokens of 36. An
observation whose mask is all False means "no evaluation needed".

On a CPU they are divided into small groups, and each group is cut off at the length of its longest
observation. On an accelerator a choice that depends on the data makes the host wait for the device.
So the sorted batch is divided once, when it is compiled, into a few parts of one length each. What
does not fit into its part is evaluated afterwards in a loop, which usually makes no turn.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from zebjax import game, network
from zebjax.common import devices
from zebjax.common.arrays import Array, check
from zebjax.observe import Observation, check_observation, shorten

# Smaller groups have less padding, but use the device less well. 16 was best on two CPU cores (see
# benchmarks/NOTES.md).
_CPU_GROUP = 16
# Below this number of rows an accelerator's time does not depend on the rows.
_SMALL = 256
# By the longest length: the share of a batch in each part, by its length. With PUCT 200 at
# decisions of all stages 40 % of the leaves have more than 16 tokens, 24 % have fewer, and the rest
# is settled (see benchmarks/NOTES.md).
_SHARES = {24: {24: 0.42, 16: 0.26}, 32: {32: 0.6, 16: 0.4}}
_MORE = 8
"""What did not fit is evaluated in turns of an eighth of the batch."""


class Part(NamedTuple):
    """A part of a batch sorted by length, the longest first."""

    rows: int
    length: int
    """Tokens of each row; rows with more are evaluated afterwards."""


def parts(n: int, lengths: Sequence[int], share: float = 1.0) -> tuple[Part, ...]:
    """Divide n leaves of a search for an accelerator; rows of no part are expected to be settled.

    Args:
        n: number of rows.
        lengths: as for `evaluate`.
        share: of the usual number of rows that need an evaluation.
    """
    # Multiples of 8, the unit of a tensor core: shorter axes are padded to them by copying.
    longest = -(-lengths[-1] // 8) * 8
    # A row is divided over the devices, so the size of a part is a multiple of their number.
    n_devices = jax.device_count()
    if n < _SMALL * n_devices:
        return (Part(n, longest),)
    shares = _SHARES.get(longest, {longest: 1.0})
    rows = (int(n * share * part / n_devices) * n_devices for part in shares.values())
    return tuple(Part(*pair) for pair in zip(rows, shares, strict=True))


def evaluate(
    config: network.ZebConfig,
    weights: network.Prepared,
    observation: Observation,
    lengths: Sequence[int],
    how: int | Sequence[Part] | None = None,
) -> network.Output:
    """Evaluate `network.evaluate` on n observations; the result is the same except for rounding.

    Two differences: policy logits of played slots mean nothing, and an observation without a valid
    token gives zeros. Under `vmap` the games of all batches are sorted together.

    Args:
        config: static.
        weights: from `network.prepare`.
        observation: not shortened: tokens int8 `[n, length, features]`, mask bool `[n, length]`.
        lengths: static, ascending; the network is compiled for each. The last must be at least the
            maximum number of valid tokens in an observation.
        how: static; the number of rows in a group, or the parts of the sorted batch. None chooses
            for the device.

    Returns:
        As `network.evaluate`, with the leading axis n.

    Raises:
        ValueError: if the observation's shapes or dtypes are wrong.
    """
    check_observation(observation)
    check("observation.mask", observation.mask, ("n", "length"), bool)

    # Under vmap, jax would turn the switch over lengths into an evaluation of every length. This
    # vmap rule joins all batches into one long batch instead.
    @jax.custom_batching.custom_vmap
    def flat(weights: network.Prepared, observation: Observation) -> network.Output:
        n = observation.mask.shape[0]
        chosen: int | Sequence[Part]
        if how is None:
            chosen = _CPU_GROUP if jax.default_backend() == "cpu" else parts(n, lengths)
        else:
            chosen = how
        if isinstance(chosen, int):
            # A group is divided over the devices, so its size is a multiple of their number.
            group = -(-chosen // jax.device_count()) * jax.device_count()
            output = _in_groups(config, weights, observation, lengths, group)
        else:
            output = _in_parts(config, weights, observation, chosen)
        # An observation without tokens can be evaluated beside others. Its softmax over no token
        # gives nan, which must not reach the caller.
        return game.select(
            jnp.asarray(observation.mask).any(-1), output, jax.tree.map(jnp.zeros_like, output)
        )

    @flat.def_vmap
    def _(axis_size: int, in_batched: tuple, weights: network.Prepared, observation: Observation):
        if any(jax.tree.leaves(in_batched[0])):
            raise ValueError(
                "weights: expected one network for all games; vmap over observations alone"
            )

        def flatten(leaf: jax.Array, batched: bool) -> jax.Array:
            leaf = leaf if batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))
            return leaf.reshape(-1, *leaf.shape[2:])

        rows = jax.tree.map(flatten, observation, in_batched[1])
        output = flat(weights, rows)
        output = jax.tree.map(lambda leaf: leaf.reshape(axis_size, -1, *leaf.shape[1:]), output)
        return output, jax.tree.map(lambda _: True, output)

    return flat(weights, observation)


def _in_groups(
    config: network.ZebConfig,
    weights: network.Prepared,
    observation: Observation,
    lengths: Sequence[int],
    group: int,
) -> network.Output:
    """Evaluate small groups one after the other, each at its own length."""
    # The whole batch is gathered once in sorted order, so that each group is a contiguous slice.
    groups, order, back = sort(observation.mask.sum(-1), group)
    shortened = shorten(observation, lengths[-1])
    grouped = jax.tree.map(lambda leaf: leaf[order].reshape(groups, -1, *leaf.shape[1:]), shortened)
    grouped = devices.split(grouped, axis=1)

    def of_group(observation: Observation) -> network.Output:
        at_length = [
            functools.partial(network.evaluate, config, weights, cut(observation, length))
            for length in lengths
        ]
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(at_length[0])
        )
        # Only the branch for this group's length runs: lax.map is a loop, so the switch stays a
        # switch.
        branches: list[Callable[[], network.Output]] = [lambda: zeros, *at_length]
        return jax.lax.switch(length_index(observation.mask, (0, *lengths)), branches)

    return jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], jax.lax.map(of_group, grouped)
    )


def _in_parts(
    config: network.ZebConfig,
    weights: network.Prepared,
    observation: Observation,
    parts: Sequence[Part],
) -> network.Output:
    """Evaluate each part of the sorted batch at its length; then the rows that did not fit."""
    n, longest = observation.mask.shape[0], parts[0].length
    shortened = shorten(observation, longest)
    n_valid = observation.mask.sum(-1)
    order = jnp.argsort(-n_valid)

    def rows_at(weights: network.Prepared, places: jax.Array, length: int) -> network.Output:
        rows = jax.tree.map(lambda leaf: leaf[places], cut(shortened, length))
        return network.evaluate(config, weights, devices.split(rows))

    # Weights for each part that XLA takes for different ones: it would join the products of two
    # parts with the same weights, and copy activations for that.
    own = jax.lax.optimization_barrier([weights] * len(parts))
    output, fits, start = [], [], 0
    for part, its_weights in zip(parts, own, strict=True):
        places = order[start : start + part.rows]
        output.append(rows_at(its_weights, places, part.length))
        fits.append(n_valid[places] <= part.length)
        start += part.rows
    rest = max(n - start, 0)
    output.append(
        jax.tree.map(lambda leaf: jnp.zeros((rest, *leaf.shape[1:]), leaf.dtype), output[0])
    )
    fits.append(n_valid[order[start:]] == 0)
    whole = jax.tree.map(
        lambda *leaves: (
            jnp.zeros((n, *leaves[0].shape[1:]), leaves[0].dtype)
            .at[order]
            .set(jnp.concatenate(leaves), unique_indices=True)
        ),
        *output,
    )
    if len(parts) == 1 and not rest:
        return whole
    rows = -(-n // (_MORE * jax.device_count())) * jax.device_count()
    waiting = jnp.zeros(n, bool).at[order].set(~jnp.concatenate(fits), unique_indices=True)

    def more(carry: tuple[network.Output, jax.Array]) -> tuple[network.Output, jax.Array]:
        output, waiting = carry
        (places,) = jnp.nonzero(waiting, size=rows, fill_value=n)
        new = rows_at(weights, places, longest)
        # Places past the end are dropped.
        output = jax.tree.map(lambda old, new: old.at[places].set(new, mode="drop"), output, new)
        return output, waiting.at[places].set(False, mode="drop")

    return jax.lax.while_loop(lambda carry: carry[1].any(), more, (whole, waiting))[0]


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
