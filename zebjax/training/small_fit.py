"""Fit the small network to labelled games: the value and points of every move."""

from collections.abc import Callable

import numpy as np

from zebjax import tiles
from zebjax.small import policy, rules
from zebjax.small.batch import in_threads
from zebjax.small.beliefs import add_gradient
from zebjax.small.network import Net, new_scratch
from zebjax.solver.bounds import lowest
from zebjax.solver.cached_code import compiled
from zebjax.training.labelled_games import Games
from zebjax.training.small_backward import (
    Transposed,
    backward,
    gradient_of_declaration,
    new_slopes,
    transposed,
)
from zebjax.training.small_config import MEAN_WEIGHT
from zebjax.training.small_descent import Fit, Gradient, Params, balanced, descend, new_gradient

_MEAN_WEIGHT = np.float32(MEAN_WEIGHT)


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
        slope[rank] = by_value / 2 + 2 * _MEAN_WEIGHT * mean_value / n
        slope[28 + rank] = by_points / 2 + 2 * _MEAN_WEIGHT * mean_points / n


@compiled
def gradient_of_games(
    first: int,
    last: int,
    net: Net,
    tables: Transposed,
    games: tuple,
    chosen: np.ndarray,
    grad: tuple,
) -> None:
    """Kernel of `gradient`, see `batch.in_threads`: the range is one of declarations."""
    hands, leader, plays, labels = games
    parts, losses = grad
    scratch, row, slopes = new_scratch(net), np.zeros(rules.SIZE, np.int64), new_slopes(net)
    for d in range(first, last):
        own = gradient_of_declaration(parts, d)
        for game in chosen[d]:
            rules.start(row, hands[game], d, leader[game])
            for ply in range(28):
                if labels[game, ply, 0] >= 0:
                    n = policy.evaluate(net, row, scratch)
                    legal = rules.legal_tiles(row)
                    _output_gradient(scratch.out, labels[game, ply], legal, slopes.out, losses[d])
                    backward(net, tables, legal, n, scratch, slopes, own)
                    losses[d, 5] += add_gradient(net.beliefs, row, scratch.likely, own.beliefs)
                rules.play(row, plays[game, ply])


def gradient(net: Net, games: Games, chosen: np.ndarray, grad: Gradient, threads: int) -> None:
    """Compute the gradient of the loss, summed over the decisions of some games, into `grad`.

    Args:
        net: the network.
        games: labelled games.
        chosen: int64 `[10, m]`, numbers of games of each declaration.
        grad: buffers; they are overwritten. `losses` after the number of decisions: squared errors
            of value and points, differences between moves first, then means; log-loss of the
            beliefs, nats a hidden tile.
        threads: number of threads; they do not change the result.
    """
    for array in grad:
        array[:] = 0
    arrays = (games.hands, games.leader, games.plays, games.labels)
    in_threads(
        gradient_of_games,
        tiles.N_DECLARATIONS,
        (net, transposed(net), arrays, chosen, (tuple(grad[:-1]), grad.losses)),
        threads,
        piece=1,
    )


def fit(
    params: Params,
    games: Games,
    settings: Fit,
    seed: int | tuple[int, ...],
    threads: int,
    on_progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Fit parameters to games, in place; arguments as `descend`.

    Returns:
        float64 `[updates, 5]`: mean losses of each update's games, see `gradient`.
    """

    def gradient_of(net: Net, chosen: np.ndarray, grad: Gradient) -> None:
        gradient(net, games, chosen, grad, threads)

    losses = descend(params, games.declaration, gradient_of, settings, seed, on_progress)
    return np.asarray(losses[:, 1:] / losses[:, :1])


def judge(net: Net, games: Games, threads: int) -> np.ndarray:
    """Return the five mean losses of a network on games, as `fit`."""
    chosen = balanced(games.declaration)
    grad = new_gradient(net)
    gradient(net, games, chosen, grad, threads)
    losses = grad.losses.sum(0)
    return np.asarray(losses[1:] / losses[0])
