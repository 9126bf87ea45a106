"""The plies that a search leaves out: forced moves, and games whose exact outcome is known.

With a contract the outcome is making or setting it, so a game is also settled as soon as one team
has the points that it needs.
"""

import jax
import jax.numpy as jnp

from zebjax import contract, game, tiles
from zebjax.common.arrays import Array
from zebjax.contract import Contract
from zebjax.search import endgame

# A trick's leader may play any tile, and has three or more until a game is settled. So only the
# three seats after it can be forced.
_FORCED_IN_A_ROW = tiles.N_PLAYERS - 1


def is_settled(states: game.GameState, contracts: Contract | None, plain: bool) -> Array:
    """True where the outcome is known, bool `[B]`.

    Args:
        states: `[B]` games.
        contracts: theirs, `[B]`, or None.
        plain: see `SearchConfig.plain`; only a finished game is settled.
    """
    if plain:
        return game.is_over(states)
    settled = endgame.is_ending(states)
    if contracts is None:
        return settled
    return settled | (_decided(states, contracts, jnp.zeros_like(states.ply)) != 0)


def outcome(
    states: game.GameState, contracts: Contract | None, players: jax.Array, plain: bool
) -> jax.Array:
    """Return the outcome of settled games for the teams of `players`, float32 `[B]`.

    Args:
        states: `[B]` games; the result means nothing where `is_settled` is False.
        contracts: theirs, `[B]`, or None.
        players: seats 0..3, `[B]`.
        plain: see `SearchConfig.plain`.
    """
    if contracts is None:
        return jax.vmap(game.outcome if plain else endgame.outcome)(states, players)
    decided = _decided(states, contracts, players)
    if plain:
        return decided
    return jnp.where(decided != 0, decided, jax.vmap(endgame.outcome)(states, players, contracts))


def _decided(states: game.GameState, contracts: Contract, players: jax.Array) -> jax.Array:
    return jax.vmap(contract.outcome)(states, contracts, players)


def _forced_slots(states: game.GameState) -> jax.Array:
    """Return the forced slot of each game `[B]`, int32; -1 at a decision or a settled position."""
    slots = game.forced_slot(jax.vmap(game.legal_slots)(states))
    return jnp.where(endgame.is_ending(states), -1, slots)


def play_forced(states: game.GameState) -> game.GameState:
    """Play forced moves in every game, up to its next decision or until it is settled."""
    # Written out, because a GPU's host waits for each turn of a loop of unknown length.
    for _ in range(_FORCED_IN_A_ROW):
        slots = _forced_slots(states)
        states = game.select(slots >= 0, jax.vmap(game.play)(states, slots), states)
    return states
