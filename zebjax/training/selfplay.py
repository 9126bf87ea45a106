"""The compiled actor: weights in, finished GameRecords out.

Many games (lanes) stand at a real decision each; one search moves them all. Forced moves are played
through without asking the network, a finished game goes to the waiting room and its lane deals a
new one. Lanes are never dropped and are saved with the run, so short games are not favoured.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from zebjax import game, network, record
from zebjax.common import devices
from zebjax.record import GameRecord, TargetKind
from zebjax.search import endgame, evaluator, search
from zebjax.training.config import SelfPlayConfig


class Actor(NamedTuple):
    """All that self-play remembers; a plain pytree, saved with the run."""

    states: game.GameState
    """`[lanes]` games in progress, each at a decision."""
    records: GameRecord
    """`[lanes]` what has been written of them."""
    finished: GameRecord
    """`[games_per_cycle + lanes]` games waiting to be taken; the first `n_finished` are real."""
    n_finished: jax.Array
    """int32."""
    key: jax.Array
    """Random key of all that comes."""


@functools.partial(jax.jit, static_argnames="config")
def init(config: SelfPlayConfig, key: jax.Array, step: jax.Array | int = 0) -> Actor:
    """Fresh deals on every lane, begun with the weights of training step `step`."""
    deal_key, key = jax.random.split(key)
    states, records = _new_games(deal_key, config.lanes, step)
    finished = record.empty(config.games_per_cycle + config.lanes)
    return Actor(states, records, finished, jnp.int32(0), key)


def _new_games(key: jax.Array, lanes: int, step: jax.Array) -> tuple[game.GameState, GameRecord]:
    states = jax.vmap(game.deal)(jax.random.split(key, lanes))
    records = record.empty(lanes)._replace(
        hands=states.hands,
        declaration=states.declaration,
        leader=states.leader,
        step_start=jnp.full(lanes, step, jnp.int32),
    )
    return states, records


@functools.partial(jax.jit, static_argnames=("config", "network_config"), donate_argnames="actor")
def advance(
    config: SelfPlayConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    actor: Actor,
    step: jax.Array | int,
    max_moves: jax.Array | int,
) -> Actor:
    """Move every lane `max_moves` decisions on, or fewer if `games_per_cycle` games are waiting
    before that.

    How a run's moves are divided into calls does not change its games.

    Args:
        config: static.
        network_config: static.
        params: the weights to play with.
        actor: donated.
        step: the training step of `params`, written into the records.
        max_moves: traced, so that any number is one compilation.
    """
    judge = evaluator(network_config, params, config.search.plain)

    def unfilled(carry: tuple[jax.Array, Actor]) -> jax.Array:
        move, actor = carry
        return (move < max_moves) & (actor.n_finished < config.games_per_cycle)

    def one_move(carry: tuple[jax.Array, Actor]) -> tuple[jax.Array, Actor]:
        move, actor = carry
        actor = actor._replace(
            states=devices.split(actor.states), records=devices.split(actor.records)
        )
        search_key, deal_key, key = jax.random.split(actor.key, 3)
        result = search(config.search, judge, actor.states, search_key)
        known = endgame.is_ending(actor.states) & (not config.search.plain)
        kind = jnp.where(known, TargetKind.EXACT, TargetKind.SEARCH)
        moved = _write_and_play(
            (actor.states, actor.records),
            result.slot,
            kind,
            policy=result.policy,
            value=result.value,
        )
        states, records = jax.lax.while_loop(
            lambda lanes: _forced(lanes[0]).any(), _play_forced, moved
        )
        actor = actor._replace(states=states, records=records, key=key)
        return move + 1, _hand_over(actor, deal_key, step)

    return jax.lax.while_loop(unfilled, one_move, (jnp.int32(0), actor))[1]


@functools.partial(jax.jit, static_argnames="config", donate_argnames="actor")
def take(config: SelfPlayConfig, actor: Actor) -> tuple[Actor, GameRecord]:
    """The oldest `games_per_cycle` finished games, and the actor without them; that many must be
    waiting.
    """
    n = config.games_per_cycle
    records = jax.tree.map(lambda leaf: leaf[:n], actor.finished)
    # What is left is fewer than `lanes` games: it moves to the front.
    rest = jax.tree.map(lambda leaf: jnp.roll(leaf, -n, axis=0), actor.finished)
    return actor._replace(finished=rest, n_finished=actor.n_finished - n), records


Lanes = tuple[game.GameState, GameRecord]


def _forced(states: game.GameState) -> jax.Array:
    """Which lanes have exactly one legal slot, bool `[lanes]`; none past the end."""
    return (jax.vmap(game.legal_slots)(states).sum(1) == 1) & ~game.is_over(states)


def _play_forced(lanes: Lanes) -> Lanes:
    """Play the only legal slot on the lanes that have but one."""
    states, _ = lanes
    forced, legal = _forced(states), jax.vmap(game.legal_slots)(states)
    moved = _write_and_play(
        lanes,
        jnp.argmax(legal, axis=1),
        TargetKind.FORCED,
        policy=legal.astype(jnp.float32),
        value=jnp.zeros(legal.shape[0]),
    )
    return game.select(forced, moved, lanes)


def _write_and_play(
    lanes: Lanes,
    slot: jax.Array,
    kind: TargetKind | jax.Array,
    *,
    policy: jax.Array,
    value: jax.Array,
) -> Lanes:
    """Note what was thought at this ply of every lane, and play."""
    states, records = lanes
    place = (jnp.arange(slot.shape[0]), states.ply)
    records = records._replace(
        slots=records.slots.at[place].set(slot.astype(jnp.int8)),
        policy=records.policy.at[place].set(policy.astype(jnp.float16)),
        weight=records.weight.at[place].set(1),
        kind=records.kind.at[place].set(kind),
        value=records.value.at[place].set(value.astype(jnp.float16)),
    )
    return jax.vmap(game.play)(states, slot), records


def _hand_over(actor: Actor, key: jax.Array, step: jax.Array) -> Actor:
    """Put finished games into the waiting room and deal new ones on their lanes."""
    over = game.is_over(actor.states)
    lanes = over.shape[0]
    # Places past the end are dropped: those of the lanes still playing.
    capacity = actor.finished.slots.shape[0]
    place = jnp.where(over, actor.n_finished + jnp.cumsum(over) - 1, capacity)
    done = actor.records._replace(step_end=jnp.full(lanes, step, jnp.int32))
    finished = jax.tree.map(
        lambda room, new: room.at[place].set(new, mode="drop"), actor.finished, done
    )
    states, records = game.select(over, _new_games(key, lanes, step), (actor.states, actor.records))
    return actor._replace(
        states=states,
        records=records,
        finished=finished,
        n_finished=actor.n_finished + over.sum(dtype=jnp.int32),
    )
