"""The gradient of the small network, from its outputs back to its parameters, compiled."""

from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.small.network import Net, Scratch
from zebjax.solver.bounds import lowest
from zebjax.solver.cached_code import compiled


class Transposed(NamedTuple):
    """Tables of a Net, transposed, so that every inner loop is over a row."""

    last: np.ndarray
    second: np.ndarray


def transposed(net: Net) -> Transposed:
    """Transpose the tables of a network."""
    return Transposed(np.ascontiguousarray(net.last.T), np.ascontiguousarray(net.second.T))


class Slopes(NamedTuple):
    """Derivatives of the loss of one decision by what is in a `Scratch`, before each ReLU."""

    out: np.ndarray
    second: np.ndarray
    hidden: np.ndarray
    joined: np.ndarray


@compiled
def new_slopes(net: Net) -> Slopes:
    """Make the buffers for a network."""
    return Slopes(
        np.zeros(net.last.shape[1], np.float32),
        np.zeros(net.second.shape[1], np.float32),
        np.zeros(net.first.shape[2], np.float32),
        np.zeros(net.moves.shape[1], np.float32),
    )


@compiled
def gradient_of_declaration(grad: tuple, declaration: int) -> Net:
    """Return the part of a declaration in the fields of a Net that have one more axis, as views."""
    return Net(
        grad[0][declaration],
        grad[1][declaration],
        grad[2][declaration],
        grad[3][declaration],
        grad[4][declaration],
        grad[5][declaration],
        grad[6][declaration],
        grad[7][declaration],
        grad[8][declaration],
        grad[9][declaration],
        grad[10][declaration],
        grad[11][declaration],
    )


@compiled
def backward(
    net: Net,
    tables: Transposed,
    legal: int,
    n: int,
    scratch: Scratch,
    slopes: Slopes,
    grad: Net,
) -> None:
    """Add the gradient of one decision.

    Args:
        net: the network.
        tables: its transposed tables.
        legal: the legal tiles as a mask.
        n: number of active features in `scratch.features`.
        scratch: as `network.finish` left it; `moves` and `moves_second` are overwritten.
        slopes: that of the outputs is given, the others are buffers.
        grad: for this declaration, see `gradient_of_declaration`.
    """
    _by_tile(tables, scratch, slopes, grad)
    _by_move(net, legal, scratch, slopes, grad)
    for i in range(slopes.hidden.shape[0]):
        below = scratch.hidden[i]
        if below <= 0:
            slopes.hidden[i] = 0
            continue
        for j in range(slopes.second.shape[0]):
            grad.second[i, j] += below * slopes.second[j]
        total = np.float32(0)
        for j in range(slopes.joined.shape[0]):
            grad.join[i, j] += below * slopes.joined[j]
            total += net.join[i, j] * slopes.joined[j]
        slopes.hidden[i] += total
    for i in range(slopes.hidden.shape[0]):
        grad.first_bias[i] += slopes.hidden[i]
    for index in range(n):
        feature = scratch.features[index]
        for i in range(slopes.hidden.shape[0]):
            grad.first[feature, i] += slopes.hidden[i]


@compiled
def _by_tile(tables: Transposed, scratch: Scratch, slopes: Slopes, grad: Net) -> None:
    """Add the gradient of the two dense layers but `second`, and write `slopes.hidden` so far."""
    slopes.second[:] = 0
    for k in range(slopes.out.shape[0]):
        slope = slopes.out[k]
        if slope != 0:
            grad.last_bias[k] += slope
            for j in range(slopes.second.shape[0]):
                slopes.second[j] += slope * tables.last[k, j]
    slopes.hidden[:] = 0
    for j in range(slopes.second.shape[0]):
        below = scratch.second[j]
        if below <= 0:
            slopes.second[j] = 0
            continue
        grad.second_bias[j] += slopes.second[j]
        for k in range(slopes.out.shape[0]):
            grad.last[j, k] += below * slopes.out[k]
        for i in range(slopes.hidden.shape[0]):
            slopes.hidden[i] += slopes.second[j] * tables.second[j, i]


@compiled
def _by_move(net: Net, legal: int, scratch: Scratch, slopes: Slopes, grad: Net) -> None:
    """Add the gradient of the layers of each legal move, and write `slopes.joined`."""
    slopes.joined[:] = 0
    k = 0
    while legal:
        rank = lowest(legal)
        legal &= legal - 1
        by_value, by_points = slopes.out[rank], slopes.out[tiles.N_TILES + rank]
        for i in range(net.move_second.shape[1]):
            above, slope = scratch.moves_second[k, i], np.float32(0)
            if above > 0:
                grad.move_last[i, 0] += above * by_value
                grad.move_last[i, 1] += above * by_points
                slope = by_value * net.move_last[i, 0] + by_points * net.move_last[i, 1]
                grad.move_second_bias[i] += slope
            scratch.moves_second[k, i] = slope
        for j in range(slopes.joined.shape[0]):
            above, slope = scratch.moves[k, j], np.float32(0)
            if above > 0:
                for i in range(net.move_second.shape[1]):
                    grad.move_second[j, i] += above * scratch.moves_second[k, i]
                    slope += net.move_second[j, i] * scratch.moves_second[k, i]
                slopes.joined[j] += slope
            scratch.moves[k, j] = slope
        for index in range(scratch.n_move_features[k]):
            feature = scratch.move_features[k, index]
            for j in range(slopes.joined.shape[0]):
                grad.moves[feature, j] += scratch.moves[k, j]
        k += 1
