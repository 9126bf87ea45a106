"""Laws over size and reading: known ones are recovered, factors are not negative."""

import numpy as np
import pytest

from zebjax.evaluation import size_law
from zebjax.evaluation.size_law import Law

SIZES = np.repeat([85_000, 585_000, 3_348_000], 4)
READ = np.tile([128_000, 256_000, 512_000, 1_024_000], 3)


@pytest.mark.parametrize(
    "known",
    [Law(0.02, 2.0, 0.5, 30.0, 0.6), Law(0.0, 1.0, 0.1, 5.0, 0.35), Law(0.1, 0.0, 0.05, 9, 0.5)],
)
def test_known_laws_are_recovered(known):
    found = size_law.fit(SIZES, READ, known.at(SIZES, READ))
    elsewhere = np.array([1e5, 1e7]), np.array([1e6, 1e8])
    assert found.at(*elsewhere) == pytest.approx(known.at(*elsewhere), rel=1e-3)
    assert found.b == pytest.approx(known.b, rel=0.05)
    assert found.beta == pytest.approx(known.beta, abs=0.005)
    if known.a:
        assert (found.alpha, found.a) == pytest.approx((known.alpha, known.a), rel=0.05)
    else:
        assert found.a * SIZES.min() ** -found.alpha < 1e-6


def test_no_factor_is_negative_though_larger_networks_are_worse():
    errors = 0.02 + 30 * READ**-0.6 + 1e-9 * SIZES
    found = size_law.fit(SIZES, READ, errors)
    assert min(found.floor, found.a, found.b) >= 0
    assert found.at(1e8, 1e6) <= found.at(1e5, 1e6)


def test_noise_changes_little_and_the_range_contains_the_law():
    known, rng = Law(0.02, 2.0, 0.5, 30.0, 0.6), np.random.default_rng(0)
    errors = known.at(SIZES, READ) * (1 + rng.normal(0, 0.002, len(SIZES)))
    asked = (3_348_000.0, 10_240_000.0)
    low, high = size_law.without_one(SIZES, READ, errors, asked)
    assert low <= size_law.fit(SIZES, READ, errors).at(*asked) <= high < low + 0.003


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (np.flatnonzero(SIZES < 1e6), "three different sizes"),
        (np.flatnonzero(READ < 500_000), "three different numbers of examples"),
        (np.array([0, 1, 5, 6, 11]), "six points or more, got 5"),
    ],
)
def test_too_few_points_are_refused(points, said):
    with pytest.raises(ValueError, match=said):
        size_law.fit(SIZES[points], READ[points], np.ones(len(points)))


def test_without_one_of_six_points_there_is_no_law():
    few = np.array([0, 1, 5, 6, 10, 11])
    with pytest.raises(ValueError, match="without one"):
        size_law.without_one(SIZES[few], READ[few], np.ones(6), (1e5, 1e6))
