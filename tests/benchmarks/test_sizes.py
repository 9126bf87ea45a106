"""The benchmark of sizes: which steps it rates, on which games, and what it refuses."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from benchmarks import report, sizes
from tests.support.tiny import TINY
from zebjax import network, record
from zebjax.common import checkpoint
from zebjax.evaluation import matches
from zebjax.training import held_out, teacher
from zebjax.training.config import ReplayConfig, to_json

WIDTHS = (16, 32, 48)
BATCH = 128


def settings_of(width, **changes):
    """An experiment of a network that is this wide, with a half of the games held out."""
    shape = dataclasses.replace(TINY.network, embed_dim=width, move_values=True)
    made = dataclasses.replace(TINY, network=shape, replay=ReplayConfig(held_out=0.5))
    return dataclasses.replace(made, **changes)


@pytest.fixture(scope="module")
def held():
    """Games with values of moves, all of them held out by a half."""
    with jax.default_prng_impl("rbg"):
        made = teacher.play_file(teacher.Settings(n=2, seed=3), teacher.Cast(), 0, 24)
    return held_out.split(record.with_moves(made, True), 0.5)[1]


def a_run(folder, settings, examples, held):
    """A folder of a run that has kept a step for each number of examples."""
    (folder / "state" / "step_000000001").mkdir(parents=True)
    for place in (folder, folder / "state" / "step_000000001"):
        (place / "experiment.json").write_text(to_json(settings))
    held_out.save(folder / "state" / "step_000000001", held)
    for cycle, n in enumerate(examples):
        step = checkpoint.step_folder(folder / "checkpoints", cycle)
        step.mkdir(parents=True)
        params = network.init(settings.network, jax.random.key(cycle))
        # A fresh head says 0 of every move.
        params = jax.tree.map(lambda leaf: leaf + 0.05, params)
        network.save(step, settings.network, params, {"trained_examples": n})
    return folder


@pytest.fixture(scope="module")
def runs(held, tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    read = (0, 1000, 2000, 3000, 4000)
    return [a_run(parent / f"w{width}", settings_of(width), read, held) for width in WIDTHS]


def refused(capsys, *words):
    """The sentence with which a call is refused."""
    try:
        status = report.run("sizes", lambda: sizes.main([str(word) for word in words]))
    except SystemExit as ended:
        status = ended.code
    problem = capsys.readouterr().err
    assert status == 2 and problem.count("\n") == 1
    return problem


def test_the_rated_steps_are_half_apart(runs):
    found = sizes.steps_of(runs[0], 1)
    assert [(step.cycle, step.examples) for step in found] == [(1, 1000), (2, 2000), (4, 4000)]
    assert found[0].parameters == network.n_params(
        network.load(runs[0] / "checkpoints" / "step_000000001")[1]
    )
    assert [step.examples for step in sizes.steps_of(runs[0], 1500)] == [2000, 4000]


def test_the_games_are_those_that_every_run_holds_out(runs, held, tmp_path):
    half = settings_of(16, replay=ReplayConfig(held_out=0.25))
    other = a_run(tmp_path / "other", half, (0,), held)
    both, share = sizes.held_games([runs[0], other])
    assert share == 0.25 and held_out.is_held(both, share).all()
    assert 0 < len(both.slots) < len(held.slots) == len(sizes.held_games(runs)[0].slots)


def test_a_run_that_went_back_or_changed_what_it_withholds_is_refused(held, tmp_path):
    run = a_run(tmp_path / "run", settings_of(16), (5000,), held)
    sizes.check_run(run)
    change = {"step": 1, "time": "", "field": "replay.held_out", "from": 0.0, "to": 0.5}
    (run / "changes.json").write_text(json.dumps([change]))
    with pytest.raises(ValueError, match="held_out changed"):
        sizes.check_run(run)
    (run / "changes.json").unlink()
    (run / "metrics-before-rollback-from-3.jsonl").touch()
    with pytest.raises(ValueError, match="not rolled back"):
        sizes.check_run(run)


def test_steps_of_an_earlier_version_are_left_out(held, tmp_path):
    run = a_run(tmp_path / "run", settings_of(16), (5000, 10_000), held)
    (checkpoint.step_folder(run / "checkpoints", 0) / "training.json").write_text('{"step": 0}')
    assert [step.examples for step in sizes.steps_of(run, 1)] == [10_000]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("experiment.json", "[]", "expected an object with start.checkpoint"),
        ("experiment.json", '{"start": "x"}', "expected an object with start.checkpoint"),
        ("experiment.json", '{"start": {"checkpoint": 1}}', "expected a path or null, got 1"),
        ("changes.json", "{}", "changes.json: expected a list of changes"),
        ("state/step_000000001/experiment.json", "{}", "expected replay.held_out above 0"),
        (
            "state/step_000000001/experiment.json",
            '{"replay": {"held_out": "x"}}',
            "replay.held_out: expected a number, got 'x'",
        ),
        (
            "checkpoints/step_000000001/training.json",
            '{"trained_examples": 1.5}',
            "trained_examples: expected a whole number, got 1.5",
        ),
    ],
)
def test_a_damaged_file_is_named(file, text, said, runs, held, tmp_path, capsys):
    run = a_run(tmp_path / "run", settings_of(16), (1000, 2000), held)
    (run / file).write_text(text)
    sentence = refused(capsys, run, *runs[1:], "--first", 1, "--deals", 2)
    assert str(run) in sentence and said in sentence


def test_games_without_values_of_moves_are_refused(runs, held, tmp_path):
    run = a_run(tmp_path / "run", settings_of(16), (1000,), held)
    unknown = held._replace(moves=np.full_like(held.moves, np.nan))
    held_out.save(run / "state" / "step_000000001", unknown)
    with pytest.raises(ValueError, match="expected games with values of moves"):
        sizes.held_games([run, *runs])


def test_wrong_calls_are_one_sentence(runs, held, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    none = settings_of(16, replay=ReplayConfig(held_out=0.0))
    shape = dataclasses.replace(none.network, move_values=False)
    started = dataclasses.replace(none.start, checkpoint="bundled")
    without = a_run(tmp_path / "none", none, (5000,), held)
    plain = a_run(tmp_path / "plain", dataclasses.replace(none, network=shape), (5000,), held)
    begun = a_run(tmp_path / "begun", dataclasses.replace(none, start=started), (5000,), held)
    for words, said in (
        (("nowhere",), "nowhere"),
        ((runs[0], f"{runs[0]}/."), "the same run is named twice"),
        ((runs[0], "--against", "nobody"), "player 'nobody': unknown kind"),
        ((runs[0], "--first", 9000), "no kept step says that it has read 9,000 examples"),
        ((begun, "--first", 1), "expected a run from random weights, this began with bundled"),
        ((plain, "--first", 1), "expected a network with network.move_values"),
        ((*runs, without, "--first", 1), f"{without}: expected replay.held_out above 0"),
        ((*runs[:2], "--first", 1, "--n", BATCH), "a law needs three different sizes"),
    ):
        assert said in refused(capsys, *words), words


def test_the_command_rates_fits_draws_and_resumes(runs, tmp_path, capsys, monkeypatch):
    words = [*map(str, runs), "--first", "1", "--n", str(BATCH), "--deals", "3", "--against"]
    words += ["random", "--keep", f"{tmp_path}/keep", "--out", f"{tmp_path}/out.json"]
    sizes.main([*words, "--plot", f"{tmp_path}/plot.png"])
    said, result = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert len(result["rows"]) == 9 and said.count("predicted for ") == 6
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert result["rows"][0]["run"] == str(runs[0]) and result["rows"][0]["examples"] == 1000
    assert {row["deals"] for row in result["rows"]} == {3}
    assert len({row["value_error"] for row in result["rows"]}) == 9
    before = {path: path.read_bytes() for path in (tmp_path / "keep").glob("*.json")}
    assert len(before) == 18
    monkeypatch.setattr(matches, "play_deals", None)  # nothing is played again
    monkeypatch.setattr(held_out, "measure", None)
    sizes.main(words)
    again = json.loads((tmp_path / "out.json").read_text())
    assert (again["rows"], again["law"]) == (result["rows"], result["law"])
    assert before == {path: path.read_bytes() for path in (tmp_path / "keep").glob("*.json")}
