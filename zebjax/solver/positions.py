"""Convert `game.GameState`s to rows of integers for the compiled search.

Every state is replayed from its deal, so that an impossible state is refused.
"""

import numpy as np

from zebjax import tiles
from zebjax.game import STATE_SHAPES, GameState
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import RANK_OF_TILE

# A position is one row of int64, the only type of the compiled functions. Columns 0..3 are the four
# hands at the start of the current trick, as rank masks. `LAID` is the trick on the table, packed
# by `lay`. `POINTS` and the column after it are the points of both teams. `SLOTS` and the 6 columns
# after it are the ranks in the mover's slots, -1 if played.
DECLARATION, LEADER, LAID, POINTS, PLY, SLOTS = 4, 5, 6, 7, 9, 10
ROW_SIZE = SLOTS + 7

_RANK_OF_TILE = RANK_OF_TILE
_LED_SUIT = tiles.LED_SUIT.astype(np.int64)
_CAN_FOLLOW = tiles.CAN_FOLLOW
_ANYTHING = np.ones(28, bool)
_TRICK_RANK = tiles.TRICK_RANK.astype(np.int64)
_TILE_POINTS = tiles.POINTS.astype(np.int64)

_FINE, _HANDS, _DECLARATION, _LEADER, _PLY, _FUTURE, _PLAY, _LEADERS, _PLAYED, _POINTS = range(10)
_COMPLAINTS = {
    _HANDS: "hands must hold each of the tiles 0..27 once",
    _DECLARATION: "declaration must be 0..9",
    _LEADER: "leader must be a seat 0..3",
    _PLY: "ply must be 0..28",
    _FUTURE: "history must be -1 from ply on",
    _PLAY: "history holds a tile at ply {ply} that the seat to move could not play",
    _LEADERS: "trick_leaders does not follow from history at ply {ply}",
    _PLAYED: "played does not agree with history",
    _POINTS: "points do not agree with history",
}


@compiled
def lay(laid: int, rank: int) -> int:
    """Add a tile to the trick on the table.

    Args:
        laid: the packed trick: the number of tiles in bits 0-2, then 5 bits for each rank.
        rank: the tile's, 0..27.
    """
    n = laid & 7
    return (laid + 1) | rank << (3 + 5 * n)


@compiled
def laid_rank(laid: int, index: int) -> int:
    """Return the rank of tile `index` (0..3) of the trick on the table."""
    return (laid >> (3 + 5 * index)) & 31


@compiled
def _check_deal(hands: np.ndarray, declaration: int, leader: int, ply: int) -> int:
    seen = 0
    for seat in range(4):
        for slot in range(7):
            if 0 <= hands[seat, slot] < 28:
                seen |= 1 << hands[seat, slot]
    if seen != (1 << 28) - 1:
        return _HANDS
    if not 0 <= declaration < 10:
        return _DECLARATION
    if not 0 <= leader < 4:
        return _LEADER
    return _FINE if 0 <= ply <= 28 else _PLY


@compiled
def _slot_to_play(hand: np.ndarray, unplayed: np.ndarray, tile: int, can_follow: np.ndarray) -> int:
    """Return the slot of `tile`; -1 if the hand does not have it or must follow suit instead."""
    found, able = -1, False
    for slot in range(7):
        if unplayed[slot]:
            able = able or can_follow[hand[slot]]
            if hand[slot] == tile:
                found = slot
    return -1 if found >= 0 and able and not can_follow[tile] else found


@compiled
def _read_one(
    deal: tuple[np.ndarray, int, int],
    history: np.ndarray,
    trick_leaders: np.ndarray,
    ply: int,
    row: np.ndarray,
    unplayed: np.ndarray,
) -> tuple[int, int]:
    """Replay `history` into `row` and `unplayed[4, 7]`.

    Returns:
        A key of `_COMPLAINTS`, 0 if the history is legal; and the ply of the fault.
    """
    hands, declaration, leader = deal
    unplayed[:] = True
    row[:] = 0
    fault = _check_deal(hands, declaration, leader, ply)
    if fault:
        return fault, 0
    suit, best, best_seat, gain = 0, -1, leader, 0
    for p in range(28):
        tile = history[p]
        if p >= ply:
            if tile != -1:
                return _FUTURE, p
            continue
        if p % 4 == 0 and trick_leaders[p // 4] != leader:
            return _LEADERS, p
        if not 0 <= tile < 28:
            return _PLAY, p
        seat = (leader + p) % 4
        can_follow = _ANYTHING if p % 4 == 0 else _CAN_FOLLOW[declaration, suit]
        slot = _slot_to_play(hands[seat], unplayed[seat], tile, can_follow)
        if slot < 0:
            return _PLAY, p
        unplayed[seat, slot] = False
        if p % 4 == 0:
            suit, best, gain = _LED_SUIT[declaration, tile], -1, 1
            row[LAID] = 0
        row[LAID] = lay(row[LAID], _RANK_OF_TILE[declaration, tile])
        gain += _TILE_POINTS[tile]
        if _TRICK_RANK[declaration, suit, tile] > best:
            best, best_seat = _TRICK_RANK[declaration, suit, tile], seat
        if p % 4 == 3:
            leader = best_seat
            row[POINTS + leader % 2] += gain
            row[LAID] = 0
    if ply % 4 == 0 and ply < 28 and trick_leaders[ply // 4] != leader:
        return _LEADERS, ply
    mover = (leader + ply) % 4
    for seat in range(4):
        for slot in range(7):
            rank = _RANK_OF_TILE[declaration, hands[seat, slot]]
            if unplayed[seat, slot]:
                row[seat] |= 1 << rank
            if seat == mover:
                row[SLOTS + slot] = rank if unplayed[seat, slot] else -1
    # Hands are those at the start of the trick: put the tiles on the table back.
    for index in range(row[LAID] & 7):
        row[(leader + index) % 4] |= 1 << laid_rank(row[LAID], index)
    row[DECLARATION], row[LEADER], row[PLY] = declaration, leader, ply
    return _FINE, ply


@compiled
def _read(state: tuple, rows: np.ndarray) -> tuple[int, int, int]:
    """Fill `rows` from the fields of a batched state.

    Returns:
        The index of the first impossible state or -1, a key of `_COMPLAINTS`, and the ply.
    """
    hands, declaration, leader, played, history, trick_leaders, ply, points = state
    unplayed = np.empty((4, 7), np.bool_)
    for i in range(len(rows)):
        deal = hands[i], declaration[i], leader[i]
        fault, at = _read_one(deal, history[i], trick_leaders[i], ply[i], rows[i], unplayed)
        if fault:
            return i, fault, at
        for seat in range(4):
            for slot in range(7):
                if played[i, seat, slot] == unplayed[seat, slot]:
                    return i, _PLAYED, at
        for team in range(2):
            if points[i, team] != rows[i, POINTS + team]:
                return i, _POINTS, at
    return -1, _FINE, 0


def read(states: GameState) -> np.ndarray:
    """Convert a batch of states.

    Args:
        states: device or NumPy arrays with a leading axis N; integers of any width or bool.

    Returns:
        int64 `[N, ROW_SIZE]`.

    Raises:
        ValueError: if a field is not of shape `[N, ...]`, or no game can reach a state.
    """
    n = np.shape(states.ply)[0] if np.ndim(states.ply) == 1 else -1
    fields = []
    for name, shape in STATE_SHAPES.items():
        field = np.asarray(getattr(states, name))
        if n < 0 or field.shape != (n, *shape):
            expected = ", ".join(["N", *map(str, shape)])
            raise ValueError(
                f"states.{name}: expected a batch of shape ({expected}), got {field.shape}"
            )
        if field.dtype.kind not in "biu":
            raise ValueError(f"states.{name}: expected integers, got {field.dtype}")
        if field.dtype not in (np.int8, np.bool_):
            # A number that does not fit into int8 must not wrap around to a valid one.
            field = np.clip(field, -128, 127)
        fields.append(np.ascontiguousarray(field, np.bool_ if name == "played" else np.int8))
    rows = np.zeros((n, ROW_SIZE), np.int64)
    i, fault, at = _read(tuple(fields), rows)
    if i >= 0:
        raise ValueError(f"state {i} is impossible: {_COMPLAINTS[fault].format(ply=at)}")
    return rows
