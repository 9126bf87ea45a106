"""Errors and win rates that change with a power of the number of games: fits and extrapolations."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from zebjax.evaluation.intervals import Z95
from zebjax.evaluation.matches import mean_and_stderr

POWERS = np.linspace(0.02, 2, 991)
"""Values of b that `fit` tries."""


class Curve(NamedTuple):
    """floor + a * games^-b."""

    floor: float
    a: float
    b: float

    def at(self, games: float | np.ndarray) -> np.ndarray:
        """Return its value for numbers of games, float64 of the same shape."""
        return np.asarray(self.floor + self.a * np.asarray(games, float) ** -self.b)


def fit(games: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray) -> Curve | None:
    """Fit a curve to errors by least squares; `floor` is at least 0, `a` above 0.

    Args:
        games: numbers of games, above 0.
        errors: as many, above 0.

    Returns:
        The curve; None for fewer than three different numbers, and if no such curve falls.

    >>> curve = fit([1000, 4000, 16_000, 64_000], [0.26, 0.23, 0.215, 0.2075])
    >>> print(f"{curve.floor:.3f} + {curve.a:.2f} * games^-{curve.b:.2f}")
    0.200 + 1.90 * games^-0.50
    """
    n, wanted = np.asarray(games, float), np.asarray(errors, float)
    if len(np.unique(n)) < 3:
        return None
    best, least = None, math.inf
    for b in POWERS:
        x = (n / n.max()) ** -b
        (floor, a), *_ = np.linalg.lstsq(np.stack([np.ones_like(x), x], 1), wanted)
        if floor < 0:
            floor, a = 0.0, x @ wanted / (x @ x)
        square = float(((floor + a * x - wanted) ** 2).sum())
        # Of equal errors rounding makes an `a` that is not quite 0.
        if a > 1e-9 * wanted.max() and square < least:
            best, least = Curve(float(floor), float(a * n.max() ** b), float(b)), square
    return best


def without_one(
    games: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray, asked: float
) -> tuple[float, float] | None:
    """Return the lowest and the highest error that curves predict, each fitted without one point.

    Args:
        games: as for `fit`.
        errors: as for `fit`.
        asked: number of games for which they predict.

    Returns:
        None if none of these curves can be fitted, such as with three points.
    """
    curves = [fit(np.delete(games, i), np.delete(errors, i)) for i in range(len(games))]
    ends = [float(curve.at(asked)) for curve in curves if curve is not None]
    return (min(ends), max(ends)) if ends else None


class Rates(NamedTuple):
    """Win rates over games: top + c * games^-b, by least squares with a known b.

    Over errors instead of games, with b = -p, it is top + c * errors^p, scaled to the largest.
    """

    games: np.ndarray
    """float64 `[rows]`."""
    scores: np.ndarray
    """float64 `[rows, deals]`, score of each deal; all rows played the same deals."""
    b: float

    def at(self, games: float | np.ndarray) -> np.ndarray:
        """Return fitted win rates for numbers of games, of the same shape."""
        return np.asarray(self._weights(games) @ self.scores.mean(1))

    def interval_at(self, games: float) -> tuple[float, float, float]:
        """Return a fitted win rate and its 95 % interval; they may be outside 0..1."""
        # A fitted rate is a weighted sum over rows, so it is the mean over deals of that sum. This
        # allows for what the rows have in common: the same deals.
        rate, stderr, _ = mean_and_stderr(self._weights(games) @ self.scores)
        return rate, rate - Z95 * stderr, rate + Z95 * stderr

    def _weights(self, games: float | np.ndarray) -> np.ndarray:
        """Return the weight of each row's rate in the fitted rates, float64 `[..., rows]`."""
        return self._basis(games) @ np.linalg.pinv(self._basis(self.games))

    def _basis(self, games: float | np.ndarray) -> np.ndarray:
        x = (np.asarray(games, float) / self.games.max()) ** -self.b
        return np.stack([np.ones_like(x), x], -1)


def summary(
    games: Sequence[float], errors: Sequence[float], scores: np.ndarray, times: Sequence[int]
) -> dict[str, Any] | None:
    """Return a fitted curve and what it predicts, as plain data for JSON; None without a curve.

    Args:
        games: numbers of games, above 0.
        errors: as many, above 0.
        scores: float64 `[rows, deals]`, as for `Rates`.
        times: multiples of the largest number of games, for predictions.
    """
    curve = fit(games, errors)
    if curve is None:
        return None
    rates, largest, predicted = Rates(np.asarray(games, float), scores, curve.b), max(games), []
    for factor in times:
        rate, *ends = np.clip(rates.interval_at(factor * largest), 0, 1)
        others = without_one(games, errors, factor * largest)
        predicted.append(
            {
                "times": factor,
                "games": factor * largest,
                "value_error": round(float(curve.at(factor * largest)), 6),
                "value_error_without_one": others and [round(end, 6) for end in others],
                "win_rate": round(float(rate), 4),
                "win_rate_ci95": [round(float(end), 4) for end in ends],
            }
        )
    residuals = curve.at(np.asarray(games)) - errors
    return {
        "formula": "value_error = floor + a * games^-b",
        **curve._asdict(),
        "games": list(games),
        "rms_residual": float(np.sqrt((residuals**2).mean())),
        "win_rate_fitted": [round(float(rate), 4) for rate in rates.at(rates.games)],
        "extrapolated": predicted,
    }


def sentences(curve: dict[str, Any] | None) -> Iterator[str]:
    """Yield what a `summary` says, for people."""
    if curve is None:
        yield (
            "no curve: it needs three numbers of games or more, and errors that fall with the games"
        )
        return
    yield (
        f"value_error = {curve['floor']:.5f} + {curve['a']:.4g} * games^-{curve['b']:.3f}, fitted "
        f"to {len(curve['games'])} numbers of games (residual {curve['rms_residual']:.5f})"
    )
    for each in curve["extrapolated"]:
        ends = each["value_error_without_one"]
        between = f" ({ends[0]:.5f} to {ends[1]:.5f})" if ends else ""
        low, high = each["win_rate_ci95"]
        yield (
            f"extrapolated, not measured, to {each['games']:,} games ({each['times']} times): "
            f"value_error {each['value_error']:.5f}{between}, win rate "
            f"{100 * each['win_rate']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        )
