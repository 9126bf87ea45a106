"""Tokens, masks and belief targets against the golden data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.contracts import contracts_of
from tests.support.playouts import positions
from zebjax import contract, game, observe
from zebjax.players import base


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


@pytest.fixture(scope="module")
def in_contract():
    """300 positions of all plies, their contracts, and v2's view of them."""
    states = positions(300, np.arange(300) % 28)
    bids = np.arange(300) % 13 + 30
    contracts = contracts_of(states)._replace(bid=bids.astype(np.int8))
    contracts.marks[bids == 42] = np.arange((bids == 42).sum()) % 2 + 1
    return states, contracts, see_v2(states, contracts)


see_v1 = jax.jit(jax.vmap(observe.observe))
see_v2 = jax.jit(jax.vmap(lambda state, terms: observe.observe(state, "v2", terms)))


def test_v2_is_v1_and_what_the_contract_asks_for(in_contract):
    states, contracts, seen = in_contract
    plain = see_v1(states)
    np.testing.assert_array_equal(seen.mask, plain.mask)
    np.testing.assert_array_equal(seen.tokens[..., :8], plain.tokens)
    assert (np.asarray(seen.tokens)[~np.asarray(seen.mask)] == 0).all()
    me, points = base.movers(states), np.asarray(states.points, int)
    left = [
        np.maximum(contract.needs(contracts, seat) - points[np.arange(300), seat % 2], 0)
        for seat in (me, me + 1)
    ]
    bid = np.where(contracts.marks > 1, 14, contracts.bid - 29)
    expected = np.stack([bid, (contracts.bidder - me) % 4, *left], 1)
    valid = np.asarray(seen.mask)
    about = np.asarray(seen.tokens)[..., 8:]
    np.testing.assert_array_equal(about[valid], np.repeat(expected, valid.sum(1), 0))
    assert np.asarray(seen.tokens)[..., 8].max() == 14


def test_v2_features_are_within_their_cardinalities(in_contract):
    sizes = [size for size, _ in observe.tokenizer("v2").features.values()]
    most = np.asarray(in_contract[2].tokens).max((0, 1))
    assert (most < sizes).all() and most.min() > 0


def test_v2_without_a_contract_is_v1_with_zeros(in_contract):
    states = in_contract[0]
    seen = see_v2(states, None)
    assert (np.asarray(seen.tokens)[..., 8:] == 0).all()
    plain = see_v1(states)
    np.testing.assert_array_equal(seen.tokens[..., :8], plain.tokens)


def test_v2_does_not_depend_on_hidden_hands(in_contract):
    states, contracts, seen = in_contract
    rng = np.random.default_rng(0)
    hidden = np.asarray(jax.vmap(observe.hidden_tiles)(states))
    hands = np.asarray(states.hands).copy()
    for row in range(len(hands)):
        places = hidden[row][hands[row]]
        hands[row][places] = rng.permutation(hands[row][places])
    assert (hands != states.hands).any()
    after = see_v2(states._replace(hands=hands), contracts)
    jax.tree.map(np.testing.assert_array_equal, seen, after)


def test_v1_has_no_place_for_a_contract(in_contract):
    states, contracts, _ = in_contract
    one = jax.tree.map(lambda leaf: leaf[0], (states, contracts))
    with pytest.raises(ValueError, match=r"contract: tokenizer v1 has no place for it"):
        observe.observe(one[0], "v1", one[1])


def test_unknown_tokenizer_is_named():
    with pytest.raises(ValueError, match="tokenizer: expected one of v1, v2, got 'v9'"):
        observe.tokenizer("v9")
