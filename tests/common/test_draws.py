"""Draws: numbers below a limit and members of a set by exact arithmetic, ranks as a stable sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax.common import draws

EXTREMES = [0, 1, 2**16 - 1, 2**16, 2**31, 2**32 - 2**16, 2**32 - 1]


@pytest.mark.parametrize("n", [1, 2, 7, 10, 1000, 2**16])
def test_a_number_below_n_is_the_words_share_of_n(n):
    words = np.concatenate([EXTREMES, np.random.default_rng(0).integers(0, 2**32, 1000)])
    drawn = draws.below(jnp.asarray(words, jnp.uint32), n)
    np.testing.assert_array_equal(drawn, words * n >> 32)


def test_each_member_of_a_set_has_its_equal_share_of_the_words():
    for members in (0b1, 0b1000000, 0b0101010, 0b1111111):
        expected = [i for i in range(7) if members >> i & 1]
        # The first and the last word of each share.
        first = [-(-(i << 32) // len(expected)) for i in range(len(expected))]
        last = [*(word - 1 for word in first[1:]), 2**32 - 1]
        for words in (first, last):
            drawn = [draws.member(jnp.uint32(word), jnp.uint8(members)) for word in words]
            assert [int(number) for number in drawn] == expected


@pytest.mark.parametrize("limit", [2, 5, 2**32])
def test_ranks_are_those_of_a_stable_sort(limit):
    numbers = np.random.default_rng(limit).integers(0, limit, 28, np.uint32, endpoint=False)
    ranks = draws.ranks(jnp.asarray(numbers))
    np.testing.assert_array_equal(np.argsort(ranks), np.argsort(numbers, kind="stable"))


@pytest.mark.parametrize("n", [1, 29, 30])
def test_words_are_many_and_different(n):
    words = np.asarray(draws.words(jax.random.key(1), n))
    assert words.shape == (n,) and words.dtype == np.uint32 and len(set(words.tolist())) == n


def test_bits_of_words_are_independent_and_fair():
    keys = jax.random.split(jax.random.key(3), 4000)
    words = np.asarray(jax.vmap(lambda key: draws.words(key, 6))(keys))
    bits = np.unpackbits(words.view(np.uint8), axis=1).astype(float)  # [4000, 6 * 32]
    correlation = np.corrcoef(bits.T) - np.eye(bits.shape[1])
    assert abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(4000)
    assert abs(correlation).max() < 5.5 / np.sqrt(4000)
