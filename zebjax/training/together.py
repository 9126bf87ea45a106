"""What an accelerator does together in the learner's compiled updates, and how.

A kernel takes microseconds however small its arrays are. So the examples of many updates are drawn,
replayed and made into tokens at once, and what is kept of an update for its metrics is one array.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import network
from zebjax.network.forward import N_OPPONENTS
from zebjax.tiles import HAND_SIZE, N_TILES
from zebjax.training.learner_config import LearnerConfig

_EXAMPLES_AT_ONCE = 8192
"""Maximum number of examples whose tokens and targets are made together, to bound their memory."""


def updates_that_fit(config: LearnerConfig) -> int:
    """Return the number of updates whose tokens an accelerator makes together.

    It divides a chunk, or is a multiple of it: then the examples of as many chunks are drawn and
    replayed together.
    """
    fits, chunk = max(1, _EXAMPLES_AT_ONCE // config.batch), config.chunk
    if fits > chunk:
        return fits // chunk * chunk
    return max(n for n in range(1, chunk + 1) if chunk % n == 0 and n <= fits)


def updates_at_once(config: LearnerConfig) -> int:
    """Return `updates_that_fit`, or 1 on a CPU: the examples of one stay in its cache."""
    return 1 if jax.default_backend() == "cpu" else updates_that_fit(config)


def joined(tree: Any) -> Any:
    """Join the two leading axes of every array."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def divided(tree: Any, n: int) -> Any:
    """Divide the leading axis of every array into n equal parts, a new leading axis."""
    return jax.tree.map(lambda leaf: leaf.reshape(n, -1, *leaf.shape[1:]), tree)


def as_rows(output: network.Output) -> jax.Array:
    """Join an output `[B]` into one array: a row of policy, value, belief and moves each."""
    parts = [part for part in output if part is not None]
    return jnp.concatenate([part.reshape(part.shape[0], -1) for part in parts], axis=1)


def from_rows(rows: jax.Array) -> network.Output:
    """Undo `as_rows`; the number of columns tells which heads there are."""
    n, n_belief = rows.shape[1] - HAND_SIZE - 1, N_TILES * N_OPPONENTS
    n_belief = n_belief if n >= n_belief else 0
    ends = np.cumsum([HAND_SIZE, 1, n_belief])
    policy, value, belief, moves = jnp.split(rows, ends, axis=1)
    return network.Output(
        policy,
        value[:, 0],
        belief.reshape(len(rows), N_TILES, N_OPPONENTS) if n_belief else None,
        moves.reshape(len(rows), HAND_SIZE, -1) if n > n_belief else None,
    )
