"""Staleness and mixing of the eval-aux stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebjax.training import eval_aux
from zebjax.training.config import EvalAuxConfig

CONFIG = EvalAuxConfig(max_model_lag=100, lag_half_life=10, min_keep_weight=0.1)


@pytest.mark.parametrize(
    ("lag", "weight"), [(0, 1), (5, 0.5**0.5), (10, 0.5), (34, 0.1), (100, 0.1), (101, 0)]
)
def test_the_probability_of_keeping_halves_with_the_lag(lag, weight):
    assert eval_aux.keep_weight(CONFIG, lag) == pytest.approx(weight)


def test_a_negative_limit_and_no_half_life_keep_everything():
    config = EvalAuxConfig(max_model_lag=-1, lag_half_life=0)
    assert eval_aux.keep_weight(config, 10**6) == 1


def test_the_name_and_the_seed_decide_which_games_are_kept(games):
    one = eval_aux.sift(CONFIG, games, 10, seed=1, name="a")
    again = eval_aux.sift(CONFIG, games, 10, seed=1, name="a")
    others = [eval_aux.sift(CONFIG, games, 10, seed, name) for seed, name in ((2, "a"), (1, "b"))]
    assert one.seen == 24 and one.lag == 10 and one.weight == 0.5
    assert 0 < one.kept < one.seen
    np.testing.assert_array_equal(one.records.hands, again.records.hands)
    for other in others:
        assert not np.array_equal(one.records.hands, other.records.hands)
    assert eval_aux.sift(CONFIG, games, 101, 1, "a").kept == 0
    assert eval_aux.sift(CONFIG, games, 0, 1, "a").kept == 24


@given(st.integers(1, 300), st.floats(0, 1))
def test_the_share_is_met_and_evenly_spread(n_steps, fraction):
    chosen = eval_aux.mix(n_steps, fraction, True)
    quota = max(0, min(round(n_steps * fraction), n_steps - 1))
    assert chosen.shape == (n_steps,) and chosen.sum() == quota
    if 0 < quota <= n_steps // 2:
        assert np.diff(np.flatnonzero(chosen)).min(initial=n_steps) >= n_steps // quota


def test_without_games_no_update_takes_them():
    assert not eval_aux.mix(100, 0.5, False).any()


# ---- the numbers of SPEC, "The eval-aux stream"


@pytest.mark.parametrize(
    ("lag", "weight"), [(0, 1), (100, 0.5**0.5), (200, 0.5), (400, 0.25), (401, 0), (10_000, 0)]
)
def test_staleness_is_as_spec_says(lag, weight):
    assert eval_aux.keep_weight(EvalAuxConfig(), lag) == pytest.approx(weight)


def test_staleness_has_its_limits():
    endless = EvalAuxConfig(max_model_lag=-1)
    assert eval_aux.keep_weight(endless, 100_000) == 0.10
    assert eval_aux.keep_weight(EvalAuxConfig(lag_half_life=0), 400) == 1


def test_half_of_the_games_are_kept_at_the_half_life(games):
    kept = [eval_aux.sift(EvalAuxConfig(), games, 200, seed, "a").kept for seed in range(100)]
    assert 10 < np.mean(kept) < 14  # of 24


@pytest.mark.parametrize("n", [1, 2, 7, 20, 1000])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.3, 0.5, 0.9, 1.0])
def test_a_cycle_takes_its_quota(n, fraction):
    turns = eval_aux.mix(n, fraction, True)
    assert turns.sum() == min(round(n * fraction), n - 1)


def test_turns_are_spread_evenly():
    turns = np.flatnonzero(eval_aux.mix(1000, 0.05, True)) + 1
    np.testing.assert_array_equal(turns, np.arange(20, 1001, 20))


def test_a_stream_that_is_alone_has_all_turns():
    assert not eval_aux.mix(10, 0.5, False).any()
