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
        self._ahead: dict[int, jax.Array] = {}
        """Which values of a call stay, flat, by the number of the first."""

    def __call__(self, values: jax.Array) -> jax.Array:
        """Set a share of the values to 0, and keep the mean."""
        if self.words is None or not self.rate:
            return values
        stays = self._ahead.get(self.n_drawn)
        if stays is None:
            index = jax.lax.iota(jnp.uint32, values.size).reshape(values.shape)
            stays = self._stays(index + jnp.uint32(self.n_drawn % 2**32))
        self.n_drawn += values.size
        return jnp.where(stays.reshape(values.shape), values / (1 - self.rate), 0)

    def draw_ahead(self, n_layers: int, sizes: tuple[int, ...], others: int) -> None:
        """Draw for the first calls of every layer at once.

        XLA on a GPU draws for a softmax or a norm in a kernel of its own: so one for all layers.

        Args:
            n_layers: layers to come.
            sizes: number of values of each of those calls.
            others: number of values of the other calls of a layer, which draw for themselves.
        """
        if self.words is None or not self.rate:
            return
        drawn = sum(sizes)
        starts = [self.n_drawn + layer * (drawn + others) for layer in range(n_layers)]
        first = jnp.array([start % 2**32 for start in starts], jnp.uint32)
        stays = self._stays(first[:, None] + jax.lax.iota(jnp.uint32, drawn))
        # Otherwise XLA would draw in a kernel for each call again.
        stays = jax.lax.optimization_barrier(stays)
        for start, row in zip(starts, stays, strict=True):
            at = 0
            for size in sizes:
                self._ahead[start + at] = row[at : at + size]
                at += size

    def _stays(self, numbers: jax.Array) -> jax.Array:
        assert self.words is not None
        return _hash(numbers, self.words) >= jnp.uint32(self.rate * 2**32)


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
