"""Fit the small network to labelled games: compiled gradients and Adam, without JAX.

The first layer reads a few of its many rows at a time. A sparse gradient in compiled code takes
about 10 microseconds a decision on one core, much less than dense arithmetic would.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.small import features, rules
from zebjax.small.batch import in_threads
from zebjax.small.network import Net, Scratch, add_features, finish, new_scratch, shapes
from zebjax.solver.bounds import lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import RANK_OF_TILE, TILE_OF_RANK
from zebjax.training.labelled_games import Games

MEAN_WEIGHT = np.float32(0.2)
"""Weight of the error of a decision's mean over its moves. The error of the differences between
moves has weight 1, since they alone choose the move."""
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Params(NamedTuple):
    """What is fitted. The table of the first layer is the sum of three: one for all declarations by
    rank, one for all by tile, and one for each declaration; what declarations share is learned from
    all games.
    """

    by_rank: np.ndarray
    """`[N_FEATURES, H]`."""
    by_tile: np.ndarray
    """`[N_FEATURES, H]`; features without a tile stay 0."""
    own: np.ndarray
    """`[10, N_FEATURES, H]`."""
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray


def _tile_order() -> np.ndarray:
    """Return for each declaration and feature the feature of the same tile, int64 `[10, F]`.

    The entry of a feature without a tile is N_FEATURES, one past the last.
    """
    order = np.full((tiles.N_DECLARATIONS, features.N_FEATURES), features.N_FEATURES)
    for first in features.tile_features():
        order[:, first : first + tiles.N_TILES] = first + TILE_OF_RANK
    return order


_TILE_ORDER = _tile_order()
_RANK_ORDER = np.full_like(_TILE_ORDER, features.N_FEATURES)
for _first in features.tile_features():
    _RANK_ORDER[:, _first : _first + tiles.N_TILES] = _first + RANK_OF_TILE


def tile_rows() -> np.ndarray:
    """Return the features that stand for a tile."""
    return np.flatnonzero((_TILE_ORDER < features.N_FEATURES).all(0))


def init(hidden: int, second: int, seed: int) -> Params:
    """Draw parameters whose policy is uniform: the last layer is 0."""
    rng, wanted = np.random.default_rng(seed), shapes(hidden, second)

    def normal(shape: tuple[int, ...], spread: float) -> np.ndarray:
        return rng.normal(0, spread, shape).astype(np.float32)

    table = wanted["first"]
    zeros = {name: np.zeros(shape, np.float32) for name, shape in wanted.items()}
    return Params(
        by_rank=normal(table[1:], 0.15),  # about 35 features are active: a spread of 0.9
        by_tile=np.zeros(table[1:], np.float32),
        own=zeros["first"],
        first_bias=zeros["first_bias"],
        second=normal(wanted["second"], math.sqrt(2 / hidden)),
        second_bias=zeros["second_bias"],
        last=zeros["last"],
        last_bias=zeros["last_bias"],
    )


def net_of(params: Params) -> Net:
    """Return the network with these parameters."""
    padded = np.pad(params.by_tile, ((0, 1), (0, 0)))
    first = params.by_rank[None] + padded[_TILE_ORDER] + params.own
    return Net(np.ascontiguousarray(first), *params[3:])


class _Gradient(NamedTuple):
    """Sums over decisions, one part for each declaration. The fields are those of a Net."""

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    losses: np.ndarray
    """float64 `[10, 5]`: number of decisions; sums of the squared errors of value and points,
    differences between moves first, then means."""


@compiled
def _output_gradient(
    out: np.ndarray, labels: np.ndarray, legal: int, slope: np.ndarray, losses: np.ndarray
) -> None:
    """Write d(loss)/d(out) of one decision into `slope`, and add to `losses`."""
    slope[:] = 0
    losses[0] += 1
    n, left = 0, legal
    mean_value, mean_points = np.float32(0), np.float32(0)
    while left:
        rank, points = lowest(left), labels[n]
        left &= left - 1
        value = 1.0 if points > 21 else (0.0 if points == 21 else -1.0)
        slope[rank] = out[rank] - value
        slope[28 + rank] = out[28 + rank] - (2 * points - 42) / tiles.POINTS_SCALE
        mean_value += slope[rank]
        mean_points += slope[28 + rank]
        n += 1
    mean_value, mean_points = mean_value / n, mean_points / n
    losses[3] += mean_value * mean_value
    losses[4] += mean_points * mean_points
    while legal:
        rank = lowest(legal)
        legal &= legal - 1
        by_value, by_points = slope[rank] - mean_value, slope[28 + rank] - mean_points
        losses[1] += by_value * by_value / n
        losses[2] += by_points * by_points / n
        # Of sum (e_k - mean)^2 / 4 + MEAN_WEIGHT * mean^2; a decision has 4 moves on average.
        slope[rank] = by_value / 2 + 2 * MEAN_WEIGHT * mean_value / n
        slope[28 + rank] = by_points / 2 + 2 * MEAN_WEIGHT * mean_points / n


@compiled
def _backward(
    net: Net, turned: tuple, declaration: int, n: int, scratch: Scratch, slopes: tuple, grad: tuple
) -> None:
    """Add the gradient of one decision.

    Args:
        net: the network.
        turned: its last two tables, transposed, so that every inner loop is over a row.
        declaration: of the game.
        n: number of active features in `scratch.features`.
        scratch: as `finish` left it.
        slopes: of outputs (given), second and first layer (buffers).
        grad: fields of `_Gradient` for this declaration.
    """
    of_out, of_second, of_hidden = slopes
    last_turned, second_turned = turned
    first, first_bias, second, second_bias, last, last_bias = grad
    last_bias += of_out
    of_second[:] = 0
    for k in range(of_out.shape[0]):
        if of_out[k] != 0:
            weights = last_turned[k]
            for j in range(of_second.shape[0]):
                of_second[j] += of_out[k] * weights[j]
    of_hidden[:] = 0
    for j in range(of_second.shape[0]):
        if scratch.second[j] <= 0:
            of_second[j] = 0
            continue
        for k in range(of_out.shape[0]):
            last[j, k] += scratch.second[j] * of_out[k]
        weights = second_turned[j]
        for i in range(of_hidden.shape[0]):
            of_hidden[i] += of_second[j] * weights[i]
    second_bias += of_second
    for i in range(of_hidden.shape[0]):
        if scratch.hidden[i] <= 0:
            of_hidden[i] = 0
            continue
        for j in range(of_second.shape[0]):
            second[i, j] += scratch.hidden[i] * of_second[j]
    first_bias += of_hidden
    for index in range(n):
        row = first[scratch.features[index]]
        for i in range(of_hidden.shape[0]):
            row[i] += of_hidden[i]


@compiled
def _gradient_of_games(
    first: int, last: int, net: Net, turned: tuple, games: tuple, chosen: np.ndarray, grad: tuple
) -> None:
    """Kernel of `gradient`, see `batch.in_threads`: the range is one of declarations."""
    hands, leader, plays, labels = games
    scratch, row = new_scratch(net), np.zeros(rules.SIZE, np.int64)
    slopes = (
        np.zeros_like(scratch.out),
        np.zeros_like(scratch.second),
        np.zeros_like(scratch.hidden),
    )
    for d in range(first, last):
        own = (grad[0][d], grad[1][d], grad[2][d], grad[3][d], grad[4][d], grad[5][d])
        for game in chosen[d]:
            rules.start(row, hands[game], d, leader[game])
            for ply in range(28):
                if labels[game, ply, 0] >= 0:
                    n = features.public_features(row, scratch.features, 0)
                    n = features.private_features(row, scratch.features, n)
                    scratch.hidden[:] = net.first_bias
                    add_features(net.first, d, scratch.features, n, scratch.hidden)
                    finish(net, scratch.hidden, scratch.second, scratch.out)
                    legal = rules.legal_tiles(row)
                    _output_gradient(scratch.out, labels[game, ply], legal, slopes[0], grad[6][d])
                    _backward(net, turned, d, n, scratch, slopes, own)
                rules.play(row, plays[game, ply])


def new_gradient(net: Net) -> _Gradient:
    """Make the buffers of `gradient` for a network."""
    parts = [
        np.zeros((tiles.N_DECLARATIONS, *field.shape[name == "first" :]), np.float32)
        for name, field in zip(Net._fields, net, strict=True)
    ]
    return _Gradient._make([*parts, np.zeros((tiles.N_DECLARATIONS, 5))])


def gradient(net: Net, games: Games, chosen: np.ndarray, grad: _Gradient, threads: int) -> None:
    """Compute the gradient of the loss, summed over the decisions of some games, into `grad`.

    Args:
        net: the network.
        games: labelled games.
        chosen: int64 `[10, m]`, numbers of games of each declaration.
        grad: buffers; they are overwritten.
        threads: number of threads; they do not change the result.
    """
    for array in grad:
        array[:] = 0
    turned = (np.ascontiguousarray(net.last.T), np.ascontiguousarray(net.second.T))
    arrays = (games.hands, games.leader, games.plays, games.labels)
    in_threads(
        _gradient_of_games,
        tiles.N_DECLARATIONS,
        (net, turned, arrays, chosen, tuple(grad)),
        threads,
        piece=1,
    )


@compiled
def _adam(
    params: np.ndarray, slope: np.ndarray, moments: tuple, rate: float, decay: float, step: int
) -> None:
    """One update of AdamW (Loshchilov and Hutter 2019) on flat arrays."""
    mean, square = moments
    mean_scale = np.float32(rate / (1 - _BETA1**step))
    square_scale = np.float32(1 / (1 - _BETA2**step))
    keep = np.float32(1 - rate * decay)
    beta1, beta2, epsilon = np.float32(_BETA1), np.float32(_BETA2), np.float32(_EPSILON)
    one = np.float32(1)
    for i in range(params.shape[0]):
        g = slope[i]
        mean[i] = beta1 * mean[i] + (one - beta1) * g
        square[i] = beta2 * square[i] + (one - beta2) * g * g
        params[i] = keep * params[i] - mean_scale * mean[i] / (
            np.sqrt(square_scale * square[i]) + epsilon
        )


class Moments(NamedTuple):
    """State of Adam."""

    mean: Params
    square: Params


def new_moments(params: Params) -> Moments:
    """Return the state before the first update."""
    return Moments(Params(*map(np.zeros_like, params)), Params(*map(np.zeros_like, params)))


def slopes_of(grad: _Gradient) -> Params:
    """Return the gradient with respect to the parameters, summed over decisions."""
    padded = np.pad(grad.first, ((0, 0), (0, 1), (0, 0)))
    by_tile = sum(padded[d, _RANK_ORDER[d]] for d in range(tiles.N_DECLARATIONS))
    rest = (getattr(grad, name).sum(0) for name in Net._fields[1:])
    return Params(grad.first.sum(0), by_tile, grad.first, *rest)


def update(
    params: Params, grad: _Gradient, moments: Moments, rate: float, decay: float, step: int
) -> None:
    """Apply one update in place.

    Args:
        params: parameters.
        grad: from `gradient`.
        moments: state of Adam.
        rate: learning rate.
        decay: weight decay.
        step: number of the update, from 1.
    """
    n = np.float32(max(1, grad.losses[:, 0].sum()))
    slopes = slopes_of(grad)
    for param, slope, mean, square in zip(params, slopes, *moments, strict=True):
        _adam(
            param.reshape(-1),
            (slope / n).reshape(-1),
            (mean.reshape(-1), square.reshape(-1)),
            rate,
            decay,
            step,
        )


@dataclasses.dataclass(frozen=True)
class Fit:
    """Settings of `fit`."""

    passes: float = 2.0
    """Times that each game is read."""
    games: int = 80
    """Games of one update, a multiple of 10; a game has about 17 decisions."""
    rate: float = 2e-3
    """Highest learning rate; it rises over the first updates and falls along a cosine to 2 %."""
    decay: float = 0.01
    """Weight decay."""
    warm_up: int = 100
    """Updates until the highest learning rate, at most a tenth of all."""


def fit(
    params: Params, games: Games, settings: Fit, seed: int | tuple[int, ...], threads: int
) -> np.ndarray:
    """Fit parameters to games, in place.

    Returns:
        float64 `[updates, 4]`: mean squared errors of value and points in each update's games,
        differences between moves first, then means.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(games.declaration == d) for d in range(tiles.N_DECLARATIONS)]
    m = settings.games // tiles.N_DECLARATIONS
    n = math.ceil(settings.passes * min(map(len, rows)) / m)
    orders = [
        np.concatenate([rng.permutation(row) for _ in range(math.ceil(n * m / len(row)))])
        for row in rows
    ]
    moments, grad = new_moments(params), new_gradient(net_of(params))
    errors = np.zeros((n, 4))
    for step in range(n):
        chosen = np.stack([order[step * m : (step + 1) * m] for order in orders])
        gradient(net_of(params), games, chosen, grad, threads)
        fall = 0.02 + 0.98 * (1 + math.cos(math.pi * step / n)) / 2
        rate = settings.rate * min(1.0, (step + 1) / min(settings.warm_up, n / 10)) * fall
        update(params, grad, moments, rate, settings.decay, step + 1)
        losses = grad.losses.sum(0)
        errors[step] = losses[1:] / losses[0]
    return errors


def judge(net: Net, games: Games, threads: int) -> np.ndarray:
    """Return the four mean squared errors of a network on games, as `fit`."""
    rows = [np.flatnonzero(games.declaration == d) for d in range(tiles.N_DECLARATIONS)]
    chosen = np.stack([row[: min(map(len, rows))] for row in rows])
    grad = new_gradient(net)
    gradient(net, games, chosen, grad, threads)
    losses = grad.losses.sum(0)
    return np.asarray(losses[1:] / losses[0])
