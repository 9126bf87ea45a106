"""Exact yes or no for nello and sevens: is the contract made if everybody sees all hands?

Both are decided by the first wrong trick, so the search is for one bit. Nello is searched by
alpha-beta over three hands with a table at trick boundaries; equivalent tiles are searched once
(see `search.equals`, here without regard to points). In sevens a seat can only choose among equally
near tiles, which never changes a trick, so the hands are played out once.
"""

import numpy as np

from zebjax import special, tiles
from zebjax.position import Position
from zebjax.solver.bounds import highest, legal, lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FOLLOWS, RANK_OF_TILE, WINS
from zebjax.solver.search import are_equal

TABLE_BITS = 12
_NONE = -1
_DISTANCE = np.array(special.DISTANCE, np.int64)
_GONE = 99
"""A distance beyond that of any tile: it has been played."""


@compiled
def _without(tile: int, moves: int, declaration: int, others: int) -> int:
    """Return the moves that are not equivalent to a tile of the same hand."""
    left = moves
    while moves:
        other = lowest(moves)
        moves &= moves - 1
        if are_equal(declaration, tile, other, others):
            left &= ~(1 << other)
    return left


@compiled
def _is_made(
    table: np.ndarray,
    declaration: int,
    hands: tuple[int, int, int],
    leader: int,
    laid: tuple[int, int, int],
) -> int:
    """Return 1 if the bidder, with perfect play of all, takes no more trick.

    Args:
        table: int64, of this deal; an entry is 0, or `(tiles left, leader)` and the result in the
            lowest bit.
        declaration: 8 or 9, the suits.
        hands: masks over ranks of the unplayed tiles: the bidder's, the left and the right
            opponent's, which is also the order of play.
        leader: place 0..2 in `hands` of the seat that leads this trick.
        laid: number of tiles on the table, and the ranks of the first two.
    """
    n, first, second = laid
    a, b, c = hands
    left = a | b | c
    if left == 0:
        return 1
    slot = 0
    key = left << 2 | leader
    if n == 0:
        slot = (key * 0x9E3779B97F4A7C1 >> 20) & (len(table) - 1)
        if table[slot] >> 1 == key:
            return table[slot] & 1
    seat = (leader + n) % 3
    hand = a if seat == 0 else (b if seat == 1 else c)
    moves = hand if n == 0 else legal(hand, FOLLOWS[declaration, first])
    others = left & ~hand
    if n > 0:
        others |= 1 << first
    if n > 1:
        others |= 1 << second
    wanted = 1 if seat == 0 else 0
    result = 1 - wanted
    # Variables, because numba gives a constant a type of its own (see `search`).
    none, zero = np.int64(-1), np.int64(0)
    while moves:
        # The bidder gets rid of high tiles where it can; the others lead and keep low ones.
        tile = highest(moves) if seat == 0 and n > 0 else lowest(moves)
        bit = 1 << tile
        moves &= ~bit
        after = (a & ~bit, b & ~bit, c & ~bit)
        if n == 0:
            value = _is_made(table, declaration, after, leader, (n + 1, np.int64(tile), none))
        elif n == 1:
            value = _is_made(table, declaration, after, leader, (n + 1, first, np.int64(tile)))
        else:
            best = highest((1 << first | 1 << second | bit) & WINS[declaration, first])
            winner = leader
            if best == second:
                winner = (leader + 1) % 3
            elif best == tile:
                winner = (leader + 2) % 3
            value = np.int64(0)
            if winner != 0:
                value = _is_made(table, declaration, after, winner, (zero, none, none))
        if value == wanted:
            result = wanted
            break
        if moves:
            moves = _without(tile, moves, declaration, others)
    if n == 0:
        table[slot] = key << 1 | result
    return result


@compiled
def _nello(
    declaration: int,
    worlds: np.ndarray,
    ranks: np.ndarray,
    leaders: np.ndarray,
    laid: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fill `out[world, move]`, see `makes`.

    Args:
        declaration: 8 or 9.
        worlds: int64 `[n, 3]`, the hands of each deal before the move.
        ranks: int64 `[moves]`, the tile of each move.
        leaders: int64 `[moves]`, who leads the trick on the table after it; 0 with no tile on the
            table: the bidder has taken the trick.
        laid: int64 `[moves, 3]`, what is on the table after it.
        out: bool, changed in place.
    """
    table = np.zeros(1 << TABLE_BITS, np.int64)
    for row in range(len(worlds)):
        table[:] = 0
        for at in range(len(ranks)):
            if leaders[at] == 0 and laid[at, 0] == 0:
                out[row, at] = False
                continue
            kept = ~(np.int64(1) << ranks[at])
            after = (worlds[row, 0] & kept, worlds[row, 1] & kept, worlds[row, 2] & kept)
            on_table = (laid[at, 0], laid[at, 1], laid[at, 2])
            out[row, at] = _is_made(table, declaration, after, leaders[at], on_table) == 1


def _solve_nello(position: Position, worlds: np.ndarray) -> np.ndarray:
    suits = special.suits_of(position.declaration)
    assert position.bid is not None
    bidder = position.bid.seat
    seats = special.seats_from(bidder, special.silent_seat(position.declaration, bidder))
    rank = RANK_OF_TILE[suits]
    played = np.isin(worlds, position.plays)
    masks = np.where(played, 0, np.int64(1) << rank[worlds]).sum(-1)[:, list(seats)]
    leaders, laid = [], []
    for tile in position.legal:
        after = position.play(tile)
        on_table = [int(rank[each]) for each in after.trick]
        laid.append((len(on_table), *(*on_table, _NONE, _NONE)[:2]))
        leader = after.trick_leader if on_table else after.tricks[-1].winner
        leaders.append(seats.index(leader))
    out = np.zeros((len(worlds), len(laid)), bool)
    ranks = rank[list(position.legal)].astype(np.int64)
    table = np.array(laid, np.int64)
    leads = np.array(leaders, np.int64)
    _nello(np.int64(suits), np.ascontiguousarray(masks), ranks, leads, table, out)
    return out


def _solve_sevens(position: Position, worlds: np.ndarray) -> np.ndarray:
    assert position.bid is not None
    # Each seat plays its nearest tile, so in ascending order of distance.
    distances = np.where(np.isin(worlds, position.plays), _GONE, _DISTANCE[worlds])
    distances.sort(-1)
    rows = np.arange(len(worlds))
    leaders = np.full(len(worlds), position.trick_leader)
    made = np.ones(len(worlds), bool)
    laid = [special.DISTANCE[tile] for tile in position.trick]
    skipped = np.zeros(tiles.N_PLAYERS, np.int64)
    skipped[[(position.trick_leader + place) % 4 for place in range(len(laid))]] = 1
    done = (len(position.plays) - len(laid)) // tiles.N_PLAYERS
    for trick in range(tiles.N_TRICKS - done):
        best, winners = np.full(len(worlds), _GONE), leaders.copy()
        for place in range(tiles.N_PLAYERS):
            seats = (leaders + place) % tiles.N_PLAYERS
            if trick == 0 and place < len(laid):
                distance = np.full(len(worlds), laid[place])
            else:
                distance = distances[rows, seats, trick - skipped[seats]]
            nearer = distance < best  # the first of equals wins
            best, winners = np.where(nearer, distance, best), np.where(nearer, seats, winners)
        made &= winners % 2 == position.bid.seat % 2
        leaders = winners
    return np.repeat(made[:, None], len(position.legal), 1)


def makes(position: Position, worlds: np.ndarray) -> np.ndarray:
    """Tell for each deal and legal move if the contract is then made, with perfect play of all.

    Args:
        position: of nello or sevens, open, with a move to play; the mover's hand must be known.
        worlds: integers `[n, 4, 7]`, tile ids by seat, those played included.

    Returns:
        bool `[n, moves]`, in the order of `position.legal`; True if the bidder makes it.
    """
    worlds = np.asarray(worlds).astype(np.int64)
    solve = _solve_nello if special.is_nello(position.declaration) else _solve_sevens
    return solve(position, worlds)
