"""The exact outcome of games with two tricks left, with all hands known, by enumeration.

From ply 20 on each seat has two tiles for two tricks, and the last trick is forced. So a game has
at most 2^4 lines of play, one bit for the tile that each seat plays first. All of them are computed
at once and reduced by minimax.
"""

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import contract as contracts
from zebjax import game, tiles
from zebjax.common.arrays import Array, Scalar, check
from zebjax.contract import Contract

FIRST_PLY = 20
"""First ply of the last two tricks."""
_LINES = np.arange(16)
# [16, 4]: the tile (0 or 1) that each seat plays first, in the order of play. The first to play has
# the highest bit, so lines that differ only in the last choice are neighbours.
_BITS = (_LINES[:, None] >> np.arange(3, -1, -1)) & 1


def is_ending(state: game.GameState) -> Array:
    """True if at most two tricks are left, bool; also for a finished game."""
    return state.ply >= FIRST_PLY


def outcome(state: game.GameState, player: Scalar, contract: Contract | None = None) -> jax.Array:
    """Return the outcome for `player`'s team if all four see all hands and play perfectly.

    Args:
        state: one game; the result means nothing unless `is_ending` is True for it.
        player: integer, seat 0..3.
        contract: of the game, if it has one.

    Returns:
        float32: +1 if the team ends with more points than the other, -1 fewer, 0 equal; with a
        contract +1 if it makes or sets it, else -1.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    game.check_state(state)
    check("player", player, (), int)
    team_0 = _team_0_outcome(state, contract)
    return jnp.where(player % 2 == 0, team_0, -team_0).astype(jnp.float32)


def _team_0_outcome(state: game.GameState, contract: Contract | None) -> jax.Array:
    start = FIRST_PLY // 4
    seats = (jnp.asarray(state.trick_leaders)[start].astype(jnp.int32) + jnp.arange(4)) % 4
    pairs = _last_two(state)[seats]  # [4, 2] in the order of play
    first = jnp.where(_BITS == 0, pairs[:, 0], pairs[:, 1])  # [16, 4]
    second = jnp.where(_BITS == 0, pairs[:, 1], pairs[:, 0])

    led = jnp.asarray(tiles.LED_SUIT)[state.declaration, first[:, 0]]
    can_follow = jnp.asarray(tiles.CAN_FOLLOW)[state.declaration, led]  # [16, 28]
    follows = jnp.take_along_axis(can_follow, first, axis=1)
    could = follows | jnp.take_along_axis(can_follow, second, axis=1)
    # A line is possible if it agrees with the tiles already played in this trick, and if every seat
    # follows suit or cannot.
    played = jnp.asarray(state.history)[FIRST_PLY : FIRST_PLY + 4]
    possible = jnp.where(played >= 0, first == played, follows | ~could | (jnp.arange(4) == 0)).all(
        1
    )

    winner, first_points = _trick(state.declaration, first)
    order = (winner[:, None] + jnp.arange(4)) % 4
    last_winner, last_points = _trick(state.declaration, jnp.take_along_axis(second, order, axis=1))
    last_winner = (winner + last_winner) % 4
    sign = jnp.where(seats % 2 == 0, 1, -1)
    # The state's points contain those of finished tricks: add only the tricks still to finish.
    margin = game.points(state)[0] - game.points(state)[1]
    margin += jnp.where(state.ply < FIRST_PLY + 4, sign[winner] * first_points, 0)
    margin += jnp.where(state.ply < game.N_PLIES, sign[last_winner] * last_points, 0)

    # Minimax from the last seat of the trick to the first; each turn halves the number of lines.
    # nan marks an impossible line, which nanmax and nanmin ignore.
    value = jnp.where(possible, _value(margin, contract), jnp.nan)
    for turn in range(3, -1, -1):
        options = value.reshape(-1, 2)
        value = jnp.where(sign[turn] > 0, jnp.nanmax(options, axis=1), jnp.nanmin(options, axis=1))
    return value[0]


def _value(margin: jax.Array, contract: Contract | None) -> jax.Array:
    """Return team 0's value of final margins in its favour, -1, 0 or 1."""
    if contract is None:
        return jnp.sign(margin)
    points = (tiles.TOTAL_POINTS + margin) // 2  # of 42 in all, so the sum is even
    return jnp.where(points >= contracts.needs(contract, jnp.int32(0)), 1, -1)


def _last_two(state: game.GameState) -> jax.Array:
    """The two tiles of each seat for the last two tricks, by slot, int8 `[4, 2]`."""
    # Look at the history before ply 20 only: a tile played since then belongs to these two tricks.
    hands, history = jnp.asarray(state.hands), jnp.asarray(state.history)
    gone = (hands[..., None] == history[:FIRST_PLY]).any(-1)
    slots = jnp.argsort(gone, axis=1, stable=True)[:, :2]
    return jnp.take_along_axis(hands, slots, axis=1)


def _trick(declaration: Array, trick: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the place 0..3 of each trick's winner and the trick's points, both int32 `[n]`."""
    winner = jax.vmap(game.trick_winner, in_axes=(None, 0))(declaration, trick)
    return winner, 1 + jnp.asarray(tiles.POINTS)[trick].sum(1, dtype=jnp.int32)
