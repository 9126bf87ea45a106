"""Solve positions at any ply: their values, the values of moves, moves that reach a threshold."""

import numpy as np

from zebjax.solver.bounds import above, count, highest, legal, lowest, points_of, sure_winners
from zebjax.solver.cached_code import compiled
from zebjax.solver.positions import DECLARATION, LAID, LEADER, POINTS, SLOTS, laid_rank, lay
from zebjax.solver.ranks import FOLLOWS, WINS
from zebjax.solver.search import ANY_LEAD, NODES, begin, equals, pick, search


@compiled
def _laid_tiles(laid: int) -> int:
    tiles = 0
    for index in range(laid & 7):
        tiles |= 1 << laid_rank(laid, index)
    return tiles


@compiled
def _moves(hand: int, declaration: int, laid: int) -> int:
    return legal(hand, FOLLOWS[declaration, laid_rank(laid, 0)]) if laid else hand


@compiled
def _best_on_table(declaration: int, laid: int) -> int:
    """Return the tile that wins the trick so far, as a mask; 0 if no tile is on the table."""
    return 1 << highest(_laid_tiles(laid) & WINS[declaration, laid_rank(laid, 0)]) if laid else 0


@compiled
def _good(job: np.ndarray, left: int, leader: int, laid: int) -> int:
    """Return the follower's moves after which its team can still win the trick.

    The players after it are assumed to play their highest tile.
    """
    declaration, n = job[DECLARATION], laid & 7
    wins = WINS[declaration, laid_rank(laid, 0)]
    ours, theirs = -1, -1
    for index in range(4):
        if index == n:
            continue
        if index < n:
            reach = highest(1 << laid_rank(laid, index) & wins)
        else:
            reach = highest(_moves(job[(leader + index) & 3] & left, declaration, laid) & wins)
        if (index ^ n) & 1:
            theirs = max(theirs, reach)
        else:
            ours = max(ours, reach)
    moves = _moves(job[(leader + n) & 3] & left, declaration, laid)
    return moves if ours > theirs else moves & wins & above(theirs)


@compiled
def _total(declaration: int, left: int, laid: int) -> int:
    """Return the points still to be taken, the trick on the table included."""
    return (count(left) + (laid & 7) >> 2) + points_of(declaration, left | _laid_tiles(laid))


@compiled
def _bound(job: np.ndarray, table: np.ndarray, left: int, leader: int, laid: int, need: int) -> int:
    """Bound the points of the leader's team, as `search.search`, with a trick on the table.

    The points of the trick `laid` are included.
    """
    n, declaration = laid & 7, job[DECLARATION]
    any_lead = np.int64(ANY_LEAD)  # see `search.search`
    if n == 0:
        return search(job, table, left, leader, need, any_lead)
    if n == 1:
        # Put the led tile back into its hand, and search only this lead.
        lead = 1 << laid_rank(laid, 0)
        return search(job, table, left | lead, leader, need, lead)
    total = _total(declaration, left, laid)
    if need <= 0:
        return 0
    if need > total:
        return total
    if n == 4:
        trick = _laid_tiles(laid)
        winner = highest(trick & WINS[declaration, laid_rank(laid, 0)])
        gain, index = 1 + points_of(declaration, trick), 0
        while laid_rank(laid, index) != winner:
            index += 1
        seat = (leader + index) & 3
        if index & 1:
            return total - gain - search(job, table, left, seat, total - gain - need + 1, any_lead)
        return gain + search(job, table, left, seat, need - gain, any_lead)
    hand = job[(leader + n) & 3] & left
    moves, good = _moves(hand, declaration, laid), _good(job, left, leader, laid)
    others = left & ~hand | _best_on_table(declaration, laid)
    best = total if n & 1 else 0
    while moves:
        tile = pick(declaration, moves, good)
        moves &= ~(1 << tile)
        job[NODES] += 1
        value = _bound(job, table, left & ~(1 << tile), leader, lay(laid, tile), need)
        best = min(best, value) if n & 1 else max(best, value)
        if (best >= need) == (n & 1 == 0):
            break
        moves &= ~equals(declaration, tile, moves, others)
    return best


@compiled
def _value(
    job: np.ndarray, table: np.ndarray, left: int, leader: int, laid: int, guess: int
) -> int:
    """Return the exact points of the leader's team, the trick on the table included.

    Args:
        job: the deal.
        table: the transposition table.
        left: the unplayed tiles, without those on the table.
        leader: seat of the leader.
        laid: the trick on the table.
        guess: a likely value, or -1.
    """
    # Bisection with null-window searches ("MTD", Plaat et al. 1996). A move usually has the value
    # of the move before it. So test the guess first: value >= guess, then value < guess + 1.
    low, high = 0, _total(job[DECLARATION], left, laid)
    need = guess
    confirming = guess >= 0
    while low < high:
        if not low < need <= high:
            need = (low + high + 1) >> 1
        bound = _bound(job, table, left, leader, laid, need)
        if bound >= need:
            low = bound
            need = low + 1 if confirming else 0
        else:
            high = bound
            need = high if confirming else 0
        confirming = False
    return low


@compiled
def _unpack(row: np.ndarray) -> tuple[int, int, int, int]:
    """Return the tiles left, the leader, the trick on the table, and its number of tiles."""
    laid = row[LAID]
    return (row[0] | row[1] | row[2] | row[3]) & ~_laid_tiles(laid), row[LEADER], laid, laid & 7


@compiled
def _begin(
    job: np.ndarray, table: np.ndarray, row: np.ndarray
) -> tuple[int, int, int, int, int, int]:
    """Prepare the job for a position.

    Returns:
        The result of `_unpack`, the legal moves, and the tiles that decide which moves are
        equivalent (see `search.equals`).
    """
    left, leader, laid, n = _unpack(row)
    begin(job, table, row[:4], row[DECLARATION])
    job[NODES] = 0
    hand = row[(leader + n) & 3]
    others = left & ~hand | _best_on_table(row[DECLARATION], laid)
    return left, leader, laid, n, _moves(hand, row[DECLARATION], laid), others


@compiled
def _mark(row: np.ndarray, tiles: int, value: float, out: np.ndarray) -> None:
    """Write `value` to the slots of `tiles`."""
    for slot in range(7):
        if row[SLOTS + slot] >= 0 and (tiles >> row[SLOTS + slot]) & 1:
            out[slot] = value


@compiled
def _tiles_of(row: np.ndarray, slots: np.ndarray) -> int:
    """Return the tiles of the slots that are True, as a mask."""
    tiles = 0
    for slot in range(7):
        if slots[slot] and row[SLOTS + slot] >= 0:
            tiles |= 1 << row[SLOTS + slot]
    return tiles


@compiled
def values(
    rows: np.ndarray, first: int, last: int, memory: tuple, out: np.ndarray, nodes: np.ndarray
) -> None:
    """Compute the values of positions for the team to move.

    Args:
        rows: int64 `[N, ROW_SIZE]`, see `positions.read`.
        first: the first position to compute.
        last: one past the last.
        memory: from `search.new_memory`, one for each thread.
        out: float32 `[N]`, written: points that the mover's team will still take.
        nodes: int64 `[N]`, written: nodes searched.
    """
    job, table = memory
    for i in range(first, last):
        row = rows[i]
        left, leader, laid, n, _, _ = _begin(job, table, row)
        value = _value(job, table, left, leader, laid, -1)
        out[i] = _total(row[DECLARATION], left, laid) - value if n & 1 else value
        nodes[i] = job[NODES]


@compiled
def move_values(
    rows: np.ndarray,
    first: int,
    last: int,
    memory: tuple,
    asked: np.ndarray,
    out: np.ndarray,
    nodes: np.ndarray,
) -> None:
    """Write the value of every legal move to `out`, float32 `[N, 7]`.

    Entries of illegal moves, and of slots that are False in `asked`, bool `[N, 7]`, are not
    changed. The other arguments are those of `values`.
    """
    job, table = memory
    for i in range(first, last):
        row, declaration = rows[i], rows[i, DECLARATION]
        left, leader, laid, n, moves, others = _begin(job, table, row)
        good = _good(job, left, leader, laid) if laid else sure_winners(declaration, moves, others)
        moves &= _tiles_of(row, asked[i])
        total, guess = _total(declaration, left, laid), -1
        while moves:
            tile = pick(declaration, moves, good)
            # Equivalent tiles have the same value and are searched once.
            alike = 1 << tile | equals(declaration, tile, moves & ~(1 << tile), others)
            moves &= ~alike
            job[NODES] += 1
            guess = _value(job, table, left & ~(1 << tile), leader, lay(laid, tile), guess)
            _mark(row, alike, total - guess if n & 1 else guess, out[i])
        nodes[i] = job[NODES]


@compiled
def move_answers(
    rows: np.ndarray,
    first: int,
    last: int,
    memory: tuple,
    thresholds: np.ndarray,
    asked: np.ndarray,
    out: np.ndarray,
    nodes: np.ndarray,
) -> None:
    """Write True to `out`, bool `[N, 7]`, for each legal move that reaches the threshold.

    That is, with which the mover's team ends with `thresholds[i]` points or more. Slots that are
    False in `asked`, bool `[N, 7]`, are not searched. The other arguments are those of `values`.
    """
    job, table = memory
    for i in range(first, last):
        row, declaration = rows[i], rows[i, DECLARATION]
        left, leader, laid, n, moves, others = _begin(job, table, row)
        moves &= _tiles_of(row, asked[i])
        need = thresholds[i] - row[POINTS + ((leader + n) & 1)]
        # The search bounds the points of the leader's team. If the mover is in the other team, it
        # reaches `need` unless the leader's team takes more than the rest.
        bar = _total(declaration, left, laid) - need + 1 if n & 1 else need
        while moves:
            tile = lowest(moves)
            # Equivalent tiles have the same value and are searched once.
            alike = 1 << tile | equals(declaration, tile, moves & ~(1 << tile), others)
            moves &= ~alike
            job[NODES] += 1
            enough = _bound(job, table, left & ~(1 << tile), leader, lay(laid, tile), bar) >= bar
            _mark(row, alike, enough != (n & 1 == 1), out[i])
        nodes[i] = job[NODES]
