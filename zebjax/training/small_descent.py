"""The parameters of the small network, and their descent by AdamW, without JAX.

The first layer reads a few of its many rows at a time. A sparse gradient in compiled code takes
some 40 microseconds a decision on one core, much less than dense arithmetic would.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.small import features
from zebjax.small.network import Net, Widths, shapes
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import RANK_OF_TILE, TILE_OF_RANK

_BY_DECLARATION = ("first", "beliefs")
"""Fields of a Net with a table for each declaration."""
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
    join: np.ndarray
    moves: np.ndarray
    move_second: np.ndarray
    move_second_bias: np.ndarray
    move_last: np.ndarray
    beliefs: np.ndarray


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


def init(widths: Widths, seed: int) -> Params:
    """Draw parameters of a network with these widths whose policy is uniform: last layers are 0."""
    rng, wanted = np.random.default_rng(seed), shapes(widths)

    def normal(shape: tuple[int, ...], spread: float) -> np.ndarray:
        return rng.normal(0, spread, shape).astype(np.float32)

    table = wanted["first"]
    zeros = {name: np.zeros(shape, np.float32) for name, shape in wanted.items()}
    return Params(
        by_rank=normal(table[1:], 0.15),  # about 35 features are active: a spread of 0.9
        by_tile=np.zeros(table[1:], np.float32),
        own=zeros["first"],
        first_bias=zeros["first_bias"],
        second=normal(wanted["second"], math.sqrt(2 / widths.hidden)),
        second_bias=zeros["second_bias"],
        last=zeros["last"],
        last_bias=zeros["last_bias"],
        join=normal(wanted["join"], math.sqrt(1 / widths.hidden)),
        moves=normal(wanted["moves"], 0.25),  # 25 are active, or up to 50: 1.3 to 1.8
        move_second=normal(wanted["move_second"], math.sqrt(2 / max(1, widths.move))),
        move_second_bias=zeros["move_second_bias"],
        move_last=zeros["move_last"],
        beliefs=zeros["beliefs"],
    )


def net_of(params: Params) -> Net:
    """Return the network with these parameters."""
    padded = np.pad(params.by_tile, ((0, 1), (0, 0)))
    first = params.by_rank[None] + padded[_TILE_ORDER] + params.own
    return Net(np.ascontiguousarray(first), *params[3:])


def params_of(net: Net) -> Params:
    """Return parameters of a network: what its declarations have in common is shared by rank."""
    common = net.first.mean(0)
    rest = [np.array(field) for field in net[1:]]
    return Params(common, np.zeros_like(common), np.ascontiguousarray(net.first - common), *rest)


class Gradient(NamedTuple):
    """Sums over decisions, one part for each declaration. The fields are those of a Net."""

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    join: np.ndarray
    moves: np.ndarray
    move_second: np.ndarray
    move_second_bias: np.ndarray
    move_last: np.ndarray
    beliefs: np.ndarray
    losses: np.ndarray
    """float64 `[10, 6]`: number of decisions, then sums of what `small_fit.gradient` or
    `small_imitate.gradient` measures."""


def new_gradient(net: Net) -> Gradient:
    """Make the buffers of `gradient` for a network."""
    parts = [
        np.zeros((tiles.N_DECLARATIONS, *field.shape[name in _BY_DECLARATION :]), np.float32)
        for name, field in zip(Net._fields, net, strict=True)
    ]
    return Gradient._make([*parts, np.zeros((tiles.N_DECLARATIONS, 6))])


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


def slopes_of(grad: Gradient) -> Params:
    """Return the gradient with respect to the parameters, summed over decisions."""
    padded = np.pad(grad.first, ((0, 0), (0, 1), (0, 0)))
    by_tile = sum(padded[d, _RANK_ORDER[d]] for d in range(tiles.N_DECLARATIONS))
    rest = {
        name: getattr(grad, name) if name in _BY_DECLARATION else getattr(grad, name).sum(0)
        for name in Net._fields[1:]
    }
    return Params(grad.first.sum(0), by_tile, grad.first, **rest)


def update(
    params: Params, grad: Gradient, moments: Moments, rate: float, decay: float, step: int
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


def by_declaration(declaration: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of the games of each declaration.

    Raises:
        ValueError: if a declaration has no games.
    """
    rows = [np.flatnonzero(declaration == d) for d in range(tiles.N_DECLARATIONS)]
    if not all(map(len, rows)):
        raise ValueError("expected games of all ten declarations; make more games")
    return rows


def balanced(declaration: np.ndarray) -> np.ndarray:
    """Return as many games of each declaration as the rarest has, int64 `[10, m]`."""
    rows = by_declaration(declaration)
    return np.stack([row[: min(map(len, rows))] for row in rows])


def descend(
    params: Params,
    declaration: np.ndarray,
    gradient_of: Callable[[Net, np.ndarray, Gradient], None],
    settings: Fit,
    seed: int | tuple[int, ...],
    on_progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Fit parameters in place by AdamW, to as many games of each declaration.

    Args:
        params: parameters.
        declaration: integers `[n]`, of the games.
        gradient_of: computes the gradient of games `[10, m]`, by number, into its last argument.
        settings: passes, batch, learning rate.
        seed: of the order of games.
        on_progress: called after each update with the share that is done.

    Returns:
        float64 `[updates, 6]`, the losses of each update, summed; see `Gradient.losses`.

    Raises:
        ValueError: if a declaration has no games.
    """
    rng = np.random.default_rng(seed)
    rows = by_declaration(declaration)
    m = settings.games // tiles.N_DECLARATIONS
    n = math.ceil(settings.passes * min(map(len, rows)) / m)
    orders = [
        np.concatenate([rng.permutation(row) for _ in range(math.ceil(n * m / len(row)))])
        for row in rows
    ]
    moments, grad = new_moments(params), new_gradient(net_of(params))
    losses = np.zeros((n, grad.losses.shape[1]))
    for step in range(n):
        chosen = np.stack([order[step * m : (step + 1) * m] for order in orders])
        gradient_of(net_of(params), chosen, grad)
        fall = 0.02 + 0.98 * (1 + math.cos(math.pi * step / n)) / 2
        rate = settings.rate * min(1.0, (step + 1) / min(settings.warm_up, n / 10)) * fall
        update(params, grad, moments, rate, settings.decay, step + 1)
        losses[step] = grad.losses.sum(0)
        if on_progress is not None:
            on_progress((step + 1) / n)
    return losses
