"""The counts, tables and budgets of benchmarks are right; speed is not tested."""

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import all as everything
from benchmarks import eq, faults, latency, report, selfplay, strength, table, targets
from zebjax import bidding, experiment, game, network, observe, players, search
from zebjax.evaluation import matches


@pytest.mark.parametrize("preset", ["small", "medium"])
def test_flop_are_what_the_compiler_counts(preset):
    """XLA's count includes operations other than matrix products, so ours may be a little less."""
    config = network.PRESETS[preset]
    seen = report.zeros(config, 4, 20)
    params = network.init(config, jax.random.key(0))
    compiled = (
        jax.jit(lambda params, seen: network.apply(config, params, seen))
        .lower(params, seen)
        .compile()
    )
    cost = compiled.cost_analysis()
    counted = (cost[0] if isinstance(cost, list) else cost)["flops"] / 4
    assert 0.75 < report.flop(config, 20) / counted <= 1.02


def test_the_original_setting_is_the_originals():
    setting = selfplay.SETTINGS["original"]
    assert setting.search == search.SearchConfig("puct", sims=200)
    net = dataclasses.replace(network.PRESETS[setting.preset], belief_head=setting.belief_head)
    assert network.n_params(network.abstract_params(net)) == 3_347_110
    assert next(iter(selfplay.SETTINGS)) == "original"


def test_lanes_stand_at_decisions_of_all_stages():
    states = selfplay.decisions_of_all_stages(jax.random.key(0), 2000)
    assert (np.asarray(jax.vmap(game.legal_slots)(states)).sum(1) > 1).all()
    assert set(np.asarray(states.ply) // 4) == {0, 1, 2, 3, 4, 5}
    # Of 17 decisions some 3 are in the first trick.
    assert 2.5 / 17 < (np.asarray(states.ply) < 4).mean() < 3.5 / 17


@pytest.fixture
def tiny_setting(monkeypatch):
    monkeypatch.setitem(
        network.PRESETS, "tiny", network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    )
    config = search.SearchConfig("gumbel", sims=4)
    monkeypatch.setitem(selfplay.SETTINGS, "tiny", selfplay.Setting("tiny", config, "float32"))
    return "tiny"


@pytest.mark.slow  # compiles a self-play of its own
def test_a_row_of_self_play_adds_up(tiny_setting):
    row = selfplay.measure(tiny_setting, 16, 0.01, repeats=2)
    assert row["lanes"] == 16 and row["games_per_s"] > 0
    # The root and four leaves at most; endings need no evaluation.
    assert 2 < row["evaluations_per_decision"] < 5
    shortest, longest = (report.flop(network.PRESETS["tiny"], n) for n in (8, 23))
    flop_per_evaluation = row["gflop_per_game"] * 1e9 / 17 / row["evaluations_per_decision"]
    assert shortest < flop_per_evaluation < longest


@pytest.mark.slow  # compiles a self-play of its own
def test_a_row_of_rollouts_counts_every_evaluation(tiny_setting, monkeypatch):
    setting = selfplay.SETTINGS["tiny"]._replace(method="rollouts")
    monkeypatch.setitem(selfplay.SETTINGS, "rolled", setting)
    row = selfplay.measure("rolled", 16, 0.01, repeats=2)
    # Some four moves, each followed by nine decisions on average.
    assert 15 < row["evaluations_per_decision"] < 70
    assert "simulations_per_s" not in row and row["search"]["method"] == "rollouts"


def test_too_many_lanes_end_in_fewer_and_a_sentence(monkeypatch, capsys):
    def measure(name, lanes, seconds):
        if lanes > 100:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
        return {"lanes": lanes}

    monkeypatch.setattr(selfplay, "measure", measure)
    assert selfplay.fitting("original", 256, 1) == {"lanes": 64}
    assert "256 lanes do not fit in this device's memory; trying 128" in capsys.readouterr().out
    monkeypatch.setattr(report, "is_out_of_memory", lambda error: False)
    with pytest.raises(jax.errors.JaxRuntimeError):
        selfplay.fitting("original", 256, 1)


def test_a_sweep_stops_when_more_lanes_are_no_faster(monkeypatch, tmp_path):
    speed = {32: 1.0, 64: 3.0, 128: 5.0, 256: 4.0, 512: 4.9}
    monkeypatch.setattr(
        selfplay,
        "measure",
        lambda name, lanes, seconds: {"lanes": lanes, "games_per_s": speed[lanes]},
    )
    rows = selfplay.sweep("original", 1)
    assert rows[0]["lanes"] == 128 and len(rows) == 5
    monkeypatch.setattr(selfplay, "LANES_FILE", tmp_path / "lanes.json")
    selfplay.remember_lanes("original", 128)
    selfplay.remember_lanes("recommended", 64)
    assert selfplay.remembered_lanes("original") == 128


@pytest.mark.slow
def test_a_long_call_makes_all_its_decisions(tiny_setting):
    """The buffer of finished games never fills: stopped lanes would be timed as if they played."""
    bench, made = selfplay.prepare(tiny_setting, 4), []
    advance = selfplay.selfplay.advance

    def watch(*args):
        actor = advance(*args)
        made.append((args[-1], int(actor.n_finished)))
        return actor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfplay.selfplay, "advance", watch)
        bench.move(1000)
    assert sum(decisions for decisions, _ in made) == 1000
    assert all(finished < bench.config.games_per_cycle for _, finished in made)
    # 17 decisions a game, as the rows assume.
    assert 1000 * 4 / sum(finished for _, finished in made) == pytest.approx(
        selfplay.DECISIONS_PER_GAME, rel=0.05
    )


@pytest.mark.slow  # two processes of a benchmark
def test_comparing_a_setting_with_itself_gives_about_one(tiny_setting):
    row = selfplay.compare(tiny_setting, tiny_setting, 16, 0.2)
    assert row["least"] <= row["second_over_first"] <= row["most"]
    assert 0.3 < row["second_over_first"] < 3


@pytest.mark.parametrize(("text", "seconds"), [("8min", 480), ("90s", 90), ("1.5h", 5400)])
def test_budgets(text, seconds):
    assert everything.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "min", "0s", "-3min", "8 min"])
def test_impossible_budgets_are_refused(text, capsys):
    with pytest.raises(ValueError, match="expected a time such as 8min"):
        everything.seconds_of(text)
    with pytest.raises(SystemExit) as ended:
        everything.main([f"--budget={text}"])
    problem = capsys.readouterr().err
    assert ended.value.code == 2 and problem.count("\n") == 1 and "--budget: expected" in problem


def test_nothing_is_begun_that_would_pass_the_budget(monkeypatch):
    part = everything.Part
    plan = [
        part("short", 1, lambda: [{"games_per_s": 1}]),
        part("long", 100, list),
        part("brief", 1, lambda: []),
    ]
    monkeypatch.setattr(everything, "parts", lambda: iter(plan))
    result, saved = {"parts": {}}, []
    assert everything.run(10, result, lambda: saved.append(1)) == ["long"]
    assert list(result["parts"]) == ["short", "brief"] and len(saved) == 2


def write(path, device, rows, date="2026-11-23T00:00:00"):
    path.write_text(
        json.dumps({"device": device, "cpu": "x", "cores": 2, "date": date, "rows": rows})
    )


def test_the_table_has_the_newest_rows_and_only_known_prices(tmp_path):
    write(
        tmp_path / "a.json",
        "NVIDIA H200",
        [{"setting": "original", "games_per_s": 360.0}],
        "2026-11-22T00:00:00",
    )
    write(tmp_path / "b.json", "NVIDIA H200", [{"setting": "original", "games_per_s": 400.0}])
    sweep = [{"setting": "recommended", "games_per_s": speed} for speed in (70.0, 90.0, 20.0)]
    write(tmp_path / "sweep.json", "NVIDIA H200", sweep)
    write(tmp_path / "c.json", "cpu", [{"setting": "original", "games_per_s": 0.5}])
    (tmp_path / "lanes.json").write_text('{"cpu": {"original": 64}}')
    lines = table.markdown(
        table.read(tmp_path, table.read_prices(None, ["NVIDIA H200=3.6"]))
    ).splitlines()
    assert "| NVIDIA H200 | original | 400.0 | 3.600 | 0.0090 | 2.50 | 2026-11-23 |" in lines
    assert "| x, 2 cores | original | 0.5 | ? | ? | ? | 2026-11-23 |" in lines
    assert "| NVIDIA H200 | recommended | 90.0 | 3.600 | 0.0400 | 11.11 | 2026-11-23 |" in lines
    assert sum("original" in line and "H200" in line for line in lines) == 1
    assert sum("RTX" in line for line in lines) == 5


def test_a_price_without_a_result_is_refused_and_the_devices_are_named(tmp_path, capsys):
    write(tmp_path / "a.json", "NVIDIA H200", [{"setting": "original", "games_per_s": 400.0}])
    write(tmp_path / "b.json", "cpu", [{"setting": "original", "games_per_s": 0.5}])
    asked = ["--results", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        table.main([*asked, "--price", "H200=3.50"])
    assert ended.value.code == 2
    out, problem = capsys.readouterr()
    assert not out and "--price: no result for the price of 'H200'" in problem
    assert "'NVIDIA H200', 'x, 2 cores'" in problem and problem.count("\n") == 1
    assert table.main([*asked, "--price", "NVIDIA H200=3.50"]) == 0
    assert "| NVIDIA H200 | original | 400.0 | 3.500 |" in capsys.readouterr().out


def test_a_file_of_prices_may_name_more_devices_than_were_measured(tmp_path, capsys):
    results = tmp_path / "results"
    results.mkdir()
    write(results / "a.json", "NVIDIA H200", [{"setting": "original", "games_per_s": 400.0}])
    prices = tmp_path / "prices.json"
    prices.write_text('{"NVIDIA H200": 3.5, "NVIDIA B200": 5}')
    assert table.main(["--results", str(results), "--prices", str(prices)]) == 0
    out, problem = capsys.readouterr()
    assert "| 3.500 |" in out
    assert "no result for the price of 'NVIDIA B200'" in problem


@pytest.mark.parametrize("price", ["H200", "H200=cheap", "H200=-1", "H200=nan"])
def test_impossible_prices_are_named(price):
    with pytest.raises(ValueError, match=r"expected (NAME=USD|a positive number)"):
        table.read_prices(None, [price])


@pytest.mark.slow  # compiles a search of its own
def test_evaluations_are_counted():
    config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, belief_head=False)
    params = network.init(config, jax.random.key(0))
    states = selfplay.decisions_of_all_stages(jax.random.key(0), 64)
    early = jax.tree.map(lambda leaf: leaf[np.asarray(states.ply) < 8], states)
    # Nothing ends within five plies of the first two tricks: the root and every leaf are evaluated.
    assert targets.evaluations(search.SearchConfig("gumbel", sims=5), config, params, early) == 6


def test_games_of_a_player_are_measured():
    (row,) = eq.measure_games(["heuristic"], deals=2, seed=0)
    assert row["games"] == 4 and row["games_per_cpu_s"] > 0


@pytest.mark.parametrize("with_contract", [False, True])
def test_players_are_timed_at_the_decisions_of_whole_hands(with_contract):
    asked = latency.decisions(2, 0, with_contract)
    seen = [request.position for request in asked]
    assert all(len(each.legal) > 1 for each in seen)
    assert {bidding.winner(each) for each in seen} == {None}
    assert {each.bid and each.bid.points for each in seen} == {30 if with_contract else None}
    assert {each.mover for each in seen} == {0, 1, 2, 3}
    deals = [each for each in seen if not each.plays]
    assert len(deals) == 2 and latency.decisions(1, 1, with_contract)[0].position == deals[1]
    assert 10 < len(seen) / 2 < 22


def test_a_row_of_latency_has_the_first_decision_apart(tmp_path, capsys):
    out = tmp_path / "row.json"
    latency.main(["--players", "random", "--alone", "--hands", "1", "--out", str(out)])
    row = json.loads(out.read_text())
    assert row["player"] == "random" and row["decisions"] == len(latency.decisions(1, 0))
    assert 0 < row["cpu_median_ms"] <= row["cpu_p95_ms"] <= row["cpu_max_ms"]
    assert row["warm_up_cpu_s"] >= round(row["first_cpu_s"], 2)
    assert "| `random` | " in latency.table([row])
    with pytest.raises(ValueError, match="'cheat' sees all hands"):
        latency.main(["--players", "cheat"])


# The other test measures without a process of its own.
@pytest.mark.slow
def test_each_player_is_timed_in_a_process_of_its_own():
    assert latency.measure_alone("random", 1, 0)["player"] == "random"
    with pytest.raises(ValueError, match=r"nobody: its process failed: .* unknown kind 'nobody'"):
        latency.measure_alone("nobody", 1, 0)


def test_a_measurement_of_strength_resumes(tmp_path, capsys):
    words = f"--pair heuristic random --batch 2 --keep {tmp_path} --out {tmp_path}/out.json".split()
    strength.main([*words, "--deals", "2"])
    first = json.loads((tmp_path / "out.json").read_text())["pairs"][0]
    strength.main([*words, "--deals", "4", "--plot", f"{tmp_path}/plot.png"])
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    more = json.loads((tmp_path / "out.json").read_text())["pairs"][0]
    assert (first["deals"], more["deals"]) == (2, 4)
    (kept,) = tmp_path.glob("*[0-9a-f].json")
    assert 0 < json.loads(kept.read_text())["a_decisions"] < 2 * 4 * 14
    margins = json.loads(kept.read_text())["margins"]
    expected = matches.play_pairs(
        players.make("heuristic"), players.make("random"), 4, jax.random.key(0), batch=2
    )
    assert margins == expected.tolist()
    capsys.readouterr()
    strength.main([*words, "--deals", "4"])  # plays nothing
    assert capsys.readouterr().out.count("\n") == 1


def test_margins_of_two_programs_are_not_one_match(tmp_path):
    """A program has no identity."""
    toy = Path(__file__).parents[1] / "support" / "toy_player.py"
    specs = [f"ext:{sys.executable} {toy},timeout={limit}" for limit in (50, 60)]
    assert {players.make(spec).identity for spec in specs} == {""}
    first, second = (strength.keep_file(tmp_path, spec, "random", 0) for spec in specs)
    assert first != second and first == strength.keep_file(tmp_path, specs[0], "random", 0)


@pytest.mark.parametrize(
    "name",
    [
        *("engine", "network", "selfplay", "learner", "search", "targets"),
        *("oracle", "eq", "special", "latency", "strength", "scaling", "sizes", "ingest", "faults"),
        *("compile", "table", "plan", "gpu_program", "on_gpu", "all"),
    ],
)
def test_every_benchmark_explains_itself(name, capsys):
    main = importlib.import_module(f"benchmarks.{name}").main
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"example:\n  python -m benchmarks.{name} --" in said
    with pytest.raises(SystemExit) as ended:
        main(["--no-such-option"])
    problem = capsys.readouterr().err
    assert ended.value.code == 2 and problem.count("\n") == 1


def test_rows_are_kept_as_they_come(tmp_path):
    """An interrupted benchmark keeps the rows that were measured."""
    out = tmp_path / "rows.json"

    def rows():
        yield {"games": 1}
        assert json.loads(out.read_text())["rows"] == [{"games": 1}]
        yield {"games": 2}

    args = report.parser_with_json("x", "", "").parse_args(["--out", str(out), "--note", "idle"])
    report.collect("x", args, rows(), extra=3)
    result = json.loads(out.read_text())
    assert result["rows"] == [{"games": 1}, {"games": 2}]
    assert result["extra"] == 3 and result["note"] == "idle"


def test_a_result_without_a_name_replaces_no_committed_one(tmp_path, monkeypatch):
    for name in importlib.import_module("zebjax.benchmark").names():
        path = report.default_name(name)
        assert not path.exists() and report.STARTED in path.name
        ignored = ["git", "-C", str(path.parent), "check-ignore", "-q", path.name]
        assert not (report.IN_CHECKOUT and (Path(__file__).parents[2] / ".git").exists()) or (
            subprocess.run(ignored, check=False).returncode == 0
        )
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.collect("x", report.parser_with_json("x", "", "").parse_args([]), iter([{"games": 1}]))
    assert [path.name for path in tmp_path.iterdir()] == [f"x-cpu-{report.STARTED}.json"]


def test_no_benchmark_names_its_file_itself():
    for path in Path(report.__file__).parent.glob("*.py"):
        written = [line for line in path.read_text().splitlines() if "args.out or" in line]
        assert all("report.default_name(" in line for line in written if path.stem != "report")


@pytest.mark.parametrize("out", ["", "folder", "file/x.json"])
def test_an_impossible_file_is_refused_before_the_measurement(out, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        report.parser_with_json("x", "", "").parse_args(["--out", out])
    problem = capsys.readouterr().err
    assert ended.value.code == 2 and ": --out: " in problem and problem.count("\n") == 1


def test_an_error_of_a_benchmark_is_one_sentence(capsys):
    def main():
        raise ValueError("nowhere: no network here")

    assert report.run("targets", main) == 2
    assert capsys.readouterr().err == "zebjax benchmark targets: nowhere: no network here\n"


def test_the_faults_experiment_is_one(tmp_path):
    """Its text is a string in the benchmark; nothing else reads it before a run of an hour."""
    path = tmp_path / "faults.py"
    path.write_text(faults.EXPERIMENT)
    assert experiment.load(path, []).eval_aux.enabled


def test_a_process_of_faults_writes_its_log(tmp_path):
    process = faults.Process("learner", None, tmp_path)
    process.start()
    assert process.running.wait(60) == 2  # there is no experiment file in the folder
    assert "faults.py" in (tmp_path / "learner.log").read_text()


def test_zeros_are_observations():
    seen = report.zeros(network.PRESETS["small"], 3, 11)
    assert seen.tokens.shape == (3, 11, len(observe.tokenizer("v1").features)) and seen.mask.all()
