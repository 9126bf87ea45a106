"""`zebjax status`: what it says about runs with a store and about folders."""

import json
import os
import time

import pytest

from tests.support.store_made import LEARNER, PLAYER, beat, made, whole
from zebjax import status
from zebjax.common import locks
from zebjax.distributed import heartbeat, spool
from zebjax.distributed.learner_facts import WARNING
from zebjax.operations.watching import alarms, facts, folder, following, render
from zebjax.operations.watching import target as targets
from zebjax.training import warnings


def shown(capsys, where, *options):
    code = status.main([str(where), "--watch-s", "0", *options])
    return code, capsys.readouterr().out


# ---- a store


def test_status_says_what_each_process_does_and_what_it_costs(tmp_path, capsys):
    whole(tmp_path)
    code, out = shown(capsys, tmp_path)
    assert code == 0
    for part in (
        ": 1,400 of 2,000 examples (have 1,400, need 2,000)",
        "step     3,740 of 5,000, reached 1:",
        " ago, a cycle takes 0:48, 1,200,000 games\n",
        "buffer   450,000 of 500,000 examples (90 %)",
        "network  losses policy 0.412, value 0.881; mix 19/1 self/eval, eval_aux_policy_w=0.5; "
        "71.2 ± 1.1 % against random",
        "games/s  12.00 in all: selfplay 11.50, evalaux 0.50; 1.600 USD/h",
        "W&B      https://wandb.ai/me/zebjax/runs/abc",
        " ago: the store does not answer",
        "compiling",
        "all well",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= 120


def test_json_has_the_same_facts(tmp_path, capsys):
    whole(tmp_path)
    code, out = shown(capsys, tmp_path, "--json")
    found = json.loads(out)
    assert code == 0 and found["run"] == "big" and found["where"] == str(tmp_path)
    assert found["games_per_s"] == {"all": 12.0, "selfplay": 11.5, "evalaux": 0.5}
    assert found["usd_per_hour"] == 1.6
    assert found["learner"]["waits_for"] == LEARNER["waits_for"]
    assert found["metrics"]["train/value_loss"] == 0.881
    assert found["warnings"] == {} and found["last_warnings"][0]["name"] == "a"
    assert [each.get("phase") for each in found["processes"]] == ["play", "play", "compile", "play"]


def test_heartbeats_of_an_older_version_are_read(tmp_path, capsys):
    made(tmp_path, {"step": 5, "phase": "train"}, a={"step": 5, "games_per_s": 2.0})
    code, out = shown(capsys, tmp_path)
    assert code == 0 and "learner  training\n" in out and "games/s  2.00" in out
    assert "warning" not in out and "W&B" not in out


@pytest.mark.parametrize(
    "odd",
    [
        {name: {"a": 1} for name in LEARNER},
        dict.fromkeys(LEARNER, "\x1b[2J" + "x" * 5000),
        dict.fromkeys(LEARNER, -1e299),
        dict.fromkeys(LEARNER, 10**290),
        dict.fromkeys(LEARNER, True),
        {name: float("nan") for name in LEARNER},
    ],
)
def test_a_hostile_heartbeat_changes_only_its_own_words(tmp_path, capsys, odd):
    every = {"warning": odd["step"], "warning_age_s": odd["step"], "games_per_s": odd["step"]}
    made(tmp_path, odd, a=odd | every, good={"games_per_s": 1.0})
    code, out = shown(capsys, tmp_path)
    assert code in (0, 1) and "\x1b" not in out and "good" in out
    assert max(map(len, out.splitlines())) <= 120 and len(out) < 6000
    shown(capsys, tmp_path, "--json")


def test_the_last_warning_of_a_role_is_the_newest():
    def one(name, role, age_s, alive=True):
        return {
            "name": name,
            "role": role,
            "warning": name,
            "warning_age_s": age_s,
            "alive": alive,
            "last_seen_s": 100.0,
        }

    found = facts.last_warnings(
        [one("a", "selfplay", 50), one("b", "selfplay", 9, alive=False), one("c", "evalaux", 7)]
    )
    assert [(each["name"], each["age_s"]) for each in found] == [("a", 50), ("c", 7)]


def test_the_dead_make_no_games_and_cost_nothing():
    alive = {"alive": True, "role": "selfplay", "games_per_s": 2.0, "price_usd_per_hour": 0.1}
    dead = alive | {"alive": False}
    assert facts.games_per_s([alive, dead]) == {"all": 2.0, "selfplay": 2.0}
    assert facts.usd_per_hour([alive, dead]) == 0.1
    assert facts.usd_per_hour([{"alive": True}]) is None


def test_a_warning_about_the_metrics_is_shown_and_is_no_alarm(tmp_path, capsys):
    stale = {"stats/buffer_turnover_cycles": 79.0, "stats/rows_trained_per_row": 8.9}
    found = warnings.find([{"cycle": 1, "stats/replay_buffer_selfplay": 1} | stale])
    flat = {"eval/vs_eq_n10_win_rate": 0.451, "eval/vs_eq_n10_win_rate_ci95": 0.02}
    told = {f"{WARNING}{one.title}": one.text for one in found}
    made(tmp_path, LEARNER | stale | flat | told, a=PLAYER, e={"role": "evalaux"})
    code, out = shown(capsys, tmp_path)
    assert code == 0 and "no alarm; warning: stale" in out and "all well" not in out
    assert "warning  stale: the buffer needs 79 cycles to be replaced; it needs more" in out
    assert "79 cycles to replace it, 8.9 rows trained per row" in " ".join(out.split())
    assert "45.1 ± 2.0 % against eq_n10" in " ".join(out.split())


def test_a_hostile_learner_warns_briefly(tmp_path):
    odd = {f"{WARNING}\x1b[2J{place}" + 99 * "x": 500 * "y" for place in range(99)}
    made(tmp_path, LEARNER | odd | {f"{WARNING}a": 3})
    state = targets.open_target(str(tmp_path)).poll()
    assert len(state["warnings"]) == 10
    assert all(name.isprintable() and len(name) <= 60 for name in state["warnings"])
    assert max(map(len, render.warning_lines(state))) < 500


def test_a_folder_has_the_warnings_of_its_rows(tmp_path):
    rows = [
        {"cycle": c, "stats/total_games": c, "held_out/value_loss": 0.2}
        | {"held_out/trained_value_loss": 0.1}
        for c in range(1, 6)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    state = targets.open_target(str(tmp_path)).poll()
    assert list(state["warnings"]) == ["memorising"]
    assert state["warnings"]["memorising"].startswith("the value loss is 0.100 on trained")


def test_warnings_are_announced_only_if_they_are_asked_for(tmp_path):
    class Kept:
        def update(self, now, run):
            told.append(now)
            return []

    (tmp_path / "metrics.jsonl").write_text(
        '{"cycle": 1, "stats/total_games": 1, "stats/replay_buffer_selfplay": 28, '
        '"stats/buffer_turnover_cycles": 99}\n'
    )
    told, target = [], targets.open_target(str(tmp_path))
    for with_warnings in (False, True):
        following.Follower(target, target.poll(), Kept(), with_warnings).poll()
    assert "warning stale" in told[1] and told[1].keys() - told[0].keys() == {"warning stale"}


# ---- the age of a step


@pytest.mark.parametrize(
    ("age_s", "cycle_s", "longest_s", "alarm"),
    [
        (299, 1, 1, False),
        (301, 1, 1, True),
        (399, 80, 80, False),
        (401, 80, 80, True),
        (500, 20, 300, False),  # the longest cycle had an evaluation
        (601, 20, 300, True),
        (1799, None, None, False),
        (1801, None, None, True),
    ],
)
def test_a_step_stands_after_several_cycles_and_minutes(age_s, cycle_s, longest_s, alarm):
    learner = {"step": 3740, "step_age_s": age_s, "cycle_s": cycle_s, "longest_cycle_s": longest_s}
    found = alarms.step_stands({key: v for key, v in learner.items() if v is not None})
    assert (found is not None) == alarm
    if alarm:
        assert found.startswith("stands at step 3740 for ")


def test_a_step_that_stands_is_an_alarm_while_the_learner_lives(tmp_path, capsys):
    whole(tmp_path, step_age_s=360.0)
    code, out = shown(capsys, tmp_path)
    assert code == 1 and "step_stands" in out and "stands at step 3740 for 6:" in out
    whole(tmp_path, step_age_s=360.0, state="stopped")
    found = json.loads(shown(capsys, tmp_path, "--json")[1])
    assert found["alarms"] == ["learner_down"]


def test_a_complete_run_has_no_alarm(tmp_path, capsys):
    """Its learner and its workers have ended, as they should."""
    whole(tmp_path, state="stopped", step=5000, last_step=5000, phase="play")
    code, out = shown(capsys, tmp_path)
    assert code == 0 and "learner  complete" in out and "all well" in out
    found = json.loads(shown(capsys, tmp_path, "--json")[1])
    assert found["learner"]["phase"] == found["processes"][0]["phase"] == "complete"
    assert found["processes"][1]["phase"] == "play"  # a worker does not know it
    whole(tmp_path, state="stopped", step=5000, last_step=5000, phase="judge")
    assert shown(capsys, tmp_path)[0] == 1


# ---- a folder


def row(cycle, **more):
    return {"cycle": cycle, "stats/total_games": 10 * cycle, **more}


@pytest.fixture
def run(tmp_path):
    """A run of four cycles in one process, after two of them."""
    path = tmp_path / "mine"
    save = path / "state" / "step_000000001"
    save.mkdir(parents=True)
    progress = {"first_cycle": 0, "cycle": 2, "total_games": 20, "phase": "play", "quarantined": 0}
    (save / "progress.json").write_text(json.dumps(progress))
    settings = {"name": "mine", "cycles": 4, "replay": {"capacity_examples": 100}, "store": {}}
    (path / "experiment.json").write_text(json.dumps(settings))
    (path / "environment.json").write_text(json.dumps([{"device": "cpu"}]))
    new = {
        "train/policy_loss": 0.5,
        "train/move_value_error": 0.7,
        "perf/games_per_s": 3.0,
        "perf/cycle_wall_time_s": 20.0,
        "stats/replay_buffer_selfplay": 50,
    }
    rows = [row(1, **{"eval/vs_random_win_rate": 0.6, "eval/vs_random_win_rate_ci95": 0.1})]
    rows.append(row(2, **new))
    (path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def test_a_run_in_one_process_is_shown_while_it_runs(run, capsys):
    with locks.locked(run, "stop it"):
        code, out = shown(capsys, run)
        assert code == 0
        for part in (
            "learner  playing",
            "step     2 of 4, reached ",
            "a cycle takes 0:20, 20 games",
            "buffer   50 of 100 examples (50 %)",
            "losses policy 0.500, moves 0.700; 60.0 ± 10.0 % against random",
            "games/s  3.00",
            "all well",
        ):
            assert part in out
        os.utime(run / "metrics.jsonl", (time.time() - 400,) * 2)
        code, out = shown(capsys, run, "--json")
        assert code == 1 and json.loads(out)["alarms"] == ["step_stands"]


def test_a_run_that_nobody_works_on_is_an_alarm_unless_it_is_complete(run, capsys):
    code, out = shown(capsys, run, "--json")
    assert code == 1 and json.loads(out)["alarms"] == ["not_running"]
    settings = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(json.dumps(settings | {"cycles": 2}))
    code, out = shown(capsys, run)
    assert code == 0 and "learner  complete" in out and "playing" not in out
    found = json.loads(shown(capsys, run, "--json")[1])
    assert found["learner"]["phase"] == found["processes"][0]["phase"] == "complete"


def test_metrics_alone_are_enough(run, tmp_path, capsys):
    alone = tmp_path / "copied"
    alone.mkdir()
    (alone / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes())
    code, out = shown(capsys, alone)
    assert code == 1 and "not_running" in out and "policy 0.500" in out


@pytest.mark.parametrize("odd", ["{", "[]", '{"cycles": "x", "store": 3, "replay": 1}', "null"])
def test_odd_files_of_a_run_are_passed_over(run, capsys, odd):
    for file in (run / "experiment.json", run / "environment.json", *run.glob("state/*/*.json")):
        file.write_text(odd)
    code, out = shown(capsys, run)
    assert code == 1 and "policy 0.500" in out


def test_a_folder_that_is_no_run_gets_a_sentence(tmp_path, capsys):
    assert status.main([str(tmp_path / "none")]) == 2
    assert status.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_the_name_of_a_run_instead_of_its_folder_gets_the_folder(run, monkeypatch, capsys):
    (run.parent / "runs").mkdir()
    run.rename(run.parent / "runs" / "mine")
    monkeypatch.chdir(run.parent)
    assert status.main(["mine"]) == 2
    error = capsys.readouterr().err
    assert error.endswith(
        "mine: there is no such folder here; the folder of this run is runs/mine\n"
    )


def test_a_lock_is_seen_and_left_alone(tmp_path):
    assert locks.is_held(tmp_path) is False
    with locks.locked(tmp_path, "x"):
        assert locks.is_held(tmp_path) is True
        with pytest.raises(ValueError):
            locks.locked(tmp_path, "x").__enter__()
    assert locks.is_held(tmp_path) is False
    with locks.locked(tmp_path, "x"):
        pass


# ---- the store and the folder of one run


def test_the_folder_of_a_learner_leads_to_its_store_and_back(run):
    made(run.parent / "store" / "mine", LEARNER, a={"games_per_s": 1.0})
    for place in (run, run.parent / "store" / "mine"):
        found = targets.open_target(str(place))
        assert isinstance(found, targets.StoreRun) and found.folder.name == "mine"
        assert found.poll()["processes"][1]["name"] == "a"
        assert [each["cycle"] for each in found.rows()] == [1, 2]


def test_without_the_folder_rows_come_from_heartbeats(tmp_path):
    place = whole(tmp_path / "far")
    found = targets.open_target(str(tmp_path / "far"))
    found.poll()
    found.poll()
    place.put({}, {heartbeat.LEARNER: beat("learner", "x", **(LEARNER | {"step": 3741}))})
    place.put({}, {spool.status_name("a"): beat("selfplay", "a")})
    found.poll()
    assert [each["cycle"] for each in found.rows()] == [3740, 3741]
    assert found.rows()[0]["train/policy_loss"] == 0.412


def test_a_run_that_now_trains_alone_is_shown_from_its_folder(run):
    made(run.parent / "store" / "mine", LEARNER | {"state": "stopped"})
    with locks.locked(run, "x"):
        assert isinstance(targets.open_target(str(run)), targets.FolderRun)
    assert isinstance(targets.open_target(str(run)), targets.StoreRun)
    assert folder.is_run(run) and not folder.is_run(run.parent)
