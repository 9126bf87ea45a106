"""The rules once more, from pips alone, in NumPy: nothing here comes from `tiles` or `game`.

`replay` checks plays, `every_split` and `count_by_classes` count worlds.
"""

import itertools
import math

import jax
import numpy as np

PIPS = [(high, low) for high in range(7) for low in range(high + 1)]


def is_called(declaration, tile):
    high, low = PIPS[tile]
    return declaration in (high, low) if declaration < 7 else high == low and declaration < 9


def follows(declaration, lead, tile):
    if is_called(declaration, lead) or is_called(declaration, tile):
        return is_called(declaration, lead) and is_called(declaration, tile)
    return PIPS[lead][0] in PIPS[tile]


def strength(declaration, lead, tile):
    high, low = PIPS[tile]
    rank = 20 if high == low and declaration not in (7, 8) else high + low
    return rank + (
        100
        if is_called(declaration, tile) and declaration < 8
        else 50 * follows(declaration, lead, tile)
    )


def table(rule):
    return np.array(
        [[[rule(d, lead, tile) for tile in range(28)] for lead in range(28)] for d in range(10)]
    )


FOLLOWS, STRENGTH = table(follows), table(strength)


def replay(hands, declaration, leader, history, ply):
    """NumPy, over N positions: were all plays legal from these `hands` [N, 4, 7]; who moves; who
    leads each trick."""
    n = np.arange(len(hands))
    alive, legal, leaders, leader = (
        np.ones(hands.shape, bool),
        np.ones(len(hands), bool),
        [],
        leader.astype(int),
    )
    for p in range(28):
        if p % 4 == 0:
            if p:
                trick = history[:, p - 4 : p]
                best = STRENGTH[declaration[:, None], trick[:, :1], trick].argmax(1)
                leader = np.where(p <= ply, (leader + best) % 4, leader)
            leaders.append(leader)
        now = p < ply
        seat, tile, lead = (leader + p % 4) % 4, history[:, p], history[:, p - p % 4]
        hand = hands[n, seat]
        is_tile = (hand == tile[:, None]) & alive[n, seat]
        could = (FOLLOWS[declaration[:, None], lead[:, None], hand] & alive[n, seat]).any(1)
        right = is_tile.any(1) & (FOLLOWS[declaration, lead, tile] | ~could)
        legal &= right | ~now
        alive[n, seat] &= ~(is_tile & now[:, None])
    return legal, (leader + ply % 4) % 4, np.stack(leaders, 1)


def is_world(hands, states):
    """NumPy, over N positions: is each of `hands` [N, 4, 7] a consistent world, with all that is
    known in its place?"""
    legal, me, _ = replay(hands, states.declaration, states.leader, states.history, states.ply)
    known = states.played.copy()
    known[np.arange(len(hands)), me] = True
    complete = (np.sort(hands.reshape(-1, 28), axis=1) == np.arange(28)).all(1)
    return legal & complete & ((hands == states.hands) | ~known).all((1, 2))


def pick(states, rows):
    return jax.tree.map(lambda x: x[rows], states)


def every_split(state):
    """All ways to complete the hands of one position with the tiles unseen by its mover, legal or
    not."""
    me = int(
        replay(*(np.asarray(x)[None] for x in state[:3]), state.history[None], state.ply[None])[1][
            0
        ]
    )
    seats = [(me + i) % 4 for i in (1, 2, 3)]
    unseen = sorted(
        set(range(28)) - {int(t) for t in state.hands[me]} - {int(t) for t in state.history}
    )
    sizes = [int((~state.played[seat]).sum()) for seat in seats]
    candidates = []
    for left in itertools.combinations(unseen, sizes[0]):
        rest = [t for t in unseen if t not in left]
        for partner in itertools.combinations(rest, sizes[1]):
            hands = state.hands.copy()
            for seat, held in zip(
                seats, (left, partner, [t for t in rest if t not in partner]), strict=True
            ):
                hands[seat][~state.played[seat]] = held
            candidates.append(hands)
    return np.array(candidates)


def holders(states):
    """For each position: {hidden tile: its possible opponents}, and the number of tiles at each
    opponent."""
    _, movers, leaders = replay(
        states.hands, states.declaration, states.leader, states.history, states.ply
    )
    for row in range(len(movers)):
        state, me = pick(states, row), int(movers[row])
        plays = [(p, int(state.history[p])) for p in range(int(state.ply))]
        unseen = set(range(28)) - {int(t) for t in state.hands[me]} - {tile for _, tile in plays}
        possible = {tile: {1, 2, 3} for tile in unseen}
        for p, tile in plays:
            lead = int(state.history[p - p % 4])
            if not follows(state.declaration, lead, tile):
                opponent = int(leaders[row, p // 4] + p % 4 - me) % 4
                for other in unseen:
                    if follows(state.declaration, lead, other):
                        possible[other] -= {opponent}
        yield possible, [int((~state.played[(me + i) % 4]).sum()) for i in (1, 2, 3)]


def count_by_classes(possible, sizes):
    """Worlds by a sum over how each class of tiles divides (class: its possible opponents), in big
    integers."""
    n = {c: 0 for r in range(4) for c in itertools.combinations((1, 2, 3), r)}
    for seats in possible.values():
        n[tuple(sorted(seats))] += 1
    total = 0
    for x, y, z in itertools.product(range(n[1, 2] + 1), range(n[1, 3] + 1), range(n[2, 3] + 1)):
        free = [
            sizes[0] - n[(1,)] - x - y,
            sizes[1] - n[(2,)] - (n[1, 2] - x) - z,
            sizes[2] - n[(3,)] - (n[1, 3] - y) - (n[2, 3] - z),
        ]
        if min(free) >= 0:
            ways = math.comb(n[1, 2], x) * math.comb(n[1, 3], y) * math.comb(n[2, 3], z)
            total += ways * math.factorial(n[1, 2, 3]) // math.prod(map(math.factorial, free))
    return 0 if n[()] else total
