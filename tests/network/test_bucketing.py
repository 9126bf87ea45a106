"""Evaluation in groups of similar length gives the same numbers as `network.apply`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions
from zebjax import game, network, observe
from zebjax.network import bucketing
from zebjax.network.bucketing import Part

CONFIG = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=1, ff_dim=32)
LENGTHS = observe.tokenizer("v1").lengths


@pytest.fixture(scope="module")
def params():
    return network.init(CONFIG, jax.random.key(0))


@functools.partial(jax.jit, static_argnames="how")
def grouped(params, seen, how=8):
    return bucketing.evaluate(CONFIG, network.prepare(CONFIG, params), seen, LENGTHS, how)


see = jax.jit(jax.vmap(observe.observe))


def assert_same(output, plain, states):
    legal = np.asarray(jax.vmap(game.legal_slots)(states))
    np.testing.assert_allclose(
        np.asarray(output.policy_logits)[legal], plain.policy_logits[legal], atol=2e-5
    )
    np.testing.assert_allclose(output.value, plain.value, atol=2e-5)
    np.testing.assert_allclose(output.belief_logits, plain.belief_logits, atol=2e-5)


def plain(params, seen):
    return jax.tree.map(np.asarray, network.apply(CONFIG, params, seen))


# The last two as on an accelerator: all rows in one part; and many rows that fit into no part.
@pytest.mark.parametrize(
    ("n", "how"),
    [
        (50, 8),
        pytest.param(5, 8, marks=pytest.mark.slow),  # covered by the sizes around it
        (28, 28),
        pytest.param(28, (Part(28, 32),), marks=pytest.mark.slow),  # covered by the last
        (50, (Part(6, 32), Part(10, 16))),
    ],
)
def test_groups_give_what_the_network_gives(params, n, how):
    states = positions(n, np.arange(28)[::-1], seed=n)
    seen = see(states)
    assert_same(grouped(params, seen, how), plain(params, seen), states)


def test_parts_hold_what_a_search_asks_for_and_are_divided_over_devices(monkeypatch):
    for lengths in (LENGTHS, LENGTHS[:5]):
        assert bucketing.parts(100, lengths) == (Part(100, -(-lengths[-1] // 8) * 8),)
        monkeypatch.setattr(jax, "device_count", lambda: 8)
        split = bucketing.parts(8192, lengths)
        monkeypatch.undo()
        assert [part.length % 8 for part in split] == [0] * len(split)
        assert split[0].length >= lengths[-1]
        assert all(part.rows % 8 == 0 for part in split)
        assert sum(part.rows for part in split) <= 8192


def test_no_game_has_more_tokens_than_its_trick_says():
    states = positions(560, np.arange(28))
    n_valid = np.asarray(see(states).mask.sum(1))
    for trick, length in enumerate(LENGTHS):
        assert n_valid[states.ply // 4 == trick].max() == length


@pytest.mark.parametrize("length", LENGTHS[::3])
def test_a_shortened_observation_keeps_every_valid_token(params, length):
    states = positions(100, np.arange(4 * LENGTHS.index(length) + 4))
    seen = see(states)
    short = observe.shorten(seen, length)
    assert short.tokens.shape == (100, length, 8)
    assert_same(network.apply(CONFIG, params, short), plain(params, seen), states)


@pytest.mark.parametrize("how", [8, (Part(8, 32), Part(16, 16))])
def test_what_nobody_asks_about_is_zero_and_disturbs_nothing(params, how):
    states = positions(40, np.arange(28))
    seen = see(states)
    asked = np.arange(40) % 3 > 0
    output = grouped(params, seen._replace(mask=seen.mask & asked[:, None]), how)
    for leaf in jax.tree.leaves(output):
        assert not np.asarray(leaf)[~asked].any()
    rows = np.flatnonzero(asked)
    few = jax.tree.map(lambda leaf: leaf[rows], (output, seen, states))
    assert_same(few[0], plain(params, few[1]), few[2])


def test_nothing_asked_costs_no_network(params):
    """Every group takes the branch without a network: a network of nan changes nothing."""
    seen = see(positions(16, [5]))
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), params)
    output = grouped(broken, seen._replace(mask=jnp.zeros_like(seen.mask)))
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(output))


def test_batches_under_vmap_are_one_batch(params):
    states = positions(24, np.arange(28))
    seen = see(states)
    by_batch = jax.tree.map(lambda leaf: leaf.reshape(4, 6, *leaf.shape[1:]), seen)
    output = jax.jit(jax.vmap(lambda seen: grouped(params, seen)))(by_batch)
    output = jax.tree.map(lambda leaf: leaf.reshape(24, *leaf.shape[2:]), output)
    assert_same(output, plain(params, seen), states)


def test_several_networks_at_once_are_refused(params):
    seen = see(positions(4, [5]))
    weights = network.prepare(CONFIG, params)
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), weights)
    with pytest.raises(ValueError, match="weights: expected one network for all games"):
        jax.vmap(lambda weights: bucketing.evaluate(CONFIG, weights, seen, LENGTHS))(two)


def test_what_is_not_batched_is_repeated(params):
    seen = see(positions(4, [5]))
    asked = jnp.asarray([[True, False, True, True], [False, True, True, True]])
    output = jax.vmap(
        lambda asked: grouped(params, seen._replace(mask=seen.mask & asked[:, None]))
    )(asked)
    whole = plain(params, seen)
    np.testing.assert_allclose(output.value, np.where(asked, whole.value, 0), atol=2e-5)
