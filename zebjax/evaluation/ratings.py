"""Ratings from paired matches: Bradley-Terry by maximum likelihood, on the Elo scale.

The model: A's expected score against B is 1 / (1 + exp(strength of B - strength of A)); a tie
scores 1/2. Source: Bradley and Terry, "Rank analysis of incomplete block designs" (Biometrika
1952). Condition for a finite maximum: Ford, "Solution of a ranking problem from binary comparisons"
(American Mathematical Monthly 1957).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zebjax.evaluation.intervals import Z95

ELO = 400 / math.log(10)
"""Elo points in one unit of strength: 400 points are odds of 10 to 1."""
CENTRE = 1500.0
"""The mean rating when no player is anchored."""


class Meeting(NamedTuple):
    """The results of two players against each other."""

    a: int
    """Number of the player, 0 .. n_players - 1."""
    b: int
    scores: np.ndarray
    """A's score on each deal, `[n_deals]` in [0, 1]: the mean of its two games, where a tie scores
    1/2. All meetings use the same deals in the same order."""


class Fit(NamedTuple):
    """Fitted strengths. Only their differences have a meaning; they are shifted to sum to 0."""

    strength: np.ndarray
    """`[n_players]`, in natural-log odds."""
    covariance: np.ndarray
    """`[n_players, n_players]`, covariance of the strengths; rows sum to 0."""
    has_prior: bool
    """True if the likelihood has no finite maximum, so that a prior was added; see `fit`."""


class Rating(NamedTuple):
    """One player's rating in Elo points."""

    elo: float
    stderr: float
    """Standard error of the difference to the anchor, or to the mean of all players if there is no
    anchor."""
    ci95: tuple[float, float]


def fit(n_players: int, meetings: Sequence[Meeting]) -> Fit:
    """Fit strengths by maximum likelihood, with their covariance.

    A deal, played twice, is one observation. The covariance is the sandwich estimator
    H^-1 (sum over deals of g g') H^-1, where H is the curvature and g the gradient of the deal
    (White, "Maximum likelihood estimation of misspecified models", Econometrica 1982). So pairing
    reduces the variance, and a deal that several pairs of players played is one cluster, whatever
    the correlation of their scores.

    Strengths are infinite if some players took every point from the others. Only then each pair
    that met gets one additional tied deal (a weak prior towards equality), and the covariance is
    the sandwich plus H^-1, because scores that never vary make the sandwich zero.

    Args:
        n_players: 2 or more.
        meetings: results; a pair may have several.

    Raises:
        ValueError: if there are fewer than two players, a meeting is impossible, or the meetings do
            not connect all players.
    """
    if n_players < 2:
        raise ValueError(f"ratings: expected 2 players or more, got {n_players}")
    counts, points = np.zeros((2, n_players, n_players))
    for a, b, scores in meetings:
        scores = np.asarray(scores, float)
        if not (0 <= a < n_players and 0 <= b < n_players and a != b):
            raise ValueError(
                f"ratings: expected two of the players 0 to {n_players - 1}, got {a} and {b}"
            )
        if scores.ndim != 1 or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(
                f"ratings: expected scores from 0 to 1, one a deal, between players {a} and {b}"
            )
        counts[a, b] += len(scores)
        counts[b, a] += len(scores)
        points[a, b] += scores.sum()
        points[b, a] += (1 - scores).sum()
    if not _all_reached(counts + counts.T > 0):
        raise ValueError(
            "ratings: some players never met the others; expected meetings that connect all players"
        )
    has_prior = not _all_reached(points > 0)
    if has_prior:
        met = counts > 0
        counts, points = counts + met, points + 0.5 * met
    strength = _maximise(counts, points)
    inverse = np.linalg.pinv(_curvature(counts, strength), hermitian=True)
    gradients = np.zeros((max(len(meeting.scores) for meeting in meetings), n_players))
    for a, b, scores in meetings:
        residual = scores - expected(strength[a] - strength[b])
        gradients[: len(scores), a] += residual
        gradients[: len(scores), b] -= residual
    correction = len(gradients) / max(1, len(gradients) - 1)
    sandwich = correction * inverse @ (gradients.T @ gradients) @ inverse
    return Fit(strength, sandwich + inverse if has_prior else sandwich, has_prior)


def expected(difference: np.ndarray | float) -> np.ndarray:
    """Return the expected score of a player that is stronger by `difference` (natural-log odds)."""
    # The logistic function, written with tanh so that exp cannot overflow.
    return 0.5 + 0.5 * np.tanh(np.asarray(difference) / 2)


def _all_reached(edges: np.ndarray) -> bool:
    """True if every node reaches every other along `edges`, bool `[n, n]`."""
    # Each product doubles the length of the paths.
    reached = edges | np.eye(len(edges), dtype=bool)
    for _ in range(len(edges).bit_length()):
        reached = reached @ reached
    return bool(reached.all())


def _log_likelihood(points: np.ndarray, strength: np.ndarray) -> float:
    return -float((points * np.logaddexp(0, strength[None, :] - strength[:, None])).sum())


def _curvature(counts: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return minus the second derivative of the log likelihood, `[n_players, n_players]`."""
    p = expected(strength[:, None] - strength[None, :])
    weight = counts * p * (1 - p)
    return np.diag(weight.sum(1)) - weight


def _maximise(counts: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the strengths with the highest likelihood of `points` out of `counts`."""
    # Newton's method with halved steps converges, because the log likelihood is concave.
    strength = np.zeros(len(counts))
    value = _log_likelihood(points, strength)
    for _ in range(200):
        gradient = (points - counts * expected(strength[:, None] - strength[None, :])).sum(1)
        step = np.linalg.pinv(_curvature(counts, strength), hermitian=True) @ gradient
        if np.abs(step).max() < 1e-10:
            break
        size = 1.0
        while (after := _log_likelihood(points, strength + size * step)) < value and size > 1e-9:
            size /= 2
        if after < value:
            break  # converged up to rounding: no step improves the likelihood
        strength, value = strength + size * step, after
    return strength - strength.mean()


def on_elo_scale(fitted: Fit, anchor: tuple[int, float] | None = None) -> list[Rating]:
    """Return the rating of each player with its 95 % interval (normal approximation).

    Args:
        fitted: from `fit`.
        anchor: a player's number and its fixed rating, which gets no error; None fixes the mean of
            all ratings at 1500.
    """
    n = len(fitted.strength)
    origin = np.full(n, 1 / n) if anchor is None else np.eye(n)[anchor[0]]
    contrast = np.eye(n) - origin
    elo = ELO * contrast @ fitted.strength + (CENTRE if anchor is None else anchor[1])
    stderr = ELO * np.sqrt(np.maximum(0, np.diag(contrast @ fitted.covariance @ contrast.T)))
    return [
        Rating(float(x), float(s), (float(x - Z95 * s), float(x + Z95 * s)))
        for x, s in zip(elo, stderr, strict=True)
    ]
