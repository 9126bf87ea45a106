"""One game of Texas 42 as pure functions over a small state; callers `vmap` for many games.

Seats go 0..3 to the left; teams are seats {0, 2} and {1, 3}. A slot 0..6 is a tile's place in the
original hand and is fixed for the whole game. There is no bidding: the declaration and the first
leader are given.

Shapes below are of one game. Under `jax.vmap` a check sees one game too. States may be device
arrays or NumPy arrays.
"""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import tiles
from zebjax.common import draws
from zebjax.common.arrays import Array, Scalar, check, check_key

N_PLIES = 28
Tree = TypeVar("Tree")
_SLOTS = np.arange(tiles.HAND_SIZE, dtype=np.uint8)
_PLACES = np.arange(N_PLIES, dtype=np.uint8).reshape(4, 7)


class GameState(NamedTuple):
    """One game. Every field is int8, except `played`, which is bool."""

    hands: Array
    """`[4, 7]` the tile ids dealt to each seat."""
    declaration: Array
    """0..9, see `tiles`."""
    leader: Array
    """The seat that led the first trick."""
    played: Array
    """`[4, 7]` True for each slot that has been played."""
    history: Array
    """`[28]` the tile ids played, in order; -1 not yet."""
    trick_leaders: Array
    """`[7]` the seat that leads each trick; -1 not yet."""
    ply: Array
    """0..28, the number of tiles played."""
    points: Array
    """`[2]` by team, of finished tricks."""


STATE_SHAPES: dict[str, tuple[int, ...]] = {
    "hands": (4, 7),
    "declaration": (),
    "leader": (),
    "played": (4, 7),
    "history": (N_PLIES,),
    "trick_leaders": (tiles.N_TRICKS,),
    "ply": (),
    "points": (2,),
}
"""Shape of each field of one `GameState`."""


def check_state(state: GameState, batch: tuple[int | str, ...] = (), name: str = "state") -> None:
    """Raise an error unless every field of a state has its shape and kind of numbers.

    Args:
        state: one game, or many with leading axes.
        batch: sizes or names of the leading axes, as in `("B",)`; empty for one game.
        name: the argument's name, for the message.

    Raises:
        ValueError: the message names the field, and the expected and the given value.
    """
    for field, shape in STATE_SHAPES.items():
        kind = bool if field == "played" else int
        check(f"{name}.{field}", getattr(state, field), (*batch, *shape), kind)
        # The first field decides the sizes of the leading axes, and the others must agree with it.
        batch = np.shape(state.hands)[: len(batch)]


def select(which: Array, these: Tree, others: Tree) -> Tree:
    """Games from `these` where `which` is True, else from `others`.

    Args:
        which: bool `[n]`.
        these: any tree of arrays with a leading axis n.
        others: the same tree.
    """

    def pick(this: jax.Array, other: jax.Array) -> jax.Array:
        return jnp.where(which.reshape(-1, *[1] * (this.ndim - 1)), this, other)

    return jax.tree.map(pick, these, others)


def new_game(hands: Array, declaration: Scalar, leader: Scalar) -> GameState:
    """Start a game.

    Args:
        hands: integers `[4, 7]`, tile ids, each of the 28 once.
        declaration: 0..9.
        leader: the seat 0..3 that leads the first trick.

    Raises:
        ValueError: for a wrong shape or dtype; and, where the arguments are concrete, for a deal
            that does not exist. The values of traced arguments cannot be checked.

    >>> state = new_game(np.arange(28).reshape(4, 7), declaration=6, leader=2)
    >>> int(current_player(state)), legal_slots(state).tolist() == [True] * 7
    (2, True)
    """
    check("hands", hands, (4, 7), int)
    check("declaration", declaration, (), int)
    check("leader", leader, (), int)
    if not any(isinstance(x, jax.core.Tracer) for x in (hands, declaration, leader)):
        _check_deal(np.asarray(hands), np.asarray(declaration), np.asarray(leader))
    leader = jnp.asarray(leader, jnp.int8)
    return GameState(
        hands=jnp.asarray(hands, jnp.int8),
        declaration=jnp.asarray(declaration, jnp.int8),
        leader=leader,
        played=jnp.zeros((4, 7), bool),
        history=jnp.full(N_PLIES, -1, jnp.int8),
        trick_leaders=jnp.full(tiles.N_TRICKS, -1, jnp.int8).at[0].set(leader),
        ply=jnp.int8(0),
        points=jnp.zeros(2, jnp.int8),
    )


def _check_deal(hands: np.ndarray, declaration: np.ndarray, leader: np.ndarray) -> None:
    outside = hands[(hands < 0) | (hands >= tiles.N_TILES)]
    if outside.size:
        raise ValueError(f"hands: expected tile ids 0..27, got {outside[0]}")
    ids, counts = np.unique(hands, return_counts=True)
    if len(ids) != tiles.N_TILES:
        name = tiles.TILE_NAMES[ids[counts > 1][0]]
        raise ValueError(f"hands: expected each of the 28 tiles once, got {name} twice")
    for name, value, limit in (
        ("declaration", declaration, tiles.N_DECLARATIONS),
        ("leader", leader, tiles.N_PLAYERS),
    ):
        if not 0 <= value < limit:
            raise ValueError(f"{name}: expected an integer 0..{limit - 1}, got {value}")


def deal(key: jax.Array) -> GameState:
    """Deal a new game: hands, declaration and leader are uniform and independent.

    Args:
        key: one typed random key.

    >>> games = jax.vmap(deal)(jax.random.split(jax.random.key(0), 100))
    >>> games.hands.shape
    (100, 4, 7)
    """
    check_key("key", key)
    hands_key, declaration_key, leader_key = jax.random.split(key, 3)
    return new_game(
        jax.random.permutation(hands_key, tiles.N_TILES).reshape(4, 7),
        jax.random.randint(declaration_key, (), 0, tiles.N_DECLARATIONS),
        jax.random.randint(leader_key, (), 0, tiles.N_PLAYERS),
    )


def fast_deal(key: jax.Array) -> GameState:
    """Deal a new game with the probabilities of `deal`, but another one, 8 times as fast on a CPU.

    `deal` sorts; here the place of each tile is the rank of a random word (`draws.ranks`). The
    published ladder was played with the games of `deal`.

    Args:
        key: one typed random key.

    >>> games = jax.vmap(fast_deal)(jax.random.split(jax.random.key(0), 100))
    >>> games.hands.shape
    (100, 4, 7)
    """
    words = draws.words(key, tiles.N_TILES + 2)
    return new_game(
        draws.ranks(words[: tiles.N_TILES]).reshape(4, 7),
        draws.below(words[-2], tiles.N_DECLARATIONS),
        draws.below(words[-1], tiles.N_PLAYERS),
    )


def is_over(state: GameState) -> Array:
    """True if all 28 tiles have been played, bool."""
    return state.ply >= N_PLIES


def _unsigned(numbers: Array | Scalar) -> jax.Array:
    """As uint32: XLA corrects the sign in each index and each remainder of signed numbers."""
    return jnp.asarray(numbers).astype(jnp.uint32)


def _trick_index(state: GameState) -> jax.Array:
    """Number of the trick on the table, uint32 0..6."""
    return jnp.minimum(_unsigned(state.ply) // 4, tiles.N_TRICKS - 1)


def _leader(state: GameState) -> jax.Array:
    """Seat that leads the trick on the table, uint32."""
    return _unsigned(jnp.asarray(state.trick_leaders)[_trick_index(state)])


def _trick(state: GameState) -> jax.Array:
    """Tiles of the trick on the table in order of play, int8 `[4]`; -1 not yet."""
    return jnp.asarray(state.history).reshape(tiles.N_TRICKS, 4)[_trick_index(state)]


def current_player(state: GameState) -> jax.Array:
    """Seat 0..3 to move, int32; a meaningless seat if the game is over."""
    return ((_leader(state) + _unsigned(state.ply)) % 4).astype(jnp.int32)


def led_suit(state: GameState) -> jax.Array:
    """Suit 0..7 that the mover must follow, int32; -1 when the mover leads."""
    suit = jnp.asarray(tiles.LED_SUIT)[state.declaration, _trick(state)[0]]
    return jnp.where(state.ply % 4 == 0, -1, suit.astype(jnp.int32))


def legal_slots(state: GameState) -> jax.Array:
    """True for the mover's slots that may be played, bool `[7]`; none past the end.

    A leader may play anything unplayed. A follower must follow the led suit if any unplayed tile
    can.

    Raises:
        ValueError: if a field of `state` has a wrong shape or dtype.
    """
    check_state(state)
    return (_legal_bits(state) >> _SLOTS) % 2 == 1


def _legal_bits(state: GameState) -> jax.Array:
    """The legal slots as bits 0..6 of a uint8, so that the rule is arithmetic of one number."""
    declaration, ply = _unsigned(state.declaration), _unsigned(state.ply)
    mover = (_leader(state) + ply) % 4
    unplayed = _as_bits(~jnp.asarray(state.played)[mover])
    followers = jnp.asarray(tiles.FOLLOWERS)[declaration, _unsigned(_trick(state)[0])]
    hand = _unsigned(jnp.asarray(state.hands)[mover])
    can_follow = _as_bits((followers >> hand) % 2) & unplayed
    return jnp.where((ply % 4 > 0) & (can_follow > 0), can_follow, unplayed)


def _as_bits(flags: jax.Array) -> jax.Array:
    """Seven flags, 0 or 1, as bits of a uint8."""
    return (flags.astype(jnp.uint8) << _SLOTS).sum(dtype=jnp.uint8)


def forced_slot(legal: Array) -> Array:
    """The slot of a mover who has no choice.

    Args:
        legal: bool `[..., 7]`, from `legal_slots`; a device array or a NumPy array.

    Returns:
        int32 `[...]`: the only legal slot; -1 where there are several, or none past the end.

    >>> forced_slot(np.array([[0, 0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0]], bool)).tolist()
    [2, -1]
    """
    check("legal", legal, (tiles.HAND_SIZE,), bool, leading=True)
    xp = legal.__array_namespace__()
    return xp.where(legal.sum(-1) == 1, legal.argmax(-1), -1).astype(xp.int32)


def trick_winner(declaration: Scalar, trick: Array) -> jax.Array:
    """The place in a trick of the tile that wins it, int32 0..3.

    Args:
        declaration: 0..9.
        trick: integers `[4]`, tile ids in the order of play.
    """
    check("declaration", declaration, (), int)
    check("trick", trick, (4,), int)
    declaration, trick = _unsigned(declaration), _unsigned(trick)
    suit = _unsigned(jnp.asarray(tiles.LED_SUIT)[declaration, trick[0]])
    ranks = _unsigned(jnp.asarray(tiles.TRICK_RANK)[declaration, suit, trick])
    # The place goes into the number, the first of equals highest: XLA reduces single numbers
    # faster than the pairs of an argmax.
    best = (4 * ranks + (3 - np.arange(4, dtype=np.uint32))).max()
    return 3 - (best % 4).astype(jnp.int32)


def play(state: GameState, slot: Scalar) -> GameState:
    """Play one slot of the mover.

    Args:
        state: one game.
        slot: integer 0..6. The caller must ensure that it is legal; this is not checked.

    Returns:
        The state after it; the same state if the game is over.

    Raises:
        ValueError: if `slot` or a field of `state` has a wrong shape or dtype.
    """
    check_state(state)
    check("slot", slot, (), int)
    slot, ply, over = _unsigned(slot), _unsigned(state.ply), is_over(state)
    place = ply % 4
    leader = _leader(state)
    mover = (leader + place) % 4
    tile = jnp.asarray(state.hands)[mover, slot]
    # Fields are written by comparing each of their few places with an index: XLA fuses that, but
    # each scatter is a loop on a CPU, and a kernel and a copy on a GPU. A CPU compares indices of 8
    # bits many at once. No place has the index of the ply past the end.
    in_hand = _PLACES == (mover * tiles.HAND_SIZE + slot).astype(jnp.uint8)

    # The winner and the points are computed at every ply and used at every fourth: under vmap both
    # branches of a `cond` would run anyway.
    trick = jnp.where(np.arange(4, dtype=np.uint32) == place, tile, _trick(state))
    winner = (leader + _unsigned(trick_winner(state.declaration, trick))) % 4
    complete = place == 3  # never past the end
    trick_points = 1 + jnp.asarray(tiles.POINTS)[_unsigned(trick)].sum(dtype=jnp.int8)
    # After the last trick nobody leads.
    leads_next = complete & (jnp.arange(tiles.N_TRICKS) == ply // 4 + 1)
    return state._replace(
        played=jnp.asarray(state.played) | (in_hand & ~over),
        history=jnp.where(_PLACES.ravel() == ply.astype(jnp.uint8), tile, state.history),
        trick_leaders=jnp.where(leads_next, winner.astype(jnp.int8), state.trick_leaders),
        ply=state.ply + jnp.where(over, 0, 1).astype(jnp.int8),
        points=state.points
        + jnp.where(complete & (jnp.arange(2) == winner % 2), trick_points, 0).astype(jnp.int8),
    )


def play_randomly(key: jax.Array, state: GameState, n_plies: int) -> tuple[GameState, jax.Array]:
    """Play `n_plies` moves, each uniform over the legal slots.

    Args:
        key: one typed random key.
        state: one game.
        n_plies: static.

    Returns:
        The state after them, and the slots played, int32 `[n_plies]`.
    """
    check_key("key", key)

    def step(state: GameState, word: jax.Array) -> tuple[GameState, jax.Array]:
        slot = draws.member(word, _legal_bits(state)).astype(jnp.int32)
        return play(state, slot), slot

    return jax.lax.scan(step, state, draws.words(key, n_plies))


def points(state: GameState) -> jax.Array:
    """Points taken so far by each team, int32 `[2]`; 42 in all at the end."""
    return jnp.asarray(state.points).astype(jnp.int32)


def outcome(state: GameState, player: Scalar) -> jax.Array:
    """Value of the points on the table for `player`'s team, float32.

    Args:
        state: one game, finished or not.
        player: seat 0..3.

    Returns:
        +1 if the team has more points than the other, -1 fewer, 0 equal.
    """
    team = player % 2
    return jnp.sign(points(state)[team] - points(state)[1 - team]).astype(jnp.float32)


def players_to_move(state: GameState) -> jax.Array:
    """Seat that plays at each ply, int32 `[28]`; meaningless in tricks that have not begun."""
    return (
        jnp.repeat(
            jnp.asarray(state.trick_leaders).astype(jnp.int32), 4, total_repeat_length=N_PLIES
        )
        + jnp.arange(28) % 4
    ) % 4


def replay(
    hands: Array, declaration: Scalar, leader: Scalar, slots: Array, n_plies: Scalar
) -> GameState:
    """The state after the first `n_plies` of a game.

    Args:
        hands: integers `[4, 7]`, as for `new_game`.
        declaration: 0..9.
        leader: seat 0..3.
        slots: integers `[28]`, the mover's slot at each ply. Legality is not checked.
        n_plies: integer 0..28.

    Raises:
        ValueError: as `new_game`; also for `slots` or `n_plies` of a wrong shape or dtype.
    """
    check("slots", slots, (N_PLIES,), int)
    check("n_plies", n_plies, (), int)

    def step(state: GameState, slot: jax.Array):
        after = play(state, slot)
        return jax.tree.map(
            lambda old, new: jnp.where(state.ply < n_plies, new, old), state, after
        ), None

    return jax.lax.scan(step, new_game(hands, declaration, leader), jnp.asarray(slots))[0]
