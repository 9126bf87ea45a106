"""Rollouts of every move: against a replay move by move, honest, reproducible."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions
from zebjax import game, network, observe, tiles
from zebjax.network import bucketing
from zebjax.network.config import POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.search import Exploration, rollouts

CONFIG = dataclasses.replace(network.PRESETS["small"], n_layers=1, move_values=True)
GREEDY = Exploration(temperature=0.0, random=0.0, rollout_temperature=0.0)
N, PLIES = 6, [0, 5, 10, 17, 22, 25]


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, leaf.shape[0] ** -0.5, leaf.shape), jnp.float32),
        network.abstract_params(CONFIG),
    )


@pytest.fixture(scope="module")
def states():
    return positions(N, PLIES, seed=4)


@jax.jit
def scores_of(params, state):
    alone = jax.tree.map(lambda leaf: leaf[None], observe.observe(state))
    moves = network.apply(CONFIG, params, alone).moves[0]
    return moves @ jnp.array([VALUE_WEIGHT, POINTS_WEIGHT])


draw = jax.jit(
    lambda params, how, states, key: rollouts.draw(
        how, rollouts.evaluator(CONFIG, params), states, key
    ),
    static_argnums=1,
)
played_out = jax.jit(
    lambda params, how, states, key: rollouts.played_out(
        how, rollouts.evaluator(CONFIG, params), states, key
    ),
    static_argnums=1,
)
play, legal_of = jax.jit(game.play), jax.jit(game.legal_slots)


def test_each_move_has_the_result_of_a_replay_by_the_best_moves(params, states):
    drawn = jax.tree.map(np.asarray, draw(params, GREEDY, states, jax.random.key(0)))
    moves = np.asarray(played_out(params, GREEDY, states, jax.random.key(0)))
    for row in range(N):
        state = jax.tree.map(lambda leaf, row=row: leaf[row], states)
        me, legal = int(game.current_player(state)), np.asarray(legal_of(state))
        scores = np.where(legal, scores_of(params, state), -np.inf)
        assert drawn.slot[row] == scores.argmax() == drawn.policy[row].argmax()
        np.testing.assert_allclose(drawn.policy[row].sum(), 1, atol=1e-6)
        assert np.isnan(moves[row][~legal]).all()
        for slot in np.flatnonzero(legal):
            after = play(state, slot)
            while not game.is_over(after):
                now = np.asarray(legal_of(after))
                best = np.where(now, scores_of(params, after), -np.inf).argmax()
                after = play(after, best)
            margin = 2 * int(after.points[me % 2]) - tiles.TOTAL_POINTS
            expected = [np.sign(margin), margin / tiles.POINTS_SCALE]
            np.testing.assert_allclose(moves[row, slot], expected, atol=1e-6)


def test_on_an_accelerator_the_results_are_the_same(params, monkeypatch):
    """Its loops have a fixed number of turns, and its network evaluates parts of the batch."""
    states = positions(60, list(range(24)), seed=6)
    how, key = Exploration(rollout_temperature=0.1), jax.random.key(7)
    expected = rollouts.played_out(how, rollouts.evaluator(CONFIG, params), states, key)
    monkeypatch.setattr(rollouts, "_on_cpu", lambda: False)
    asked, parts = [], bucketing.parts

    def watch(n, lengths, share):
        made = parts(n, lengths, share)
        asked.append(sum(part.rows for part in made) / n)
        return made

    monkeypatch.setattr(bucketing, "parts", watch)
    found = rollouts.played_out(how, rollouts.evaluator(CONFIG, params), states, key)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    # Rounding may change a draw between moves of nearly equal score.
    assert (np.nan_to_num(found) == np.nan_to_num(expected)).mean() > 0.99
    np.testing.assert_allclose(sorted(set(asked)), [0.12, 0.25, 0.4], atol=0.01)


def test_moves_are_drawn_by_their_scores_and_some_at_random(params, states):
    many = jax.tree.map(lambda leaf: np.repeat(leaf[1:2], 2000, axis=0), states)
    legal = np.asarray(jax.vmap(game.legal_slots)(many))[0]
    scores = np.asarray(scores_of(params, jax.tree.map(lambda leaf: leaf[0], many)))
    shares = np.where(legal, np.exp((scores - scores.max()) / 0.3), 0)
    shares /= shares.sum()
    for share in (0.0, 0.5, 1.0):
        how = Exploration(temperature=0.3, random=share)
        slots = draw(params, how, many, jax.random.key(3)).slot
        drawn = np.bincount(slots, minlength=7) / len(many.ply)
        expected = (1 - share) * shares + share * legal / legal.sum()
        np.testing.assert_allclose(drawn, expected, atol=0.045)  # four standard errors
        assert not drawn[~legal].any()


def test_a_seat_sees_its_own_hand_alone(params, states):
    """With the tiles of two later players exchanged the mover draws and judges as before."""
    swapped = states._replace(hands=np.array(states.hands))
    first = jax.tree.map(lambda leaf: leaf[:1], swapped)  # at ply 0 nothing is played yet
    me = int(first.leader[0])
    left, right = (me + 1) % 4, (me + 3) % 4
    first.hands[0, [left, right]] = first.hands[0, [right, left]]
    original = jax.tree.map(lambda leaf: leaf[:1], states)
    key, how = jax.random.key(5), Exploration(temperature=0.3)
    one, other = (draw(params, how, both, key) for both in (original, first))
    np.testing.assert_allclose(one.policy, other.policy, atol=1e-6)
    assert one.slot[0] == other.slot[0]


def test_the_same_key_gives_the_same_rollouts_and_another_key_others(params, states):
    how = Exploration(temperature=1.0, rollout_temperature=1.0)
    one, again, other = (played_out(params, how, states, jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (np.nan_to_num(one) != np.nan_to_num(other)).any()


def test_a_network_without_values_of_moves_is_refused(params):
    without = dataclasses.replace(CONFIG, move_values=False)
    with pytest.raises(ValueError, match=r"network\.move_values: expected True with rollouts"):
        rollouts.evaluator(without, network.init(without, jax.random.key(0)))
