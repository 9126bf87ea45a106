"""Transformers as models of the others and as policies of rollouts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from tests.support.small import net_of_seed
from zebjax import game, network, observe, players, solver
from zebjax.common import files
from zebjax.players import base, exact, inference, transformers
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
            held = np.sort(hands[row, world], -1)  # slots mean nothing
            state = game.new_game(held, states.declaration[row], states.leader[row])
            for tile in states.history[row, : states.ply[row]]:
                seat, legal = int(game.current_player(state)), np.asarray(legal_of(state))
                slot = int(np.flatnonzero(held[seat] == tile)[0])
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
    how = inference.Settings(n=1, candidates=12, doubt=0.0, floor=FLOOR)
    hands, real = inference._draw(states, keys, 12)
    counts, manner = real.sum(-1), batch.Manner(how.temperature, FLOOR)
    of_transformer = transformers.log_likelihoods(model, states, hands, counts, FLOOR)
    of_small = batch.log_likelihoods(net, batch.read(states), hands, counts, manner)
    pairs = (((model, net), of_transformer, of_small), ((net, model), of_small, of_transformer))
    for pair, of_partner, of_opponents in pairs:
        worlds = inference.candidates_of(states, keys, inference.Models(*pair), how)
        for row in range(N):
            found = np.log(worlds.weights[worlds.decision == row])
            expected = (of_partner[row, :, 0] + of_opponents[row, :, 1])[: counts[row]]
            difference = found - expected
            np.testing.assert_allclose(difference, difference[0], atol=1e-3)
    assert np.ptp(of_transformer[3, : counts[3], 0] - of_small[3, : counts[3], 0]) > 0.1


def test_only_the_seats_that_are_asked_for_are_evaluated(model, drawn):
    states, hands, counts = drawn
    every = transformers.log_likelihoods(model, states, hands, counts, FLOOR)
    partner = transformers.log_likelihoods(model, states, hands, counts, FLOOR, (1,))
    np.testing.assert_allclose(partner[..., ::2], every[..., ::2], atol=1e-5)
    assert not partner[..., 1::2].any() and every[..., 1].any()
    asked, _ = transformers._hands_to_ask(states, hands, counts, (1,))
    both, _ = transformers._hands_to_ask(states, hands, counts, (0, 1, 2))
    assert 2 * len(asked.ply) < len(both.ply)


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
    none = transformers.rollouts(both, states, seeds, np.zeros_like(asked))
    assert (none == -1).all()


def test_rollouts_are_games_of_the_policies_from_the_view_of_each_seat(model):
    """Replayed one play at a time, each with all its tokens, with the same random numbers."""
    states, other = positions(3, [6, 18, 22], seed=8), model_of_seed(1)
    seeds, asked = np.array([7, 8 << 33, 9 << 20], np.uint64), np.ones((3, 7), bool)
    asked[0, ::2] = False
    found = transformers.rollouts(transformers.Policies(model, other), states, seeds, asked)
    states = transformers._with_sorted_hands(states)
    play, legal_of = jax.jit(game.play), jax.jit(game.legal_slots)
    for row in range(3):
        start = jax.tree.map(lambda leaf, row=row: leaf[row], states)
        me, key = int(game.current_player(start)), jax.random.wrap_key_data(key_of(seeds[row]))
        for slot in np.flatnonzero(legal_of(start) & asked[row]):
            state = play(start, slot)
            while not game.is_over(state):
                mover = int(game.current_player(state))
                params = (model if mover % 2 == me % 2 else other).params
                now = jax.random.key_data(jax.random.fold_in(key, state.ply))
                logits, legal = policy_of(params, state), legal_of(state)
                state = play(state, base.sample_slot(now, logits, legal, 0.1))
            assert found[row, slot] == state.points[me % 2]


def key_of(seed):
    return np.array([int(seed) >> 32, int(seed) & 0xFFFFFFFF], np.uint32)


def test_rollouts_of_the_last_trick_are_its_exact_solution(model):
    states = positions(12, [24, 25, 26, 27], seed=4)
    asked, seeds = np.ones((12, 7), bool), np.arange(12, dtype=np.uint64)
    found = transformers.rollouts(transformers.Policies(model, model), states, seeds, asked)
    expected = solver.solve(states) + exact.mover_points(states)[:, None]
    legal = np.asarray(jax.vmap(game.legal_slots)(states))
    np.testing.assert_array_equal(found[legal], expected[legal])
    assert len(np.unique(found[legal])) > 3


@pytest.fixture(scope="module")
def player(path):
    return players.make(f"eq:n=4,candidates=8,belief=zeb:{path},rollouts=zeb:{path}")


def test_the_player_knows_neither_hidden_tiles_nor_slots_nor_its_batch(player, drawn):
    states, keys = drawn[0], raw_keys(N)
    chosen, p_win = player.choose(states, keys), player.p_win(states, keys)
    for other in (shuffled_slots(states), redealt(states)):
        np.testing.assert_array_equal(player.choose(other, keys), chosen)
        np.testing.assert_allclose(player.p_win(other, keys), p_win, atol=1e-6)
    few = np.array([3, 1])
    some = base.gather(states, few)
    np.testing.assert_array_equal(player.choose(some, keys[few]), chosen[few])


def shuffled_slots(states):
    """The same games, the tiles of the other seats in other slots."""
    order = np.random.default_rng(2).permuted(np.tile(np.arange(7), (N, 4, 1)), axis=-1)
    order[np.arange(N), base.movers(states)] = np.arange(7)
    hands, played = (np.take_along_axis(x, order, -1) for x in (states.hands, states.played))
    return states._replace(hands=hands, played=played)


def redealt(states):
    """The same public games with another deal of the hidden tiles."""
    hands, _ = exact.sample_or_all(states, np.flip(raw_keys(N), 0), 1)
    return states._replace(hands=np.asarray(hands)[:, 0])


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
        ("belief=zeb:{0},opening=zeb:{0}", "opening: expected a small network, got zeb:"),
        ("belief=zeb:{}-nowhere", "': belief: .*-nowhere: no network here"),
        ("belief=small,partner=zeb:{}-nowhere", "': partner: .*-nowhere: no network here"),
        ("belief={}", "expected a small network; did you mean zeb:"),
        ("opening=bundled", "opening: bundled: expected a small network$"),
        ("belief=bundled", "expected a small network; did you mean zeb:bundled"),
        ("belief=zeb:", "expected `small`, `imitator`, the path of a network, or zeb:PATH, got"),
        ("rollouts=zeb:{},adaptive=4", "adaptive: not with rollouts=zeb:"),
        ("belief=zeb:{},temperature=0.1", "temperature: not with belief=zeb:"),
    ],
)
def test_networks_that_cannot_do_their_task_are_refused(path, options, message):
    with pytest.raises(ValueError, match=message):
        players.make(f"eq:n=4,{options.format(path)}")


def test_a_temperature_is_for_the_small_one_of_two_networks(path):
    assert players.make(f"eq:n=4,belief=zeb:{path},partner=small,temperature=0.1")


def test_a_small_network_may_be_named_as_a_player_is():
    names = ("eq:n=4,belief=small", "eq:n=4,belief=small:small,partner=small")
    assert len({players.make(name).identity for name in names}) == 1


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
    theirs = batch.log_likelihoods(net, batch.read(states), hands, counts, batch.Manner(0.1, FLOOR))
    np.testing.assert_allclose(ours[..., 2:], theirs[..., 2:], atol=1e-5)
