"""What a player is: many games in, one slot for each out; and how a compiled one takes them in
chunks.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game

CHUNK = 64
"""Games in one compiled call. On two CPU cores 64 is as fast a game as 256, and less of the last
chunk is padding."""
ACCELERATOR_CHUNK = 1024
"""The same where evaluations are so cheap that the number of calls is what costs."""

Choose = Callable[[game.GameState, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Player:
    """Something that plays: what it is called and how it chooses."""

    spec: str
    """Its name in tables; for a player made by `make`, the spec it was made from."""
    choose: Choose
    """`choose(states, keys) -> slots`: for each of n games a slot 0..6 that the seat to move may
    play.

    `states` is a GameState of NumPy arrays with a leading axis n. `keys` is uint32 `[n, 2]`, one
    raw random key (`jax.random.key_data`) a game; all randomness comes from there, so that the same
    game with the same key is played the same, wherever it stands in whichever batch. `slots` is int
    `[n]`. A player may read only what its seat has seen of a state: its own hand, the plays and the
    deal's public facts.
    """
    identity: str = ""
    """What decides its play, for caches: two players of one identity, in one version of the code,
    play alike.
    Empty: unknown, so nothing may be cached under it."""


def watch(player: Player) -> tuple[Player, list[tuple[game.GameState, np.ndarray, np.ndarray]]]:
    """The same player, and a list that grows by (states, keys, slots chosen) whenever it is
    asked.
    """
    seen = []

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        slots = player.choose(states, keys)
        seen.append((states, keys, slots))
        return slots

    return dataclasses.replace(player, choose=choose), seen


def take(states: game.GameState, rows: np.ndarray) -> game.GameState:
    """The games `rows` of a batch on the host; rows past the end repeat the last game."""
    return jax.tree.map(lambda leaf: np.take(leaf, rows, axis=0, mode="clip"), states)


def in_chunks(
    compiled: Choose, states: game.GameState, keys: np.ndarray, trees: int = 1
) -> np.ndarray:
    """Call a compiled `choose` on chunks of one fixed size, the last one padded, and join what it
    gives, `[n, ...]`.

    The more `trees` a game costs at once, the fewer games are in a chunk.
    """
    chunk = max(1, (CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK) // trees)
    n = len(keys)
    results = []
    for start in range(0, n, chunk):
        rows = np.arange(start, start + chunk)
        results.append(compiled(take(states, rows), np.take(keys, rows, axis=0, mode="clip")))
    # Fetched only now: an accelerator works on one chunk while the next is prepared.
    return (
        np.concatenate([np.asarray(result) for result in results])[:n]
        if results
        else np.zeros(0, np.int32)
    )


def sample_slot(
    key_data: jax.Array, logits: jax.Array, legal: jax.Array, temperature: jax.Array | float
) -> jax.Array:
    """A legal slot drawn from softmax(logits / temperature), int32; the best one at temperature 0.

    Gumbel-max: argmax of logits + temperature * Gumbel noise has that distribution, at temperature
    0 too, and with the same key two players whose logits are close choose the same slot most of the
    time.
    """
    noise = jax.random.gumbel(jax.random.wrap_key_data(key_data), logits.shape)
    return jnp.argmax(jnp.where(legal, logits + temperature * noise, -jnp.inf)).astype(jnp.int32)
