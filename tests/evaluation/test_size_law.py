"""Laws over size and reading: known ones are recovered, factors are not negative."""

import numpy as np
import pytest

from zebjax.evaluation import size_law
from zebjax.evaluation.size_law import Law

SIZES = np.repeat([85_000, 585_000, 3_348_000], 4)
READ = np.tile([128_000, 256_000, 512_000, 1_024_000], 3)


@pytest.mark.parametrize(
    "known",
    [
        Law(0.02, 2.0, 0.5, 30.0, 0.6),
        Law(0.0, 1.0, 0.1125, 5.0, 0.3375),
        Law(0.02, 2.0, 0.3625, 3.0, 0.2875),
        Law(0.1, 0.0, 0.05, 9, 0.5),
    ],
)
def test_known_laws_are_recovered(known):
    found = size_law.fit(SIZES, READ, known.at(SIZES, READ))
    elsewhere = np.array([1e5, 1e7]), np.array([1e6, 1e8])
    assert found.at(*elsewhere) == pytest.approx(known.at(*elsewhere), rel=2e-4)
    assert found.b == pytest.approx(known.b, rel=0.05)
    assert found.beta == pytest.approx(known.beta, abs=0.005)
    if known.a:
        assert (found.alpha, found.a) == pytest.approx((known.alpha, known.a), rel=0.05)
    else:
        assert found.a * SIZES.min() ** -found.alpha < 1e-6


def test_no_factor_is_negative_though_larger_networks_are_worse():
    found = size_law.fit(SIZES, READ, 0.02 + 30 * READ**-0.6 + 1e-9 * SIZES)
    assert found.a == 0 and found.floor == pytest.approx(0.0213, abs=2e-4)
    assert found.b * 1e6**-found.beta == pytest.approx(30 * 1e6**-0.6, rel=0.02)


def test_noise_changes_little_and_the_range_contains_the_law():
    known, rng = Law(0.02, 2.0, 0.5, 30.0, 0.6), np.random.default_rng(0)
    errors = known.at(SIZES, READ) * (1 + rng.normal(0, 0.002, len(SIZES)))
    asked = (3_348_000.0, 10_240_000.0)
    found = [law.at(*asked) for law in size_law.without_one(SIZES, READ, errors)]
    assert len(found) == len(SIZES)
    assert min(found) <= size_law.fit(SIZES, READ, errors).at(*asked) <= max(found)
    assert max(found) - min(found) < 0.003


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


@pytest.mark.parametrize("bad", [0.0, -0.1, np.nan, np.inf])
def test_errors_that_are_none_are_refused(bad):
    errors = 0.02 + 30 * READ**-0.6
    errors[3] = bad
    with pytest.raises(ValueError, match="errors above 0"):
        size_law.fit(SIZES, READ, errors)


def test_a_point_that_a_law_needs_stays():
    assert size_law.without_one(SIZES[:6], READ[:6], np.ones(6)) == []
    some = np.array([0, 4, 5, 6, 7, 8, 9, 10, 11])  # one of the smallest
    assert len(size_law.without_one(SIZES[some], READ[some], 1 / READ[some])) == 8


def test_wins_that_change_less_at_small_errors_have_a_power_above_1():
    errors = np.array([0.028, 0.022, 0.02, 0.018, 0.016])
    for power in (1.0, 2.5, 8.0):
        assert size_law.win_power(errors, 0.55 - 0.2 * (errors / 0.028) ** power) == power


def test_a_summary_says_what_is_predicted_and_how_far_the_points_decide():
    law = Law(0.02, 2.0, 0.5, 30.0, 0.6)
    errors = law.at(SIZES, READ)
    luck = np.random.default_rng(0).normal(0, 0.1, 400)
    scores = 0.9 - 20 * errors[:, None] ** 2 + (luck - luck.mean())
    found = size_law.summary((SIZES, READ, errors), scores, 10)
    assert found["win_power"] == 2
    assert max(found["rms_residual"], found["rms_residual_of_wins"]) < 1e-6
    assert (found["points"], found["points_left_out_in_turn"]) == (12, 12)
    last = found["predicted"][-1]
    asked = last["parameters"], last["examples"]
    assert asked == (3_348_000, 10_240_000)
    assert last["value_error"] == pytest.approx(float(law.at(*asked)), abs=1e-5)
    assert last["win_rate"] == pytest.approx(0.9 - 20 * float(law.at(*asked)) ** 2, abs=1e-4)
    # The deals are the same for all rows, so their luck does not average out.
    low, high = last["win_rate_ci95"]
    assert high - low == pytest.approx(2 * 1.96 * luck.std() / 20, rel=0.05)
    first, second, *others = size_law.sentences(found, "random")
    assert first.startswith("value_error = 0.02000 + 2 * parameters^-0.500 + 30 * examples^-0.600")
    assert second.startswith("wins change with the power 2 of the error")
    assert len(others) == 6 and "wins against random" in others[0]


def test_a_power_at_the_end_of_what_is_tried_is_said():
    errors = 0.02 + 1e-9 * READ**-0.5 + (SIZES < 1e5) * 0.01
    found = size_law.summary((SIZES, READ, errors), 0.9 - errors[:, None] + np.zeros(4), 10)
    first, second, *_ = size_law.sentences(found, "random")
    assert "alpha is at the end of 0.05 to 1.5" in first
    assert second.endswith("that is at the end of 1 to 8")
