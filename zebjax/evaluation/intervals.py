"""Confidence intervals for means: over clusters, and for experiments that may stop early.

An ordinary 95 % interval is valid at one sample size that was fixed before. If it is computed after
every batch and the experiment stops at a good result, it misses the true mean far more often than
5 % of the time. A confidence sequence covers the mean at all sample sizes at once.
"""

import math

import numpy as np

Z95 = 1.959964
"""Half-width of a 95 % interval of the normal distribution, in standard errors."""
MAX_BET = 0.75
"""Upper bound of the bets: at a bet of 1 the term log(1 - bet) of the radius is infinite."""


def confidence_sequence(
    values: np.ndarray, half_width: float, error: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Compute a confidence sequence for a mean: an interval after each value.

    It is tuned to reach `half_width` as early as possible. Method: the predictable plug-in
    empirical-Bernstein confidence sequence of Waudby-Smith and Ramdas, "Estimating means of bounded
    random variables by betting" (JRSS-B 2024, theorem 2). The asymptotic sequences of Waudby-Smith
    et al., "Time-uniform central limit theory and asymptotic confidence sequences" (2021), are
    about as wide, but hold only from some sample size on. With bets b_i, which depend on earlier
    values only, and running means m_i,

        sum b_i x_i / sum b_i  +-  (log(2 / error) + sum (x_i - m_{i-1})^2 (-log(1 - b_i) - b_i)) /
        sum b_i

    covers the mean at all sample sizes at once with probability 1 - error or more, for any
    distribution on [0, 1]. The bet w / (w + variance so far) reaches the half-width w earliest. It
    takes about twice as many values as an interval with a fixed sample size.

    Args:
        values: `[n]` in [0, 1], independent and with the same mean, in the order of observation.
        half_width: the half-width to reach, in (0, 1/2).
        error: probability that the interval ever misses the mean, in (0, 1).

    Returns:
        Lower and upper ends after each value, `[n]` each, within [0, 1].

    Raises:
        ValueError: if an argument is out of range.
    """
    values = np.asarray(values, float)
    if not 0 < half_width < 0.5:
        raise ValueError(f"half_width: expected a number between 0 and 0.5, got {half_width}")
    if not 0 < error < 1:
        raise ValueError(f"error: expected a number between 0 and 1, got {error}")
    if values.ndim != 1 or ((values < 0) | (values > 1)).any():
        raise ValueError("values: expected one row of numbers from 0 to 1")
    count = np.arange(1, len(values) + 1)
    # Mean and variance start from one pseudo-observation of mean 1/2 and variance 1/4.
    mean = (0.5 + np.cumsum(values)) / (count + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (count + 1)
    mean_before = np.concatenate([[0.5], mean])[:-1]
    variance_before = np.concatenate([[0.25], variance])[:-1]
    bets = np.minimum(half_width / (half_width + variance_before), MAX_BET)
    bet = np.cumsum(bets)
    centre = np.cumsum(bets * values) / bet
    radius = (
        math.log(2 / error) + np.cumsum((values - mean_before) ** 2 * (-np.log1p(-bets) - bets))
    ) / bet
    return np.maximum(centre - radius, 0), np.minimum(centre + radius, 1)


def clustered_mean(
    values: np.ndarray, cluster: np.ndarray
) -> tuple[float, tuple[float, float] | None]:
    """Compute the mean of values in clusters, and its interval.

    Values of one cluster depend on each other, as the decisions of one deal do. The interval is
    that of a ratio of sums over clusters (Cochran 1977, "Sampling Techniques", 6.3): with s the sum
    of the c values of a cluster, and r = sum s / sum c, the variance of r over D clusters is
    D / (D - 1) * sum (s - r c)^2 / (sum c)^2. With fewer than about 30 clusters it is too narrow.

    Args:
        values: `[n]`, n at least 1.
        cluster: `[n]`, the number of each value's cluster.

    Returns:
        The mean, and its 95 % interval (None with fewer than 2 clusters).
    """
    _, place = np.unique(cluster, return_inverse=True)
    counts = np.bincount(place)
    mean = float(np.sum(values) / counts.sum())
    n = len(counts)
    if n < 2:
        return mean, None
    residuals = np.bincount(place, weights=values) - mean * counts
    half = Z95 * math.sqrt(n / (n - 1) * (residuals**2).sum()) / float(counts.sum())
    return mean, (mean - half, mean + half)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the p-value of McNemar's exact test.

    In pairs of yes-or-no results only the pairs that differ tell A from B. If A and B are equal,
    the number of pairs in which only A has a yes is binomial with probability 1/2 (McNemar 1947,
    "Note on the sampling error of the difference between correlated proportions"; the exact form is
    the two-sided sign test).

    Args:
        only_a: number of pairs in which A has a yes and B a no.
        only_b: number of pairs in which B has a yes and A a no.

    Returns:
        The probability of a difference at least this large between equal players; 1 without pairs
        that differ.

    Raises:
        ValueError: if a number is negative.

    >>> mcnemar(only_a=1, only_b=5)
    0.21875
    """
    if min(only_a, only_b) < 0:
        raise ValueError(f"pairs: expected 0 or more, got {only_a} and {only_b}")
    n, fewer = only_a + only_b, min(only_a, only_b)
    # Logarithms, because 2^n overflows a float from n = 1024 on.
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(fewer + 1)
    ]
    return min(1.0, round(2 * math.fsum(map(math.exp, logs)), 12))


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a probability from independent yes-or-no results.

    It is the score interval (Wilson 1927, "Probable inference, the law of succession, and
    statistical inference"), which stays within [0, 1] and holds for few results, too.

    Args:
        successes: number of yes.
        n: number of results, 1 or more.

    >>> low, high = wilson(0, 10)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.278)
    """
    rate, spread = successes / n, Z95**2 / n
    centre = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(rate * (1 - rate) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
