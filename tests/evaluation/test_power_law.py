"""Power laws: known parameters are recovered, and intervals contain the truth."""

import numpy as np
import pytest

from zebjax.evaluation import power_law
from zebjax.evaluation.power_law import Curve, Rates

GAMES = (12_000, 25_000, 50_000, 100_000, 200_000)


@pytest.mark.parametrize("known", [Curve(0.15, 3.0, 0.37), Curve(0.0, 1.0, 0.1), Curve(2, 900, 1)])
def test_known_parameters_are_recovered(known):
    found = power_law.fit(GAMES, known.at(np.array(GAMES)))
    assert found == pytest.approx(known, rel=1e-6, abs=1e-9)


def test_the_order_of_points_does_not_matter_and_noise_changes_little():
    known, rng = Curve(0.15, 3.0, 0.4), np.random.default_rng(0)
    errors = known.at(np.array(GAMES)) + rng.normal(0, 1e-4, len(GAMES))
    found = power_law.fit(GAMES, errors)
    assert found == pytest.approx(power_law.fit(GAMES[::-1], errors[::-1]))
    assert found.at(2e6) == pytest.approx(known.at(2e6), abs=0.002)
    low, high = power_law.without_one(GAMES, errors, 2e6)
    assert low < found.at(2e6) < high < low + 0.01


@pytest.mark.parametrize(
    ("games", "errors"),
    [
        ((10, 20), (0.3, 0.2)),
        ((10, 10, 20), (0.3, 0.3, 0.2)),
        ((10, 20, 40), (0.2, 0.3, 0.4)),
        ((10, 20, 40), (0.2, 0.2, 0.2)),
    ],
)
def test_there_is_no_curve_of_few_points_or_of_errors_that_do_not_fall(games, errors):
    assert power_law.fit(games, errors) is None
    scores = np.full((len(games), 4), 0.5)
    assert power_law.summary(games, errors, scores, (2,)) is None
    (said,) = power_law.sentences(None)
    assert said.startswith("no curve: it needs three numbers of games")


def test_three_points_say_nothing_of_what_one_of_them_does():
    assert power_law.without_one((10, 20, 40), (0.4, 0.3, 0.2), 80) is None


def test_intervals_of_win_rates_contain_the_truth_in_95_of_100_matches():
    """The rows have the luck of the same deals in common."""
    rng, games, b = np.random.default_rng(0), np.array(GAMES, float), 0.4
    true = Curve(0.55, -5.0, b)
    for asked in (50_000, 2_000_000):
        hits = 0
        for _ in range(400):
            luck = rng.normal(0, 0.2, 200) + rng.normal(0, 0.2, (len(games), 200))
            rates = Rates(games, true.at(games)[:, None] + luck, b)
            rate, low, high = rates.interval_at(asked)
            assert low < rate < high and rate == pytest.approx(float(rates.at(asked)))
            hits += low < true.at(asked) < high
        assert 0.92 < hits / 400 < 0.98


def test_predictions_are_named_extrapolated():
    known = Curve(0.15, 3.0, 0.4)
    scores = np.linspace(0.4, 0.5, 5)[:, None] + np.array([0.1, -0.1])
    found = power_law.summary(GAMES, list(known.at(np.array(GAMES))), scores, (2, 10))
    assert [each["games"] for each in found["extrapolated"]] == [400_000, 2_000_000]
    assert found["b"] == pytest.approx(0.4) and found["rms_residual"] < 1e-9
    curve, twice, tenfold = power_law.sentences(found)
    assert curve.startswith("value_error = 0.15000 + 3 * games^-0.400, fitted to 5 numbers")
    assert twice.startswith("extrapolated, not measured, to 400,000 games (2 times): ")
    assert f"value_error {known.at(2e6):.5f} (0." in tenfold and "win rate 5" in tenfold
