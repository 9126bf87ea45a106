"""Errors that fall with powers of a network's size and of what it has read: a fit of both."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from zebjax.evaluation.power_law import Rates

Numbers = Sequence[float] | np.ndarray
LOWEST, HIGHEST = 0.05, 1.5
"""Bounds of alpha and beta."""
WIN_POWERS = np.arange(1, 8.01, 0.5)
"""Powers of the error in win rates that `win_power` tries."""
_COARSE = 0.05
_FINER = (0.005, 0.0005)
"""Distances of the powers that `fit` tries: everywhere, then around the best so far."""


class Law(NamedTuple):
    """floor + a * parameters^-alpha + b * examples^-beta.

    Source: Hoffmann et al., "Training compute-optimal large language models" (2022), equation 2,
    there for the log-loss of text.
    """

    floor: float
    a: float
    alpha: float
    b: float
    beta: float

    def at(self, parameters: float | np.ndarray, examples: float | np.ndarray) -> np.ndarray:
        """Return errors for numbers of parameters and of examples, float64, broadcast."""
        n, d = np.asarray(parameters, float), np.asarray(examples, float)
        return np.asarray(self.floor + self.a * n**-self.alpha + self.b * d**-self.beta)


def fit(parameters: Numbers, examples: Numbers, errors: Numbers) -> Law:
    """Fit a law by least squares; `floor`, `a` and `b` are at least 0.

    Args:
        parameters: of each network, above 0.
        examples: as many, what each has read, above 0.
        errors: as many, above 0.

    Raises:
        ValueError: for fewer than three different sizes or numbers of examples, for fewer than six
            points, as the law has five numbers, or for errors that are not above 0.

    >>> sizes, read = [1e4, 1e4, 1e5, 1e5, 1e6, 1e6], [1e5, 1e6, 1e5, 1e6, 1e5, 4e6]
    >>> law = fit(sizes, read, Law(0.02, 2.0, 0.5, 30.0, 0.6).at(sizes, read))
    >>> print(f"{law.floor:.3f} + {law.a:.1f} N^-{law.alpha:.2f} + {law.b:.0f} D^-{law.beta:.2f}")
    0.020 + 2.0 N^-0.50 + 30 D^-0.60
    """
    check_enough(parameters, examples)
    n, d, wanted = (np.asarray(values, float) for values in (parameters, examples, errors))
    if not (np.isfinite(wanted).all() and (wanted > 0).all()):
        raise ValueError(f"a law needs errors above 0, got {wanted.tolist()}")
    tried = np.arange(LOWEST, HIGHEST + _COARSE / 2, _COARSE)
    powers, factors = _best(n, d, wanted, tried, tried)
    for step in _FINER:
        around = [np.arange(power - 10 * step, power + 10.5 * step, step) for power in powers]
        powers, factors = _best(n, d, wanted, *np.clip(around, LOWEST, HIGHEST))
    (alpha, beta), (floor, a, b) = powers, factors
    return Law(floor, float(a * n.max() ** alpha), alpha, float(b * d.max() ** beta), beta)


def check_enough(parameters: Numbers, examples: Numbers) -> None:
    """Raise ValueError if `fit` needs more points than these, or more different ones."""
    for values, name in ((parameters, "sizes"), (examples, "numbers of examples")):
        if len(np.unique(values)) < 3:
            raise ValueError(f"a law needs three different {name} or more")
    if len(examples) < 6:
        raise ValueError(f"a law needs six points or more, got {len(examples)}")


def _best(
    n: np.ndarray, d: np.ndarray, wanted: np.ndarray, alphas: np.ndarray, betas: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float, float]]:
    """Return the best of these powers, and floor, a and b for n and d relative to their largest."""
    best, least = None, math.inf
    by_size, by_read = (n / n.max()) ** -alphas[:, None], (d / d.max()) ** -betas[:, None]
    for i, j in itertools.product(range(len(alphas)), range(len(betas))):
        terms = np.stack([np.ones_like(n), by_size[i], by_read[j]], 1)
        (floor, a, b), rest = scipy.optimize.nnls(terms, wanted)
        if rest < least:
            powers = float(alphas[i]), float(betas[j])
            best, least = (powers, (float(floor), float(a), float(b))), rest
    assert best is not None
    return best


def without_one(parameters: Numbers, examples: Numbers, errors: Numbers) -> list[Law]:
    """Return the laws that are each fitted without one point.

    There is none for a point without which too few are left for a law.
    """
    laws = []
    for left_out in range(len(errors)):
        kept = [np.delete(values, left_out) for values in (parameters, examples, errors)]
        try:
            laws.append(fit(*kept))
        except ValueError:
            continue
    return laws


def win_power(errors: np.ndarray, rates: np.ndarray) -> float:
    """Return p, of `WIN_POWERS`, for which win rates are closest to top + c * errors^p.

    Above 1, wins change less at small errors: a network that is close to its teacher gains little.

    Args:
        errors: float64 `[rows]`, above 0.
        rates: as many win rates.
    """

    def square(power: float) -> float:
        line = Rates(errors, rates[:, None], -power)
        return float(np.square(line.at(errors) - rates).sum())

    return float(min(WIN_POWERS, key=square))


def summary(
    points: tuple[np.ndarray, np.ndarray, np.ndarray], scores: np.ndarray, times: int
) -> dict[str, Any]:
    """Return a fitted law, win rates and what they predict, as plain data for JSON.

    Args:
        points: parameters, examples and errors, float64 `[rows]` each, as for `fit`.
        scores: float64 `[rows, deals]`, as for `Rates`.
        times: how many times the largest number of examples it predicts for, besides once.

    Raises:
        ValueError: as `fit`.
    """
    sizes, read, errors = points
    law, others, won = fit(*points), without_one(*points), scores.mean(1)
    power = win_power(errors, won)
    rates, predicted = Rates(errors, scores, -power), []
    without = []
    for i in range(len(errors)):
        rest, kept = np.delete(errors, i), np.delete(scores, i, 0)
        without.append(Rates(rest, kept, -win_power(rest, kept.mean(1))))
    for size, factor in itertools.product(np.unique(sizes), (1, times)):
        asked = float(size), float(factor * read.max())
        error = float(law.at(*asked))
        rate, *ends = np.clip(rates.interval_at(error), 0, 1)
        found = [float(other.at(*asked)) for other in others]
        wins = np.clip([float(one.at(error)) for one in without], 0, 1)
        predicted.append(
            {
                "parameters": int(asked[0]),
                "examples": int(asked[1]),
                "value_error": round(error, 6),
                "value_error_without_one": found and [round(min(found), 6), round(max(found), 6)],
                "win_rate": round(float(rate), 4),
                "win_rate_ci95": [round(float(end), 4) for end in ends],
                "win_rate_without_one": [round(float(end), 4) for end in (wins.min(), wins.max())],
            }
        )
    return {
        "formula": "value_error = floor + a * parameters^-alpha + b * examples^-beta",
        **law._asdict(),
        "powers_from_to": [LOWEST, HIGHEST],
        "rms_residual": float(np.sqrt(np.square(law.at(sizes, read) - errors).mean())),
        "points": len(errors),
        "points_left_out_in_turn": len(others),
        "wins": "win_rate = top + c * value_error^win_power",
        "win_power": power,
        "rms_residual_of_wins": float(np.sqrt(np.square(rates.at(errors) - won).mean())),
        "predicted": predicted,
    }


def sentences(law: dict[str, Any], against: str) -> Iterator[str]:
    """Yield what a `summary` says, for people."""
    bounds = low, high = law["powers_from_to"]
    at_end = [
        name
        for name in ("alpha", "beta")
        if any(math.isclose(law[name], end, abs_tol=_FINER[-1] / 2) for end in bounds)
    ]
    yield (
        f"value_error = {law['floor']:.5f} + {law['a']:.4g} * parameters^-{law['alpha']:.3f} + "
        f"{law['b']:.4g} * examples^-{law['beta']:.3f} (residual {law['rms_residual']:.5f})"
        + "".join(f"; {name} is at the end of {low:g} to {high:g}" for name in at_end)
    )
    first, last = WIN_POWERS[[0, -1]]
    is_end = law["win_power"] in (first, last)
    yield (
        f"wins change with the power {law['win_power']:g} of the error (residual "
        f"{100 * law['rms_residual_of_wins']:.1f} %)"
        + (f"; that is at the end of {first:g} to {last:g}" if is_end else "")
    )
    for each in law["predicted"]:
        ends, wins = each["value_error_without_one"], each["win_rate_without_one"]
        between = f" ({ends[0]:.5f} to {ends[1]:.5f})" if ends else ""
        yield (
            f"predicted for {each['parameters']:,} parameters and {each['examples']:,} examples: "
            f"value_error {each['value_error']:.5f}{between}, wins against {against} "
            f"{100 * each['win_rate']:.1f} % ({100 * wins[0]:.1f} to {100 * wins[1]:.1f})"
        )
