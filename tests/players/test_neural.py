"""Networks in games with a contract: those of make/set see it, those of points do not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.contracts import contracts_of
from tests.support.playouts import positions, raw_keys
from zebjax import contract, game, network, observe, players, search, solver
from zebjax.players import neural

MAKE_SET = network.ZebConfig(
    embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, tokenizer="v2", value="make/set"
)


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)  # not `init`, which takes seconds to compile
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 1, leaf.shape), jnp.float32),
        network.abstract_params(MAKE_SET),
    )


@pytest.fixture(scope="module")
def states():
    return positions(60, np.arange(60) % 24 + 4)


def test_a_network_of_make_set_sees_the_contract_and_no_hidden_hand(params, states):
    player, keys = players.zeb(MAKE_SET, params, 0.0), raw_keys(60)
    low, high = contracts_of(states, 30), contracts_of(states, 42)
    slots = player.slots(states, low, keys)
    legal = np.asarray(jax.vmap(game.legal_slots)(states))
    assert legal[np.arange(60), slots].all()
    assert (player.slots(states, high, keys) != slots).any()
    hands, rng = np.asarray(states.hands).copy(), np.random.default_rng(0)
    hidden = np.asarray(jax.vmap(observe.hidden_tiles)(states))
    for row in range(60):
        places = hidden[row][hands[row]]
        hands[row][places] = rng.permutation(hands[row][places])
    np.testing.assert_array_equal(player.slots(states._replace(hands=hands), low, keys), slots)


def test_a_network_of_make_set_refuses_a_game_without_a_contract(params, states):
    searching = neural.searching_zeb(MAKE_SET, params, search.SearchConfig(sims=2, worlds=1))
    for player in (players.zeb(MAKE_SET, params), searching):
        with pytest.raises(
            ValueError, match="trained for make/set and plays games with a contract"
        ):
            player.slots(states, None, raw_keys(60))


def test_a_network_of_points_plays_a_contract_by_its_points(params):
    for tokenizer in ("v1", "v2"):
        config = dataclasses.replace(MAKE_SET, tokenizer=tokenizer, value="points")
        assert players.zeb(config, params).choose_in_contract is None


def test_a_search_refuses_games_of_the_other_value(params, states):
    judge = search.evaluator(MAKE_SET, params)
    with pytest.raises(ValueError, match=r"trained for make/set; .* the games, which have none"):
        search.search(search.SearchConfig(sims=2), judge, states, jax.random.key(0))
    judge = judge._replace(plays_contracts=False)
    with pytest.raises(ValueError, match=r"trained for points; .* which have contracts"):
        terms = contracts_of(states)
        search.search(search.SearchConfig(sims=2), judge, states, jax.random.key(0), terms)


@pytest.mark.slow  # compiles a search; test_endgame has its exact values
def test_a_search_with_a_contract_plays_to_make_or_set_it(params):
    """One trick before the exact leaves, with flat priors, the move is that of perfect play."""
    flat = jax.tree.map(lambda leaf: leaf * 0.01, params)
    states = positions(200, [16], seed=3)
    contracts = contracts_of(states)
    mover = np.asarray(jax.vmap(game.current_player)(states))
    need = np.asarray(contract.needs(contracts, mover)).astype(np.int64)
    wins = solver.at_least(states, need)
    config = search.SearchConfig(policy="puct", sims=400, temperature=0.0, worlds="true")
    found = jax.jit(
        lambda states, terms: (
            search.search(
                config, search.evaluator(MAKE_SET, flat), states, jax.random.key(0), terms
            ).slot
        )
    )(states, contracts)
    matters = np.flatnonzero(wins.any(1) & ~(wins | ~np.isfinite(solver.solve(states))).all(1))
    assert len(matters) > 10
    assert wins[matters, np.asarray(found)[matters]].all()


def test_a_config_of_make_set_needs_a_tokenizer_that_sees_contracts():
    with pytest.raises(ValueError, match="value: make/set needs a tokenizer that sees contracts"):
        network.ZebConfig(value="make/set")
    with pytest.raises(ValueError, match="value: expected points or make/set, got 'marks'"):
        network.ZebConfig(value="marks")


def test_what_a_network_is_trained_for_is_in_its_files(params, tmp_path):
    points = dataclasses.replace(MAKE_SET, value="points")
    assert "value" not in points.stored_fields()  # a file of points is what it was
    assert MAKE_SET.stored_fields()["value"] == "make/set"
    network.save(tmp_path, MAKE_SET, params)
    assert network.load(tmp_path)[0] == MAKE_SET
    assert "--contract 30" in (tmp_path / "README.md").read_text()
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("make/set", "points"))
    with pytest.raises(ValueError, match="another network: value is make/set, expected points"):
        network.load(tmp_path)
    assert network.load(network.BUNDLED)[0].value == "points"  # its config.json has no such field


def test_a_player_can_choose_by_the_values_of_moves(params, states):
    """With a head that gives the policy's logits as points or as values, it plays as the policy at
    0; with a contract the points do not count.
    """
    for_make = dataclasses.replace(MAKE_SET, move_values=True)
    for_points = dataclasses.replace(for_make, value="points")
    kernel, keys, make = params["policy"]["kernel"], raw_keys(60), contracts_of(states, 30)

    def slots(config, value, points, terms):
        head = {"kernel": jnp.concatenate([value, points], 1), "bias": jnp.zeros(2)}
        player = players.zeb(config, params | {"move_values": head}, 0.0, by="value")
        return player.slots(states, terms, keys)

    policy = players.zeb(MAKE_SET, params, 0.0).slots(states, make, keys)
    small, none = kernel / 100, jnp.zeros_like(kernel)  # tanh of large values is 1 for many
    np.testing.assert_array_equal(slots(for_make, small, -kernel, make), policy)
    policy = players.zeb(dataclasses.replace(MAKE_SET, value="points"), params, 0.0)
    policy = policy.slots(states, None, keys)
    np.testing.assert_array_equal(slots(for_points, none, kernel, None), policy)
    np.testing.assert_array_equal(slots(for_points, small, none, None), policy)
    assert (slots(for_points, -small, kernel / 1000, None) != policy).any()


def test_what_has_no_values_of_moves_cannot_choose_by_them():
    with pytest.raises(ValueError, match=r"zeb:bundled,choose=value': choose: value needs a netw"):
        players.make("zeb:bundled,choose=value")
    with pytest.raises(ValueError, match="choose: expected no sims with value"):
        players.make("zeb:bundled,choose=value,sims=4")
    with pytest.raises(ValueError, match="choose: expected policy or value"):
        players.make("zeb:bundled,choose=points")
