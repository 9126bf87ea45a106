"""Phases are found where a run changes its course, and nowhere else."""

import numpy as np
import pytest

from tests.support import recap_run
from zebjax.operations.recap import milestones, phases


def rows_of(**series):
    names = {"policy": "train/policy_loss", "value": "train/value_loss"}
    columns = zip(*series.values(), strict=True)
    return [
        {"cycle": cycle, "stats/total_games": 100 * cycle}
        | {names[name]: float(value) for name, value in zip(series, values, strict=True)}
        for cycle, values in enumerate(columns, 1)
    ]


def test_the_milestones_of_the_original_show_its_three_phases():
    found = phases.find(recap_run.original_rows())
    assert [(phase.first, phase.last) for phase in found] == [(10, 160), (160, 2730), (2730, 3743)]
    # As its author tells: the belief head warms up, then all improves, then it memorises.
    assert [phase.title() for phase in found] == [
        "belief loss falls, value loss rises, win rate rises",
        "policy loss falls, value loss falls, win rate rises",
        "win rate falls, value loss falls",
    ]
    move = found[0].moves[2]
    assert (move.before, move.after) == (0.993, 0.538)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_row_for_each_cycle_with_noise_shows_the_same_phases(seed):
    found = phases.find(recap_run.dense_rows(seed))
    assert len(found) == 3
    assert found[0].last < 200 and 2550 < found[1].last < 2850
    assert found[0].first == 1 and found[2].last == 3743


def test_noise_a_straight_line_and_a_constant_are_one_phase():
    rng, n = np.random.default_rng(0), 200
    noise = phases.find(rows_of(policy=rng.normal(size=n), value=rng.normal(size=n)))
    assert len(noise) == 1
    line = phases.find(rows_of(policy=np.linspace(1, 0, n), value=np.ones(n)))
    assert [phase.title() for phase in line] == ["policy loss falls"]
    assert [phase.title() for phase in phases.find(rows_of(policy=np.ones(n)))] == [
        "little changes"
    ]


def test_a_bend_is_found_where_it_is():
    x = np.arange(300.0)
    noise = 0.05 * np.random.default_rng(0).normal(size=300)
    found = phases.find(rows_of(policy=np.where(x < 90, -x / 90, -1) + noise))
    assert len(found) == 2 and 80 < found[0].last < 100


def test_a_series_of_noise_beside_one_that_bends_does_not_hide_the_bend():
    x, rng = np.arange(300.0), np.random.default_rng(0)
    policy = np.where(x < 150, -x / 150, -1) + 0.01 * rng.normal(size=300)
    found = phases.find(rows_of(policy=policy, value=rng.normal(size=300)))
    assert len(found) == 2 and 140 < found[0].last < 160


def test_few_rows_have_no_phases():
    assert phases.find(recap_run.original_rows()[:5]) == []
    assert phases.find([{"cycle": c, "stats/total_games": 0} for c in range(20)]) == []


def test_all_milestones_are_kept_if_they_are_few():
    rows = recap_run.original_rows()
    assert milestones.choose(rows) == rows
    assert milestones.peak(rows)[:2] == (2730, 0.763)
    assert milestones.choose([]) == [] and milestones.peak([]) is None


def test_milestones_of_a_long_run_have_its_ends_and_its_peak():
    rows = recap_run.dense_rows()
    chosen, best = milestones.choose(rows), milestones.peak(rows)
    cycles = [row["cycle"] for row in chosen]
    assert len(cycles) <= milestones.AT_MOST and cycles == sorted(set(cycles))
    assert cycles[0] == 50 and cycles[-1] == 3743 and best.cycle in cycles
    assert all("eval/vs_random_win_rate" in row for row in chosen)
    assert max(np.diff(cycles)) < 600
    # A run in progress ends with its newest row, which may have no evaluation.
    assert milestones.choose(rows[:3720])[-1]["cycle"] == 3720
