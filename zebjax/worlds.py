"""The hidden hands that fit what the player to move has seen: counted exactly, drawn uniformly,
listed, averaged.

A *world* says which opponent holds each tile that the mover has not seen. It is consistent when the
plays would have been legal in it: whoever did not follow a led suit had no tile that could, so
holds none now. Nothing else binds: a tile already played is known to have been its player's, and an
opponent holds as many tiles as slots unplayed. The plays themselves are taken to be legal.

Everything comes from one table of completions, filled from the last hidden tile back: how many ways
the tiles from `r` on can be handed out when `i` slots are left at the left opponent and `j` at the
partner (the rest are the right's). Read forwards with a number below the count it is a bijection
from numbers to worlds, in the lexicographic order of the holders of the tiles (Knuth, TAOCP 4A,
7.2.1.3, "ranking"; here with two cuts instead of one). So a uniform number is a uniform world, and
counting up lists them all.

Every entry is at most 21! / (7! 7! 7!) = 399,072,960, the count before the first play, so int32
holds all of it. Functions are for one game; callers `vmap`. None reads an unplayed tile of another
hand.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles

N_HIDDEN = 21  # at most: 28 less the mover's own 7
_SIDE = tiles.HAND_SIZE + 1  # slots left at an opponent: 0..7
_STATES = _SIDE * _SIDE  # what is left, as left * 8 + partner
_NO_TILE = tiles.N_TILES


class _Unseen(NamedTuple):
    """What is open to the mover. Opponents are 0 left, 1 partner, 2 right."""

    tiles: jax.Array
    """int32 `[21]`: the hidden tiles, ascending; 28 after the last."""
    may_hold: jax.Array
    """bool `[21, 3]`: which opponents may hold each; none after the last."""
    n_left: jax.Array
    """int32 `[3]`: unplayed slots of each opponent."""
    slot_code: jax.Array
    """int8 `[4, 7]`: `opponent * 8 + slots left` there when this slot is filled; -1 if nothing is
    hidden."""


def voids(state: game.GameState) -> jax.Array:
    """Which suits each seat has shown to hold nothing of, by not following them, bool `[4, 8]`."""
    tricks = state.history.reshape(tiles.N_TRICKS, 4)
    suit = jnp.asarray(tiles.LED_SUIT)[state.declaration][tricks[:, 0]]
    follows = jnp.asarray(tiles.CAN_FOLLOW)[state.declaration][suit[:, None], tricks]
    failed = (tricks >= 0) & ~follows  # never the leader: a tile follows the suit that it leads
    seat = (state.trick_leaders[:, None] + jnp.arange(4)) % 4
    shown = (failed[:, :, None] & (seat[:, :, None] == jnp.arange(4)))[..., None]
    return (shown & (suit[:, None] == jnp.arange(tiles.N_SUITS))[:, None, None, :]).any((0, 1))


def _check_seen(state: game.GameState) -> None:
    """ValueError for a concrete position in which the mover sees what cannot be; hands that it does
    not see may be.
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
            "ids 0..27, "
            f"got {seen.tolist()}"
        )


def _unseen(state: game.GameState) -> _Unseen:
    _check_seen(state)
    me = game.current_player(state)
    opponents = (me + jnp.arange(1, 4)) % 4
    every_tile = jnp.arange(tiles.N_TILES)
    seen = (state.history[:, None] == every_tile).any(0) | (
        state.hands[me][:, None] == every_tile
    ).any(0)
    # The r-th hidden tile comes after exactly the tiles up to which at most r hidden ones were
    # counted.
    so_far = jnp.cumsum(~seen)
    hidden = (so_far <= jnp.arange(N_HIDDEN)[:, None]).sum(1, dtype=jnp.int32)
    void_tile = (
        voids(state)[opponents][:, :, None] & jnp.asarray(tiles.CAN_FOLLOW)[state.declaration]
    ).any(1)
    may_hold = ~void_tile.T[jnp.minimum(hidden, tiles.N_TILES - 1)] & (hidden < _NO_TILE)[:, None]

    unplayed = ~state.played
    seats = jnp.arange(4)
    # Slots fill from the first unplayed one on, with tiles ascending: the code counts what is left
    # from there.
    still_left = jnp.cumsum(unplayed[:, ::-1], axis=1)[:, ::-1]
    opponent = (seats - me - 1) % 4
    code = jnp.where(unplayed & (seats != me)[:, None], opponent[:, None] * _SIDE + still_left, -1)
    return _Unseen(
        hidden, may_hold, unplayed.sum(1, dtype=jnp.int32)[opponents], code.astype(jnp.int8)
    )


def _after(ways: jax.Array, opponent: int) -> jax.Array:
    """`ways` `[64]` once `opponent` (0 left, 1 partner, 2 right) has taken a tile, by what was left
    before.
    """
    if opponent == 2:
        return ways
    grid = ways.reshape(_SIDE, _SIDE)
    shifted = (
        jnp.pad(grid, ((1, 0), (0, 0)))[:-1]
        if opponent == 0
        else jnp.pad(grid, ((0, 0), (1, 0)))[:, :-1]
    )
    return shifted.reshape(_STATES)


def _ways(unseen: _Unseen) -> jax.Array:
    """The table of completions, int32 `[22, 64]`: ways to hand out the hidden tiles from each on,
    by what is left.

    What is left at the right opponent is the rest, so it needs no axis of its own.
    """
    # Rows past the last hidden tile repeat the end, as if the right took what is no tile.
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
    """The worlds of these numbers `[n]`, each at least 0 and below the count: hands int8
    `[n, 4, 7]`.
    """

    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array],
        x: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    ):
        hands, number, at = carry
        tile, n_to_come, may_hold, after = x
        left, partner = at >> 3, at & 7  # by _SIDE
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
    # An impossible position has no world to number; its open slots stay -1.
    known = jnp.where(unseen.slot_code < 0, state.hands, -1)
    carry = (jnp.tile(known, (n, 1, 1)), numbers, jnp.full(n, _start(unseen)))
    n_to_come = unseen.n_left.sum(dtype=jnp.int32) - jnp.arange(N_HIDDEN)
    hands = jax.lax.scan(step, carry, (unseen.tiles, n_to_come, unseen.may_hold, ways[1:]))[0][0]
    return jnp.where(ways[0, _start(unseen)] > 0, hands, known)


def _uniform(key: jax.Array, n: int, count: jax.Array) -> jax.Array:
    """`n` uniform numbers at least 0 and below `count`, int32 `[n]`: the top of `count` times a
    64-bit fraction.

    Each number has floor or ceil(2^64 / count) of the 2^64 fractions, so its probability is off by
    less than count / 2^64 < 3e-11 of itself (Lemire 2019, "Fast random integer generation in an
    interval", without rejection). `jax.random.randint` will not do: above a span of 2^16 its high
    word is multiplied by 2^32 mod 2^32 = 0, which leaves 32 bits, and at 399,072,960 one world in
    four would be 9 % rarer than the others.
    """
    high, low = jnp.moveaxis(jax.random.bits(key, (n, 2), jnp.uint32), 1, 0)
    count = count.astype(jnp.uint32)
    # (high * 2^32 + low) * count / 2^64, of which only the carry of the lower products is kept.
    middle = high * count
    carry = (middle + _multiply_high(low, count)) < middle
    return (_multiply_high(high, count) + carry).astype(jnp.int32)


def _multiply_high(a: jax.Array, b: jax.Array) -> jax.Array:
    """The upper 32 bits of the 64-bit product of two uint32 (Warren, Hacker's Delight, 8-2:
    mulhu).
    """
    a_high, a_low, b_high, b_low = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    t = a_high * b_low + (a_low * b_low >> 16)
    return a_high * b_high + (t >> 16) + (((t & 0xFFFF) + a_low * b_high) >> 16)


def _check_possible(state: game.GameState, n_worlds: jax.Array) -> None:
    """ValueError for a concrete position that no hidden hands fit; a traced one is not checked."""
    if not isinstance(n_worlds, jax.core.Tracer) and n_worlds == 0:
        raise ValueError(
            f"state: no hidden hands fit the first {int(state.ply)} plays as seat "
            f"{int(game.current_player(state))} "
            "has seen them; some play was not legal"
        )


def count(state: game.GameState) -> jax.Array:
    """How many worlds are consistent for the player to move, int32.

    399,072,960 before the first play, 1 when the game is over. 0 only where some play was not legal
    (not every illegal play is found so: replaying the game is what finds them all).
    """
    unseen = _unseen(state)
    return _ways(unseen)[0, _start(unseen)]


def _open(state: game.GameState) -> tuple[_Unseen, jax.Array, jax.Array]:
    """What is open to the mover, the table of completions, and how many worlds there are: at least
    one if concrete.
    """
    unseen = _unseen(state)
    ways = _ways(unseen)
    n_worlds = ways[0, _start(unseen)]
    _check_possible(state, n_worlds)
    return unseen, ways, n_worlds


def sample(key: jax.Array, state: game.GameState, n: int) -> jax.Array:
    """`n` independent worlds, each uniform over all that are consistent for the player to move.

    Uniform to within 3e-11 of a world's probability, see `_uniform`. The mover's tiles and the
    played ones keep their slots. The hidden tiles fill the unplayed slots of each opponent in
    ascending order, so that the same key gives the same worlds whatever the true hidden hands are.

    Args:
        key: a typed random key.
        state: one game.
        n: how many, static.

    Returns:
        Complete hands, int8 `[n, 4, 7]`: tile ids as in `GameState.hands`. Where no world is
        consistent and the state is traced, the hidden slots are -1.

    Raises:
        ValueError: if the state is concrete and is of no deal, or no world is consistent with it.
    """
    unseen, ways, n_worlds = _open(state)
    return _worlds_numbered(state, unseen, ways, _uniform(key, n, n_worlds))


def enumerate(state: game.GameState, max_n: int) -> tuple[jax.Array, jax.Array]:
    """All worlds that are consistent for the player to move, when they are at most `max_n`
    (static).

    When there are more, these are the first `max_n` in the order of the list and every one is
    marked; they are then no fair sample. `count` tells, and `sample_or_all` turns to sampling by
    itself.

    Returns:
        Complete hands, int8 `[max_n, 4, 7]`, filled as by `sample`; past the last world, it is
        repeated. bool `[max_n]`: which rows are worlds, the first `min(count, max_n)`.

    Raises:
        ValueError: if the state is concrete and is of no deal, or no world is consistent with it.
    """
    unseen, ways, n_worlds = _open(state)
    rows = jnp.arange(max_n, dtype=jnp.int32)
    return _worlds_numbered(state, unseen, ways, jnp.minimum(rows, n_worlds - 1)), rows < n_worlds


def sample_or_all(key: jax.Array, state: game.GameState, n: int) -> tuple[jax.Array, jax.Array]:
    """Every consistent world once when there are at most `n`, else `n` of them as `sample` draws;
    at one price.

    Returns:
        Complete hands, int8 `[n, 4, 7]`, and bool `[n]`: which rows count, as `enumerate` gives
        them.

    Raises:
        ValueError: if the state is concrete and is of no deal, or no world is consistent with it.
    """
    unseen, ways, n_worlds = _open(state)
    rows = jnp.arange(n, dtype=jnp.int32)
    numbers = jnp.where(n_worlds > n, _uniform(key, n, n_worlds), jnp.minimum(rows, n_worlds - 1))
    return _worlds_numbered(state, unseen, ways, numbers), rows < n_worlds


def marginals(state: game.GameState) -> jax.Array:
    """The probability that each opponent holds each hidden tile when all consistent worlds are
    equally likely.

    This is the Bayes belief of one who learns from voids alone. Counted in int32 and divided once,
    so it is the exact ratio but for float32 rounding (2e-7 of its size).

    Returns:
        float32 `[28, 3]` by tile id and (left, partner, right). A hidden tile's row sums to 1; rows
        of visible tiles are 0, and all rows where no world is consistent.
    """
    unseen = _unseen(state)
    ways = _ways(unseen)
    start = _start(unseen)

    def step(before: jax.Array, x: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        # before: ways to have handed out the tiles so far. Each product below counts worlds, so
        # int32 holds it: a state that could overflow is one from which no completion exists, and
        # there the factor is 0.
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
