"""Null-window alpha-beta search, one trick at a time: does the leader's team take `need` points?

The method is that of double-dummy solvers for bridge (Ginsberg 1996, "Partition search"; Haglund's
DDS): a transposition table at trick boundaries, one search for equivalent tiles, and bounds from
sure tricks (see `bounds`). numba compiles everything here.
"""

import numpy as np

from zebjax.solver.bounds import (
    above,
    count,
    highest,
    lead_bound,
    legal,
    lowest,
    make_node,
    points_of,
    poorest,
    richest,
    side_takes,
    total_points,
)
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FIVES, FOLLOWS, SECOND_FOLLOWS, SECOND_LED_BY, TENS, TRUMPS, WINS

# A job is the deal and the state of the search, as one int64 vector: the four hands at the root in
# places 0..3, then these places.
DECLARATION, NODES, GENERATION, TABLE_MASK, SCORES = 4, 5, 6, 7, 8
JOB_SIZE = SCORES + 8 * 28  # scores of the leads, 28 for each number of tricks left
TABLE_BITS = 16
ANY_LEAD = -1
MAX_GENERATION = 2**16 - 1

# The bits of a table entry, from the top: sign (always 0); the key, which is generation 16, tiles
# left 28, leader 2; lower bound 6; upper bound 6; best lead 5. An entry of another generation
# counts as empty.
_KEY, _GENERATION, _LOWER, _UPPER = 17, 30, 11, 5


def new_memory() -> tuple[np.ndarray, np.ndarray]:
    """Make a job and a transposition table for one thread, 0.5 MB."""
    return np.zeros(JOB_SIZE, np.int64), np.zeros(2**TABLE_BITS, np.int64)


@compiled
def begin(job: np.ndarray, table: np.ndarray, hands: np.ndarray, declaration: int) -> None:
    """Set the job to a deal.

    Args:
        job: changed in place.
        table: cleared if the generations are used up.
        hands: int64 `[4]`, the hands at the start of the trick: tiles on the table are still in
            them.
        declaration: 0..9.
    """
    # Table entries stay valid for a later position of the same deal, where all hands are subsets.
    # Otherwise a new generation makes all entries invalid without clearing them.
    same = job[GENERATION] > 0 and job[DECLARATION] == declaration
    left = 0
    for seat in range(4):
        same = same and hands[seat] & ~job[seat] == 0
        left |= hands[seat]
    # A small tree uses a small part of the table, which then stays in the CPU's first-level cache.
    job[TABLE_MASK] = (1 << min(TABLE_BITS, 4 + 2 * ((count(left) + 3) >> 2))) - 1
    if same:
        return
    if job[GENERATION] == MAX_GENERATION:
        table[:] = 0
        job[GENERATION] = 0
    job[GENERATION] += 1
    job[DECLARATION] = declaration
    job[:4] = hands


@compiled
def are_equal(declaration: int, tile: int, other: int, others: int) -> bool:
    """True if swapping two tiles of one hand, of equal points, does not change the game.

    Args:
        declaration: 0..9.
        tile: a rank.
        other: another rank.
        others: the unplayed tiles of the other hands, and the tile that wins the trick so far.
    """
    # The two must beat the same tiles of the others in every suit that matters: the suit that they
    # lead, and their second suit if another hand can still lead it.
    low, high = min(tile, other), max(tile, other)
    between = others & above(low) & ((1 << high) - 1)
    suit, other_suit = FOLLOWS[declaration, tile], FOLLOWS[declaration, other]
    second_dead = (
        SECOND_LED_BY[declaration, tile] | SECOND_LED_BY[declaration, other]
    ) & others == 0
    if suit == other_suit:
        return between & suit == 0 and second_dead
    if (1 << tile | 1 << other) & TRUMPS[declaration] or others & (suit | other_suit):
        return False
    second = SECOND_FOLLOWS[declaration, tile]
    if second == SECOND_FOLLOWS[declaration, other]:
        return between & second == 0
    return second_dead


@compiled
def equals(declaration: int, tile: int, rest: int, others: int) -> int:
    """Return the tiles of `rest`, from the same hand, that are equivalent to `tile`."""
    tens, fives = TENS[declaration], FIVES[declaration]
    if (tens >> tile) & 1:
        candidates = rest & tens
    elif (fives >> tile) & 1:
        candidates = rest & fives
    else:
        candidates = rest & ~(tens | fives)
    equal = 0
    while candidates:
        other = lowest(candidates)
        candidates &= candidates - 1
        if are_equal(declaration, tile, other, others):
            equal |= 1 << other
    return equal


@compiled
def pick(declaration: int, moves: int, good: int) -> int:
    """Return the follower's move to search next.

    It is the richest of the `good` moves, with which its team can win the trick; without any, the
    poorest move.
    """
    return richest(declaration, moves & good) if moves & good else poorest(declaration, moves)


@compiled
def _pick_lead(job: np.ndarray, row: int, moves: int) -> int:
    """Return the lead with the highest score."""
    best = lowest(moves)
    moves &= moves - 1
    while moves:
        tile = lowest(moves)
        moves &= moves - 1
        if job[row + tile] >= job[row + best]:
            best = tile
    return best


@compiled
def search(job: np.ndarray, table: np.ndarray, left: int, leader: int, need: int, only: int) -> int:
    """Bound the points that the leader's team takes from the start of a trick to the end.

    Args:
        job: the deal, see the top of this file.
        table: the transposition table of this thread.
        left: the unplayed tiles, the same number in each hand.
        leader: the seat 0..3 that leads.
        need: the bound of the null window.
        only: the leads to consider; `ANY_LEAD` for all, as everywhere below the root.

    Returns:
        A lower bound if it is `need` or more, an upper bound if it is less.
    """
    declaration = job[DECLARATION]
    total = total_points(declaration, left)
    if need <= 0:
        return 0
    if need > total:
        return total
    a, b, c, d = (
        job[leader] & left,
        job[(leader + 1) & 3] & left,
        job[(leader + 2) & 3] & left,
        job[(leader + 3) & 3] & left,
    )
    tricks = count(a)
    # The last trick is forced and needs no node and no table.
    if tricks == 1:
        return total if ((a | c) >> highest(left & WINS[declaration, lowest(a)])) & 1 else 0

    node = make_node(declaration, (a, b, c, d))
    lower, upper = 0, total
    key = job[GENERATION] << _GENERATION | left << 2 | leader
    # Fibonacci hashing (Knuth, TAOCP 3, 6.4): a multiplication spreads the tiles over the bits.
    slot = (((left << 2 | leader) * 0x9E3779B97F4A7C1) >> 20) & job[TABLE_MASK]
    known_lead = -1
    if only == ANY_LEAD:
        lower = side_takes(node, 0, 0)
        # The other side does not lead, so only its top trumps are sure.
        upper -= max(count(node.tops[1] & b), count(node.tops[1] & d)) + points_of(
            declaration, node.tops[1]
        )
        entry = table[slot]
        if entry >> _KEY == key:
            lower, upper = max(lower, (entry >> _LOWER) & 63), min(upper, (entry >> _UPPER) & 63)
            known_lead = entry & 31
        if lower >= need:
            return lower
        if upper < need:
            return upper

    # A variable, here and in callers, because numba gives a constant a type of its own: cached code
    # that calls itself with another type crashes when it is loaded (numba issue 6061).
    any_lead = np.int64(ANY_LEAD)
    row = SCORES + 28 * tricks
    leads, best = 0, 0
    moves = a & only
    # Bound every lead first: one bound may answer the question, and the bounds give the order.
    # Search the lead that the table holds first, then leads that win the trick.
    while moves:
        lead = lowest(moves)
        moves &= moves - 1
        wins_trick, bound = lead_bound(node, lead)
        if wins_trick and bound >= need:
            return bound
        if not wins_trick and bound < need:
            best = max(best, bound)
            continue
        leads |= 1 << lead
        job[row + lead] = 128 if lead == known_lead else bound + 64 * wins_trick

    # The four plays of the trick are four nested loops: maximum, minimum, maximum, minimum. Each
    # ends as soon as the question is answered. `good_x` are the moves after which the mover's team
    # can win the trick, if the players after it play their highest tile.
    best_lead = lowest(a)
    while leads and best < need:
        lead = _pick_lead(job, row, leads)
        leads &= ~(1 << lead)
        wins, follows = WINS[declaration, lead], FOLLOWS[declaration, lead]
        legal_b, legal_c, legal_d = legal(b, follows), legal(c, follows), legal(d, follows)
        reach_c, reach_d = highest(legal_c & wins), highest(legal_d & wins)
        best_b = total
        good_b = (
            legal_b if reach_d > max(lead, reach_c) else legal_b & wins & above(max(lead, reach_c))
        )
        job[NODES] += 1
        while legal_b and best_b >= need:
            second = pick(declaration, legal_b, good_b)
            legal_b &= ~(1 << second)
            taken = (wins >> second) & 1 and second > lead
            top_b = second if taken else lead
            best_c = 0
            moves_c = legal_c
            good_c = (
                legal_c
                if not taken and lead > reach_d
                else legal_c & wins & above(max(top_b, reach_d))
            )
            job[NODES] += 1
            while moves_c and best_c < need:
                third = pick(declaration, moves_c, good_c)
                moves_c &= ~(1 << third)
                retaken = (wins >> third) & 1 and third > top_b
                top_c = third if retaken else top_b
                best_d = total
                moves_d = legal_d
                good_d = legal_d if taken and not retaken else legal_d & wins & above(top_c)
                job[NODES] += 1
                while moves_d and best_d >= need:
                    fourth = pick(declaration, moves_d, good_d)
                    moves_d &= ~(1 << fourth)
                    job[NODES] += 1
                    trick = 1 << lead | 1 << second | 1 << third | 1 << fourth
                    rest = left & ~trick
                    gain = 1 + points_of(declaration, trick)
                    winner = highest(trick & wins)
                    if winner == lead:
                        value = gain + search(job, table, rest, leader, need - gain, any_lead)
                    elif winner == third:
                        value = gain + search(
                            job, table, rest, (leader + 2) & 3, need - gain, any_lead
                        )
                    else:
                        seat = (leader + (1 if winner == second else 3)) & 3
                        value = (
                            total
                            - gain
                            - search(job, table, rest, seat, total - gain - need + 1, any_lead)
                        )
                    best_d = min(best_d, value)
                    if moves_d and best_d >= need:
                        moves_d &= ~equals(declaration, fourth, moves_d, rest & ~d | 1 << top_c)
                best_c = max(best_c, best_d)
                if moves_c and best_c < need:
                    moves_c &= ~equals(
                        declaration,
                        third,
                        moves_c,
                        (a ^ 1 << lead) | (b ^ 1 << second) | d | 1 << top_b,
                    )
            best_b = min(best_b, best_c)
            if legal_b and best_b >= need:
                legal_b &= ~equals(declaration, second, legal_b, left & ~b)
        if best_b > best:
            best, best_lead = best_b, lead
        if leads and best < need:
            leads &= ~equals(declaration, lead, leads, left & ~a)

    if only != ANY_LEAD:  # a bound on some leads alone must not get into the table
        return best
    if best >= need:
        lower = max(lower, best)
    else:
        upper = best = min(upper, best)
    table[slot] = key << _KEY | lower << _LOWER | upper << _UPPER | best_lead
    return best
