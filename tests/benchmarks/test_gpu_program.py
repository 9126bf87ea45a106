"""The command gpu_program, the programs that it compiles, and what becomes of its rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_program, plan, table
from benchmarks.gpu import compile as gpu_compile
from benchmarks.gpu import programs, show
from benchmarks.gpu.cards import CARDS
from tests.support.hlo_text import PROGRAM
from zebjax import network
from zebjax.operations.rented import speeds

H100 = CARDS["h100"]


def test_rows_are_compared_with_those_of_the_same_program(tmp_path):
    row = {"device": "x", "program": "learner", "batch": 64, "ms_per_update": 8.0, "gone": 1}
    path = tmp_path / "before.json"
    path.write_text(json.dumps({"rows": [row, row | {"batch": 128, "ms_per_update": 9.0}]}))
    before = show.saved_rows(path)
    now = {"device": "x", "program": "learner", "batch": 64, "ms_per_update": 2.0, "new": 3}
    assert show.compared(before, now).splitlines() == [
        "  ms_per_update: 8.0 -> 2.0, times 0.250",
        "  new: 3, none before",
    ]
    assert "no earlier row" in show.compared(before, now | {"batch": 7})
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected a result of the benchmark gpu_program"):
        show.saved_rows(path)


def test_cards_are_described_in_xlas_words():
    text = gpu_compile.target_config(CARDS["3080"])
    assert "major: 8 minor: 6" in text and "core_count: 68" in text
    assert text.count("{") == text.count("}")


def test_without_the_plugin_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(gpu_compile.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        gpu_program.main(["--programs", "engine"])
    problem = capsys.readouterr().err
    assert ended.value.code == 2 and "install zebjax[cuda12]" in problem
    assert problem.count("\n") == 1


def predictions(folder, device, **row):
    row = {"device": device, "source": "predicted", "date": "2026-11-26T00:00:00"} | row
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(
        json.dumps({"device": device, "source": "predicted", "rows": [row]})
    )


def test_the_table_says_which_rows_are_predicted(tmp_path, capsys):
    name = "NVIDIA GeForce RTX 3060"
    predictions(tmp_path, name, setting="original", predicted_games_per_s=12.0)
    predictions(tmp_path, name, setting="large", batch=64, predicted_updates_per_s=300.0)
    assert table.main(["--results", str(tmp_path), "--price", f"{name}=0.06"]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = "| 12.0 | 0.060 | 0.0050 | 1.39 | predicted, 2026-11-26 |"
    assert lines[-1] == f"| {name} | original {expected}"
    # A reader of measured speeds does not see them.
    assert speeds.read(tmp_path, {}) == []


def test_plans_take_predictions_from_the_results(tmp_path):
    assert speeds.predicted("original", tmp_path) == speeds.predicted("original", tmp_path / "no")
    predictions(tmp_path, CARDS["4070ti"].name, setting="original", predicted_games_per_s=68.0)
    predictions(tmp_path, CARDS["h100"].name, setting="original", predicted_games_per_s=400.0)
    predictions(tmp_path, CARDS["h100"].name, setting="recommended", predicted_games_per_s=4e3)
    predictions(
        tmp_path, CARDS["h100"].name, setting="large", batch=64, predicted_updates_per_s=900.0
    )
    found = speeds.predicted("original", tmp_path)
    assert found["RTX 4070 Ti"] == 68.0 and found["NVIDIA H100"] == 400.0
    # No roofline of this card: scaled by the published speeds.
    assert found["RTX 3080"] == pytest.approx(68 * 3.0 / 4.15)
    assert speeds.predicted("recommended", tmp_path)["RTX 4070 Ti"] == pytest.approx(680)
    assert plan.learners(tmp_path)["NVIDIA H100"] == (900.0, "predicted")


@pytest.mark.slow  # and needs 6 GB of NVIDIA's libraries
@pytest.mark.skipif(bool(gpu_compile.problem()), reason=f"compiles: {gpu_compile.problem()}")
def test_the_engine_is_compiled_for_a_gpu_that_is_not_there(tmp_path):
    out = tmp_path / "engine.json"
    asked = ["--gpus", "3060", "--programs", "engine", "--out", str(out), "--list", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_program", *asked],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        # The variables of this test run keep JAX on the CPU.
        env={name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"},
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["device"] == CARDS["3060"].name and row["source"] == "predicted"
    assert 1e7 < row["predicted_plies_per_s"] < 1e10 and row["temporary_mb"] > 0
    assert "zebjax/game.py:" in done.stdout


class Program:
    """Stands for a compiled program where there is no plugin to compile with."""

    def as_text(self):
        return PROGRAM

    def memory_analysis(self):
        return self

    temp_size_in_bytes = 3 << 20


def test_one_compiled_program_predicts_several_cards(tmp_path, monkeypatch, capsys):
    compiled_for = []

    def compiled(card, n_devices, function, *arguments):
        compiled_for.append(card.name)
        return Program()

    monkeypatch.setattr(gpu_compile, "prepare", lambda: None)
    monkeypatch.setattr(gpu_compile, "compiled", compiled)
    asked = ["--programs", "engine", "--gpus", "h100", "3060", "--compile-for", "h100"]
    monkeypatch.setattr(gpu_program.report, "RESULTS", tmp_path)
    assert gpu_program.main([*asked, "--list", "3", "--text", str(tmp_path / "texts")]) == 0
    assert compiled_for == [H100.name]
    (fast,), (slow,) = (
        show.saved_rows(next(tmp_path.glob(f"gpu-program-{name}-*.json")))
        for name in ("h100", "3060")
    )
    assert slow["device"] == CARDS["3060"].name and slow["compiled_for"] == H100.name
    assert slow["ms_per_run"] > fast["ms_per_run"] and slow["temporary_mb"] == 3
    assert len(list((tmp_path / "texts").iterdir())) == 1
    capsys.readouterr()
    # Comparing writes nothing; writing replaces the row of the same program.
    (saved,) = tmp_path.glob("gpu-program-h100-*.json")
    before = saved.read_text()
    assert gpu_program.main(["--programs", "engine", "--compare", str(saved)]) == 0
    assert "  as before" in capsys.readouterr().out and saved.read_text() == before
    assert gpu_program.main(["--programs", "engine", "--out", str(saved)]) == 0
    assert len(show.saved_rows(saved)) == 1 and compiled_for == [H100.name] * 3


def test_loops_of_unknown_length_have_turns_that_the_code_explains():
    """What does not fit into its part of a batch is rare; forced moves come a few in a row."""
    turns = programs._turns(True)
    overflow = ("/venv/zebjax/network/bucketing.py:218", "/venv/zebjax/search/tree.py:98")
    forced = ("/venv/zebjax/search/tree.py:339", "/venv/zebjax/training/selfplay.py:103")
    assert turns(overflow, 3) == 0 and turns(forced, 3) == 3
    assert turns(forced, 1) == 1  # the loop over moves: the cost of one is asked


def test_an_evaluation_starts_from_prepared_weights(monkeypatch):
    tiny = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    monkeypatch.setitem(network.PRESETS, "tiny", tiny)
    made = programs.evaluation("tiny", 8, 20, programs.Compute("bfloat16"))
    _, weights, seen = made.arguments
    assert weights.table.dtype == "bfloat16" and weights.belief_out is None
    assert seen.mask.shape == (8, 20)


@pytest.mark.parametrize("name", ["medium-outcomes", "medium-rollouts"])
def test_self_play_without_a_search_is_a_program(name):
    words = ["--programs", "selfplay", "search", "--settings", name, "--lanes", "16"]
    (program,) = gpu_program.planned(gpu_program._parser().parse_args(words))
    assert program.facts["setting"] == name and program.inner is None
    # Traced and not compiled: that needs the plugin.
    after = program.function.trace(*program.arguments).out_info
    assert after.finished.moves.shape[1:] == (28, 7, 2)


def test_rows_of_several_devices_are_in_the_table_and_not_taken_for_one(tmp_path, capsys):
    sent = {"simulation": {"all-reduce": {"number": 2.0, "mb": 0.25}}}
    one, eight = CARDS["h100"].name, f"8 x {CARDS['h100'].name}"
    predictions(tmp_path, one, setting="original", predicted_games_per_s=400.0)
    predictions(
        tmp_path, eight, setting="original", predicted_games_per_s=2e3, collectives=sent, devices=8
    )
    predictions(tmp_path, eight, setting="large", batch=64, predicted_updates_per_s=9e3)
    # Kernels that are not the default are not what a user gets.
    predictions(tmp_path, one, setting="original", predicted_games_per_s=900.0, kernels="xla")
    assert table.main(["--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith(f"| {eight} | original | 2000.0 |")
    assert said.endswith("| predicted, 2026-11-26, 2 collectives, 0.25 MB a simulation |")
    assert speeds.predicted("original", tmp_path)["NVIDIA H100"] == 400.0
    assert plan.learners(tmp_path)["NVIDIA H100"] == plan.LEARNERS["NVIDIA H100"]
