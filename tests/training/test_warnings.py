"""Warnings from metrics rows: each when its numbers say so, and not before."""

import pytest

from zebjax.training import warnings


def rows(n, **metrics):
    """`n` cycles; a metric is a number, or a function of the cycle."""
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    return [
        {name: value(i) if callable(value) else value for name, value in named.items()}
        | {"cycle": i}
        for i in range(1, n + 1)
    ]


def names(found):
    return warnings.names(warnings.find(found))


def test_a_run_without_rows_or_with_usual_ones_has_none():
    assert warnings.find([]) == [] and warnings.history([]) == []
    usual = rows(
        9,
        train__value_loss=0.2,
        stats__replay_buffer_selfplay=28,
        stats__buffer_turnover_cycles=39.0,
    )
    assert warnings.find(usual) == []


@pytest.mark.parametrize(
    ("held", "trained", "expected"),
    [(0.20, 0.10, "memorising"), (0.20, 0.18, ""), (0.9, 0.8, ""), (0.2, 0.3, "")],
)
def test_memorising_is_a_gap_between_trained_and_held_out_examples(held, trained, expected):
    found = rows(5, held_out__value_loss=held, held_out__trained_value_loss=trained)
    assert names(found) == expected
    assert names(found[:4]) == ""  # one cycle is no evidence


def test_stale_is_a_slow_turnover():
    def ring(cycles):
        return rows(1, stats__replay_buffer_selfplay=28, stats__buffer_turnover_cycles=cycles)

    assert names(ring(79.0)) == "stale"
    assert "needs 79 cycles" in warnings.find(ring(79.0))[0].text
    assert names(ring(60.0)) == ""


@pytest.mark.parametrize(
    ("buffer", "arrived", "expected"),
    [(500_000, 28 * 500, ""), (1_000_000, 28 * 500, "stale"), (28, 0, "stale")],
)
def test_rows_of_an_older_version_tell_the_turnover_too(buffer, arrived, expected):
    older = {"stats__replay_buffer_selfplay": buffer, "ingest__selfplay_examples": arrived}
    assert names(rows(10, **older)) == expected
    assert names(rows(9, **older)) == ""  # the first cycles fill the ring
    assert names(rows(10, **older, stats__buffer_turnover_cycles=59.0)) == ""


def test_starving_is_waiting_for_workers_and_not_self_play():
    waits = {"perf__ingest_time_s": 30.0, "perf__cycle_wall_time_s": 50.0}
    assert names(rows(3, **waits)) == ""  # it plays itself
    assert names(rows(3, **waits, ingest__selfplay_files=1)) == "starving"
    assert names(rows(2, **waits, ingest__selfplay_files=1)) == ""
    waits["perf__ingest_time_s"] = lambda i: 60.0 if i == 1 else 5.0
    assert names(rows(3, **waits, ingest__selfplay_files=0)) == ""


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        (lambda i: 1.03, "belief_at_marginal"),
        (lambda i: 1.034 - 0.001 * i, "belief_at_marginal"),
        (lambda i: 1.10 - 0.02 * i, ""),  # still worse than counting, but learning
        (lambda i: 1.00, ""),
    ],
)
def test_a_belief_head_that_stays_at_the_marginal(hidden, expected):
    found = rows(
        3,
        eval__belief_cross_entropy_hidden=hidden,
        eval__belief_cross_entropy_marginal=1.03,
    )
    assert names(found) == expected and names(found[:2]) == ""


def test_a_win_rate_that_no_longer_rises_names_its_opponent():
    flat = {
        "eval__vs_random_win_rate": lambda i: 0.75 + 0.01 * (i % 2),
        "eval__vs_random_win_rate_ci95": 0.022,
        "eval__vs_eq_n10_win_rate": lambda i: 0.45 + 0.001 * i,  # far from won
        "eval__vs_eq_n10_win_rate_ci95": 0.02,
    }
    found = warnings.find(rows(4, **flat))
    assert [(one.name, one.about) for one in found] == [("saturated", "random")]
    assert found[0].text.startswith("75.0 % against random: 4 evaluations within ±2.2")
    assert names(rows(3, **flat)) == ""
    rising = flat | {"eval__vs_random_win_rate": lambda i: 0.7 + 0.01 * i}
    assert names(rows(4, **rising)) == ""


def test_evaluations_are_found_among_cycles_without_one():
    every = rows(4, eval__vs_random_win_rate=0.75, eval__vs_random_win_rate_ci95=0.02)
    between = [row for one in every for row in (one, {"cycle": 0}, {"cycle": 0})]
    assert names(between) == "saturated"


def test_what_cannot_be_checked_is_said():
    found = warnings.check([])
    assert {one.state for one in found} == {"unknown"} and all(one.text for one in found)
    huge = rows(5, held_out__value_loss=10**400, held_out__trained_value_loss=float("nan"))
    assert warnings.check(huge)[0].state == "unknown"


def ring_of(turnovers):
    return [
        {"cycle": c, "stats/replay_buffer_selfplay": 28, "stats/buffer_turnover_cycles": t}
        for c, t in enumerate(turnovers, 1)
    ]


def test_history_says_from_when_to_when():
    spells = warnings.history(ring_of([10, 70, 80, 10, 90, 10]))
    assert [(one.title, one.first_cycle, one.last_cycle) for one in spells] == [
        ("stale", 2, 3),
        ("stale", 5, 5),
    ]
    assert "80 cycles" in spells[0].text


def test_the_history_of_a_long_run_is_looked_at_in_some_moments():
    (spell,) = warnings.history(ring_of(2000 * [10] + 1740 * [90]))
    assert 2000 < spell.first_cycle < 2020 and spell.last_cycle == 3740
