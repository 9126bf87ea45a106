"""Ratings of a run's checkpoints over its steps."""

import json

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY
from zebjax import arena, network, players
from zebjax.common import checkpoint
from zebjax.evaluation import matches, ratings, steps
from zebjax.evaluation.ladder import Played
from zebjax.operations.recap import results


@pytest.fixture
def run(tmp_path):
    """A run whose checkpoints are random networks."""
    for step in (0, 3, 4, 8, 9):
        folder = checkpoint.step_folder(tmp_path / "checkpoints", step)
        folder.mkdir(parents=True)
        params = network.init(TINY.network, jax.random.key(step))
        network.save(folder, TINY.network, params, {"step": step, "total_games": 10 * step})
    return tmp_path


def test_multiples_the_first_and_the_last_are_rated(run):
    assert steps.chosen(run, 4) == [0, 4, 8, 9]
    assert steps.chosen(run, 100) == [0, 9]
    with pytest.raises(ValueError, match="expected a run with two checkpoints or more, found 0"):
        steps.chosen(run / "checkpoints", 1)


def test_each_step_meets_the_opponents_and_the_step_before():
    assert steps.pairs(3, 2) == [(0, 3), (0, 4), (1, 3), (1, 4), (1, 0), (2, 3), (2, 4), (2, 1)]
    for k, m in ((2, 1), (5, 1), (4, 3)):
        assert len(steps.pairs(k, m)) == k * m + k - 1


def test_ratings_are_those_that_made_the_results(run):
    strength = {0: 1400.0, 4: 1500.0, 8: 1600.0, 9: 1650.0, "random": 1300.0}
    chosen = [0, 4, 8, 9]
    contenders = [players.Player(str(name), lambda *_: None) for name in strength]
    draws = np.random.default_rng(0)

    def played(a, b):
        elos = list(strength.values())
        share = ratings.expected((elos[a] - elos[b]) / ratings.ELO)
        margins = np.where(draws.random((4000, 2)) < share, 2, -2)
        names = contenders[a].spec, contenders[b].spec
        return Played(matches.summarise(*names, margins), margins, 1.0, False)

    found = [played(a, b) for a, b in steps.pairs(4, 1)]
    curve = steps.rate(run, chosen, contenders, found, ("random", 1300.0))
    assert [rated.step for rated in curve.steps] == chosen
    assert [rated.total_games for rated in curve.steps] == [0, 40, 80, 90]
    for rated in curve.steps:
        assert rated.rating.elo == pytest.approx(strength[rated.step], abs=20)
        assert rated.rating.ci95[0] < strength[rated.step] < rated.rating.ci95[1]
        assert rated.wins[0].result.b == "random" and len(rated.wins) == 1
    assert curve.opponents[0] == ("random", ratings.Rating(1300.0, 0.0, (1300.0, 1300.0)))
    shown = results.combine([json.loads(json.dumps(curve.to_dict()))])  # as the recap reads it
    assert len(shown.ratings.players) == 5 and len(shown.matches) == 7
    alone = steps.rate(run, chosen, contenders, found, None)
    assert alone.anchor == ("step 0", 1500) and alone.steps[0].rating.elo == 1500
    gained = alone.steps[3].rating.elo - 1500
    assert gained == pytest.approx(curve.steps[3].rating.elo - curve.steps[0].rating.elo)


@pytest.mark.slow  # compiles two matches
def test_the_command_prints_a_curve(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    common = ["--run", str(run), "--every", "9", "--deals", "4"]
    assert arena.main([*common, "--json", "--plot", "steps.png"]) == 0
    output = capsys.readouterr()
    curve = json.loads(output.out)
    assert [step["step"] for step in curve["steps"]] == [0, 9]
    assert curve["steps"][0]["elo"] == 1500 and curve["steps"][1]["total_games"] == 90
    rated = [one["player"] for one in curve["ratings"]]
    assert rated == [*(step["player"] for step in curve["steps"]), "random"]
    assert len(curve["matches"]) == 3
    assert "3/3 step 9 vs step 0" in output.err
    assert (tmp_path / "steps.png").read_bytes().startswith(b"\x89PNG")
    assert arena.main(common) == 0  # from the cache
    output = capsys.readouterr()
    assert "% vs random" in output.out and "step 0 is fixed at 1500" in output.out
    assert "from the cache" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "3", "random", "vs", "random"], "--every: expected --run with it"),
        (["--run", "x", "random", "vs", "eq"], "--run: expected players without 'vs'"),
        (["--run", "x", "--anchor", "eq=3"], "'eq' is none of the players random"),
        (["--run", "nowhere"], "nowhere: expected a run with two checkpoints or more, found 0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message, capsys):
    try:
        status = arena.main(arguments)
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2 and message in capsys.readouterr().err
