"""Errors that fall with powers of a network's size and of what it has read: a fit of both."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.optimize

Numbers = Sequence[float] | np.ndarray
POWERS = np.linspace(0.05, 1.5, 59)
"""Values of alpha and of beta that `fit` tries."""


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
        ValueError: for fewer than three different sizes or numbers of examples, or for fewer than
            six points: the law has five numbers.

    >>> sizes, read = [1e4, 1e4, 1e5, 1e5, 1e6, 1e6], [1e5, 1e6, 1e5, 1e6, 1e5, 4e6]
    >>> law = fit(sizes, read, Law(0.02, 2.0, 0.5, 30.0, 0.6).at(sizes, read))
    >>> print(f"{law.floor:.3f} + {law.a:.1f} N^-{law.alpha:.2f} + {law.b:.0f} D^-{law.beta:.2f}")
    0.020 + 2.0 N^-0.50 + 30 D^-0.60
    """
    n, d, wanted = (np.asarray(values, float) for values in (parameters, examples, errors))
    for values, name in ((n, "sizes"), (d, "numbers of examples")):
        if len(np.unique(values)) < 3:
            raise ValueError(f"a law needs three different {name} or more")
    if len(wanted) < 6:
        raise ValueError(f"a law needs six points or more, got {len(wanted)}")
    # Relative to the largest, so that all columns are of order 1.
    by_size, by_read = ((x / x.max()) ** -POWERS[:, None] for x in (n, d))
    best, least = None, math.inf
    for i, j in itertools.product(range(len(POWERS)), repeat=2):
        terms = np.stack([np.ones_like(n), by_size[i], by_read[j]], 1)
        (floor, a, b), rest = scipy.optimize.nnls(terms, wanted)
        if rest < least:
            alpha, beta = float(POWERS[i]), float(POWERS[j])
            best = Law(float(floor), a * n.max() ** alpha, alpha, b * d.max() ** beta, beta)
            least = rest
    assert best is not None
    return best


def without_one(
    parameters: Numbers, examples: Numbers, errors: Numbers, asked: tuple[float, float]
) -> tuple[float, float]:
    """Return the lowest and the highest error that laws predict, each fitted without one point.

    A point without which there are too few for a law stays.

    Args:
        parameters: as for `fit`.
        examples: as for `fit`.
        errors: as for `fit`.
        asked: parameters and examples for which they predict.

    Raises:
        ValueError: if none can be fitted.
    """
    found = []
    for left_out in range(len(errors)):
        kept = (np.delete(values, left_out) for values in (parameters, examples, errors))
        try:
            found.append(float(fit(*kept).at(*asked)))
        except ValueError:
            continue
    if not found:
        raise ValueError("no law can be fitted without one of so few points")
    return min(found), max(found)
