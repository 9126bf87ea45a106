"""The compiled actor: it plays games with given weights and returns finished GameRecords.

Many games are played at once, each in a lane. All are at a decision (more than one legal move), and
one search chooses all moves, or the network's values of moves do. Forced moves need neither. A
finished game goes to a buffer, and its lane starts a new deal. Lanes are never dropped and are
saved with the run, so that games which finish early are not favoured.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from zebjax import game, network, record, tiles
from zebjax.common import devices
from zebjax.common.arrays import Array, Scalar, check, check_key
from zebjax.record import GameRecord, TargetKind
from zebjax.search import endgame, evaluator, rollouts, search
from zebjax.training.config import SelfPlayConfig

# A trick's leader may play any tile. So the longest row of forced plies begins with the followers
# in the second to last trick, and ends the game.
_FORCED_IN_A_ROW = 2 * tiles.N_PLAYERS - 1


class Actor(NamedTuple):
    """The state of self-play; a plain pytree, saved with the run."""

    states: game.GameState
    """`[lanes]` games in progress, each at a decision."""
    records: GameRecord
    """`[lanes]` records of these games so far."""
    finished: GameRecord
    """`[games_per_cycle + lanes]`, buffer of finished games; the first `n_finished` are valid."""
    n_finished: jax.Array
    """int32, number of finished games in the buffer."""
    key: jax.Array
    """Key for all future randomness."""


@functools.partial(jax.jit, static_argnames="config")
def init(config: SelfPlayConfig, key: jax.Array, step: jax.Array | int = 0) -> Actor:
    """Start a game in every lane.

    Args:
        config: static.
        key: one typed random key.
        step: integer, training step of the weights that play.
    """
    check_key("key", key)
    check("step", step, (), int)
    deal_key, key = jax.random.split(key)
    states, records = _new_games(config, deal_key, config.n_lanes, step)
    finished = _empty(config, config.games_per_cycle + config.n_lanes)
    return Actor(states, records, finished, jnp.int32(0), key)


def _empty(config: SelfPlayConfig, n: int) -> GameRecord:
    """`n` blank records, with values of moves if the games have them."""
    blank: GameRecord = record.with_moves(record.empty(n), config.learns_moves)
    return blank


def _new_games(
    config: SelfPlayConfig, key: jax.Array, lanes: int, step: Scalar
) -> tuple[game.GameState, GameRecord]:
    states = jax.vmap(game.fast_deal)(jax.random.split(key, lanes))
    records = _empty(config, lanes)._replace(
        hands=states.hands,
        declaration=states.declaration,
        leader=states.leader,
        step_start=jnp.full(lanes, step, jnp.int32),
    )
    return states, records


@functools.partial(
    jax.jit,
    static_argnames=("config", "network_config"),
    donate_argnames="actor",
    compiler_options=devices.GPU_OPTIONS,
)
def advance(
    config: SelfPlayConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    actor: Actor,
    step: jax.Array | int,
    max_moves: jax.Array | int,
) -> Actor:
    """Play up to `max_moves` decisions in every lane.

    The call ends earlier once `games_per_cycle` games are finished. The games do not depend on the
    division of moves into calls.

    Args:
        config: static.
        network_config: static.
        params: the network's parameters.
        actor: donated.
        step: integer, training step of `params`, written into the records.
        max_moves: integer, traced, so that one compilation serves any number.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    game.check_state(actor.states, ("lanes",), "actor.states")
    check_key("actor.key", actor.key)
    check("step", step, (), int)
    check("max_moves", max_moves, (), int)
    judge = _judge(config, network_config, params)

    def unfilled(carry: tuple[jax.Array, Actor]) -> jax.Array:
        move, actor = carry
        return (move < max_moves) & (actor.n_finished < config.games_per_cycle)

    def one_move(carry: tuple[jax.Array, Actor]) -> tuple[jax.Array, Actor]:
        move, actor = carry
        actor = actor._replace(
            states=devices.split(actor.states), records=devices.split(actor.records)
        )
        # One split per move, so that the games do not depend on the number of moves in a call.
        judge_key, deal_key, key = jax.random.split(actor.key, 3)
        judged = judge(actor.states, judge_key)
        moved = _write_and_play((actor.states, actor.records), judged)
        # Play forced moves until every lane is at a decision or its game is over: a search of a
        # forced move would be wasted. A fixed number of turns, because a GPU's host waits for each
        # turn of a loop of unknown length.
        states, records = jax.lax.fori_loop(0, _FORCED_IN_A_ROW, _play_forced, moved)
        actor = actor._replace(states=states, records=records, key=key)
        return move + 1, _hand_over(config, actor, deal_key, step)

    return jax.lax.while_loop(unfilled, one_move, (jnp.int32(0), actor))[1]


@functools.partial(jax.jit, static_argnames="config", donate_argnames="actor")
def pop_finished(config: SelfPlayConfig, actor: Actor) -> tuple[Actor, GameRecord]:
    """Remove the oldest `games_per_cycle` finished games from the buffer.

    Args:
        config: static.
        actor: donated; it must have at least that many finished games.

    Returns:
        The actor without them, and the games, `[games_per_cycle]`.
    """
    n = config.games_per_cycle
    records = jax.tree.map(lambda leaf: leaf[:n], actor.finished)
    # The remaining games, at most `lanes`, move to the front.
    rest = jax.tree.map(lambda leaf: jnp.roll(leaf, -n, axis=0), actor.finished)
    return actor._replace(finished=rest, n_finished=actor.n_finished - n), records


Lanes = tuple[game.GameState, GameRecord]


def _play_forced(_: Any, lanes: Lanes) -> Lanes:
    """Play one ply in each lane whose mover has no choice."""
    slots = game.forced_slot(jax.vmap(game.legal_slots)(lanes[0]))
    policy = jax.nn.one_hot(slots, tiles.HAND_SIZE)
    value = jnp.zeros(slots.shape[0])
    moved = _write_and_play(lanes, _Judged(slots, TargetKind.FORCED, policy, value))
    return game.select(slots >= 0, moved, lanes)


class _Judged(NamedTuple):
    """The moves of all lanes, with their targets."""

    slot: Array
    """int32 `[lanes]`."""
    kind: TargetKind | jax.Array
    """The source of the policy targets; int8, or one for all lanes."""
    policy: jax.Array
    """float32 `[lanes, 7]`, the policy targets."""
    value: jax.Array
    """float32 `[lanes]`, the root values."""
    moves: jax.Array | None = None
    """float32 `[lanes, 7, 2]`, see `GameRecord.moves`; None if nothing is known of them."""


def _judge(
    config: SelfPlayConfig, network_config: network.ZebConfig, params: network.Params
) -> Callable[[game.GameState, jax.Array], _Judged]:
    """Return the function that chooses and judges the moves of all lanes, each at a decision."""
    if config.learns_moves:
        of_moves = rollouts.evaluator(network_config, params)

        def by_values(states: game.GameState, key: jax.Array) -> _Judged:
            draw_key, rollout_key = jax.random.split(key)
            slot, policy = rollouts.draw(config.explore, of_moves, states, draw_key)
            moves, value = None, jnp.zeros(slot.shape)  # `_with_results` fills them at the end
            if config.method == "rollouts":
                moves = rollouts.played_out(config.explore, of_moves, states, rollout_key)
                value = jnp.take_along_axis(moves[..., 0], slot[:, None], 1)[:, 0]
            return _Judged(slot, TargetKind.ROLLOUT, policy, value, moves)

        return by_values
    leaf_evaluator = evaluator(network_config, params, config.search.plain)

    def by_search(states: game.GameState, key: jax.Array) -> _Judged:
        result = search(config.search, leaf_evaluator, states, key)
        # From ply 20 on all leaves of the tree are settled, so its values are exact.
        known = endgame.is_ending(states) & (not config.search.plain)
        kind = jnp.where(known, TargetKind.EXACT, TargetKind.SEARCH)
        return _Judged(result.slot, kind, result.policy, result.value)

    return by_search


def _write_and_play(lanes: Lanes, judged: _Judged) -> Lanes:
    """Write a move with its targets into the record of every lane, and play it."""
    states, records = lanes
    place = (jnp.arange(judged.slot.shape[0]), states.ply)

    def put(name: str, values: Array | int) -> jax.Array:
        return jnp.asarray(getattr(records, name)).at[place].set(values)

    records = records._replace(
        slots=put("slots", judged.slot.astype(jnp.int8)),
        policy=put("policy", judged.policy.astype(jnp.float16)),
        weight=put("weight", 1),
        kind=put("kind", judged.kind),
        value=put("value", judged.value.astype(jnp.float16)),
    )
    if judged.moves is not None:
        records = records._replace(moves=put("moves", judged.moves.astype(jnp.float16)))
    return jax.vmap(game.play)(states, judged.slot), records


def _with_results(states: game.GameState, records: GameRecord) -> GameRecord:
    """Give the decisions of finished games their result: as `value`, and as the value of the move
    that was played in `moves`.

    Those of an unfinished game mean nothing.
    """
    leaders = jnp.repeat(jnp.asarray(states.trick_leaders), tiles.N_PLAYERS, 1)  # [lanes, ply]
    teams = (leaders + jnp.arange(game.N_PLIES)) % 2
    results = rollouts.results(jnp.take_along_axis(jnp.asarray(states.points), teams, 1))
    is_decision = jnp.asarray(records.kind) == TargetKind.ROLLOUT
    is_played = jnp.asarray(records.slots)[..., None] == jnp.arange(tiles.HAND_SIZE)
    is_known = (is_decision[..., None] & is_played)[..., None]
    return records._replace(
        value=jnp.where(is_decision, results[..., 0], 0).astype(jnp.float16),
        moves=jnp.where(is_known, results[:, :, None], jnp.nan).astype(jnp.float16),
    )


def _hand_over(config: SelfPlayConfig, actor: Actor, key: jax.Array, step: Scalar) -> Actor:
    """Move finished games into the buffer and start new deals in their lanes."""
    over = game.is_over(actor.states)
    lanes = over.shape[0]
    # Unfinished lanes get a place past the end, so that the scatter drops them. The buffer has room
    # for all lanes at once, because a call ends when `games_per_cycle` games are in it.
    capacity = actor.finished.slots.shape[0]
    place = jnp.where(over, actor.n_finished + jnp.cumsum(over) - 1, capacity)
    done = actor.records._replace(step_end=jnp.full(lanes, step, jnp.int32))
    if config.method == "outcomes":
        done = _with_results(actor.states, done)
    finished = jax.tree.map(
        lambda buffer, new: buffer.at[place].set(new, mode="drop"), actor.finished, done
    )
    new = _new_games(config, key, lanes, step)
    states, records = game.select(over, new, (actor.states, actor.records))
    return actor._replace(
        states=states,
        records=records,
        finished=finished,
        n_finished=actor.n_finished + over.sum(dtype=jnp.int32),
    )
