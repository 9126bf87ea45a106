"""The confidence sequence holds at every sample size, for about twice the usual number of deals."""

import numpy as np
import pytest

from zebjax.evaluation.intervals import Z95, confidence_sequence

SCORES = np.array([0, 0.25, 0.5, 0.75, 1])


def simulate(rng, n_runs, n, weights):
    """Pair scores `[n_runs, n]` and their true mean."""
    return rng.choice(SCORES, size=(n_runs, n), p=weights), float(SCORES @ weights)


@pytest.mark.parametrize("weights", [[0.15, 0.05, 0.5, 0.05, 0.25], [0.0, 0.0, 0.02, 0.0, 0.98]])
def test_it_covers_while_one_looks_after_every_deal(weights):
    rng = np.random.default_rng(0)
    runs, truth = simulate(rng, 500, 2_000, weights)
    wrong, wrong_normal = 0, 0
    for values in runs:
        low, high = confidence_sequence(values, 0.03)
        assert (low <= high).all() and low.min() >= 0 and high.max() <= 1
        wrong += bool(((truth < low) | (truth > high)).any())
        count = np.arange(1, 2_001)
        mean = np.cumsum(values) / count
        stderr = np.sqrt((np.cumsum(values**2) / count - mean**2).clip(0) / count)
        wrong_normal += bool((np.abs(mean - truth) > Z95 * stderr)[100:].any())
    assert wrong <= 0.05 * 500
    assert wrong_normal > 0.25 * 500  # what peeking does to an ordinary interval


def test_stopping_at_the_first_chance_is_honest_and_takes_about_twice_the_deals():
    rng = np.random.default_rng(1)
    weights = [0.15, 0.05, 0.5, 0.05, 0.25]
    runs, truth = simulate(rng, 300, 4_000, weights)
    deviation = np.sqrt(SCORES**2 @ weights - truth**2)
    stops, wrong = [], 0
    for values in runs:
        low, high = confidence_sequence(values, 0.03)
        stop = np.argmax(high - low <= 0.06)
        assert stop > 0
        stops.append(stop + 1)
        wrong += not low[stop] <= truth <= high[stop]
    assert wrong <= 0.05 * 300
    assert 1.8 < np.mean(stops) / (Z95 * deviation / 0.03) ** 2 < 2.5


def test_by_hand():
    """Two values, straight from the formula."""
    low, high = confidence_sequence(np.array([1.0, 0.5]), 0.25, error=0.5)
    bets = [
        0.25 / (0.25 + 0.25),
        0.25 / (0.25 + (0.25 + 0.0625) / 2),
    ]  # the mean after one value is 0.75
    centre = (bets[0] + 0.5 * bets[1]) / sum(bets)
    spread = 0.25 * (-np.log(1 - bets[0]) - bets[0]) + 0.0625 * (-np.log(1 - bets[1]) - bets[1])
    radius = (np.log(4) + spread) / sum(bets)
    assert (low[1], high[1]) == (max(0, centre - radius), min(1, centre + radius))
    # Scores that never vary are not taken for certainty.
    low, high = confidence_sequence(np.ones(50), 0.01)
    assert low[-1] < 0.95 and high[-1] == 1


def test_impossible_arguments():
    with pytest.raises(ValueError, match="half_width: expected"):
        confidence_sequence(np.ones(3), 0.5)
    with pytest.raises(ValueError, match="error: expected"):
        confidence_sequence(np.ones(3), 0.1, error=0)
    with pytest.raises(ValueError, match="values: expected"):
        confidence_sequence(np.array([0.5, 1.5]), 0.1)
