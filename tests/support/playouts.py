"""Random positions and keys, for the tests of players."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game


@functools.partial(jax.jit, static_argnames="n")
def _random_positions(key, n_plies, n):
    def one(key, n_plies):
        deal_key, play_key = jax.random.split(key)

        def step(state, key):
            slot = jax.random.categorical(key, jnp.where(game.legal_slots(state), 0.0, -jnp.inf))
            after = game.play(state, slot)
            return jax.tree.map(
                lambda old, new: jnp.where(state.ply < n_plies, new, old), state, after
            ), None

        return jax.lax.scan(step, game.deal(deal_key), jax.random.split(play_key, game.N_PLIES))[0]

    return jax.vmap(one)(jax.random.split(key, n), n_plies)


def positions(n, plies, seed=0):
    """n random games of random legal plies, as many as `plies` says, over and over; NumPy
    arrays."""
    states = _random_positions(jax.random.key(seed), np.resize(np.asarray(plies), n), n)
    return jax.tree.map(np.asarray, states)


def raw_keys(n, seed=1):
    return np.asarray(jax.random.key_data(jax.random.split(jax.random.key(seed), n)))
