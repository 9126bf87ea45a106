"""Games with two tricks left, played out in every way: their exact value with all hands known.

From ply 20 on each seat has two tiles for two tricks, and the last trick plays itself. So a game
has at most 2^4 lines, one bit for the tile that each seat plays first; all of them are laid out at
once and folded by minimax.
"""

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles

FIRST_PLY = 20
"""An ending begins here."""
_LINES = np.arange(16)
_BITS = (
    _LINES[:, None] >> np.arange(3, -1, -1)
) & 1  # [16, 4]: the first to play has the highest bit


def is_ending(state: game.GameState) -> jax.Array:
    """Whether at most two tricks are left, bool; a finished game is an ending too."""
    return state.ply >= FIRST_PLY


def outcome(state: game.GameState, player: jax.Array) -> jax.Array:
    """The outcome for `player`'s team when all four play perfectly from here, seeing all hands.

    Args:
        state: one game with `is_ending`; the result means nothing for another.
        player: seat 0..3.

    Returns:
        float32: +1 more points than the other team, -1 fewer, 0 equal.
    """
    team_0 = _team_0_outcome(state)
    return jnp.where(player % 2 == 0, team_0, -team_0).astype(jnp.float32)


def _team_0_outcome(state: game.GameState) -> jax.Array:
    start = FIRST_PLY // 4
    seats = (state.trick_leaders[start].astype(jnp.int32) + jnp.arange(4)) % 4
    pairs = _last_two(state)[seats]  # [4, 2] in the order of play
    first = jnp.where(_BITS == 0, pairs[:, 0], pairs[:, 1])  # [16, 4]
    second = jnp.where(_BITS == 0, pairs[:, 1], pairs[:, 0])

    led = jnp.asarray(tiles.LED_SUIT)[state.declaration, first[:, 0]]
    can_follow = jnp.asarray(tiles.CAN_FOLLOW)[state.declaration, led]  # [16, 28]
    follows = jnp.take_along_axis(can_follow, first, axis=1)
    could = follows | jnp.take_along_axis(can_follow, second, axis=1)
    played = state.history[FIRST_PLY : FIRST_PLY + 4]
    possible = jnp.where(played >= 0, first == played, follows | ~could | (jnp.arange(4) == 0)).all(
        1
    )

    winner, first_points = _trick(state.declaration, first)
    order = (winner[:, None] + jnp.arange(4)) % 4
    last_winner, last_points = _trick(state.declaration, jnp.take_along_axis(second, order, axis=1))
    last_winner = (winner + last_winner) % 4
    sign = jnp.where(seats % 2 == 0, 1, -1)
    margin = (
        game.points(state)[0] - game.points(state)[1]
    )  # of finished tricks, these two perhaps among them
    margin += jnp.where(state.ply < FIRST_PLY + 4, sign[winner] * first_points, 0)
    margin += jnp.where(state.ply < game.N_PLIES, sign[last_winner] * last_points, 0)

    value = jnp.where(possible, jnp.sign(margin), jnp.nan)
    for turn in range(3, -1, -1):  # minimax from the last of the trick back; nan is no line
        options = value.reshape(-1, 2)
        value = jnp.where(sign[turn] > 0, jnp.nanmax(options, axis=1), jnp.nanmin(options, axis=1))
    return value[0]


def _last_two(state: game.GameState) -> jax.Array:
    """The two tiles that each seat has for the last two tricks, by slot, int8 `[4, 2]`."""
    gone = (state.hands[..., None] == state.history[:FIRST_PLY]).any(-1)
    slots = jnp.argsort(gone, axis=1, stable=True)[:, :2]
    return jnp.take_along_axis(state.hands, slots, axis=1)


def _trick(declaration: jax.Array, trick: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Who of the four wins each trick `[n, 4]`, int32 0..3, and its points."""
    winner = jax.vmap(game.trick_winner, in_axes=(None, 0))(declaration, trick)
    return winner, 1 + jnp.asarray(tiles.POINTS)[trick].sum(1, dtype=jnp.int32)
