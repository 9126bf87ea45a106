"""The plan of a run: the original's own run comes out, and the counts of workers add up."""

import json

import pytest

from benchmarks import plan
from benchmarks.plan import Speed, Work

FAST = Speed("fast", 20.0, 0.10, "measured")
SLOW = Speed("slow", 5.0, 0.05, "measured")


def test_the_originals_run_is_reproduced_from_its_own_figures():
    work, fleet = plan.original_run()
    made = plan.plan(work, fleet)
    assert made.usd == pytest.approx(14.72, rel=0.10)
    # The overhead is made from the hours, so the hours are compared without it.
    assert made.hours / plan.OVERHEAD == pytest.approx(50, rel=0.10)
    assert 1 < fleet[0][1] < 12 and made.is_bound_by_learner
    assert made.turnover_cycles == pytest.approx(500_000 / (28 * 454), rel=0.01)


def test_the_slower_side_sets_the_hours():
    work = Work(games=3600 * 10, games_per_cycle=100, cycle_s=10, overhead=1.0)
    assert plan.plan(work, [(SLOW, 1)]).hours == pytest.approx(2)  # 36,000 games at 5 games/s
    assert plan.plan(work, [(FAST, 3)]).hours == pytest.approx(1)  # 360 cycles of 10 s
    assert not plan.plan(work, [(SLOW, 1)]).is_bound_by_learner
    assert plan.plan(work, [(FAST, 3)]).usd == pytest.approx(0.30)


def test_a_mix_adds_speeds_and_prices_and_an_unknown_price_is_not_zero():
    work = Work(games=1e5, overhead=1.0, learner_usd_per_hour=1.0)
    made = plan.plan(work, [(FAST, 2), (SLOW, 3)])
    assert made.games_per_s == 55 and made.usd_per_hour == pytest.approx(1.35)
    assert plan.plan(work, [(FAST, 2), (SLOW._replace(usd_per_hour=None), 1)]).usd is None


@pytest.mark.parametrize("turnover", [1, 7, 20, 39, 40, 1000])
@pytest.mark.parametrize("games_per_s", [0.4, 2.65, 34.0])
def test_the_workers_are_the_fewest_that_keep_the_turnover(games_per_s, turnover):
    work = Work()
    n = plan.workers_needed(work, games_per_s, turnover)
    speed = Speed("x", games_per_s, 0.1, "measured")
    enough = plan.plan(work, [(speed, n)])
    assert enough.turnover_cycles <= turnover and enough.is_bound_by_learner
    fewer = plan.plan(work, [(speed, n - 1)]) if n > 1 else None
    assert fewer is None or fewer.turnover_cycles > turnover or not fewer.is_bound_by_learner


def test_a_faster_learner_needs_more_workers():
    fast = Work(cycle_s=1000 / 114)
    assert plan.workers_needed(fast, 4.15, 40) > 4 * plan.workers_needed(Work(), 4.15, 40)


@pytest.mark.parametrize("name", ["RTX4070Ti", "NVIDIA GeForce RTX 4070 Ti", "rtx-4070-ti"])
def test_spellings_of_a_device_are_one(name):
    assert plan.key(name) == plan.key("RTX 4070 Ti") != plan.key("RTX 4070")


def write(folder, device, **row):
    result = {
        "device": device,
        "cpu": "x",
        "cores": 2,
        "date": "2026-11-23T00:00:00",
        "rows": [row],
    }
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(result))


def test_a_measured_speed_replaces_a_predicted_one(tmp_path):
    before = plan.chosen(plan.speeds(tmp_path, "original", {}), ["RTX 4070 Ti"])
    assert [speed.source for speed in before] == ["published, the original's code", "predicted"]
    write(tmp_path, "NVIDIA GeForce RTX 4070 Ti", setting="original", games_per_s=50.0)
    after = plan.chosen(plan.speeds(tmp_path, "original", {"RTX4070Ti": 0.07}), ["RTX 4070 Ti"])
    assert [speed.source for speed in after] == [
        "measured, 2026-11-23",
        "published, the original's code",
    ]
    assert after[0].games_per_s == 50.0 and after[0].usd_per_hour == 0.07


def test_the_learners_measured_speed_is_read(tmp_path):
    write(tmp_path, "NVIDIA H100", preset="large", batch=64, updates_per_s=900.0)
    write(tmp_path, "cpu", preset="large", batch=1024, updates_per_s=3.0)
    found = plan.learners(tmp_path)
    assert found["NVIDIA H100"] == (900.0, "measured, 2026-11-23") and len(found) == 2


def test_the_command_prints_the_original_first_and_marks_every_row(tmp_path, capsys):
    asked = ["--results", str(tmp_path), "--gpu", "RTX4070Ti", "--mix", "RTX 4070 Ti=2,RTX 3080=1"]
    assert plan.main(asked) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert rows[0].startswith("| the original's run") and "| 50.0 |" in rows[0]
    assert rows[-1].startswith("| 2 x RTX 4070 Ti + 1 x RTX 3080 |")
    assert [row.split("|")[-2].split(",")[0].strip() for row in rows] == [
        *("published", "published", "predicted", "predicted")
    ]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--price", "H2000=3.50", "--price: no speed for the price of 'H2000'; the known devices"),
        ("--gpu", "RTX 9999", "--gpu RTX 9999: no speed is known; expected one of"),
        ("--learner", "Pi", "--learner Pi: no speed is known; give --updates-per-s"),
        ("--mix", "RTX 4070 Ti", "--mix: expected NAME=WORKERS,NAME=WORKERS"),
        ("--games", "0", "--games: expected a number"),
    ],
)
def test_bad_input_is_named(tmp_path, capsys, option, value, message):
    with pytest.raises(SystemExit) as ended:
        plan.main(["--results", str(tmp_path), option, value])
    out, problem = capsys.readouterr()
    assert ended.value.code == 2 and not out
    assert message in problem and problem.count("\n") == 1
