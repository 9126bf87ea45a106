"""Judging a run against several opponents."""

import dataclasses

import jax
import pytest

from tests.support.tiny import TINY, Quiet
from zebjax import network
from zebjax.common import checkpoint, console
from zebjax.training import judging, metrics, opponents
from zebjax.training import session as sessions
from zebjax.training.config import EvaluationConfig, TeacherConfig


def test_names_in_metrics_are_stable():
    words = opponents.words("random eq:n=10 'zeb:my runs/x,temperature=0' first bundled")
    assert [opponents.name(word) for word in words] == [
        "random",
        "eq_n10",
        "zeb_my_runs_x_temperature0",
        "first",
        "bundled",
    ]
    assert opponents.full_spec("bundled") == "zeb:bundled"
    for word in words:
        assert metrics.WIN_RATE.fullmatch(f"eval/vs_{opponents.name(word)}_win_rate")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected at least one"),
        ("random randum", "unknown 'randum'; did you mean 'random'"),
        ("random random", "two are named 'random' in the metrics"),
        ("'random", "No closing quotation"),
    ],
)
def test_what_names_no_opponent_is_refused(text, message):
    with pytest.raises(ValueError, match=rf"evaluation\.opponents: .*{message}|{message}"):
        EvaluationConfig(opponents=text)


def test_who_plays_to_make_or_set_judges_a_network_of_make_set_only():
    config = EvaluationConfig(opponents="random eq:n=5,criterion=make")
    with pytest.raises(ValueError, match=r"'eq:n=5,criterion=make' plays games with a contract"):
        dataclasses.replace(TINY, evaluation=config)
    network_ = dataclasses.replace(TINY.network, tokenizer="v2", value="make/set")
    teacher = TeacherConfig("runs/contracts")
    eval_aux = dataclasses.replace(TINY.eval_aux, enabled=False)
    changes = {"network": network_, "teacher": teacher, "eval_aux": eval_aux}
    dataclasses.replace(TINY, evaluation=config, **changes)


def test_an_opponent_that_is_not_there_is_refused_before_the_run_begins():
    with pytest.raises(ValueError, match=r"evaluation\.opponents: player 'zeb:nowhere'"):
        judging.Judge(EvaluationConfig(opponents="random zeb:nowhere"))


@pytest.mark.slow  # compiles three matches
def test_the_first_step_is_an_opponent_from_the_second_on(tmp_path):
    config = dataclasses.replace(TINY.evaluation, opponents="first random")
    settings = dataclasses.replace(TINY, runs=str(tmp_path), evaluation=config)
    params = network.init(TINY.network, jax.random.key(0))
    state = sessions.fresh_state(settings, params, 3)
    progress = sessions.Progress(first_cycle=3, cycle=3, total_games=0)
    run = sessions.Session(settings, Quiet(), lambda: False, state, progress, True)
    judge, looks = judging.Judge(config), []
    row = judge.evaluate(run, lambda: looks.append(1))
    assert "eval/vs_random_win_rate" in row and "eval/vs_first_win_rate" not in row
    assert len(looks) > 20
    folder = checkpoint.step_folder(settings.folder / "checkpoints", 3)
    folder.mkdir(parents=True)
    network.save(folder, TINY.network, params)
    progress.cycle = 4
    again = judge.evaluate(run, lambda: None)
    # The same network with the same keys: every pair of games is a draw.
    assert again["eval/vs_first_win_rate"] == 0.5 and again["eval/vs_first_margin"] == 0
    assert again["eval/vs_first_win_rate_ci95"] == 0 and again["eval/vs_first_deals"] == 4
    for name, value in row.items():
        assert again[name] == value


def test_the_console_shows_the_others_beside_random():
    row = {"cycle": 1}
    for name, rate in (("random", 0.75), ("eq_n10", 0.4)):
        row |= {f"eval/vs_{name}_win_rate": rate, f"eval/vs_{name}_win_rate_ci95": 0.02}
    cells = console._cells(row | {"warnings": "stale"}, None)
    assert (cells["% vs random"], cells["% vs others"]) == ("75.0 ± 2.0", "eq_n10 40.0 ± 2.0")
    assert cells["warnings"] == "stale"
    assert console._cells({"cycle": 1}, None)["% vs others"] == ""


def test_curves_are_by_opponent():
    one, two = ({f"eval/vs_{n}_win_rate": 0.5, f"eval/vs_{n}_win_rate_ci95": 0.1} for n in "ab")
    rows = [{"cycle": 1} | one, {"cycle": 2}, {"cycle": 3} | one | two]
    found = metrics.win_rates(rows)
    assert {name: [row["cycle"] for row in rows] for name, rows in found.items()} == {
        "a": [1, 3],
        "b": [3],
    }
