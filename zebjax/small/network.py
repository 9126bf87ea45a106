"""The small network: a sparse first layer with a table for each declaration, two dense layers.

It gives two numbers for each tile, from the view of the seat to move. The value of playing it, P of
more points less P of fewer, as everywhere; and the difference of the points at the end over
`tiles.POINTS_SCALE`. The policy prefers a high score, see `network.config.POINTS_WEIGHT`.
"""

from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.network.config import POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.small.features import MAX_ACTIVE, N_FEATURES
from zebjax.solver.cached_code import compiled, inlined


class Net(NamedTuple):
    """Parameters, float32, C order. H and K are the widths of the hidden layers."""

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


def shapes(hidden: int, second: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each field of a Net with these widths."""
    return {
        "first": (tiles.N_DECLARATIONS, N_FEATURES, hidden),
        "first_bias": (hidden,),
        "second": (hidden, second),
        "second_bias": (second,),
        "last": (second, 2 * tiles.N_TILES),
        "last_bias": (2 * tiles.N_TILES,),
    }


def scorer(net: Net) -> Net:
    """Return the network with scores as its 28 outputs, which is what play needs."""
    weights = np.array([[VALUE_WEIGHT], [POINTS_WEIGHT]], np.float32)

    def mixed(last: np.ndarray) -> np.ndarray:
        halves = last.reshape(*last.shape[:-1], 2, tiles.N_TILES)
        return np.ascontiguousarray((halves * weights).sum(-2, dtype=np.float32))

    return net._replace(last=mixed(net.last), last_bias=mixed(net.last_bias))


class Scratch(NamedTuple):
    """Buffers of one thread."""

    features: np.ndarray
    hidden: np.ndarray
    """The first layer before its ReLU, float32 `[H]`."""
    second: np.ndarray
    out: np.ndarray


@compiled
def new_scratch(net: Net) -> Scratch:
    """Make the buffers for a network."""
    return Scratch(
        np.zeros(MAX_ACTIVE, np.int64),
        np.zeros(net.first.shape[2], np.float32),
        np.zeros(net.second.shape[1], np.float32),
        np.zeros(net.last.shape[1], np.float32),
    )


@inlined
def add_features(
    first: np.ndarray, declaration: int, features: np.ndarray, n: int, hidden: np.ndarray
) -> None:
    """Add the rows of the features `[:n]` of `Net.first` to the first layer."""
    # Indices instead of views of rows: a view costs numba two atomic counts of references.
    for index in range(n):
        feature = features[index]
        for j in range(hidden.shape[0]):
            hidden[j] += first[declaration, feature, j]


@inlined
def add_layer(below: np.ndarray, weights: np.ndarray, bias: np.ndarray, above: np.ndarray) -> None:
    """Compute `above` = bias + relu(below) @ weights; the number of rows is a multiple of 4."""
    zero = np.float32(0)
    for j in range(above.shape[0]):
        above[j] = bias[j]
    for i in range(0, below.shape[0], 4):  # four at once: fewer loads and stores of `above`
        a, b = max(below[i], zero), max(below[i + 1], zero)
        c, d = max(below[i + 2], zero), max(below[i + 3], zero)
        for j in range(above.shape[0]):
            above[j] += (
                a * weights[i, j]
                + b * weights[i + 1, j]
                + c * weights[i + 2, j]
                + d * weights[i + 3, j]
            )


@inlined
def finish(net: Net, hidden: np.ndarray, second: np.ndarray, out: np.ndarray) -> None:
    """Compute the outputs from the first layer."""
    add_layer(hidden, net.second, net.second_bias, second)
    add_layer(second, net.last, net.last_bias, out)
