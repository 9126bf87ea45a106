"""One game of Texas 42 as pure functions over a small state; callers `vmap` for many games.

Seats go 0..3 to the left; teams are seats {0, 2} and {1, 3}. A slot 0..6 is a tile's place in the
original hand and is fixed for the whole game. There is no bidding: the declaration and the first
leader are given.
"""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import tiles

N_PLIES = 28
Tree = TypeVar("Tree")


class GameState(NamedTuple):
    """One game. Every field is int8 but `played`, which is bool."""

    hands: jax.Array
    """`[4, 7]` the tile ids dealt to each seat."""
    declaration: jax.Array
    """0..9, see `tiles`."""
    leader: jax.Array
    """The seat that led the first trick."""
    played: jax.Array
    """`[4, 7]` whether each slot has been played."""
    history: jax.Array
    """`[28]` the tile ids played, in order; -1 not yet."""
    trick_leaders: jax.Array
    """`[7]` the seat that leads each trick; -1 not yet."""
    ply: jax.Array
    """0..28, how many tiles have been played."""
    points: jax.Array
    """`[2]` by team, of finished tricks."""


def select(which: jax.Array, these: Tree, others: Tree) -> Tree:
    """`these` games where `which` `[n]` is set, else `others`: any tree of arrays with a leading
    axis n.
    """

    def pick(this: jax.Array, other: jax.Array) -> jax.Array:
        return jnp.where(which.reshape(-1, *[1] * (this.ndim - 1)), this, other)

    return jax.tree.map(pick, these, others)


def new_game(hands: jax.Array, declaration: jax.Array, leader: jax.Array) -> GameState:
    """The start of a game.

    Args:
        hands: `[4, 7]` tile ids, each of the 28 once.
        declaration: 0..9.
        leader: the seat 0..3 that leads the first trick.

    Raises:
        ValueError: if the arguments are concrete and no such deal exists. Traced arguments are not
            checked.
    """
    if not any(isinstance(x, jax.core.Tracer) for x in (hands, declaration, leader)):
        _check_deal(np.asarray(hands), np.asarray(declaration), np.asarray(leader))
    leader = jnp.asarray(leader, jnp.int8)
    return GameState(
        hands=jnp.asarray(hands, jnp.int8),
        declaration=jnp.asarray(declaration, jnp.int8),
        leader=leader,
        played=jnp.zeros((4, 7), bool),
        history=jnp.full(N_PLIES, -1, jnp.int8),
        trick_leaders=jnp.full(tiles.N_TRICKS, -1, jnp.int8).at[0].set(leader),
        ply=jnp.int8(0),
        points=jnp.zeros(2, jnp.int8),
    )


def _check_deal(hands: np.ndarray, declaration: np.ndarray, leader: np.ndarray) -> None:
    if hands.shape != (4, 7) or not np.issubdtype(hands.dtype, np.integer):
        raise ValueError(
            f"hands: expected integers of shape (4, 7), got {hands.dtype} of shape {hands.shape}"
        )
    outside = hands[(hands < 0) | (hands >= tiles.N_TILES)]
    if outside.size:
        raise ValueError(f"hands: expected tile ids 0..27, got {outside[0]}")
    ids, counts = np.unique(hands, return_counts=True)
    if len(ids) != tiles.N_TILES:
        name = tiles.TILE_NAMES[ids[counts > 1][0]]
        raise ValueError(f"hands: expected each of the 28 tiles once, got {name} twice")
    for name, value, limit in (
        ("declaration", declaration, tiles.N_DECLARATIONS),
        ("leader", leader, 4),
    ):
        if (
            value.shape != ()
            or not np.issubdtype(value.dtype, np.integer)
            or not 0 <= value < limit
        ):
            raise ValueError(f"{name}: expected an integer 0..{limit - 1}, got {value}")


def deal(key: jax.Array) -> GameState:
    """A new game with hands, declaration and leader drawn uniformly and independently."""
    hands_key, declaration_key, leader_key = jax.random.split(key, 3)
    return new_game(
        jax.random.permutation(hands_key, tiles.N_TILES).reshape(4, 7),
        jax.random.randint(declaration_key, (), 0, tiles.N_DECLARATIONS),
        jax.random.randint(leader_key, (), 0, tiles.N_PLAYERS),
    )


def is_over(state: GameState) -> jax.Array:
    """Whether all 28 tiles have been played, bool."""
    return state.ply >= N_PLIES


def current_player(state: GameState) -> jax.Array:
    """The seat 0..3 to move, int32. Past the end: the winner of the last trick does not matter,
    some seat.
    """
    trick = jnp.minimum(state.ply // 4, tiles.N_TRICKS - 1)
    return (state.trick_leaders[trick].astype(jnp.int32) + state.ply % 4) % 4


def led_suit(state: GameState) -> jax.Array:
    """The suit 0..7 that must be followed, int32; -1 when the mover leads."""
    trick_start = jnp.minimum(state.ply // 4 * 4, N_PLIES - 4)
    suit = jnp.asarray(tiles.LED_SUIT)[state.declaration, state.history[trick_start]]
    return jnp.where(state.ply % 4 == 0, -1, suit.astype(jnp.int32))


def legal_slots(state: GameState) -> jax.Array:
    """Which of the mover's slots may be played, bool `[7]`; none past the end.

    A leader may play anything unplayed. A follower must follow the led suit if any unplayed tile
    can.
    """
    player = current_player(state)
    unplayed = ~state.played[player]
    suit = led_suit(state)
    can_follow = (
        jnp.asarray(tiles.CAN_FOLLOW)[state.declaration, suit, state.hands[player]] & unplayed
    )
    return jnp.where((suit >= 0) & can_follow.any(), can_follow, unplayed)


def trick_winner(declaration: jax.Array, trick: jax.Array) -> jax.Array:
    """Which of the four tiles `trick` `[4]`, in order of play, wins: 0..3, int32."""
    suit = jnp.asarray(tiles.LED_SUIT)[declaration, trick[0]]
    return jnp.argmax(jnp.asarray(tiles.TRICK_RANK)[declaration, suit, trick]).astype(jnp.int32)


def play(state: GameState, slot: jax.Array) -> GameState:
    """The state after the mover plays `slot`; unchanged past the end. Legality is the caller's to
    check.
    """
    player = current_player(state)
    history = state.history.at[state.ply].set(state.hands[player, slot])
    ply = state.ply + 1

    trick_index = state.ply // 4
    trick = jax.lax.dynamic_slice(history, (jnp.minimum(trick_index * 4, N_PLIES - 4),), (4,))
    leader = state.trick_leaders[jnp.minimum(trick_index, tiles.N_TRICKS - 1)]
    winner = (leader + trick_winner(state.declaration, trick)) % 4
    complete = ply % 4 == 0
    trick_points = 1 + jnp.asarray(tiles.POINTS)[trick].sum(dtype=jnp.int8)
    # Out-of-range scatters are dropped: after the last trick nobody leads.
    after = state._replace(
        played=state.played.at[player, slot].set(True),
        history=history,
        trick_leaders=state.trick_leaders.at[jnp.where(complete, trick_index + 1, 7)].set(
            winner.astype(jnp.int8), mode="drop"
        ),
        ply=ply,
        points=state.points
        + jnp.where(complete & (jnp.arange(2) == winner % 2), trick_points, 0).astype(jnp.int8),
    )
    over = is_over(state)
    return jax.tree.map(lambda old, new: jnp.where(over, old, new), state, after)


def play_randomly(key: jax.Array, state: GameState, n_plies: int) -> tuple[GameState, jax.Array]:
    """The state after `n_plies` (static) plays, each uniform over the legal slots; and the slots,
    int32 `[n_plies]`.
    """

    def step(state: GameState, key: jax.Array) -> tuple[GameState, jax.Array]:
        slot = jax.random.categorical(key, jnp.where(legal_slots(state), 0.0, -jnp.inf))
        return play(state, slot), slot

    return jax.lax.scan(step, state, jax.random.split(key, n_plies))


def points(state: GameState) -> jax.Array:
    """Points taken so far by each team, int32 `[2]`; 42 in all at the end."""
    return state.points.astype(jnp.int32)


def outcome(state: GameState, player: jax.Array) -> jax.Array:
    """The value of the points on the table for `player`'s team: +1 more than the other, -1 fewer, 0
    equal; float32.
    """
    team = player % 2
    return jnp.sign(points(state)[team] - points(state)[1 - team]).astype(jnp.float32)


def players_to_move(state: GameState) -> jax.Array:
    """The seat that plays at each ply of the tricks begun so far, int32 `[28]`; meaningless in
    later tricks.
    """
    return (
        jnp.repeat(state.trick_leaders.astype(jnp.int32), 4, total_repeat_length=N_PLIES)
        + jnp.arange(28) % 4
    ) % 4


def replay(
    hands: jax.Array,
    declaration: jax.Array,
    leader: jax.Array,
    slots: jax.Array,
    n_plies: jax.Array,
) -> GameState:
    """The state after the first `n_plies` of `slots` `[28]`; legality is not checked."""

    def step(state: GameState, slot: jax.Array):
        after = play(state, slot)
        return jax.tree.map(
            lambda old, new: jnp.where(state.ply < n_plies, new, old), state, after
        ), None

    return jax.lax.scan(step, new_game(hands, declaration, leader), slots)[0]
