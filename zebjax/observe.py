"""Observations: the view of one seat as tokens for the network; and belief targets, the seat to
which each tile was dealt.

A tokenizer is one function from a GameState to an Observation and one entry in `TOKENIZERS`; one
that `sees_contract` takes the game's contract too.
Shapes are of one game, unless a docstring says otherwise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import contract as contracts
from zebjax import game, tiles
from zebjax.common.arrays import Array, check
from zebjax.contract import Contract


class Observation(NamedTuple):
    """The view of the player to move; leading axes are games."""

    tokens: Array
    """int8 `[length, features]`; rows that are not valid are zero."""
    mask: Array
    """bool `[length]`, True for valid tokens."""
    place: Array | None = None
    """int8 `[length]`, each token's position in the whole observation; None: 0, 1, 2, ..."""


def check_observation(observation: Observation, name: str = "observation") -> None:
    """Raise an error unless the shapes of an observation's fields agree; any leading axes.

    Raises:
        ValueError: the message names the field, and the expected and the given value.
    """
    check(f"{name}.mask", observation.mask, ("length",), bool, leading=True)
    shape = tuple(observation.mask.shape)
    check(f"{name}.tokens", observation.tokens, (*shape, "features"), int)
    if observation.place is not None:
        check(f"{name}.place", observation.place, shape, int)


class Tokenizer(NamedTuple):
    """A tokenizer: the function, and the properties of its tokens that the network needs."""

    observe: Callable[..., Observation]
    """From a GameState and, if `sees_contract`, a Contract or None."""
    length: int
    """Tokens of a whole observation."""
    features: dict[str, tuple[int, float]]
    """Name of each feature, in order: its cardinality, and its embedding width in units of
    `embed_dim // 8`."""
    hand: slice
    """The positions of the mover's seven slots among the tokens."""
    lengths: tuple[int, ...]
    """Maximum number of valid tokens in each of the seven tricks, ascending; `shorten` leaves out
    the rest."""
    sees_contract: bool = False
    """True if the tokens say the contract of a game."""


# high pip, low pip, is double, count class (0, 5, 10 points as 0, 1, 2)
_TILE_FEATURES = np.stack(
    [tiles.HIGH, tiles.LOW, tiles.IS_DOUBLE, tiles.POINTS // 5], axis=1
).astype(np.int8)
_DECLARATION, _HAND, _PLAY = 0, 1, 2


def _observe_v1(state: game.GameState) -> Observation:
    """36 tokens: the declaration, the mover's seven slots (a played slot keeps its position), and
    the plays in order.
    """
    me = game.current_player(state)
    hands = jnp.asarray(state.hands)
    in_hand = ~jnp.asarray(state.played)[me]
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
            token(features[hands[me]], jnp.zeros(7, jnp.int8), True, _HAND),
            token(features[jnp.asarray(state.history)], relative_seat, False, _PLAY),
        ]
    )
    mask = jnp.concatenate([jnp.ones(1, bool), in_hand, been_played])
    return Observation(tokens=jnp.where(mask[:, None], tokens, 0), mask=mask)


_BIDS = contracts.MAX_BID - contracts.MIN_BID + 1
_NO_BID, _MARKS = 0, _BIDS + 1
"""Classes of a bid: none; 1..13 for 30..42 points; and one for 2 marks or more."""


def _observe_v2(state: game.GameState, contract: Contract | None) -> Observation:
    """The tokens of v1 with four more features, the same on every valid token.

    They are the class of the bid, the bidder's seat relative to the mover, and the points that the
    mover's team and the other team still need to make or set the contract; 0 if they have them.
    Without a contract all are 0. Nobody records the calls below the winning bid, so they are not
    encoded.
    """
    seen = _observe_v1(state)
    about = jnp.zeros(4, jnp.int8) if contract is None else _about_contract(state, contract)
    about = jnp.where(seen.mask[:, None], about, 0).astype(jnp.int8)
    return seen._replace(tokens=jnp.concatenate([seen.tokens, about], axis=1))


def _about_contract(state: game.GameState, contract: Contract) -> jax.Array:
    """Return the four features of a contract, int32 `[4]`."""
    me = game.current_player(state)
    contract = Contract(*(jnp.asarray(field, jnp.int32) for field in contract))
    points = game.points(state)
    bid = jnp.where(contract.marks > 1, _MARKS, contract.bid - contracts.MIN_BID + 1)
    left = [
        jnp.maximum(contracts.needs(contract, seat) - points[seat % 2], 0) for seat in (me, me + 1)
    ]
    return jnp.stack([bid, (contract.bidder - me) % 4, *left])


_V1 = Tokenizer(
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
    # A trick has 4 more plays than the one before, and the hand 1 tile less: 3 tokens more.
    # The first has the declaration, 7 tiles and at most 3 plays.
    lengths=tuple(11 + 3 * trick for trick in range(tiles.N_TRICKS)),
)
_LEFT = (contracts.MAX_BID + 1, 1)
TOKENIZERS = {
    "v1": _V1,
    "v2": _V1._replace(
        observe=_observe_v2,
        features=_V1.features
        | {"bid": (_MARKS + 1, 1), "bidder": (4, 0.5), "needs": _LEFT, "others_need": _LEFT},
        sees_contract=True,
    ),
}


def tokenizer(name: str) -> Tokenizer:
    """Return the tokenizer of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in TOKENIZERS:
        raise ValueError(f"tokenizer: expected one of {', '.join(TOKENIZERS)}, got {name!r}")
    return TOKENIZERS[name]


def observe(
    state: game.GameState, tokenizer: str = "v1", contract: Contract | None = None
) -> Observation:
    """Return the view of the player to move.

    Args:
        state: one game.
        tokenizer: a name in `TOKENIZERS`.
        contract: of the game, if it has one. Only a tokenizer that `sees_contract` takes it.

    Returns:
        Tokens int8 `[length, features]` and mask bool `[length]`; `[36, 8]` and `[36]` for `v1`,
        `[36, 12]` and `[36]` for `v2`.

    Raises:
        ValueError: if a field of `state` has a wrong shape or dtype, or the tokenizer does not see
            contracts.

    >>> seen = observe(game.deal(jax.random.key(0)))
    >>> seen.tokens.shape, int(seen.mask.sum())
    ((36, 8), 8)
    >>> from zebjax import contract
    >>> state = game.deal(jax.random.key(0))
    >>> terms = contract.of(int(state.leader), int(state.declaration), bid=32)
    >>> observe(state, "v2", terms).tokens[0, 8:].tolist()  # 32 bid by the mover, who leads
    [3, 0, 32, 11]
    """
    game.check_state(state)
    spec = TOKENIZERS[tokenizer]
    if spec.sees_contract:
        return spec.observe(state, contract)
    if contract is not None:
        raise ValueError(f"contract: tokenizer {tokenizer} has no place for it; expected v2")
    return spec.observe(state)


def shorten(observation: Observation, length: int) -> Observation:
    """Keep the valid tokens, in their order, and pad them to `length`.

    The network's output for it is the same, except for the policy logits of played slots, which are
    meaningless.

    Args:
        observation: a complete one, any leading axes.
        length: static; at least the number of valid tokens (see `Tokenizer.lengths`), because
            further valid tokens would be lost.

    Raises:
        ValueError: if the observation's shapes or dtypes are wrong.
    """
    check_observation(observation)
    # A stable sort of a boolean moves valid tokens to the front without changing their order.
    order = jnp.argsort(~observation.mask, axis=-1, stable=True)[..., :length]
    return Observation(
        tokens=jnp.take_along_axis(observation.tokens, order[..., None], axis=-2),
        mask=jnp.take_along_axis(observation.mask, order, axis=-1),
        place=order.astype(jnp.int8),
    )


def belief_targets(state: game.GameState) -> tuple[jax.Array, jax.Array]:
    """Return the seat to which each tile was dealt, relative to the player to move.

    Args:
        state: one game.

    Returns:
        int32 `[28]` by tile id: 0 left, 1 partner, 2 right; 0 where the tile is the mover's own.
        bool `[28]`: True for the 21 tiles not dealt to the mover, including tiles already played.

    Raises:
        ValueError: if a field of `state` has a wrong shape or dtype.
    """
    game.check_state(state)
    me = game.current_player(state)
    hands = jnp.asarray(state.hands)
    owner = jnp.zeros(tiles.N_TILES, jnp.int32).at[hands].set(jnp.arange(4)[:, None])
    relative = (owner - me) % 4
    return jnp.maximum(relative - 1, 0), relative > 0


def hidden_tiles(state: game.GameState) -> jax.Array:
    """True for the tiles that the player to move has not seen, bool `[28]`: neither its own nor
    played.
    """
    _, not_mine = belief_targets(state)
    # history is -1 at plies that are still to come. Index -1 would be the last tile, so it is
    # replaced by an index past the end, which the scatter drops.
    seen = (
        jnp.zeros(tiles.N_TILES, bool)
        .at[jnp.where(state.history < 0, tiles.N_TILES, state.history)]
        .set(True, mode="drop")
    )
    return not_mine & ~seen
