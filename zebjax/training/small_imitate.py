"""Fit the policy of the small network to what other players play: a model of them for inference.

The policy is softmax(scores / TEMPERATURE), that of `batch.log_likelihoods`, and the loss is its
cross-entropy to the policy targets of recorded games. After policy iteration the network says which
move is best; after this fit it says which move such a player would make.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.players.inference import Settings as Inference
from zebjax.record import GameRecord, TargetKind
from zebjax.small import policy, rules
from zebjax.small.batch import in_threads
from zebjax.small.beliefs import add_gradient
from zebjax.small.network import POINTS_WEIGHT, VALUE_WEIGHT, Net, new_scratch
from zebjax.solver.bounds import lowest
from zebjax.solver.cached_code import compiled
from zebjax.solver.ranks import RANK_OF_TILE
from zebjax.training.small_backward import (
    Transposed,
    backward,
    gradient_of_declaration,
    new_slopes,
    transposed,
)
from zebjax.training.small_descent import Fit, Gradient, Params, balanced, descend, new_gradient

TEMPERATURE = Inference.temperature
"""Of the policy that is fitted, so that inference may use its own default."""
_VALUE, _POINTS, _TEMPERATURE = map(np.float32, (VALUE_WEIGHT, POINTS_WEIGHT, TEMPERATURE))


class Games(NamedTuple):
    """Games with policy targets; leading axis of every field: n games."""

    hands: np.ndarray
    """int8 `[n, 4, 7]`, tile ids as dealt."""
    ranks: np.ndarray
    """int8 `[n, 4, 7]`, their ranks."""
    declaration: np.ndarray
    """int8 `[n]`."""
    leader: np.ndarray
    """int8 `[n]`."""
    slots: np.ndarray
    """int8 `[n, 28]`, the slot played at each ply."""
    targets: np.ndarray
    """float32 `[n, 28, 7]` by slot; all 0 for a ply without a target."""

    def where(self, rows: np.ndarray) -> "Games":
        """Select games by row numbers."""
        return Games(*(field[rows] for field in self))


def read(records: GameRecord, best: float = 0.0) -> Games:
    """Return the games and policy targets of records, NumPy arrays `[n]`.

    Moves without a choice and moves without a target are left out.

    Args:
        records: games.
        best: share of each target that is its most probable move alone; the rest is the record's
            target.
    """
    hands, declaration = np.asarray(records.hands), np.asarray(records.declaration)
    is_choice = ~np.isin(records.kind, (TargetKind.FORCED, TargetKind.NONE))
    used = is_choice & (np.asarray(records.weight) > 0)
    # The move played may have been drawn at random, or by another player than the teacher.
    policy = np.asarray(records.policy, np.float32)
    targets = (1 - best) * policy + best * np.eye(tiles.HAND_SIZE)[policy.argmax(-1)]
    return Games(
        hands=np.ascontiguousarray(hands),
        ranks=RANK_OF_TILE[declaration[:, None, None], hands].astype(np.int8),
        declaration=np.ascontiguousarray(declaration),
        leader=np.ascontiguousarray(records.leader),
        slots=np.ascontiguousarray(records.slots),
        targets=(targets * used[..., None]).astype(np.float32),
    )


@compiled
def _output_gradient(
    out: np.ndarray,
    legal: int,
    lesson: tuple,
    slope: np.ndarray,
    losses: np.ndarray,
) -> None:
    """Write d(cross-entropy)/d(out) of one decision into `slope`, and add to `losses`.

    `lesson`: the mover's ranks `[7]`, the target `[7]` and the slot that was played.
    """
    ranks, target, played = lesson
    slope[:] = 0
    top, left = lowest(legal), legal
    while left:
        rank = lowest(left)
        left &= left - 1
        slope[rank] = (_VALUE * out[rank] + _POINTS * out[28 + rank]) / _TEMPERATURE
        if slope[rank] > slope[top]:
            top = rank
    most, total, left = slope[top], np.float32(0), legal
    while left:
        rank = lowest(left)
        left &= left - 1
        slope[rank] = np.exp(slope[rank] - most)
        total += slope[rank]
    left = legal
    while left:
        slope[lowest(left)] /= total
        left &= left - 1
    losses[0] += 1
    for slot in range(7):
        if target[slot] > 0:
            losses[1] -= target[slot] * np.log(slope[ranks[slot]] + np.float32(1e-30))
    losses[2] += top == ranks[played]
    for slot in range(7):
        slope[ranks[slot]] -= target[slot]
    while legal:
        rank = lowest(legal)
        legal &= legal - 1
        by_score = slope[rank] / _TEMPERATURE
        slope[rank], slope[28 + rank] = _VALUE * by_score, _POINTS * by_score


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
    hands, ranks, leader, slots, targets = games
    parts, losses = grad
    scratch, row, slopes = new_scratch(net), np.zeros(rules.SIZE, np.int64), new_slopes(net)
    for d in range(first, last):
        own = gradient_of_declaration(parts, d)
        for game in chosen[d]:
            rules.start(row, hands[game], d, leader[game])
            for ply in range(28):
                of_mover, played = ranks[game, rules.mover(row)], slots[game, ply]
                if targets[game, ply].sum() > 0:
                    n = policy.evaluate(net, row, scratch)
                    lesson = (of_mover, targets[game, ply], played)
                    legal = rules.legal_tiles(row)
                    _output_gradient(scratch.out, legal, lesson, slopes.out, losses[d])
                    backward(net, tables, legal, n, scratch, slopes, own)
                    losses[d, 5] += add_gradient(net.beliefs, row, scratch.likely, own.beliefs)
                rules.play(row, of_mover[played])


def gradient(net: Net, games: Games, chosen: np.ndarray, grad: Gradient, threads: int) -> None:
    """Compute the gradient of the loss, summed over decisions, as `small_fit.gradient`.

    Columns of `grad.losses`: number of decisions, cross-entropy in nats, decisions in which the
    network's best move was played, 0, 0, log-loss of the beliefs in nats a hidden tile.
    """
    for array in grad:
        array[:] = 0
    arrays = (games.hands, games.ranks, games.leader, games.slots, games.targets)
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
    seed: int,
    threads: int,
    on_progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Fit parameters to games, in place; arguments as `descend`.

    Returns:
        float64 `[updates, 2]`: mean cross-entropy, and share of moves foreseen, of each update.

    Raises:
        ValueError: if a declaration has no games.
    """

    def gradient_of(net: Net, chosen: np.ndarray, grad: Gradient) -> None:
        gradient(net, games, chosen, grad, threads)

    losses = descend(params, games.declaration, gradient_of, settings, seed, on_progress)
    return np.asarray(losses[:, 1:3] / losses[:, :1])


def judge(net: Net, games: Games, threads: int) -> tuple[float, float]:
    """Return the mean cross-entropy, and the share of moves foreseen, as `fit`.

    Raises:
        ValueError: if a declaration has no games.
    """
    chosen = balanced(games.declaration)
    grad = new_gradient(net)
    gradient(net, games, chosen, grad, threads)
    n, nats, foreseen = grad.losses.sum(0)[:3]
    return nats / n, foreseen / n
