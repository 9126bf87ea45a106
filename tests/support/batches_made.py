"""Random games as the original's example batches, for tests of their reader."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, observe, record
from zebjax.record import TargetKind
from zebjax.torch_compat import archive as torch_archive

FACTS = {
    "worker_id": "w0",
    "model_step": 5,
    "n_games": 12,
    "timestamp": 1.7e9,
    "source": "selfplay-mcts",
    "model_checkpoint": "somewhere",
    "mcts_config": {"n_simulations": 2, "temperature": 1.0},
}


@jax.jit
@jax.vmap
def played(key):
    """A game of random legal plays that seat 0 leads: its end, and by ply the state, the slot and
    what is seen."""

    def step(state, key):
        slot = jax.random.categorical(key, jnp.where(game.legal_slots(state), 0.0, -jnp.inf))
        whole_hand = observe.observe(state._replace(played=state.played & False)).tokens[1:8]
        seen = (observe.observe(state), whole_hand, *observe.belief_targets(state))
        return game.play(state, slot), (state, slot, game.legal_slots(state), *seen)

    deal_key, play_key = jax.random.split(key)
    deal = game.deal(deal_key)
    start = game.new_game(deal.hands, deal.declaration, jnp.int8(0))
    final, (states, *rows) = jax.lax.scan(step, start, jax.random.split(play_key, 28))
    return (
        deal,
        *rows,
        jax.vmap(lambda state: game.outcome(final, game.current_player(state)))(states),
    )


@functools.cache
def made():
    """Twelve random games as GameRecords, and as the file that a worker of the original would have
    written of them."""
    n = 12
    rows = jax.tree.map(np.asarray, played(jax.random.split(jax.random.key(0), n)))
    deal, slots, legal, seen, whole_hand, belief_targets, belief_mask, outcome = rows
    forced = legal.sum(2) == 1
    visits = np.random.default_rng(0).integers(0, 30, legal.shape) * legal + legal
    policy = (visits / visits.sum(2, keepdims=True)).astype(np.float32)
    records = record.GameRecord(
        hands=deal.hands,
        declaration=deal.declaration,
        leader=np.zeros(n, np.int8),
        slots=slots.astype(np.int8),
        policy=policy.astype(np.float16),
        weight=np.ones((n, 28), np.float16),
        kind=np.where(forced, TargetKind.FORCED, TargetKind.SEARCH).astype(np.int8),
        value=np.where(forced, 0, outcome).astype(np.float16),
        step_start=np.full(n, 5, np.int32),
        step_end=np.full(n, 5, np.int32),
    )
    tokens = np.array(seen.tokens)
    # As the original has it: what was played keeps its tile, but not the mark that it is in the
    # hand.
    tokens[:, :, 1:8] = whole_hand
    tokens[:, :, 1:8, 5] = seen.mask[:, :, 1:8]
    policy[:, 27] = 0
    columns = {
        "observations": tokens.astype(np.int32),
        "masks": seen.mask,
        "hand_indices": np.broadcast_to(np.arange(1, 8), (n, 28, 7)),
        "hand_masks": seen.mask[:, :, 1:8],
        "policy_targets": policy,
        "value_targets": outcome,
        "belief_targets": belief_targets.astype(np.int64),
        "belief_mask": belief_mask,
    }
    move_major = {
        name: column.swapaxes(0, 1).reshape(n * 28, *column.shape[2:])
        for name, column in columns.items()
    }
    return records, {**move_major, "metadata": FACTS}


def changed(batch, name, change):
    """A copy in which `change` was done to an array, seen as `[28, games, ...]`."""
    column = np.array(batch[name])
    change(column.reshape(28, -1, *column.shape[1:]))
    return {**batch, name: column}


def file_bytes(batch, start, stop, **facts):
    """Some of the games of a batch, as the bytes of a file that the original's worker saves."""
    n = len(batch["value_targets"]) // 28
    columns = {
        name: column.reshape(28, n, *column.shape[1:])[:, start:stop].reshape(-1, *column.shape[1:])
        for name, column in batch.items()
        if name != "metadata"
    }
    metadata = {**batch["metadata"], "n_games": stop - start, **facts}
    return torch_archive.serialise({**columns, "metadata": metadata}, "games")
