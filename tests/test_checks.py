"""Every public function names an argument with a wrong shape or dtype, at trace time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from zebjax import game, network, observe, players, record, search, solver, worlds
from zebjax.evaluation import belief
from zebjax.network import bucketing
from zebjax.players import base, exact
from zebjax.search import endgame
from zebjax.training import batches, learner, replay, selfplay
from zebjax.training.config import SelfPlayConfig
from zebjax.training.learner_config import LearnerConfig

TINY = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
SEARCH = search.SearchConfig(policy="gumbel", sims=2)
PLAY = SelfPlayConfig(lanes=4, games_per_cycle=4, search=SEARCH)
LEARN = LearnerConfig(batch=8, updates_per_cycle=4, updates_per_call=2)
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 3)


def shapes(function, *arguments):
    return jax.eval_shape(function, *arguments)


def like(tree):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)


STATES = positions(5, [0, 3, 9, 16, 22])
STATE = jax.tree.map(lambda leaf: leaf[0], STATES)
LATE = jax.tree.map(lambda leaf: leaf[4], STATES)
SEEN = like(shapes(jax.vmap(observe.observe), STATES))
PARAMS = like(shapes(lambda: network.init(TINY, KEY)))
RECORDS = jax.tree.map(np.asarray, record.empty(5))
RING = replay.init(28 * 8)
ACTOR = shapes(lambda: selfplay.init(PLAY, KEY, 0))
LEARNER = shapes(lambda: learner.init(LEARN, TINY, PARAMS, KEY))
BATCH = like(
    shapes(
        lambda: batches.make_batch(batches.positions(RECORDS, jnp.zeros(5, jnp.int32)), "v1"),
    )
)

wide = STATE._replace(hands=np.zeros((4, 8), np.int8))
floating = STATE._replace(played=np.zeros((4, 7), np.float32))
short = STATE._replace(history=np.zeros(27, np.int8))


def leaves(settings, states, key):
    return search.search(settings, search.evaluator(TINY, PARAMS), states, key)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: game.new_game(np.zeros((4, 8), int), 0, 0), "hands"),
        (lambda: game.new_game(np.arange(28).reshape(4, 7), np.zeros(2, int), 0), "declaration"),
        (lambda: game.deal(KEYS), "key"),
        (lambda: game.legal_slots(wide), "state.hands"),
        (lambda: game.legal_slots(floating), "state.played"),
        (lambda: game.play(short, 0), "state.history"),
        (lambda: game.play(STATE, 0.5), "slot"),
        (lambda: game.play(STATE, np.zeros(2, int)), "slot"),
        (lambda: game.play(STATES, 0), "state.hands"),
        (lambda: game.forced_slot(np.zeros((3, 7))), "legal"),
        (lambda: game.forced_slot(np.zeros((3, 6), bool)), "legal"),
        (lambda: game.trick_winner(0, np.zeros(3, int)), "trick"),
        (lambda: game.play_randomly(0, STATE, 1), "key"),
        (lambda: game.replay(STATE.hands, 0, 0, np.zeros(27, int), 3), "slots"),
        (lambda: observe.observe(short), "state.history"),
        (lambda: observe.belief_targets(wide), "state.hands"),
        (lambda: observe.hidden_tiles(wide), "state.hands"),
        (lambda: observe.shorten(SEEN._replace(mask=SEEN.tokens), 20), "observation.mask"),
        (lambda: observe.shorten(SEEN._replace(tokens=SEEN.mask), 20), "observation.tokens"),
        (lambda: record.position(RECORDS, 0), "records.hands"),
        (
            lambda: record.position(jax.tree.map(lambda leaf: leaf[0], RECORDS), 0.0),
            "ply",
        ),
        (lambda: worlds.count(floating), "state.played"),
        (lambda: worlds.voids(short), "state.history"),
        (lambda: worlds.marginals(short), "state.history"),
        (lambda: worlds.sample(KEYS, STATE, 2), "key"),
        (lambda: worlds.sample(KEY, short, 2), "state.history"),
        (lambda: worlds.sample_or_all(raw_keys(1)[0], STATE, 2), "key"),
        (lambda: worlds.enumerate(short, 2), "state.history"),
        (lambda: network.init(TINY, KEYS), "key"),
        (
            lambda: network.apply(TINY, PARAMS, SEEN._replace(tokens=SEEN.tokens[..., :7])),
            "observation.tokens",
        ),
        (lambda: network.apply(TINY, PARAMS, SEEN._replace(mask=SEEN.mask[:2])), "observation"),
        (
            lambda: network.apply(TINY, PARAMS, jax.tree.map(lambda leaf: leaf[:, :20], SEEN)),
            "observation.mask",
        ),
        (lambda: network.apply(TINY, PARAMS, SEEN, KEYS), "dropout_key"),
        (lambda: network.apply(network.PRESETS["small"], PARAMS, SEEN), "params"),
        (
            lambda: bucketing.evaluate(
                TINY, network.prepare(TINY, PARAMS), jax.tree.map(lambda x: x[0], SEEN), [36]
            ),
            "observation.mask",
        ),
        (lambda: endgame.outcome(wide, 0), "state.hands"),
        (lambda: endgame.outcome(LATE, 0.0), "player"),
        (lambda: leaves(SEARCH, STATE, KEY), "states.hands"),
        (lambda: leaves(SEARCH, STATES._replace(ply=STATES.ply[:2]), KEY), "states"),
        (lambda: leaves(SEARCH, STATES, KEYS), "key"),
        (lambda: solver.solve(STATE), "states.hands"),
        (lambda: solver.solve(STATES._replace(points=STATES.points[:2])), "states.points"),
        (lambda: solver.principal_line(STATES), "state.hands"),
        (lambda: players.random().choose(STATES, raw_keys(4)), "states.hands"),
        (lambda: base.in_chunks(lambda *_: None, STATES, np.zeros(5)), "keys"),
        (lambda: exact.eq_values(STATES, raw_keys(4), 2), "states.hands"),
        (lambda: exact.count_wins(STATES, np.zeros((5, 2)), 2), "keys"),
        (lambda: belief.predict(TINY, PARAMS, STATE), "states.hands"),
        (lambda: selfplay.init(PLAY, KEYS, 0), "key"),
        (lambda: selfplay.init(PLAY, KEY, 0.5), "step"),
        (
            lambda: shapes(
                lambda actor: selfplay.advance(PLAY, TINY, PARAMS, actor, 0, 1.5), ACTOR
            ),
            "max_moves",
        ),
        (lambda: replay.add(RING, RECORDS._replace(value=RECORDS.slots)), "records.value"),
        (lambda: replay.add_some(RING, RECORDS._replace(policy=RECORDS.value)), "records.policy"),
        (lambda: replay.sample(KEYS, RING, 2), "key"),
        (lambda: batches.positions(RECORDS, np.zeros(4, int)), "records.hands"),
        (lambda: batches.positions(RECORDS, np.zeros(5)), "plies"),
        (lambda: learner.init(LEARN, TINY, PARAMS, KEYS), "key"),
        (
            lambda: shapes(
                lambda state: learner.update(
                    LEARN, TINY, state, BATCH._replace(hidden=BATCH.marginal), None
                ),
                LEARNER,
            ),
            "batch.hidden",
        ),
        (
            lambda: shapes(
                lambda state: learner.update(
                    LEARN, TINY, state, BATCH._replace(value_target=BATCH.policy_target), None
                ),
                LEARNER,
            ),
            "batch.value_target",
        ),
        (
            lambda: shapes(lambda state: learner.train(LEARN, TINY, state, RING, 1.5), LEARNER),
            "n_chunks",
        ),
    ],
)
def test_the_wrong_argument_is_named(call, name):
    with pytest.raises(ValueError) as error:
        call()
    message = str(error.value)
    assert message.startswith(name) and "expected" in message and "got" in message, message
