"""Players in general: calls in chunks, recorded decisions, the draw of a slot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from zebjax import players
from zebjax.players import base


@pytest.fixture(scope="module")
def states():
    return positions(150, np.arange(150) % 28)


def test_chunks_have_one_size_and_the_results_their_order(states):
    sizes = []

    def mark(states, keys):
        sizes.append(len(keys))
        return states.ply + 100 * (keys[:, 0] % 2)

    keys = raw_keys(150)
    result = base.in_chunks(mark, states, keys, trees=2)
    assert set(sizes) == {base.CHUNK // 2} and len(sizes) == 5
    np.testing.assert_array_equal(result, states.ply + 100 * (keys[:, 0] % 2))
    assert base.in_chunks(mark, base.gather(states, np.arange(0)), keys[:0]).shape == (0,)


def test_rows_past_the_end_are_the_last_game(states):
    gathered = base.gather(states, np.array([3, 149, 150, 999]))
    np.testing.assert_array_equal(gathered.hands, states.hands[[3, 149, 149, 149]])


def test_a_watched_player_plays_the_same_and_its_decisions_are_kept(states):
    watched, decisions = base.watch(players.heuristic())
    keys = raw_keys(150)
    slots = watched.choose(states, keys)
    np.testing.assert_array_equal(slots, players.heuristic().choose(states, keys))
    assert len(decisions) == 1 and decisions[0][0] is states
    np.testing.assert_array_equal(decisions[0][2], slots)


def test_temperature_zero_is_the_best_legal_slot():
    logits, legal = jnp.array([0.0, 5, 1, 2, 0, 0, 0]), jnp.array([1, 0, 1, 1, 0, 0, 1], bool)
    for key in raw_keys(5):
        assert int(base.sample_slot(key, logits, legal, 0.0)) == 3


def test_drawn_slots_have_the_probabilities_of_the_softmax():
    logits = jnp.log(jnp.array([0.5, 0.2, 0.3, 9, 9, 9, 9]))
    legal = jnp.arange(7) < 3
    draw = jax.jit(jax.vmap(base.sample_slot, (0, None, None, None)))
    shares = np.bincount(draw(raw_keys(20_000), logits, legal, 1.0), minlength=7) / 20_000
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3, 0, 0, 0, 0], atol=0.02)
