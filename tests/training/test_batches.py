"""Examples are the positions of recorded games, with targets for their movers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import game, record
from zebjax.training import batches

PLIES = np.arange(24) % 28


@pytest.fixture(scope="module")
def examples(games):
    return jax.tree.map(np.asarray, jax.jit(batches.positions)(games, jnp.asarray(PLIES)))


def test_states_are_those_before_the_plies(games, examples):
    np.testing.assert_array_equal(examples.state.ply, PLIES)
    replayed = jax.jit(jax.vmap(game.replay))(
        games.hands, games.declaration, games.leader, games.slots, PLIES
    )
    jax.tree.map(np.testing.assert_array_equal, examples.state, replayed)


def test_outcomes_of_the_two_teams_are_opposite(games):
    rows = jax.tree.map(lambda leaf: np.repeat(leaf[:1], 28, axis=0), games)
    positions = jax.jit(batches.positions)(rows, jnp.arange(28))
    team = np.asarray(jax.vmap(game.current_player)(positions.state)) % 2
    outcome = np.asarray(positions.outcome)
    assert len(set(outcome[team == 0])) == len(set(outcome[team == 1])) == 1
    assert outcome[team == 0][0] == -outcome[team == 1][0]


def test_a_ply_without_a_root_value_has_the_outcome(games, examples):
    kind = games.kind[np.arange(24), PLIES]
    forced = kind == record.TargetKind.FORCED
    assert forced.any() and not forced.all()
    np.testing.assert_array_equal(examples.root_value[forced], examples.outcome[forced])
    np.testing.assert_array_equal(
        examples.root_value[~forced], games.value[np.arange(24), PLIES][~forced].astype(np.float32)
    )


def test_a_batch_fits_its_own_check(examples):
    batch = jax.jit(lambda examples: batches.make_batch(examples, "v1", "unplayed"))(examples)
    batches.check_batch(batch)
    np.testing.assert_array_equal(batch.policy_mask.sum(1), 7 - PLIES // 4)
    assert (np.asarray(batch.hidden) <= np.asarray(batch.belief_mask)).all()
    np.testing.assert_allclose(batch.marginal.sum(-1), batch.hidden, atol=1e-5)
