"""Players without a network: the random player, and the original's rule-based player."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles
from zebjax.players.base import Player, in_chunks, sample_slot
from zebjax.position import Position


def heuristic_slot(state: game.GameState) -> jax.Array:
    """Choose the move of the original's rule-based player.

    A leader plays the tile of the called suit with the highest pip sum; without a called tile, the
    tile with the highest pip sum. A follower plays the legal tile with the fewest points, then the
    lowest pip sum. The first slot wins ties. Like the original, it ignores the tiles on the table.

    Args:
        state: one game.

    Returns:
        int32, a slot.
    """
    hand = jnp.asarray(state.hands)[game.current_player(state)]
    pip_sum = jnp.asarray(tiles.PIP_SUM, jnp.int32)[hand]
    called = jnp.asarray(tiles.CALLED)[state.declaration, hand]
    # 100 is more than any pip sum (12), so the suit or the points decide first, then the pips.
    lead = pip_sum + 100 * called
    follow = -(pip_sum + 100 * jnp.asarray(tiles.POINTS, jnp.int32)[hand])
    score = jnp.where(state.ply % 4 == 0, lead, follow)
    return jnp.argmax(jnp.where(game.legal_slots(state), score, -10_000)).astype(jnp.int32)


@jax.jit
def _heuristic_slots(states: game.GameState, keys: jax.Array) -> jax.Array:
    return jax.vmap(heuristic_slot)(states)


@jax.jit
def _random_slots(states: game.GameState, keys: jax.Array) -> jax.Array:
    legal = jax.vmap(game.legal_slots)(states)
    return jax.vmap(sample_slot, (0, 0, 0, None))(keys, jnp.zeros(legal.shape), legal, 1.0)


def _random_tile(seen: Position, seed: int) -> int:
    return seen.legal[np.random.default_rng(seed).integers(len(seen.legal))]


def random() -> Player:
    """Make the player that plays a uniformly random legal slot."""
    choose = functools.partial(in_chunks, _random_slots)
    return Player("random", choose, choose_special=_random_tile)


def heuristic() -> Player:
    """Make the original's rule-based player; see `heuristic_slot`."""
    return Player("heuristic", functools.partial(in_chunks, _heuristic_slots))
