"""Tokens, masks and belief targets against the golden data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import game, observe


@pytest.fixture(scope="module")
def golden(reference):
    """The 2,000 positions of tokens.npz as (states, arrays)."""
    rules, tokens = reference("rules.npz"), reference("tokens.npz")
    rows = tokens["game"]
    deals = (jnp.asarray(rules[name][rows]) for name in ("hands", "decl", "leader", "actions"))
    return jax.jit(jax.vmap(game.replay))(*deals, jnp.asarray(tokens["ply"])), tokens


def test_tokens_equal_the_reference(golden):
    states, tokens = golden
    seen = jax.jit(jax.vmap(observe.observe))(states)
    np.testing.assert_array_equal(seen.mask, tokens["mask"])
    np.testing.assert_array_equal(seen.tokens, tokens["tokens_observe"])  # masked rows zero in both
    valid = tokens["mask"]
    np.testing.assert_array_equal(np.asarray(seen.tokens)[valid], tokens["tokens_gpu"][valid])
    np.testing.assert_array_equal(jax.vmap(game.legal_slots)(states), tokens["legal"])


def test_belief_targets_equal_the_reference(golden):
    states, tokens = golden
    target, mask = jax.vmap(observe.belief_targets)(states)
    np.testing.assert_array_equal(target, tokens["belief_target"])
    np.testing.assert_array_equal(mask, tokens["belief_mask"])


def test_hidden_tiles_are_those_neither_mine_nor_played(golden):
    states, tokens = golden
    hidden = np.asarray(jax.vmap(observe.hidden_tiles)(states))
    for row in range(0, 2000, 37):
        player = tokens["player"][row]
        seen = set(np.asarray(states.hands[row, player])) | set(np.asarray(states.history[row])) - {
            -1
        }
        assert set(np.flatnonzero(hidden[row])) == set(range(28)) - {int(t) for t in seen}


def test_observation_does_not_depend_on_hidden_hands(golden):
    """Permuting the tiles that the mover cannot see changes nothing that it sees."""
    states, _ = golden
    rng = np.random.default_rng(0)
    hands = np.asarray(states.hands).copy()
    hidden = np.asarray(jax.vmap(observe.hidden_tiles)(states))
    for row in range(len(hands)):
        places = hidden[row][hands[row]]
        hands[row][places] = rng.permutation(hands[row][places])
    assert (hands != np.asarray(states.hands)).any()
    before = jax.vmap(observe.observe)(states)
    after = jax.vmap(observe.observe)(states._replace(hands=jnp.asarray(hands)))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_unknown_tokenizer_is_named():
    with pytest.raises(ValueError, match="tokenizer: expected one of v1, v2, got 'v9'"):
        observe.tokenizer("v9")
