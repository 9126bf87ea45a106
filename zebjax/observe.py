"""What one seat sees, as tokens for the network; and whose each hidden tile was, as belief targets.

A tokenizer is one function from a GameState to an Observation and one line in `TOKENIZERS`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles


class Observation(NamedTuple):
    """What the player to move sees."""

    tokens: jax.Array
    """int8 `[length, features]`; rows that are not valid are zero."""
    mask: jax.Array
    """bool `[length]`, which tokens are valid."""
    place: jax.Array | None = None
    """int8 `[length]`, where each token stands in the whole observation; None: in order, from the
    first on."""


class Tokenizer(NamedTuple):
    """A way to see: the function, and what the network must know of the tokens."""

    observe: Callable[[game.GameState], Observation]
    length: int
    features: dict[str, tuple[int, float]]
    """Name of each feature, in order -> (cardinality, embedding width as a multiple of embed_dim //
    8)."""
    hand: slice
    """Where the mover's seven slots stand among the tokens."""
    lengths: tuple[int, ...]
    """The most tokens that are valid in each of the seven tricks, ascending; `shorten` leaves out
    the rest."""


# high pip, low pip, is double, count class (0, 5, 10 points as 0, 1, 2)
_TILE_FEATURES = np.stack(
    [tiles.HIGH, tiles.LOW, tiles.IS_DOUBLE, tiles.POINTS // 5], axis=1
).astype(np.int8)
_DECLARATION, _HAND, _PLAY = 0, 1, 2


def _observe_v1(state: game.GameState) -> Observation:
    """36 tokens: the declaration, the mover's seven slots (a played slot keeps its place), the
    plays in order.
    """
    me = game.current_player(state)
    in_hand = ~state.played[me]
    been_played = jnp.arange(game.N_PLIES) < state.ply
    relative_seat = (game.players_to_move(state) - me) % 4

    def token(
        tile_features: jax.Array, seat: jax.Array, is_in_hand: bool, token_type: int
    ) -> jax.Array:
        rest = jnp.array([is_in_hand, state.declaration, token_type], jnp.int8)
        rest = jnp.broadcast_to(rest, (seat.shape[0], 3))
        return jnp.concatenate([tile_features, seat[:, None].astype(jnp.int8), rest], axis=1)

    features = jnp.asarray(_TILE_FEATURES)
    tokens = jnp.concatenate(
        [
            token(jnp.zeros((1, 4), jnp.int8), jnp.zeros(1, jnp.int8), False, _DECLARATION),
            token(features[state.hands[me]], jnp.zeros(7, jnp.int8), True, _HAND),
            token(features[state.history], relative_seat, False, _PLAY),
        ]
    )
    mask = jnp.concatenate([jnp.ones(1, bool), in_hand, been_played])
    return Observation(tokens=jnp.where(mask[:, None], tokens, 0), mask=mask)


TOKENIZERS = {
    "v1": Tokenizer(
        observe=_observe_v1,
        length=36,
        features={
            "high_pip": (7, 1),
            "low_pip": (7, 1),
            "is_double": (2, 0.5),
            "count": (3, 0.5),
            "player": (4, 1),
            "is_in_hand": (2, 0.5),
            "declaration": (10, 1),
            "token_type": (3, 1),
        },
        hand=slice(1, 8),
        # The declaration, what is left in the hand, and the plays: three more a trick.
        lengths=tuple(11 + 3 * trick for trick in range(tiles.N_TRICKS)),
    ),
}


def tokenizer(name: str) -> Tokenizer:
    """The tokenizer of this name; ValueError if there is none."""
    if name not in TOKENIZERS:
        raise ValueError(f"tokenizer: expected one of {', '.join(TOKENIZERS)}, got {name!r}")
    return TOKENIZERS[name]


def observe(state: game.GameState, tokenizer: str = "v1") -> Observation:
    """What the player to move sees: tokens int8 `[36, 8]` and mask bool `[36]` for `v1`."""
    return TOKENIZERS[tokenizer].observe(state)


def shorten(observation: Observation, length: int) -> Observation:
    """The valid tokens alone, in their order, with padding after them up to `length` (static).

    The network gives the same for it, but for policy logits of slots that have been played, which
    mean nothing. A game's tokens have to fit: `Tokenizer.lengths` says how many there can be.

    Args:
        observation: a whole one, any leading axes.
        length: at least the number of its valid tokens.
    """
    order = jnp.argsort(~observation.mask, axis=-1, stable=True)[..., :length]
    return Observation(
        tokens=jnp.take_along_axis(observation.tokens, order[..., None], axis=-2),
        mask=jnp.take_along_axis(observation.mask, order, axis=-1),
        place=order.astype(jnp.int8),
    )


def belief_targets(state: game.GameState) -> tuple[jax.Array, jax.Array]:
    """Who was dealt each tile, for the player to move.

    Returns:
        int32 `[28]`: 0 left, 1 partner, 2 right; 0 where the tile is the mover's own.
        bool `[28]`: the 21 tiles not dealt to the mover, tiles already played included.
    """
    me = game.current_player(state)
    owner = jnp.zeros(tiles.N_TILES, jnp.int32).at[state.hands].set(jnp.arange(4)[:, None])
    relative = (owner - me) % 4
    return jnp.maximum(relative - 1, 0), relative > 0


def hidden_tiles(state: game.GameState) -> jax.Array:
    """The tiles that the player to move has not seen: neither its own nor played, bool `[28]`."""
    _, not_mine = belief_targets(state)
    # history is -1 where nothing was played yet: aim those at a place out of range, which is
    # dropped.
    seen = (
        jnp.zeros(tiles.N_TILES, bool)
        .at[jnp.where(state.history < 0, tiles.N_TILES, state.history)]
        .set(True, mode="drop")
    )
    return not_mine & ~seen
