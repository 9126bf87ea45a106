"""A ring of GameRecords in device memory; three pure functions over a small struct.

An example is one ply of one game, 28 to a game, forced plies included.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, record
from zebjax.record import GameRecord


class Ring(NamedTuple):
    """The newest games, oldest overwritten first."""

    records: GameRecord
    """`[capacity in games]`."""
    next: jax.Array
    """int32, where the next game goes."""
    size: jax.Array
    """int32, how many games there are."""


def init(capacity_examples: int) -> Ring:
    """An empty ring of `ceil(capacity_examples / 28)` games."""
    return Ring(record.empty(-(-capacity_examples // game.N_PLIES)), jnp.int32(0), jnp.int32(0))


def n_examples(ring: Ring) -> jax.Array:
    """How many examples the ring holds, int32."""
    return ring.size * game.N_PLIES


def add_some(ring: Ring, records: GameRecord) -> Ring:
    """Put any number of games on the host in; `ring` is donated. Numbers are padded, so that few
    are compiled.
    """
    n = len(records.slots)
    if n == 0:
        return ring
    padded = 1 << (n - 1).bit_length()
    if padded > ring.records.slots.shape[0]:  # a ring of few games, or very many games
        return add(ring, records)
    rows = np.minimum(np.arange(padded), n - 1)
    return _add_first(ring, GameRecord(*(np.asarray(field)[rows] for field in records)), n)


@functools.partial(jax.jit, donate_argnames="ring")
def _add_first(ring: Ring, records: GameRecord, n: jax.Array | int) -> Ring:
    """Put the first `n` of `records` in."""
    capacity, index = ring.records.slots.shape[0], jnp.arange(records.slots.shape[0])
    place = jnp.where(index < n, (ring.next + index) % capacity, capacity)  # past the end: dropped
    return Ring(
        records=jax.tree.map(
            lambda old, new: old.at[place].set(new, mode="drop"), ring.records, records
        ),
        next=(ring.next + n) % capacity,
        size=jnp.minimum(ring.size + n, capacity),
    )


@functools.partial(jax.jit, donate_argnames="ring")
def add(ring: Ring, records: GameRecord) -> Ring:
    """Put `[n]` games in; `ring` is donated. If there are more than fit, the last ones stay."""
    capacity, n = ring.records.slots.shape[0], records.slots.shape[0]
    if n > capacity:
        records = jax.tree.map(lambda leaf: leaf[n - capacity :], records)
        n = capacity
    place = (ring.next + jnp.arange(n)) % capacity
    return Ring(
        records=jax.tree.map(lambda old, new: old.at[place].set(new), ring.records, records),
        next=(ring.next + n) % capacity,
        size=jnp.minimum(ring.size + n, capacity),
    )


def sample(key: jax.Array, ring: Ring, n: int) -> tuple[GameRecord, jax.Array]:
    """`n` examples uniformly over all plies of all games, with replacement; the ring must not be
    empty.

    Returns:
        The games `[n]` that they are of, and their plies int32 `[n]`.
    """
    example = jax.random.randint(key, (n,), 0, n_examples(ring))
    rows, plies = example // game.N_PLIES, example % game.N_PLIES
    return jax.tree.map(lambda leaf: leaf[rows], ring.records), plies
