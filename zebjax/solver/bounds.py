"""Bit operations, and bounds on the points of a side that need no search.

The bounds are the "sure tricks" of double-dummy solvers for bridge, with points instead of tricks.
They must be valid but need not be tight: a bound that answers the search's question saves a
subtree. numba compiles everything here. A set of tiles is an int64 mask over ranks (see `ranks`).
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic, register_jitable

from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FIVES, FOLLOWS, TENS, TRUMPS, WINS


@intrinsic
def lowest(typing_context, mask):  # noqa: ANN001, ANN201 - numba's own protocol
    """Return the number of the lowest set bit; `mask` must not be 0."""

    def generate(context, builder, signature, args):  # noqa: ANN001
        return builder.cttz(args[0], context.get_constant(types.boolean, False))

    return types.int64(types.int64), generate


@intrinsic
def _leading_zeros(typing_context, mask):  # noqa: ANN001
    def generate(context, builder, signature, args):  # noqa: ANN001
        return builder.ctlz(args[0], context.get_constant(types.boolean, False))

    return types.int64(types.int64), generate


@intrinsic
def count(typing_context, mask):  # noqa: ANN001, ANN201
    """Return the number of set bits."""

    def generate(context, builder, signature, args):  # noqa: ANN001
        return builder.ctpop(args[0])

    return types.int64(types.int64), generate


@register_jitable  # plain Python too: NumPy arrays of seeds are mixed by the same lines
def mixed(x: Any) -> Any:
    """Return the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
    number generators") of a uint64 or of an array of them.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def highest(mask: int) -> int:
    """Return the number of the highest set bit; -1 if there is none."""
    return 63 - _leading_zeros(mask)


@compiled
def above(rank: int) -> int:
    """Return a mask of all bits above `rank`, which is -1 or more."""
    return -1 << (rank + 1)


@compiled
def points_of(declaration: int, tiles: int) -> int:
    """Return the points on a set of tiles, without the points for tricks."""
    return 5 * count(tiles & FIVES[declaration]) + 10 * count(tiles & TENS[declaration])


@compiled
def total_points(declaration: int, left: int) -> int:
    """Return all points still to be taken at the start of a trick; `left`: the unplayed tiles."""
    return (count(left) >> 2) + points_of(declaration, left)


@compiled
def legal(hand: int, follows: int) -> int:
    """Return the tiles that a follower may play: those in `follows` if any, else the whole hand."""
    can = hand & follows
    return can if can else hand


@compiled
def richest(declaration: int, moves: int) -> int:
    """Return the tile with the most points, the lowest of several."""
    if moves & TENS[declaration]:
        return lowest(moves & TENS[declaration])
    if moves & FIVES[declaration]:
        return lowest(moves & FIVES[declaration])
    return lowest(moves)


@compiled
def poorest(declaration: int, moves: int) -> int:
    """Return the tile with the fewest points, the lowest of several."""
    plain = moves & ~(TENS[declaration] | FIVES[declaration])
    if plain:
        return lowest(plain)
    if moves & FIVES[declaration]:
        return lowest(moves & FIVES[declaration])
    return lowest(moves)


@compiled
def _max_points(declaration: int, hand: int, n: int) -> int:
    """Return the most points that `n` tiles of a hand can have."""
    tens = min(n, count(hand & TENS[declaration]))
    return 10 * tens + 5 * min(n - tens, count(hand & FIVES[declaration]))


@compiled
def sure_winners(declaration: int, hand: int, others: int) -> int:
    """Return the tiles of a hand that no tile of `others` can beat when they are led.

    They stay sure winners while the others play, since `others` only gets smaller.
    """
    trumps = TRUMPS[declaration]
    # Another hand with a trump may have no tile of the led suit, and trump it. So only trumps
    # higher than all of theirs are sure.
    if others & trumps:
        return hand & trumps & above(highest(others & trumps))
    sure = hand & trumps
    plain = hand & ~trumps
    while plain:
        tile = lowest(plain)
        plain &= plain - 1
        if others & FOLLOWS[declaration, tile] & above(tile) == 0:
            sure |= 1 << tile
    return sure


@compiled
def top_trumps(declaration: int, ours: int, theirs: int) -> int:
    """Return a side's trumps above every trump of the other side.

    Its side wins any trick in which one is played, whoever leads.
    """
    return ours & TRUMPS[declaration] & above(highest(theirs & TRUMPS[declaration]))


class Node(NamedTuple):
    """The start of a trick. In four-tuples, seat 0 is the leader."""

    declaration: int
    total: int
    """Points still to be taken."""
    hands: tuple[int, int, int, int]
    sures: tuple[int, int, int, int]
    """`sure_winners` of each hand."""
    tops: tuple[int, int]
    """`top_trumps` of the leader's side and of the other side."""


@compiled
def make_node(declaration: int, hands: tuple[int, int, int, int]) -> Node:
    """Make the node at which `hands` (leader first) are unplayed."""
    a, b, c, d = hands
    left = a | b | c | d
    sures = (
        sure_winners(declaration, a, left & ~a),
        sure_winners(declaration, b, left & ~b),
        sure_winners(declaration, c, left & ~c),
        sure_winners(declaration, d, left & ~d),
    )
    tops = (top_trumps(declaration, a | c, b | d), top_trumps(declaration, b | d, a | c))
    return Node(declaration, total_points(declaration, left), hands, sures, tops)


@compiled
def side_takes(node: Node, seat: int, used: int) -> int:
    """Bound from below the points of the side of `seat`, if `seat` leads now without `used`.

    Args:
        node: the start of the trick.
        seat: counted from the leader.
        used: tiles of this trick, which are gone.
    """
    # The better of two plans. First: lead the sure winners of this hand; each wins a trick and its
    # own points. Second: count top trumps. Those of one hand are played in different tricks and win
    # each of them, so the hand with more gives the number of tricks (two trumps of different hands
    # may fall into one trick). The points on the top trumps of both hands are safe.
    sure, top = node.sures[seat] & ~used, node.tops[seat & 1] & ~used
    in_one_hand = max(count(top & node.hands[seat]), count(top & node.hands[seat ^ 2]))
    return max(
        count(sure) + points_of(node.declaration, sure),
        in_one_hand + points_of(node.declaration, top),
    )


@compiled
def _takes_after(node: Node, seat: int, used: int, forced: int) -> int:
    """Bound from below the points of the side of `seat`, if `seat` wins this trick.

    Args:
        node: the start of the trick.
        seat: the winner, counted from the leader.
        used: the known tiles of this trick.
        forced: minimum points on the unknown tiles of this trick, plus 1 for the trick.
    """
    takes = forced + points_of(node.declaration, used) + side_takes(node, seat, used)
    sure = node.sures[seat] & ~used
    rest = node.hands[seat] & ~used & ~sure
    n = count(rest)
    # If all but n tiles of this hand are sure winners, its side leads those first and loses at most
    # the last n tricks: n points, the points on its own n tiles, and the most points that each of
    # the other three hands can have kept on n tiles. The bound is useful only for a small n.
    if n <= 2:
        lost = n + points_of(node.declaration, rest)
        for other in range(1, 4):
            lost += _max_points(node.declaration, node.hands[(seat + other) & 3] & ~used, n)
        takes = max(takes, node.total - lost)
    return takes


@compiled
def _other_side_wins(
    node: Node, lead: int, winner: tuple[int, int], partner: int, forced: int
) -> int:
    """Bound from below the points of the side that does not lead, if `winner` wins this trick.

    Args:
        node: the start of the trick.
        lead: the tile led.
        winner: a seat, and the moves with which it wins the trick.
        partner: the moves of its partner.
        forced: as for `_takes_after`.
    """
    seat, winning = winner
    tile, adds = richest(node.declaration, winning), richest(node.declaration, partner)
    if (WINS[node.declaration, lead] >> adds) & 1 and adds > tile:
        seat ^= 2
    return _takes_after(node, seat, 1 << lead | 1 << tile | 1 << adds, forced)


@compiled
def lead_bound(node: Node, lead: int) -> tuple[bool, int]:
    """Bound the points of the leader's side after a lead.

    Returns:
        True if the leader's side can win this trick whatever the others play, False if the other
        side can. And a bound on the points that the leader's side takes from this trick on: a lower
        bound if True, an upper bound if False.
    """
    declaration = node.declaration
    wins, follows = WINS[declaration, lead], FOLLOWS[declaration, lead]
    b, c, d = (
        legal(node.hands[1], follows),
        legal(node.hands[2], follows),
        legal(node.hands[3], follows),
    )
    theirs = max(highest(b & wins), highest(d & wins))
    ours = max(lead, highest(c & wins))
    # The side with the highest legal tile can win, because all hands are known. If it is ours, we
    # add the winning tile with the most points, and count the fewest points the others must play.
    if ours > theirs:
        adds = richest(declaration, c if lead > theirs else c & wins & above(theirs))
        seat = 2 if (wins >> adds) & 1 and adds > lead else 0
        forced = 1 + points_of(
            declaration, 1 << poorest(declaration, b) | 1 << poorest(declaration, d)
        )
        return True, _takes_after(node, seat, 1 << lead | 1 << adds, forced)
    # Otherwise an opponent can beat both of us. Bound what their side surely takes for each
    # opponent that can, and subtract the larger bound from all points.
    forced = 1 + points_of(declaration, 1 << poorest(declaration, c))
    takes = 0
    if b & wins & above(ours):
        takes = _other_side_wins(node, lead, (1, b & wins & above(ours)), d, forced)
    if d & wins & above(ours):
        takes = max(takes, _other_side_wins(node, lead, (3, d & wins & above(ours)), b, forced))
    return False, node.total - takes
