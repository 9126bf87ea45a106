"""Count exactly, sample uniformly, enumerate and average the hidden hands that are consistent with
everything that the player to move has seen.

A *world* says which opponent holds each tile that the mover has not seen. It is consistent if the
plays would have been legal in it: a player who did not follow a led suit had no tile of it, so
holds none now. There is no other condition: a played tile is known to have been its player's, and
an opponent holds as many tiles as unplayed slots. The plays are assumed to be legal.

Every function uses one table of completions, a dynamic program over the hidden tiles: see `_ways`.
It defines a bijection from the numbers 0 .. count - 1 to the worlds, in the lexicographic order of
the tiles' holders ("unranking", Knuth, TAOCP 4A, 7.2.1.3). So a uniform number gives a uniform
world, and all numbers in turn list all worlds.

Functions are for one game; callers `vmap`. None reads an unplayed tile of another hand.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles
from zebjax.common.arrays import check_key

N_HIDDEN = 21  # maximum: 28 less the mover's own 7
_SIDE = tiles.HAND_SIZE + 1  # slots left at an opponent: 0..7
_STATES = _SIDE * _SIDE  # what is left, as left * 8 + partner
_NO_TILE = tiles.N_TILES


class _Unseen(NamedTuple):
    """The mover's knowledge of the hidden tiles. Opponents are 0 left, 1 partner, 2 right."""

    tiles: jax.Array
    """int32 `[21]`: the hidden tiles, ascending; 28 after the last."""
    may_hold: jax.Array
    """bool `[21, 3]`: True for the opponents that may hold each; none after the last."""
    n_left: jax.Array
    """int32 `[3]`: unplayed slots of each opponent."""
    slot_code: jax.Array
    """int8 `[4, 7]`: `opponent * 8 + slots left there` when this slot is filled; -1 where nothing
    is hidden."""


def voids(state: game.GameState) -> jax.Array:
    """True for the suits that a seat has failed to follow, so that it holds none of them.

    Args:
        state: one game.

    Returns:
        bool `[4, 8]` (seat, suit).
    """
    game.check_state(state)
    tricks = jnp.asarray(state.history).reshape(tiles.N_TRICKS, 4)
    suit = jnp.asarray(tiles.LED_SUIT)[state.declaration][tricks[:, 0]]
    follows = jnp.asarray(tiles.CAN_FOLLOW)[state.declaration][suit[:, None], tricks]
    failed = (tricks >= 0) & ~follows  # never the leader: a tile follows the suit that it leads
    seat = (jnp.asarray(state.trick_leaders)[:, None] + jnp.arange(4)) % 4
    shown = (failed[:, :, None] & (seat[:, :, None] == jnp.arange(4)))[..., None]
    return (shown & (suit[:, None] == jnp.arange(tiles.N_SUITS))[:, None, None, :]).any((0, 1))


def _check_seen(state: game.GameState) -> None:
    """Raise ValueError for a concrete position in which the mover's view is impossible.

    The hands that it does not see are ignored: they may hold any values.
    """
    if any(isinstance(field, jax.core.Tracer) for field in state):
        return
    for name, limit in (("declaration", tiles.N_DECLARATIONS), ("leader", tiles.N_PLAYERS)):
        if not 0 <= getattr(state, name) < limit:
            raise ValueError(f"state: {name}: expected 0..{limit - 1}, got {getattr(state, name)}")
    me, ply = int(game.current_player(state)), int(state.ply)
    others = np.asarray(game.players_to_move(state))[:ply] != me
    seen = np.concatenate([np.asarray(state.hands)[me], np.asarray(state.history)[:ply][others]])
    if len(set(seen.tolist())) < len(seen) or seen.min() < 0 or seen.max() >= tiles.N_TILES:
        raise ValueError(
            f"state: hands: expected seat {me}'s tiles and what the others played to be distinct "
            f"ids 0..27, got {seen.tolist()}"
        )


def _unseen(state: game.GameState) -> _Unseen:
    _check_seen(state)
    me = game.current_player(state)
    opponents = (me + jnp.arange(1, 4)) % 4
    every_tile = jnp.arange(tiles.N_TILES)
    hands, history = jnp.asarray(state.hands), jnp.asarray(state.history)
    seen = (history[:, None] == every_tile).any(0) | (hands[me][:, None] == every_tile).any(0)
    # The r-th hidden tile is the number of tiles t such that at most r of 0..t are hidden. A sum of
    # comparisons, because a compiled function cannot have a result of unknown size (`nonzero`).
    so_far = jnp.cumsum(~seen)
    hidden = (so_far <= jnp.arange(N_HIDDEN)[:, None]).sum(1, dtype=jnp.int32)
    void_tile = (
        voids(state)[opponents][:, :, None] & jnp.asarray(tiles.CAN_FOLLOW)[state.declaration]
    ).any(1)
    may_hold = ~void_tile.T[jnp.minimum(hidden, tiles.N_TILES - 1)] & (hidden < _NO_TILE)[:, None]

    unplayed = ~jnp.asarray(state.played)
    seats = jnp.arange(4)
    # An opponent's unplayed slots are filled from the first on, with ascending tiles. `_ways`
    # counts how many slots are still left, so that number identifies the slot that a tile goes to.
    still_left = jnp.cumsum(unplayed[:, ::-1], axis=1)[:, ::-1]
    opponent = (seats - me - 1) % 4
    code = jnp.where(unplayed & (seats != me)[:, None], opponent[:, None] * _SIDE + still_left, -1)
    return _Unseen(
        hidden, may_hold, unplayed.sum(1, dtype=jnp.int32)[opponents], code.astype(jnp.int8)
    )


def _after(ways: jax.Array, opponent: int) -> jax.Array:
    """`ways` `[64]` after `opponent` has taken a tile, indexed by the slots left before it."""
    if opponent == 2:  # the slots left at the right are not part of the index
        return ways
    grid = ways.reshape(_SIDE, _SIDE)
    shifted = (
        jnp.pad(grid, ((1, 0), (0, 0)))[:-1]
        if opponent == 0
        else jnp.pad(grid, ((0, 0), (1, 0)))[:, :-1]
    )
    return shifted.reshape(_STATES)


def _ways(unseen: _Unseen) -> jax.Array:
    """The table of completions, int32 `[22, 64]`.

    Entry `[r, i * 8 + j]` is the number of ways to hand out the hidden tiles from the r-th on when
    i slots are left at the left opponent and j at the partner. What is left at the right opponent
    is the rest, so it needs no axis. With k = the holder of tile r, W[r, i, j] is the sum over the
    allowed k of W[r + 1] with one slot less at k.
    """
    # The largest entry is 21! / (7! 7! 7!) = 399,072,960, the count before the first play: int32
    # holds it, so nothing here needs 64 bits.
    # There are 21 rows at any ply, for one compiled shape. Rows past the last hidden tile copy the
    # next row: the right opponent "takes" the missing tile, which changes no count.
    takes = unseen.may_hold.at[:, 2].max(unseen.tiles >= _NO_TILE)

    def step(ways: jax.Array, takes: jax.Array) -> tuple[jax.Array, jax.Array]:
        left, partner, right = (
            jnp.where(takes[opponent], _after(ways, opponent), 0) for opponent in range(3)
        )
        before = left + partner + right
        return before, before

    nothing_left = (jnp.arange(_STATES) == 0).astype(jnp.int32)
    table = jax.lax.scan(step, nothing_left, takes, reverse=True)[1]
    return jnp.concatenate([table, nothing_left[None]])


def _start(unseen: _Unseen) -> jax.Array:
    return unseen.n_left[0] * _SIDE + unseen.n_left[1]


def _worlds_numbered(
    state: game.GameState, unseen: _Unseen, ways: jax.Array, numbers: jax.Array
) -> jax.Array:
    """The worlds of the numbers `[n]`, each in 0 .. count - 1: hands int8 `[n, 4, 7]`.

    Each hidden tile in turn: the worlds that give it to the left opponent have the lowest numbers,
    then those of the partner, then those of the right. Which range the number falls in decides the
    holder, and what remains of the number is the number among that range's worlds.
    """

    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array],
        x: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    ):
        hands, number, at = carry
        tile, n_to_come, may_hold, after = x
        left, partner = at >> 3, at & 7  # `at` is left * _SIDE + partner
        to_left_ways = jnp.where(may_hold[0] & (left > 0), after[jnp.maximum(at - _SIDE, 0)], 0)
        to_partner_ways = jnp.where(may_hold[1] & (partner > 0), after[jnp.maximum(at - 1, 0)], 0)
        to_left = number < to_left_ways
        to_right = number >= to_left_ways + to_partner_ways
        to_partner = ~(to_left | to_right)
        right = n_to_come - left - partner
        code = jnp.where(to_left, left, jnp.where(to_right, 2 * _SIDE + right, _SIDE + partner))
        code = jnp.where(tile < _NO_TILE, code, -2).astype(jnp.int8)
        hands = jnp.where(unseen.slot_code == code[:, None, None], tile.astype(jnp.int8), hands)
        number = number - jnp.where(
            to_left, 0, to_left_ways + jnp.where(to_right, to_partner_ways, 0)
        )
        return (hands, number, at - _SIDE * to_left - to_partner), None

    n = numbers.shape[0]
    # A traced impossible position cannot raise an error: it has no world, and its open slots stay
    # -1.
    known = jnp.where(unseen.slot_code < 0, state.hands, -1)
    carry = (jnp.tile(known, (n, 1, 1)), numbers, jnp.full(n, _start(unseen)))
    n_to_come = unseen.n_left.sum(dtype=jnp.int32) - jnp.arange(N_HIDDEN)
    hands = jax.lax.scan(step, carry, (unseen.tiles, n_to_come, unseen.may_hold, ways[1:]))[0][0]
    return jnp.where(ways[0, _start(unseen)] > 0, hands, known)


def _uniform(key: jax.Array, n: int, count: jax.Array) -> jax.Array:
    """`n` uniform numbers in 0 .. count - 1, int32 `[n]`.

    A number is the integer part of `count` times a random 64-bit fraction (Lemire 2019, "Fast
    random integer generation in an interval", without the rejection step). Each number has the
    floor or the ceiling of 2^64 / count of the 2^64 fractions, so the relative error of its
    probability is less than count / 2^64 < 3e-11.
    """
    # `jax.random.randint` is not uniform enough: above a span of 2^16 it multiplies its high word
    # by 2^32 mod 2^32 = 0, which leaves 32 random bits. At a count of 399,072,960 one world in four
    # would be 9 % rarer than the others.
    high, low = jnp.moveaxis(jax.random.bits(key, (n, 2), jnp.uint32), 1, 0)
    count = count.astype(jnp.uint32)
    # (high * 2^32 + low) * count / 2^64. Of the lower products only the carry matters.
    middle = high * count
    carry = (middle + _multiply_high(low, count)) < middle
    return (_multiply_high(high, count) + carry).astype(jnp.int32)


def _multiply_high(a: jax.Array, b: jax.Array) -> jax.Array:
    """Upper 32 bits of the 64-bit product of two uint32 (Warren, Hacker's Delight, 8-2)."""
    a_high, a_low, b_high, b_low = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    t = a_high * b_low + (a_low * b_low >> 16)
    return a_high * b_high + (t >> 16) + (((t & 0xFFFF) + a_low * b_high) >> 16)


def _check_possible(state: game.GameState, n_worlds: jax.Array) -> None:
    """Raise ValueError for a concrete position without a consistent world."""
    if not isinstance(n_worlds, jax.core.Tracer) and n_worlds == 0:
        raise ValueError(
            f"state: no hidden hands fit the first {int(state.ply)} plays as seat "
            f"{int(game.current_player(state))} has seen them; some play was not legal"
        )


def count(state: game.GameState) -> jax.Array:
    """Number of worlds that are consistent for the player to move, int32.

    399,072,960 before the first play, and 1 when the game is over. It is 0 only if some play was
    not legal; but not every illegal play gives 0 (`record.validate` finds them all).

    Args:
        state: one game.

    Raises:
        ValueError: if a field of `state` has a wrong shape or dtype, or if `state` is concrete and
            the mover's view is impossible.

    >>> int(count(game.deal(jax.random.key(0))))
    399072960
    """
    unseen = _unseen(state)
    return _ways(unseen)[0, _start(unseen)]


def _open(state: game.GameState) -> tuple[_Unseen, jax.Array, jax.Array]:
    """The hidden tiles, the table of completions, and the number of worlds, at least 1 if
    concrete.
    """
    unseen = _unseen(state)
    ways = _ways(unseen)
    n_worlds = ways[0, _start(unseen)]
    _check_possible(state, n_worlds)
    return unseen, ways, n_worlds


def sample(key: jax.Array, state: game.GameState, n: int) -> jax.Array:
    """Draw `n` independent worlds, each uniform over those consistent for the player to move.

    The relative error of a world's probability is less than 3e-11. The mover's tiles and the played
    ones keep their slots. The hidden tiles fill the unplayed slots of each opponent in ascending
    order, so the same key gives the same worlds whatever the true hidden hands are.

    Args:
        key: one typed random key.
        state: one game.
        n: number of worlds, static.

    Returns:
        Complete hands, int8 `[n, 4, 7]`: tile ids as in `GameState.hands`. If no world is
        consistent and the state is traced, the hidden slots are -1.

    Raises:
        ValueError: for an argument of a wrong shape or dtype; and, if `state` is concrete, if the
            mover's view is impossible or no world is consistent with it.

    >>> state = game.deal(jax.random.key(0))
    >>> hands = sample(jax.random.key(1), state, 5)
    >>> mover = game.current_player(state)
    >>> hands.shape, bool((hands[:, mover] == state.hands[mover]).all())
    ((5, 4, 7), True)
    """
    check_key("key", key)
    unseen, ways, n_worlds = _open(state)
    return _worlds_numbered(state, unseen, ways, _uniform(key, n, n_worlds))


def enumerate(state: game.GameState, max_n: int) -> tuple[jax.Array, jax.Array]:
    """List all worlds that are consistent for the player to move, if they are at most `max_n`.

    If there are more (see `count`), the result is the first `max_n` of the list, which are not a
    fair sample. `sample_or_all` samples in that case.

    Args:
        state: one game.
        max_n: static.

    Returns:
        Complete hands, int8 `[max_n, 4, 7]`, filled as by `sample`; rows past the last world repeat
        it. bool `[max_n]`: True for rows that are worlds, the first `min(count, max_n)`.

    Raises:
        ValueError: as `sample`.
    """
    unseen, ways, n_worlds = _open(state)
    rows = jnp.arange(max_n, dtype=jnp.int32)
    return _worlds_numbered(state, unseen, ways, jnp.minimum(rows, n_worlds - 1)), rows < n_worlds


def sample_or_all(key: jax.Array, state: game.GameState, n: int) -> tuple[jax.Array, jax.Array]:
    """Every consistent world once if there are at most `n`, else `n` of them drawn as by `sample`.

    Args:
        key: one typed random key.
        state: one game.
        n: static.

    Returns:
        Complete hands, int8 `[n, 4, 7]`, and bool `[n]`: True for rows that are worlds, as
        `enumerate` gives them.

    Raises:
        ValueError: as `sample`.
    """
    check_key("key", key)
    unseen, ways, n_worlds = _open(state)
    rows = jnp.arange(n, dtype=jnp.int32)
    numbers = jnp.where(n_worlds > n, _uniform(key, n, n_worlds), jnp.minimum(rows, n_worlds - 1))
    return _worlds_numbered(state, unseen, ways, numbers), rows < n_worlds


def marginals(state: game.GameState) -> jax.Array:
    """Probability that each opponent holds each hidden tile if all consistent worlds are equally
    likely.

    This is the Bayesian belief of a player who learns from voids alone. Worlds are counted in int32
    and divided once, so the relative error is that of float32 rounding (2e-7).

    Args:
        state: one game.

    Returns:
        float32 `[28, 3]` by tile id and (left, partner, right). The row of a hidden tile sums to 1.
        The rows of visible tiles are 0, and all rows if no world is consistent.

    Raises:
        ValueError: as `count`.
    """
    unseen = _unseen(state)
    ways = _ways(unseen)
    start = _start(unseen)

    def step(before: jax.Array, x: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        # Worlds that give tile r to opponent o = sum over what is left before r of (ways to get
        # there) * (ways to complete from there). `before` holds the first factor, from the forward
        # recursion below; `after` the second, from the backward one. Each product counts worlds, so
        # int32 holds it; where the first factor could overflow no completion exists, and the second
        # is 0.
        may_hold, after = x
        worlds = jnp.stack(
            [
                jnp.where(may_hold[o], before * _after(after, o), 0).sum(dtype=jnp.int32)
                for o in range(3)
            ]
        )
        grid = before.reshape(_SIDE, _SIDE)
        to_left = jnp.pad(grid, ((0, 1), (0, 0)))[1:].reshape(_STATES)
        to_partner = jnp.pad(grid, ((0, 0), (0, 1)))[:, 1:].reshape(_STATES)
        moved = (to_left, to_partner, before)
        left, partner, right = (jnp.where(may_hold[o], moved[o], 0) for o in range(3))
        return left + partner + right, worlds

    at_start = (jnp.arange(_STATES) == start).astype(jnp.int32)
    holds = jax.lax.scan(step, at_start, (unseen.may_hold, ways[1:]))[1]
    share = holds.astype(jnp.float32) / jnp.maximum(ways[0, start], 1).astype(jnp.float32)
    return jnp.zeros((tiles.N_TILES, 3), jnp.float32).at[unseen.tiles].set(share, mode="drop")
