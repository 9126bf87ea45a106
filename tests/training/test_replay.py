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


def test_values_of_moves_are_kept_if_the_ring_has_a_place_for_them():
    some = jax.tree.map(np.array, record.with_moves(numbered(0, 2), True))
    some.moves[:] = 0.5
    without = jax.tree.map(np.asarray, numbered(5, 1))
    ring = replay.add_some(replay.init(28 * 4, with_moves=True), some)
    moves = np.asarray(replay.add_some(ring, without).records.moves)
    assert (moves[:2] == 0.5).all() and np.isnan(moves[2:]).all()
    ring = replay.add(replay.add_some(replay.init(28 * 4), some), numbered(5, 1))
    assert ring.records.moves is None and int(ring.size) == 3


def test_forced_plies_can_be_left_out():
    kind = np.zeros((3, 28), np.int8)
    kind[0, 4] = kind[1, 6] = kind[2, 8:] = record.TargetKind.SEARCH
    ring = replay.add(replay.init(28 * 3), numbered(0, 3)._replace(kind=kind))
    records, plies = replay.sample(jax.random.key(2), ring, 3000, decisions_only=True)
    for game, wanted in enumerate(({4}, {6}, set(range(8, 28)))):
        found = np.asarray(plies)[np.asarray(records.step_end) == game]
        assert set(found.tolist()) == wanted and 900 < len(found) < 1100
