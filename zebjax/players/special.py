"""A player of nello and sevens: E[Q] for contracts that are made or set, see `special`.

It deals the hidden tiles many times as they may lie, all such worlds equally likely; in each it
asks `solver.special` which tiles make the contract if everybody saw all hands; and it plays the
tile that makes (or sets) it most often. What E[Q] cannot see, it cannot: that the others know less.
"""

import dataclasses

import numpy as np

from zebjax import special, tiles
from zebjax.position import UNKNOWN, Bid, Hand, Position, four
from zebjax.solver import special as exact
from zebjax.solver.ranks import RANK_OF_TILE
from zebjax.tricks import not_held

WORLDS = 100
"""Of a decision, unless the caller chooses."""
_ODDS, _SMOOTHING = 9.0, 0.01
"""Of `p_make` in nello."""


def may_hold(seen: Position) -> np.ndarray:
    """What the plays allow each seat to hold, bool `[4, 28]`: who was out of a suit, and in sevens
    no tile nearer than the last one played.
    """
    allowed = np.ones((tiles.N_PLAYERS, tiles.N_TILES), bool)
    for trick in seen.tricks:
        for place, (seat, tile) in enumerate(zip(trick.seats, trick.tiles, strict=False)):
            gone = not_held(seen.declaration, trick.tiles[:place], tile)
            allowed[seat, list(gone)] = False
    return allowed


def _ways(allowed: np.ndarray, room: list[int]) -> np.ndarray:
    """Count the ways to deal tiles `i`.. to three seats.

    Args:
        allowed: bool `[tiles, 3]`.
        room: tiles that each seat gets.

    Returns:
        float64 `[tiles + 1, *room + 1]`, exact below 2**53: by the first tile and the room left.
    """
    ways = np.zeros((len(allowed) + 1, *(each + 1 for each in room)))
    ways[-1, 0, 0, 0] = 1
    for tile in reversed(range(len(allowed))):
        for seat in np.flatnonzero(allowed[tile]).tolist():
            more, fewer = [slice(None)] * 3, [slice(None)] * 3
            more[seat], fewer[seat] = slice(1, None), slice(None, -1)
            ways[tile][tuple(more)] += ways[tile + 1][tuple(fewer)]
    return ways


def _hidden(seen: Position) -> tuple[list[int], np.ndarray, list[int]]:
    """The seats after the mover, what each may hold of the hidden tiles, bool `[tiles, 3]`, and the
    hidden tiles that each holds.
    """
    others = [(seen.mover + step) % tiles.N_PLAYERS for step in (1, 2, 3)]
    allowed = may_hold(seen)[others][:, list(seen.hidden)].T
    return others, allowed, [tiles.HAND_SIZE - len(seen.played_by(seat)) for seat in others]


def beliefs(seen: Position) -> tuple[int, list[tuple[float, ...]]]:
    """Count who may hold each hidden tile; all deals that fit what was seen are equally likely.

    Args:
        seen: only the mover's hand is read.

    Returns:
        The number of deals; for each of the hidden tiles, in ascending order, the probabilities
        of the seats left, partner and right of the mover.
    """
    seen = seen.seen_by(seen.mover)
    _, allowed, room = _hidden(seen)
    ways = _ways(allowed, room)
    total = ways[(0, *room)]
    reached = np.zeros(ways.shape[1:])  # ways to deal the tiles before, by the room left
    reached[tuple(room)] = 1
    shares = []
    for index in range(len(allowed)):
        after, holds = np.zeros_like(reached), [0.0, 0.0, 0.0]
        for seat in np.flatnonzero(allowed[index]).tolist():
            more, fewer = [slice(None)] * 3, [slice(None)] * 3
            more[seat], fewer[seat] = slice(1, None), slice(None, -1)
            given = reached[tuple(more)]
            after[tuple(fewer)] += given
            holds[seat] = float((given * ways[index + 1][tuple(fewer)]).sum() / total)
        reached = after
        shares.append(tuple(holds))
    return int(total), shares


def sample(seen: Position, n: int, rng: np.random.Generator) -> np.ndarray:
    """Deal the hidden tiles n times, uniformly over all deals that fit what was seen.

    Args:
        seen: only the mover's hand is read.
        n: worlds, 1 or more.
        rng: the source of all randomness.

    Returns:
        int8 `[n, 4, 7]`: tile ids by seat, those that it has played first, except the mover's hand.
    """
    seen = seen.seen_by(seen.mover)
    others, allowed, room = _hidden(seen)
    ways = _ways(allowed, room)
    worlds = np.zeros((n, tiles.N_PLAYERS, tiles.HAND_SIZE), np.int8)
    worlds[:, seen.mover] = seen.hands[seen.mover]
    for seat in others:
        played = seen.played_by(seat)
        worlds[:, seat, : len(played)] = played
    left, rows = np.tile(room, (n, 1)), np.arange(n)
    for index, hidden in enumerate(seen.hidden):
        # The chance of a seat is the share of the ways that give it the tile.
        shares = np.zeros((n, 3))
        for seat in np.flatnonzero(allowed[index]).tolist():
            has_room = left[:, seat] > 0
            after = left.copy()
            after[:, seat] -= has_room
            shares[:, seat] = has_room * ways[index + 1, after[:, 0], after[:, 1], after[:, 2]]
        total = shares.cumsum(1)
        chosen = (rng.random(n)[:, None] * total[:, -1:] >= total).sum(1)
        seats = np.array(others)[chosen]
        worlds[rows, seats, tiles.HAND_SIZE - left[rows, chosen]] = hidden
        left[rows, chosen] -= 1
    return worlds


@dataclasses.dataclass(frozen=True)
class Values:
    """What each tile that may be played is worth."""

    moves: Hand
    """In the order of `Position.legal`."""
    p_win: tuple[float, ...]
    """Share of the worlds in which the mover's team makes, or sets, the contract with each."""
    n_worlds: int

    @property
    def best(self) -> Hand:
        """The tiles of the highest `p_win`."""
        highest = max(self.p_win)
        return tuple(
            tile for tile, p_win in zip(self.moves, self.p_win, strict=True) if p_win == highest
        )


def values(seen: Position, seed: int, n: int = WORLDS) -> Values:
    """Judge the mover's tiles.

    Args:
        seen: a position of nello or sevens that is not decided; only the mover's hand is read.
        seed: of the worlds, 0 or more.
        n: worlds.
    """
    made = exact.makes(seen, sample(seen, n, np.random.default_rng(seed))).mean(0)
    assert seen.bid is not None
    shares = made if seen.bid.seat % 2 == seen.mover % 2 else 1 - made
    return Values(seen.legal, tuple(map(float, shares)), n)


def choose(seen: Position, seed: int, n: int = WORLDS) -> int:
    """Choose a tile: the best of `values`, whose arguments these are.

    Often no tile of nello's bidder makes it in any world, since there the opponents see its hand.
    Then, as for other ties, it leads its lowest tile, and follows with the highest one that does
    not win the trick so far. The others play the first of several.
    """
    if len(seen.legal) == 1:
        return seen.legal[0]
    best = values(seen, seed, n).best
    assert seen.bid is not None
    if not special.is_nello(seen.declaration) or seen.mover != seen.bid.seat:
        return best[0]
    rank = RANK_OF_TILE[special.suits_of(seen.declaration)]
    if not seen.trick:
        return min(best, key=lambda tile: int(rank[tile]))

    def keeps_out(tile: int) -> tuple[bool, int]:
        return seen.play(tile).tricks[-1].winner != seen.mover, int(rank[tile])

    return max(best, key=keeps_out)


def p_make(hand: Hand, declaration: int, seed: int, n: int = WORLDS) -> float:
    """P(make) of a hand that bids and names nello or sevens, before the lead.

    In sevens it is the share of worlds that are made. In nello it is that of the best lead, with
    the odds corrected: opponents who see the bidder's hand set it far more often than those at a
    table, who play as this player does. The correction was fitted by hand to a logistic regression
    over 600 deals of both kinds of nello; `benchmarks/special.py` compares on others.

    Args:
        hand: seven tile ids.
        declaration: of nello or sevens.
        seed: of the worlds.
        n: worlds.
    """
    hands = four((hand, UNKNOWN, UNKNOWN, UNKNOWN))
    start = Position(hands, declaration, 0, (), Bid(0, tiles.TOTAL_POINTS))
    share = max(values(start, seed, n).p_win)
    if not special.is_nello(declaration):
        return share
    odds = _ODDS * (share + _SMOOTHING) / (1 - share + _SMOOTHING)
    return odds / (1 + odds)


def is_known(position: Position) -> bool:
    """True if this player plays the position: nello or sevens."""
    return special.is_special(position.declaration)
