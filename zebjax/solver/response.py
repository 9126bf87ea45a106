"""Best response to players of whom nothing is known, in many worlds at once.

A solution of each world with all hands seen lets the mover choose its later plays with this
knowledge, another one in each world ("strategy fusion", Frank and Basin 1998). Here every later
play of the viewer is one choice for all sampled worlds that look the same. The others play a random
legal tile, drawn once for each world and record of plays, so what they play tells worlds apart. The
result of a move is the number of worlds that the viewer's team wins: an integer, so that ties are
exact.

A world that is alone is played with its hands and the others' later plays known. With 800 worlds
most are alone at the viewer's second decision, so strategy fusion is avoided in the first plies
only; more worlds put it off.

This is level 0 of the 42 player Walt, from a description of it in words.
"""

from typing import Any, NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.solver import positions
from zebjax.solver.bounds import count, legal, lowest, mixed, points_of
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import FOLLOWS, WINS

_ALL = (1 << tiles.N_TILES) - 1
_ENOUGH = tiles.TOTAL_POINTS // 2 + 1
"""Points at the end with which the viewer's team wins."""
_MARKS = np.random.default_rng(0).integers(0, 2**63, (tiles.N_TILES, tiles.N_TILES), np.uint64)
"""For each ply and rank. The exclusive or of those of all plays stands for the record."""


class Table(NamedTuple):
    """What all worlds share in a position."""

    declaration: int
    played: int
    """Tiles played so far."""
    seat: int
    """To move."""
    ply: int
    led: int
    """Rank of the lead; means nothing before it."""
    best: int
    """Rank that wins the trick so far."""
    winner: int
    """Seat that played it."""
    on_table: int
    """Points of the trick so far."""
    ours: int
    """Points of finished tricks of the viewer's team."""
    theirs: int
    record: np.uint64
    """See `_MARKS`."""


class Worlds(NamedTuple):
    """The worlds of one decision."""

    hands: np.ndarray
    """int64 `[n, 4]`, masks over ranks at the start of the trick at the root."""
    seeds: np.ndarray
    """uint64 `[n]`."""
    viewer: int


class Scratch(NamedTuple):
    """Buffers for the search of n worlds."""

    alive: np.ndarray
    """int64 `[29, n]`: by number of splits, the worlds of each part, one part after another."""
    chosen: np.ndarray
    """int64 `[29, n]`: ranks that the seat to move plays in these worlds."""
    killers: np.ndarray
    """int64 `[28]`: by ply, the viewer's play that was best last time."""


@compiled
def _legal(table: Table, hand: int) -> int:
    """Return the legal tiles of the seat to move, which has this hand."""
    return hand if table.ply & 3 == 0 else legal(hand, FOLLOWS[table.declaration, table.led])


@compiled
def _after(table: Table, rank: int, viewer: int) -> Table:
    """Return the position after a legal play."""
    declaration, seat, ply = table.declaration, table.seat, table.ply
    led, best, winner = table.led, table.best, table.winner
    if ply & 3 == 0:
        led, best, winner = rank, rank, seat
    elif rank > best and WINS[declaration, led] >> rank & 1:
        best, winner = rank, seat
    on_table = table.on_table + points_of(declaration, 1 << rank)
    ours, theirs = table.ours, table.theirs
    seat = (seat + 1) & 3
    if ply & 3 == 3:
        if (winner ^ viewer) & 1:
            theirs += on_table + 1
        else:
            ours += on_table + 1
        on_table, seat = 0, winner
    played, record = table.played | 1 << rank, table.record ^ _MARKS[ply, rank]
    return Table(
        declaration, played, seat, ply + 1, led, best, winner, on_table, ours, theirs, record
    )


@compiled
def _play_of(table: Table, worlds: Worlds, world: int) -> int:
    """Return what the seat to move, not the viewer, plays in a world."""
    moves = _legal(table, worlds.hands[world, table.seat] & ~table.played)
    drawn = mixed(table.record ^ worlds.seeds[world]) >> np.uint64(40)
    for _ in range(np.int64(drawn) * count(moves) >> 24):
        moves &= moves - 1
    return lowest(moves)


@compiled
def _is_won(table: Table, worlds: Worlds, world: int, killers: np.ndarray) -> bool:
    """True if the viewer can win in one world, where it knows what the others will play."""
    viewer = worlds.viewer
    while True:
        if table.ours >= _ENOUGH:
            return True
        if table.theirs > tiles.TOTAL_POINTS - _ENOUGH:
            return False
        if table.seat != viewer:
            table = _after(table, _play_of(table, worlds, world), viewer)
            continue
        moves = _legal(table, worlds.hands[world, viewer] & ~table.played)
        killer = killers[table.ply]
        rank = killer if moves >> killer & 1 else lowest(moves)
        moves &= ~(1 << rank)
        while moves:
            if _is_won(_after(table, rank, viewer), worlds, world, killers):
                killers[table.ply] = rank
                return True
            rank = lowest(moves)
            moves &= moves - 1
        table = _after(table, rank, viewer)  # the last one decides


@compiled
def _count_won(
    table: Table,
    worlds: Worlds,
    scratch: Scratch,
    part: tuple[int, int, int],
    least: int,
) -> int:
    """Return in how many worlds the viewer's team wins.

    Args:
        table: the position.
        worlds: all worlds of the decision.
        scratch: buffers.
        part: number of splits so far, first place and number of the worlds of this position in
            `scratch.alive`.
        least: if the true number is at most `least`, any number up to `least` may be returned.
    """
    depth, first, n = part
    if table.ours >= _ENOUGH:
        return n
    if table.theirs > tiles.TOTAL_POINTS - _ENOUGH:
        return 0
    if n == 1:
        return 1 if _is_won(table, worlds, scratch.alive[depth, first], scratch.killers) else 0
    nothing: Any = np.int64(0)
    if table.seat == worlds.viewer:
        moves = _legal(table, worlds.hands[0, table.seat] & ~table.played)
        killer, most = scratch.killers[table.ply], nothing
        rank = killer if moves >> killer & 1 else lowest(moves)
        while True:
            position = _after(table, rank, worlds.viewer)
            found = _count_won(position, worlds, scratch, part, max(most, least))
            if found > most:
                most = found
                scratch.killers[table.ply] = rank
            moves &= ~(1 << rank)
            if most == n or moves == 0:
                return most
            rank = lowest(moves)
    # Divide the worlds by what the seat plays in them.
    alive, chosen = scratch.alive[depth], scratch.chosen[depth]
    ranks, sizes = nothing, np.zeros(tiles.N_TILES, np.int64)
    for place in range(first, first + n):
        rank = _play_of(table, worlds, alive[place])
        chosen[place] = rank
        sizes[rank] += 1
        ranks |= 1 << rank
    ends, end, left = np.zeros(tiles.N_TILES, np.int64), first, ranks
    while left:
        ends[lowest(left)] = end
        end += sizes[lowest(left)]
        left &= left - 1
    for place in range(first, first + n):
        scratch.alive[depth + 1, ends[chosen[place]]] = alive[place]
        ends[chosen[place]] += 1
    won, rest = nothing, n
    while ranks:
        rank = lowest(ranks)
        ranks &= ranks - 1
        rest -= sizes[rank]
        position = _after(table, rank, worlds.viewer)
        some = (depth + 1, ends[rank] - sizes[rank], sizes[rank])
        won += _count_won(position, worlds, scratch, some, least - won - rest)
        if won + rest <= least:  # even if the rest is won
            return won + rest
    return won


@compiled
def _root(row: np.ndarray, viewer: int) -> Table:
    """Return the position of a row, see `positions.read`."""
    ply, first = row[positions.PLY], row[positions.PLY] & ~3
    left = row[0] | row[1] | row[2] | row[3]
    nothing: Any = np.int64(0)
    ours, theirs = row[positions.POINTS + (viewer & 1)], row[positions.POINTS + (~viewer & 1)]
    table = Table(
        row[positions.DECLARATION],
        _ALL & ~left,
        row[positions.LEADER],
        first,
        nothing,
        nothing,
        nothing,
        nothing,
        ours,
        theirs,
        np.uint64(0),
    )
    for index in range(ply - first):
        table = _after(table, positions.laid_rank(row[positions.LAID], index), viewer)
    return table


@compiled
def worlds_won(first: int, last: int, worlds: tuple, asked: np.ndarray, out: np.ndarray) -> None:
    """Count the worlds that moves win, for the decisions first .. last - 1; see `batch.in_threads`.

    Args:
        first: number of a decision.
        last: number after the last.
        worlds: different worlds as rows of `positions.read`, int64 `[M, positions.ROW_SIZE]`; the
            rows of the worlds of all decisions, one decision after the other, int64 `[W]`; their
            seeds, uint64 `[W]`; the first world of each decision, and W, int64 `[N + 1]`.
        asked: bool `[N, 7]`, the slots that are searched.
        out: int64 `[N, 7]`, becomes the number of worlds that the slot wins if none wins more, else
            any number below that of the best; -1 if not searched.
    """
    rows, places, seeds, starts = worlds
    for number in range(first, last):
        begin, end = starts[number], starts[number + 1]
        n, row = end - begin, rows[places[begin]]
        viewer = (row[positions.LEADER] + row[positions.PLY]) & 3
        hands, alive = np.zeros((n, 4), np.int64), np.zeros((29, n), np.int64)
        for place in range(n):
            alive[0, place] = place
            for seat in range(4):
                hands[place, seat] = rows[places[begin + place], seat]
        own = Worlds(hands, seeds[begin:end], viewer)
        scratch = Scratch(alive, np.zeros((29, n), np.int64), np.zeros(tiles.N_TILES, np.int64))
        table = _root(row, viewer)
        # Variables, because numba gives a constant a type of its own: cached code that calls itself
        # with another type crashes when it is loaded (numba issue 6061).
        nothing, most = np.int64(0), np.int64(0)
        for slot in range(tiles.HAND_SIZE):
            out[number, slot] = -1
            if asked[number, slot]:
                position = _after(table, row[positions.SLOTS + slot], viewer)
                # One less, so that a move that is equal to the best is counted in full.
                won = _count_won(position, own, scratch, (nothing, nothing, n), most - 1)
                out[number, slot] = won
                most = max(most, won)
