"""Ratings: known strengths are recovered, intervals cover them, and extreme results are fitted."""

import itertools

import numpy as np
import pytest

from zebjax.evaluation import ratings
from zebjax.evaluation.ratings import Meeting

STRENGTH = np.array([-0.9, -0.2, 0.3, 0.8])


def simulate(rng, n_deals, luck="shared"):
    """Round robin of `STRENGTH`: pairs of games with opposite luck, which other pairs of players
    share."""
    shared = rng.random(n_deals)
    meetings = []
    for i, j in itertools.combinations(range(4), 2):
        own = shared if luck == "shared" else rng.random(n_deals)
        p = ratings.expected(STRENGTH[i] - STRENGTH[j])
        n = n_deals if j < 3 else n_deals // 2
        meetings.append(Meeting(i, j, (((own < p) * 1.0 + (1 - own < p)) / 2)[:n]))
    return meetings


@pytest.mark.parametrize("luck", ["shared", "own"])
def test_known_strengths_are_recovered_and_intervals_cover(luck):
    rng = np.random.default_rng(0)
    fits = [ratings.fit(4, simulate(rng, 400, luck)) for _ in range(500)]
    strengths = np.array([fitted.strength for fitted in fits])
    np.testing.assert_allclose(strengths.mean(0), STRENGTH - STRENGTH.mean(), atol=0.02)
    for anchor in (None, (1, 1600.0)):
        truth = (
            ratings.ELO * (STRENGTH - STRENGTH[1]) + 1600
            if anchor
            else 1500 + ratings.ELO * STRENGTH
        )
        rated = [ratings.on_elo_scale(fitted, anchor) for fitted in fits]
        for player in range(4):
            mine = [row[player] for row in rated]
            if anchor and player == 1:
                assert set(mine) == {ratings.Rating(1600.0, 0.0, (1600.0, 1600.0))}
                continue
            told = np.mean([row.stderr for row in mine])
            assert 0.9 < np.std([row.elo for row in mine]) / told < 1.1
            covered = np.mean([row.ci95[0] < truth[player] < row.ci95[1] for row in mine])
            assert 0.92 < covered < 0.98
    # Counting games as if they were independent would say something else.
    fitted = ratings.fit(4, simulate(rng, 20_000, luck))
    p = ratings.expected(STRENGTH[:, None] - STRENGTH[None])
    counts = 2 * 20_000 * (1 - np.eye(4))
    counts[3], counts[:, 3] = counts[3] / 2, counts[:, 3] / 2
    weight = counts * p * (1 - p)
    by_game = np.linalg.pinv(np.diag(weight.sum(1)) - weight)
    assert np.abs(np.sqrt(np.diag(fitted.covariance) / np.diag(by_game)) - 1).min() > 0.1


def test_two_players_by_hand():
    """The fitted odds are the odds of the score, and the delta method gives the standard error."""
    scores = np.array([1, 1, 0.5, 0.75, 0.25, 1])
    fitted = ratings.fit(2, [Meeting(1, 0, scores)])
    p, error = scores.mean(), scores.std(ddof=1) / np.sqrt(6)
    weak, strong = ratings.on_elo_scale(fitted, (0, 1000))
    assert weak.elo == 1000 and not fitted.has_prior
    assert strong.elo == pytest.approx(1000 + 400 * np.log10(p / (1 - p)))
    assert strong.stderr == pytest.approx(ratings.ELO * error / (p * (1 - p)))
    assert strong.ci95 == pytest.approx(
        (strong.elo - 1.959964 * strong.stderr, strong.elo + 1.959964 * strong.stderr)
    )
    assert sum(row.elo for row in ratings.on_elo_scale(fitted)) == pytest.approx(3000)


def test_a_player_that_wins_everything_is_held_finite_and_said_so():
    even = np.array([0, 1, 0.5] * 100)
    fitted = ratings.fit(
        3, [Meeting(0, 1, even), Meeting(0, 2, np.zeros(300)), Meeting(1, 2, np.zeros(300))]
    )
    assert fitted.has_prior
    _, other, best = ratings.on_elo_scale(fitted, (0, 1000))
    assert (
        abs(other.elo - 1000) < 1e-6 and 2000 < best.elo < 2300
    )  # 300 wins and half a tie: odds of 601
    assert 150 < best.stderr < 400 and other.stderr < 30
    # Nobody beats anybody by all points, yet two groups may be apart all the same.
    apart = [Meeting(0, 1, even), Meeting(2, 3, even), Meeting(1, 2, np.zeros(300))]
    assert ratings.fit(4, apart).has_prior
    assert np.isfinite(ratings.fit(2, [Meeting(0, 1, np.ones(1))]).covariance).all()


def test_the_original_gap_in_its_own_units():
    """Elo at 64 % is 100 points; 10 to 1 is 400."""
    assert ratings.expected(400 / ratings.ELO) == pytest.approx(10 / 11)
    scores = np.repeat([1.0, 0.0], [1000, 100])
    assert ratings.on_elo_scale(ratings.fit(2, [Meeting(0, 1, scores)]), (1, 1600.0))[
        0
    ].elo == pytest.approx(2000)


@pytest.mark.parametrize(
    ("n_players", "meetings", "message"),
    [
        (1, [], "expected 2 players or more"),
        (2, [Meeting(0, 0, np.ones(3))], "expected two of the players 0 to 1, got 0 and 0"),
        (2, [Meeting(0, 1, np.array([2.0]))], "expected scores from 0 to 1"),
        (3, [Meeting(0, 1, np.array([0.5]))], "some players never met the others"),
    ],
)
def test_impossible_meetings(n_players, meetings, message):
    with pytest.raises(ValueError, match=message):
        ratings.fit(n_players, meetings)
