"""A ring buffer of GameRecords in device memory: pure functions over a small struct.

An example is one ply of one game, 28 to a game, forced plies included.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import contract_record, game, record
from zebjax.common.arrays import check_key
from zebjax.contract_record import AnyRecord
from zebjax.record import check_record


class Ring(NamedTuple):
    """The newest games. A new game overwrites the oldest."""

    records: AnyRecord
    """`[capacity in games]`; all with contracts or none."""
    next: jax.Array
    """int32, the place where the next game is written."""
    size: jax.Array
    """int32, number of games in the ring."""


def init(capacity_examples: int, with_contracts: bool = False, with_moves: bool = False) -> Ring:
    """Make an empty ring for `ceil(capacity_examples / 28)` games.

    Args:
        capacity_examples: 28 a game.
        with_contracts: True for games with contracts; a ring has only games of one kind.
        with_moves: True to keep the values of moves, 784 bytes a game more; they are nan for games
            that have none. Otherwise games lose them in the ring.

    >>> ring = add(init(100), record.empty(3))
    >>> int(n_examples(ring)), ring.records.slots.shape
    (84, (4, 28))
    """
    empty = contract_record.empty if with_contracts else record.empty
    records = record.with_moves(empty(_capacity(capacity_examples)), with_moves)
    return Ring(records, jnp.int32(0), jnp.int32(0))


def _capacity(examples: int) -> int:
    """Return the number of games of a ring for so many examples."""
    return -(-examples // game.N_PLIES)


def n_examples(ring: Ring) -> jax.Array:
    """Return the number of examples in the ring, int32."""
    return ring.size * game.N_PLIES


def newest(ring: Ring, n: int) -> AnyRecord:
    """Copy the newest games to the host.

    Args:
        ring: not changed.
        n: 0 or more.

    Returns:
        `[min(n, size)]` games as NumPy arrays, the oldest of them first.
    """
    n = min(n, int(ring.size))
    rows = (int(ring.next) - n + np.arange(n)) % ring.records.slots.shape[0]
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], ring.records)


def resized(ring: Ring, capacity_examples: int) -> Ring:
    """Return a ring of another capacity that holds the newest games of this one.

    It is computed on the host, so nothing is compiled.

    Args:
        ring: not changed.
        capacity_examples: as for `init`.

    Returns:
        A ring whose games are NumPy arrays; `ring` itself if it has that capacity.

    >>> ring = resized(add(init(28 * 5), record.empty(4)), 28 * 3)
    >>> int(n_examples(ring)), ring.records.slots.shape, int(ring.next)
    (84, (3, 28), 0)
    """
    capacity = _capacity(capacity_examples)
    if capacity == ring.records.slots.shape[0]:
        return ring
    kept = newest(ring, capacity)
    n = len(kept.slots)

    def padded(field: np.ndarray) -> np.ndarray:
        return np.concatenate([field, np.zeros((capacity - n, *field.shape[1:]), field.dtype)])

    return Ring(jax.tree.map(padded, kept), jnp.int32(n % capacity), jnp.int32(n))


def add_some(ring: Ring, records: AnyRecord, n_padded: int = 1) -> Ring:
    """Add games from the host; few different array shapes are compiled.

    Args:
        ring: donated.
        records: `[n]` games, NumPy arrays; n may be 0. If n exceeds the capacity, only the last
            ones are added.
        n_padded: pad to at least so many games, so that calls with fewer share a program.

    Raises:
        ValueError: if a field of `records` has a wrong shape or dtype.
    """
    n = len(records.slots)
    check_record(records, (n,))
    if n == 0:
        return ring
    records = record.with_moves(records, ring.records.moves is not None)
    # Workers send any number of games, and each number would need a compilation. So pad to a power
    # of two.
    padded = 1 << (max(n, n_padded) - 1).bit_length()
    # Leave out games that would be overwritten at once: a scatter that writes a place twice has no
    # defined order.
    n_added = min(n, ring.records.slots.shape[0])
    rows = np.minimum(n - n_added + np.arange(padded), n - 1)
    return _add_first(ring, jax.tree.map(lambda field: np.asarray(field)[rows], records), n_added)


@functools.partial(jax.jit, donate_argnames="ring")
def _add_first(ring: Ring, records: AnyRecord, n: jax.Array | int) -> Ring:
    """Add the first `n` of `records`; the others are padding."""
    capacity, index = ring.records.slots.shape[0], jnp.arange(records.slots.shape[0])
    # Padding gets a place past the end, so that the scatter drops it.
    place = jnp.where(index < n, (ring.next + index) % capacity, capacity)
    return Ring(
        records=jax.tree.map(
            lambda old, new: old.at[place].set(new, mode="drop"), ring.records, records
        ),
        next=(ring.next + n) % capacity,
        size=jnp.minimum(ring.size + n, capacity),
    )


@functools.partial(jax.jit, donate_argnames="ring")
def add(ring: Ring, records: AnyRecord) -> Ring:
    """Add n games; each n needs a compilation.

    Args:
        ring: donated.
        records: `[n]` games; if n exceeds the capacity, only the last ones are added.

    Raises:
        ValueError: if a field of `records` has a wrong shape or dtype.
    """
    check_record(records, ("n",))
    records = record.with_moves(records, ring.records.moves is not None)
    capacity, n = ring.records.slots.shape[0], records.slots.shape[0]
    # Remove games that would be overwritten at once: a scatter that writes a place twice has no
    # defined order.
    if n > capacity:
        records = jax.tree.map(lambda leaf: leaf[n - capacity :], records)
        n = capacity
    place = (ring.next + jnp.arange(n)) % capacity
    return Ring(
        records=jax.tree.map(lambda old, new: old.at[place].set(new), ring.records, records),
        next=(ring.next + n) % capacity,
        size=jnp.minimum(ring.size + n, capacity),
    )


def sample(
    key: jax.Array, ring: Ring, n: int, decisions_only: bool = False
) -> tuple[AnyRecord, jax.Array]:
    """Draw `n` examples with replacement, uniform over all plies of all games.

    Args:
        key: one typed random key.
        ring: must hold at least one game.
        n: static.
        decisions_only: static; True for a uniform game, and one of its plies that is not forced.

    Returns:
        The games `[n]` of the examples, and their plies, int32 `[n]`.

    Raises:
        ValueError: if `key` is not one typed random key.
    """
    check_key("key", key)
    if decisions_only:
        game_key, ply_key = jax.random.split(key)
        rows = jax.random.randint(game_key, (n,), 0, ring.size)
        has_choice = ring.records.kind[rows] != record.TargetKind.FORCED
        chance = jax.random.uniform(ply_key, has_choice.shape)
        plies = jnp.where(has_choice, chance, -1).argmax(-1)
        return jax.tree.map(lambda leaf: leaf[rows], ring.records), plies
    example = jax.random.randint(key, (n,), 0, n_examples(ring))
    rows, plies = example // game.N_PLIES, example % game.N_PLIES
    return jax.tree.map(lambda leaf: leaf[rows], ring.records), plies
