"""Each warning is given when its rule says so, and what cannot be checked is said."""

import pytest

from tests.support import recap_run
from zebjax.operations.recap import checks


def states(rows, alarms=()):
    return {one.name: one.state for one in checks.check(rows, alarms)}


def row(cycle=1, **facts):
    return {"cycle": cycle, "stats/total_games": 0} | facts


def test_the_end_of_the_original_run_is_seen_as_memorising():
    found = {one.name: one for one in checks.check(recap_run.original_rows(), ())}
    one = found["memorising, by strength"]
    assert one.state == "warning" and "0.175 to 0.096" in one.found and "71.3 %" in one.found
    assert found["memorising"].state == "unknown" and "held-out" in found["memorising"].found
    assert states(recap_run.original_rows()[:-1])["memorising, by strength"] == "fine"


def test_a_drop_within_its_intervals_is_no_memorising():
    wide = [one | {"eval/vs_random_win_rate_ci95": 0.04} for one in recap_run.original_rows()]
    assert states(wide)["memorising, by strength"] == "fine"


@pytest.mark.parametrize(("held_out", "state"), [(0.11, "fine"), (0.2, "warning")])
def test_a_gap_between_trained_and_held_out_games_is_memorising(held_out, state):
    facts = {"held_out/trained_value_loss": 0.1, "held_out/value_loss": held_out}
    rows = [row(c, **facts) for c in range(9)]
    assert states(rows)["memorising"] == state
    assert states(rows[:4])["memorising"] == "fine"  # too few to say so


@pytest.mark.parametrize(
    ("buffer", "arrived", "state"),
    [(500_000, 28 * 500, "fine"), (1_000_000, 28 * 500, "warning"), (28, 0, "warning")],
)
def test_a_buffer_that_turns_over_slowly_is_stale(buffer, arrived, state):
    facts = {"stats/replay_buffer_selfplay": buffer, "ingest/selfplay_examples": arrived}
    rows = [row(c, **facts) for c in range(30)]
    assert states(rows)["stale"] == state
    known = [one | {"stats/buffer_turnover_cycles": 59.0} for one in rows]
    assert states(known)["stale"] == "fine"


def test_a_learner_that_waits_or_has_no_workers_starves():
    waits = {"perf/ingest_time_s": 6.0, "perf/cycle_wall_time_s": 10.0}
    assert states(3 * [row(**waits)])["starving"] == "unknown"  # its own self-play, not workers
    waits |= {"ingest/selfplay_files": 1}
    assert states(3 * [row(**waits)])["starving"] == "warning"
    busy = waits | {"perf/ingest_time_s": 1.0}
    assert states([*5 * [row(**waits)], *3 * [row(**busy)]])["starving"] == "fine"
    assert states([row(**busy)], ["no_selfplay"])["starving"] == "warning"
    assert states([row(**busy)], ["no_evalaux"])["starving"] == "fine"


@pytest.mark.parametrize(
    ("ours", "state"),
    [
        ((1.03, 1.03, 1.00), "fine"),
        ((1.03, 1.03, 1.027), "warning"),
        ((1.1, 1.07, 1.05), "fine"),  # it learns
        ((1.1, 1.1), "fine"),  # too few to say so
    ],
)
def test_a_belief_head_that_knows_no_more_than_counting_is_told(ours, state):
    names = ("eval/belief_cross_entropy_hidden", "eval/belief_cross_entropy_marginal")
    rows = [row(**dict(zip(names, (one, 1.029), strict=True))) for one in ours]
    assert states(rows)["belief at the marginal"] == state


def test_a_win_rate_that_no_longer_moves_is_saturated():
    def rows(rates, name="eval/vs_random_win_rate"):
        return [row(c, **{name: rate, f"{name}_ci95": 0.02}) for c, rate in enumerate(rates)]

    assert states(rows([0.70, 0.71, 0.72, 0.73]))["win rate saturated"] == "fine"
    assert states(rows([0.5, 0.70, 0.71, 0.70, 0.71]))["win rate saturated"] == "warning"
    assert states(rows([0.55, 0.55, 0.55, 0.55]))["win rate saturated"] == "fine"
    assert states(rows([0.7, 0.7]))["win rate saturated"] == "unknown"
    found = checks.check(rows(4 * [0.7], "eval/vs_eq_n10_win_rate"), ())[-1]
    assert found.state == "warning" and "against eq_n10" in found.found


def test_it_is_told_when_a_warning_held():
    buffer = [
        {"stats/replay_buffer_selfplay": 1000, "ingest/selfplay_examples": n} for n in (10, 50)
    ]
    rows = [row(c, **buffer[c > 200]) for c in range(1, 401)]
    (spell,) = checks.history(rows)["stale"]
    assert spell.first == 1 and 190 < spell.last < 220
    assert checks.history([]) == {}


def test_nothing_can_be_said_without_metrics():
    assert set(states([]).values()) == {"unknown"}
