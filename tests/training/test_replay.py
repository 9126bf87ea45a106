"""The ring: order of overwriting, uniform sampling, donation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import record
from zebjax.training import replay


def numbered(first, n):
    """`n` blank records whose step_end counts from `first`."""
    return record.empty(n)._replace(step_end=jnp.arange(first, first + n, dtype=jnp.int32))


def numbers(ring):
    return sorted(np.asarray(ring.records.step_end)[: int(ring.size)].tolist())


@pytest.mark.parametrize("batch", [1, 3, 5, 7])
def test_the_newest_games_stay(batch):
    ring, expected = replay.init(28 * 11), []
    for first in range(0, 40, batch):
        ring = replay.add(ring, numbered(first, batch))
        expected += range(first, first + batch)
        assert numbers(ring) == expected[-11:]
        assert int(replay.n_examples(ring)) == 28 * min(11, len(expected))


def test_more_games_than_fit():
    ring = replay.add(replay.add(replay.init(28 * 4), numbered(0, 3)), numbered(10, 9))
    assert numbers(ring) == [15, 16, 17, 18]


def test_capacity_is_in_examples():
    assert replay.init(500_000).records.slots.shape == (17_858, 28)


def test_adding_is_donated():
    ring = replay.init(28 * 4)
    replay.add(ring, numbered(0, 1))
    assert ring.records.slots.is_deleted()


def test_sampling_is_uniform_over_plies():
    ring = replay.add(replay.init(28 * 9), numbered(0, 5))
    records, plies = jax.jit(replay.sample, static_argnums=2)(jax.random.key(0), ring, 140_000)
    counts = np.bincount(np.asarray(records.step_end) * 28 + np.asarray(plies), minlength=140)
    assert len(counts) == 140  # never one of the empty places
    chi_square = ((counts - 1000) ** 2 / 1000).sum()
    assert 75 < chi_square < 205  # 139 degrees of freedom: mean 139, standard deviation 17
