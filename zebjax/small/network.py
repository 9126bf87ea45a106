"""The small network: a sparse first layer, two dense layers, and two layers for each move.

The first layer has a table for each declaration. The two dense layers give the outputs of all tiles
at once. The layers of a move add to the outputs of its tile; the first of them reads the first
layer and the features of the move (`moves`), some of which are made of what plays tell of hidden
tiles (`beliefs`). They have the same weights for every tile.

It gives two numbers for each tile, from the view of the seat to move. The value of playing it, P of
more points less P of fewer, as everywhere; and the difference of the points at the end over
`tiles.POINTS_SCALE`. The policy prefers a high score, see `network.config.POINTS_WEIGHT`.
"""

from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.network.config import POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.small.beliefs import N_PLAYS, believe
from zebjax.small.features import MAX_ACTIVE, N_FEATURES
from zebjax.small.moves import MAX_ACTIVE as MAX_ACTIVE_OF_MOVE
from zebjax.small.moves import N_MOVE_FEATURES, move_features
from zebjax.small.view import view_of
from zebjax.solver.bounds import lowest
from zebjax.solver.cached_code import compiled, inlined


class Net(NamedTuple):
    """Parameters, float32, C order. H, K, M and D are the widths of the hidden layers.

    M and D may be 0: a network without layers of moves.
    """

    first: np.ndarray
    """`[10, N_FEATURES, H]`."""
    first_bias: np.ndarray
    """`[H]`."""
    second: np.ndarray
    """`[H, K]`."""
    second_bias: np.ndarray
    """`[K]`."""
    last: np.ndarray
    """`[K, 56]`: 28 values and 28 points by rank; `[K, 28]`: scores."""
    last_bias: np.ndarray
    """`[56]` or `[28]`."""
    join: np.ndarray
    """`[H, M]`, from the first layer to the first layer of each move."""
    moves: np.ndarray
    """`[N_MOVE_FEATURES, M]`."""
    move_second: np.ndarray
    """`[M, D]`."""
    move_second_bias: np.ndarray
    """`[D]`."""
    move_last: np.ndarray
    """`[D, 2]`: value and points; `[D, 1]`: score."""
    beliefs: np.ndarray
    """`[10, N_PLAYS, 28]`, see `beliefs.believe`."""


class Widths(NamedTuple):
    """Numbers of units of the hidden layers."""

    hidden: int
    second: int
    move: int
    move_second: int


def shapes(widths: Widths) -> dict[str, tuple[int, ...]]:
    """Return the shape of each field of a Net with these widths."""
    hidden, second, move, move_second = widths
    return {
        "first": (tiles.N_DECLARATIONS, N_FEATURES, hidden),
        "first_bias": (hidden,),
        "second": (hidden, second),
        "second_bias": (second,),
        "last": (second, 2 * tiles.N_TILES),
        "last_bias": (2 * tiles.N_TILES,),
        "join": (hidden, move),
        "moves": (N_MOVE_FEATURES, move),
        "move_second": (move, move_second),
        "move_second_bias": (move_second,),
        "move_last": (move_second, 2),
        "beliefs": (tiles.N_DECLARATIONS, N_PLAYS, tiles.N_TILES),
    }


def scorer(net: Net) -> Net:
    """Return the network with scores as its 28 outputs, which is what play needs."""
    weights = np.array([[VALUE_WEIGHT], [POINTS_WEIGHT]], np.float32)

    def mixed(last: np.ndarray) -> np.ndarray:
        halves = last.reshape(*last.shape[:-1], 2, tiles.N_TILES)
        return np.ascontiguousarray((halves * weights).sum(-2, dtype=np.float32))

    return net._replace(
        last=mixed(net.last),
        last_bias=mixed(net.last_bias),
        move_last=np.ascontiguousarray(net.move_last @ weights),
    )


class Scratch(NamedTuple):
    """Buffers of one thread."""

    features: np.ndarray
    hidden: np.ndarray
    """The first layer before its ReLU, float32 `[H]`."""
    active: np.ndarray
    """Indices of its units above 0, int64 `[H]`."""
    second: np.ndarray
    """The second layer before its ReLU, float32 `[K]`."""
    active_second: np.ndarray
    """Indices of its units above 0, int64 `[K]`."""
    out: np.ndarray
    joined: np.ndarray
    """What all moves share of their first layer, float32 `[M]`."""
    move: np.ndarray
    """The first layer of one move before its ReLU, float32 `[M]`."""
    active_move: np.ndarray
    """Indices of its units above 0, int64 `[M]`."""
    move_second: np.ndarray
    """The second layer of one move before its ReLU, float32 `[D]`."""
    moves: np.ndarray
    """`move` of each legal move, by ascending rank, float32 `[7, M]`."""
    moves_second: np.ndarray
    """`move_second` of each, float32 `[7, D]`."""
    move_features: np.ndarray
    """int64 `[7, MAX_ACTIVE_OF_MOVE]`."""
    n_move_features: np.ndarray
    """int64 `[7]`."""
    likely: np.ndarray
    """From `beliefs.believe`, float32 `[3, 28]`."""


@compiled
def new_scratch(net: Net) -> Scratch:
    """Make the buffers for a network."""
    return Scratch(
        np.zeros(MAX_ACTIVE, np.int64),
        np.zeros(net.first.shape[2], np.float32),
        np.zeros(net.first.shape[2], np.int64),
        np.zeros(net.second.shape[1], np.float32),
        np.zeros(net.second.shape[1], np.int64),
        np.zeros(net.last.shape[1], np.float32),
        np.zeros(net.moves.shape[1], np.float32),
        np.zeros(net.moves.shape[1], np.float32),
        np.zeros(net.moves.shape[1], np.int64),
        np.zeros(net.move_second.shape[1], np.float32),
        np.zeros((tiles.HAND_SIZE, net.moves.shape[1]), np.float32),
        np.zeros((tiles.HAND_SIZE, net.move_second.shape[1]), np.float32),
        np.zeros((tiles.HAND_SIZE, MAX_ACTIVE_OF_MOVE), np.int64),
        np.zeros(tiles.HAND_SIZE, np.int64),
        np.zeros((3, tiles.N_TILES), np.float32),
    )


@inlined
def add_features(
    first: np.ndarray, declaration: int, features: np.ndarray, n: int, hidden: np.ndarray
) -> None:
    """Add the rows of the features `[:n]` of `Net.first` to the first layer."""
    # Indices instead of views of rows: a view costs numba two atomic counts of references. Four
    # rows at once: fewer loads and stores of the sums.
    for index in range(0, n - 3, 4):
        a, b, c, d = features[index], features[index + 1], features[index + 2], features[index + 3]
        for j in range(hidden.shape[0]):
            hidden[j] += (first[declaration, a, j] + first[declaration, b, j]) + (
                first[declaration, c, j] + first[declaration, d, j]
            )
    for index in range(n // 4 * 4, n):
        feature = features[index]
        for j in range(hidden.shape[0]):
            hidden[j] += first[declaration, feature, j]


@inlined
def find_active(below: np.ndarray, active: np.ndarray) -> int:
    """Write the indices of the units above 0 to `active`; return their number."""
    n = 0
    for i in range(below.shape[0]):  # without a branch, which would be mispredicted too often
        active[n] = i
        n += below[i] > 0
    return n


@inlined
def add_rows(
    below: np.ndarray, active: np.ndarray, n: int, weights: np.ndarray, above: np.ndarray
) -> None:
    """Add relu(below) @ weights to `above`, where `active[:n]` are the units above 0.

    Of the first layer of the bundled network about a seventh is active.
    """
    # Four rows at once: fewer loads and stores of `above`.
    for index in range(0, n - 3, 4):
        i0, i1, i2, i3 = active[index], active[index + 1], active[index + 2], active[index + 3]
        a, b, c, d = below[i0], below[i1], below[i2], below[i3]
        for j in range(above.shape[0]):
            above[j] += (
                a * weights[i0, j] + b * weights[i1, j] + c * weights[i2, j] + d * weights[i3, j]
            )
    for index in range(n // 4 * 4, n):
        i = active[index]
        a = below[i]
        for j in range(above.shape[0]):
            above[j] += a * weights[i, j]


@inlined
def _add_moves(net: Net, row: np.ndarray, scratch: Scratch, n_active: int) -> None:
    """Add to the outputs of each legal tile what the layers of its move give.

    `scratch.active[:n_active]` are the units of the first layer above 0.
    """
    joined, move, second = scratch.joined, scratch.move, scratch.move_second
    for j in range(joined.shape[0]):
        joined[j] = 0
    add_rows(scratch.hidden, scratch.active, n_active, net.join, joined)
    view = view_of(row)
    believe(net.beliefs, row, view, scratch.likely)
    left, k = view.legal, 0
    while left:
        rank = lowest(left)
        left &= left - 1
        n = move_features(row, view, rank, scratch.likely, scratch.move_features[k])
        scratch.n_move_features[k] = n
        for j in range(move.shape[0]):
            move[j] = joined[j]
        for index in range(0, n - 3, 4):
            a, b = scratch.move_features[k, index], scratch.move_features[k, index + 1]
            c, d = scratch.move_features[k, index + 2], scratch.move_features[k, index + 3]
            for j in range(move.shape[0]):
                move[j] += (net.moves[a, j] + net.moves[b, j]) + (net.moves[c, j] + net.moves[d, j])
        for index in range(n // 4 * 4, n):
            feature = scratch.move_features[k, index]
            for j in range(move.shape[0]):
                move[j] += net.moves[feature, j]
        for j in range(second.shape[0]):
            second[j] = net.move_second_bias[j]
        n_active = find_active(move, scratch.active_move)
        add_rows(move, scratch.active_move, n_active, net.move_second, second)
        for column in range(net.move_last.shape[1]):
            total = np.float32(0)
            for j in range(second.shape[0]):
                total += max(second[j], np.float32(0)) * net.move_last[j, column]
            scratch.out[tiles.N_TILES * column + rank] += total
        for j in range(move.shape[0]):  # for the gradient
            scratch.moves[k, j] = move[j]
        for j in range(second.shape[0]):
            scratch.moves_second[k, j] = second[j]
        k += 1


@inlined
def finish(net: Net, row: np.ndarray, scratch: Scratch) -> None:
    """Compute `scratch.out` for the seat to move from the first layer, `scratch.hidden`."""
    for j in range(scratch.second.shape[0]):
        scratch.second[j] = net.second_bias[j]
    for j in range(scratch.out.shape[0]):
        scratch.out[j] = net.last_bias[j]
    n = find_active(scratch.hidden, scratch.active)
    add_rows(scratch.hidden, scratch.active, n, net.second, scratch.second)
    n_second = find_active(scratch.second, scratch.active_second)
    add_rows(scratch.second, scratch.active_second, n_second, net.last, scratch.out)
    if scratch.joined.shape[0]:
        _add_moves(net, row, scratch, n)
