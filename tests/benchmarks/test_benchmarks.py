"""What the benchmarks print must be true: counts of FLOP, lanes in all stages, tables and budgets.
No speed here."""

import dataclasses
import importlib
import json
import sys

import jax
import numpy as np
import pytest

from benchmarks import all as everything
from benchmarks import eq, report, selfplay, table, targets
from zebjax import game, network, observe, search


@pytest.mark.parametrize("preset", ["small", "medium"])
def test_flop_are_what_the_compiler_counts(preset):
    """Against XLA's own count, which adds what is not a matrix product."""
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


def test_a_row_of_self_play_adds_up(tiny_setting):
    row = selfplay.measure(tiny_setting, 16, 0.01, repeats=2)
    assert row["lanes"] == 16 and row["games_per_s"] > 0
    # The root and four leaves at most; endings ask nobody.
    assert 2 < row["evaluations_per_decision"] < 5
    shortest, longest = (report.flop(network.PRESETS["tiny"], n) for n in (8, 23))
    flop_per_evaluation = row["gflop_per_game"] * 1e9 / 17 / row["evaluations_per_decision"]
    assert shortest < flop_per_evaluation < longest


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


def test_a_long_call_makes_all_its_decisions(tiny_setting):
    """The waiting room for finished games never fills, so that nothing is timed that was not
    done."""
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
    # 17 decisions a game, as the rows take it.
    assert 1000 * 4 / sum(finished for _, finished in made) == pytest.approx(
        selfplay.DECISIONS_PER_GAME, rel=0.05
    )


def test_comparing_a_setting_with_itself_gives_about_one(tiny_setting):
    row = selfplay.compare(tiny_setting, tiny_setting, 16, 0.2)
    assert row["least"] <= row["second_over_first"] <= row["most"]
    assert 0.3 < row["second_over_first"] < 3


@pytest.mark.parametrize(("text", "seconds"), [("8min", 480), ("90s", 90), ("1.5h", 5400)])
def test_budgets(text, seconds):
    assert everything.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "min", "0s", "-3min", "8 min"])
def test_impossible_budgets_are_named(text):
    with pytest.raises(ValueError, match="expected a time as in 8min"):
        everything.seconds_of(text)


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


@pytest.mark.parametrize("price", ["H200", "H200=cheap", "H200=-1", "H200=nan"])
def test_impossible_prices_are_named(price):
    with pytest.raises(ValueError, match=r"expected (NAME=USD|a positive number)"):
        table.read_prices(None, [price])


def test_evaluations_are_counted():
    config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, belief_head=False)
    params = network.init(config, jax.random.key(0))
    states = selfplay.decisions_of_all_stages(jax.random.key(0), 64)
    early = jax.tree.map(lambda leaf: leaf[np.asarray(states.ply) < 8], states)
    # Nothing ends within five plies of the first two tricks: the root and every leaf are asked
    # about.
    assert targets.evaluations(search.SearchConfig("gumbel", sims=5), config, params, early) == 6


def test_games_of_a_player_are_measured():
    (row,) = eq.measure_games(["heuristic"], deals=2, seed=0)
    assert row["games"] == 4 and row["games_per_cpu_s"] > 0


@pytest.mark.parametrize(
    "name",
    [
        *("engine", "network", "selfplay", "learner", "search", "targets"),
        *("oracle", "eq", "ingest", "faults"),
        *("compile", "table", "all"),
    ],
)
def test_every_benchmark_explains_itself(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"python -m benchmarks.{name}" in said and "example:" in said


def test_zeros_are_observations():
    seen = report.zeros(network.PRESETS["small"], 3, 11)
    assert seen.tokens.shape == (3, 11, len(observe.tokenizer("v1").features)) and seen.mask.all()
