"""Dropout whose random numbers are cheap to make."""

import jax
import jax.numpy as jnp


class Dropout:
    """Dropout with one random number for each value of each call."""

    def __init__(self, rate: float, key: jax.Array | None):
        self.rate, self.n_drawn = rate, 0
        # Two words, however many the key's implementation has.
        self.words = (
            None if key is None else jax.random.key_data(key).reshape(-1)[jnp.array([0, -1])]
        )

    def __call__(self, values: jax.Array) -> jax.Array:
        """Set a share of the values to 0, and keep the mean."""
        if self.words is None or not self.rate:
            return values
        index = jax.lax.iota(jnp.uint32, values.size).reshape(values.shape)
        chance = _hash(index + jnp.uint32(self.n_drawn % 2**32), self.words)
        self.n_drawn += values.size
        return jnp.where(chance >= jnp.uint32(self.rate * 2**32), values / (1 - self.rate), 0)


def _hash(index: jax.Array, words: jax.Array) -> jax.Array:
    """Return pseudorandom uint32 for indices, with two words of a key.

    The hash is `triple32` of Wellons 2018, "Prospecting for Hash Functions", with the words added
    before and within it. jax's Threefry, made for cryptography, took a third of a training step
    of the large network on a CPU, and kernels of its own on a GPU; XLA joins these few operations
    to whatever uses the numbers.
    """
    x = index + words[0]
    x = (x ^ (x >> 17)) * jnp.uint32(0xED5AD4BB)
    x = ((x ^ (x >> 11)) + words[1]) * jnp.uint32(0xAC4C1B51)
    x = (x ^ (x >> 15)) * jnp.uint32(0x31848BAB)
    return x ^ (x >> 14)
