"""Transformers as models of the others and as policies of rollouts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from tests.support.small import net_of_seed
from zebjax import game, network, observe, players
from zebjax.common import files
from zebjax.players import exact, inference, transformers
from zebjax.small import batch
from zebjax.small.network import scorer

CONFIG = dataclasses.replace(network.PRESETS["small"], n_layers=1)
FLOOR, N = 0.1, 5


def model_of_seed(seed):
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, leaf.shape[0] ** -0.5, leaf.shape), jnp.float32),
        network.abstract_params(CONFIG),
    )
    return transformers.Transformer(CONFIG, params)


@pytest.fixture(scope="module")
def model():
    return model_of_seed(0)


@pytest.fixture(scope="module")
def path(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("transformers") / "net"
    with files.new_folder(folder) as made:
        network.save(made, *model)
    return folder


@pytest.fixture(scope="module")
def drawn():
    """Positions of all tricks, and worlds of them."""
    states = positions(N, [0, 7, 13, 18, 27], seed=3)
    hands, real = exact.sample_or_all(states, raw_keys(N), 12)
    return states, np.asarray(hands), np.asarray(real).sum(-1)


policy_of = jax.jit(
    lambda params, state: network.apply(
        CONFIG, params, jax.tree.map(lambda leaf: leaf[None], observe.observe(state))
    ).policy_logits[0]
)


def test_worlds_are_as_likely_as_the_network_says_play_by_play(model, drawn):
    states, hands, counts = drawn
    found = transformers.log_likelihoods(model, states, hands, counts, FLOOR)
    play, legal_of = jax.jit(game.play), jax.jit(game.legal_slots)
    for row in range(len(counts)):
        me = int(game.current_player(jax.tree.map(lambda leaf, row=row: leaf[row], states)))
        for world in range(0, counts[row], 8):
            expected = np.zeros(4)
            state = game.new_game(hands[row, world], states.declaration[row], states.leader[row])
            for tile in states.history[row, : states.ply[row]]:
                seat, legal = int(game.current_player(state)), np.asarray(legal_of(state))
                slot = int(np.flatnonzero(hands[row, world, seat] == tile)[0])
                if seat != me:
                    scores = np.where(legal, policy_of(model.params, state), -np.inf)
                    shares = np.exp(scores - scores.max())
                    p = (1 - FLOOR) * shares[slot] / shares.sum() + FLOOR / legal.sum()
                    group = (seat - me) % 2
                    expected[[group, 2 + group]] += np.log(p), -np.log(legal.sum())
                state = play(state, slot)
            np.testing.assert_allclose(found[row, world], expected, atol=2e-4)
        assert not found[row, counts[row] :].any()
    assert np.ptp(found[3, : counts[3], :2]) > 0.1


def test_a_transformer_may_model_the_partner_and_a_small_network_the_opponents(model, drawn):
    states, *_ = drawn
    net, keys = scorer(net_of_seed(5)), raw_keys(N)
    how = inference.Settings(n=1, candidates=12, doubt=0.0)
    pairs = ((model, net), (model, model), (net, net), (net, model))
    drawn_by = [
        inference.candidates_of(states, keys, inference.Models(*pair), how) for pair in pairs
    ]
    a, b, c, d = (np.log(worlds.weights) for worlds in drawn_by)
    assert np.abs(a - c).max() > 0.1 and np.abs(a - b).max() > 0.1  # each of them counts
    worlds = drawn_by[0]
    for row in range(N):
        rows = worlds.decision == row
        difference = (a + d - b - c)[rows]
        np.testing.assert_allclose(difference, difference[0], atol=1e-3)


def test_rollouts_end_games_and_depend_on_their_seeds_alone(model, drawn):
    states, *_ = drawn
    seeds, asked = np.arange(N, dtype=np.uint64) << np.uint64(33), np.ones((N, 7), bool)
    asked[3, ::2] = False
    both = transformers.Policies(model, model)
    found = transformers.rollouts(both, states, seeds, asked)
    legal = np.asarray(jax.vmap(game.legal_slots)(states))
    np.testing.assert_array_equal(found >= 0, legal & asked)
    assert found.max() <= 42
    few = np.array([4, 2])
    some = jax.tree.map(lambda leaf: leaf[few], states)
    np.testing.assert_array_equal(
        transformers.rollouts(both, some, seeds[few], asked[few]), found[few]
    )
    again = transformers.Policies(model, transformers.Transformer(*model))
    np.testing.assert_array_equal(transformers.rollouts(again, states, seeds, asked), found)
    other = transformers.Policies(model, model_of_seed(1))
    assert (transformers.rollouts(other, states, seeds, asked) != found).any()
    none = transformers.rollouts(both, states, seeds, np.zeros_like(asked))
    assert (none == -1).all()


def test_the_player_of_a_spec_uses_it(path, drawn):
    states, *_ = drawn
    spec = f"eq:n=4,candidates=8,belief=zeb:{path},rollouts=zeb:{path}"
    made = players.make(spec)
    slots = made.choose(states, raw_keys(N))
    assert np.asarray(jax.vmap(game.legal_slots)(states))[np.arange(N), slots].all()
    assert made.identity == players.make(spec).identity
    assert made.identity != players.make(f"eq:n=4,candidates=8,belief=zeb:{path}").identity


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rollouts=small,opponents=zeb:{}", "opponents: expected a network of the kind"),
        ("belief=small,opening=zeb:{}", "opening: expected a small network, got zeb:"),
        ("belief=zeb:{}-nowhere", "-nowhere"),
        ("belief=zeb:{},temperature=0.1", "temperature: not with belief=zeb:"),
    ],
)
def test_networks_that_cannot_do_their_task_are_refused(path, options, message):
    with pytest.raises(ValueError, match=message):
        players.make(f"eq:n=4,{options.format(path)}")


def test_a_temperature_is_for_the_small_one_of_two_networks(path):
    assert players.make(f"eq:n=4,belief=zeb:{path},partner=small,temperature=0.1")


def test_a_network_of_contracts_is_refused(tmp_path, model):
    config = dataclasses.replace(CONFIG, value="make/set", tokenizer="v2")
    params = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), network.abstract_params(config)
    )
    with files.new_folder(tmp_path / "net") as made:
        network.save(made, config, params)
    with pytest.raises(ValueError, match="trained for contracts; expected a network"):
        players.make(f"eq:n=4,belief=zeb:{tmp_path / 'net'}")


def test_a_transformer_counts_as_the_small_network_does(model, drawn):
    """The same games, plays and groups of seats: at random both say the same."""
    states, hands, counts = drawn
    net = scorer(net_of_seed(5))
    ours = transformers.log_likelihoods(model, states, hands, counts, FLOOR)
    theirs = batch.log_likelihoods(net, batch.read(states), hands, counts, (0.1, FLOOR))
    np.testing.assert_allclose(ours[..., 2:], theirs[..., 2:], atol=1e-5)
