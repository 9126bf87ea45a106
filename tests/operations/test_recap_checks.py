"""Each warning is given when its rule says so, and what cannot be checked is said."""

from tests.support import recap_run
from zebjax.operations.recap import checks
from zebjax.training import warnings


def states(rows, alarms=()):
    return {one.title: one.state for one in checks.check(rows, alarms)}


def row(cycle=1, **facts):
    return {"cycle": cycle, "stats/total_games": 0} | facts


def test_the_end_of_the_original_run_is_seen_as_memorising():
    found = {one.name: one for one in checks.check(recap_run.original_rows(), ())}
    one = found["memorising_by_strength"]
    assert one.state == "warning" and "0.175 to 0.096" in one.text and "71.3 %" in one.text
    assert found["memorising"].state == "unknown" and "held-out" in found["memorising"].text
    assert states(recap_run.original_rows()[:-1])["memorising_by_strength"] == "fine"


def test_a_drop_within_its_intervals_is_no_memorising():
    wide = [one | {"eval/vs_random_win_rate_ci95": 0.04} for one in recap_run.original_rows()]
    assert states(wide)["memorising_by_strength"] == "fine"


def test_a_learner_that_waits_or_has_no_workers_starves():
    waits = {"perf/ingest_time_s": 6.0, "perf/cycle_wall_time_s": 10.0}
    assert states(3 * [row(**waits)])["starving"] == "unknown"  # its own self-play, not workers
    waits |= {"ingest/selfplay_files": 1}
    assert states(3 * [row(**waits)])["starving"] == "warning"
    busy = waits | {"perf/ingest_time_s": 1.0}
    assert states([*5 * [row(**waits)], *3 * [row(**busy)]])["starving"] == "fine"
    assert states([row(**busy)], ["no_selfplay"])["starving"] == "warning"
    assert states([row(**busy)], ["no_evalaux"])["starving"] == "fine"


def test_the_rules_are_those_of_the_learner():
    gap = {"held_out/trained_value_loss": 0.1, "held_out/value_loss": 0.2}
    rows = [row(c, **gap) for c in range(9)]
    assert warnings.find(rows) == [one for one in checks.check(rows) if one.state == "warning"]


def test_it_is_told_when_a_warning_held():
    buffer = [
        {"stats/replay_buffer_selfplay": 1000, "ingest/selfplay_examples": n} for n in (10, 50)
    ]
    rows = [row(c, **buffer[c > 200]) for c in range(1, 241)]
    (spell,) = checks.history(rows)
    # The mean of ten cycles: the first nine are too few, and more games arrive from cycle 201 on.
    assert (spell.title, spell.first_cycle, spell.last_cycle) == ("stale", 10, 201)
    assert checks.history([]) == []


def test_nothing_can_be_said_without_metrics():
    assert set(states([]).values()) == {"unknown"}
