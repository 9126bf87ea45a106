"""Cheap random draws: many uniform words of one key, small numbers of a word, permutations."""

import jax
import jax.numpy as jnp
import numpy as np

from zebjax.common.arrays import Scalar, check, check_key

_MEMBERS = np.zeros((128, 7), np.uint8)
"""The numbers 0..6 of a set in ascending order, then 0. Bit i of the first index: i is in it."""
for _bits in range(128):
    _MEMBERS[_bits, : _bits.bit_count()] = [i for i in range(7) if _bits >> i & 1]


def words(key: jax.Array, n: int) -> jax.Array:
    """Independent uniform uint32 `[n]`.

    Twice as fast as `jax.random.bits`, which makes one word of each hash of 64 bits. A key of
    `jax.random.split` is such a hash, and all of it is used here.

    Args:
        key: one typed random key, used for nothing else.
        n: static.
    """
    check_key("key", key)
    keys = jax.random.split(key, (n + 1) // 2)
    return jax.random.key_data(keys).reshape(-1)[:n]


def below(word: jax.Array, n: Scalar) -> jax.Array:
    """`word * n / 2**32`, uint32: a number less than n, uniform if `word` is.

    The probabilities of two numbers differ by 2^-32 at most.

    Args:
        word: uint32.
        n: integer 1..65536.
    """
    high, low = word >> 16, word & 0xFFFF
    return (high * n + (low * n >> 16)) >> 16


def member(word: jax.Array, members: jax.Array) -> jax.Array:
    """A number of a set, uint8: uniform if `word` is; 0 if the set is empty.

    Args:
        word: uint32.
        members: uint8 0..127; bit i is 1 if the set has the number i.
    """
    nth = below(word, jax.lax.population_count(members))
    return jnp.asarray(_MEMBERS)[members, nth]


def ranks(numbers: jax.Array) -> jax.Array:
    """The place of each number in ascending order, int8; of equal numbers the first comes first.

    The ranks of independent uniform words are a uniform permutation, but for equal words, which
    occur with probability 2^-32 a pair. It needs no sort: a rank is the number of those before it.

    Args:
        numbers: `[n]` with n up to 127; n is static.

    >>> ranks(jnp.array([30, 10, 20, 10])).tolist()
    [3, 0, 2, 1]
    """
    check("numbers", numbers, ("n",), int)
    (n,) = numbers.shape
    # One comparison after the other, not a table of n times n: XLA fuses them into one loop.
    rank = jnp.zeros(n, jnp.int8)
    for i in range(n):
        before = jnp.where(np.arange(n) > i, numbers[i] <= numbers, numbers[i] < numbers)
        rank += before.astype(jnp.int8)
    return rank
