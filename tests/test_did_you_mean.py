"""What a mistake is answered with: the word that was meant, and where was looked."""

import json
import os
import re

import pytest

from zebjax import arena, belief, experiment, players, regret
from zebjax.common import parsing
from zebjax.network import places
from zebjax.players.spec import KINDS


def answer(capsys, main, *words):
    try:
        status = main(list(words))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and err.count("\n") == 1
    return err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("bundled", "zeb:bundled"),
        ("bundled,temperature=0", "zeb:bundled,temperature=0"),
        ("bundeld", "zeb:bundled"),
        ("mine", "zeb:runs/mine"),
        ("runs/mine", "zeb:runs/mine"),
        ("hf://me/net", "zeb:hf://me/net"),
        ("Random", "random"),
        ("heuristics", "heuristic"),
        ("zbe:bundled", "zeb:bundled"),
        ("eq,n=10", "eq:n=10"),
    ],
)
def test_a_player_that_is_a_network_is_named_as_one(spec, meant, here):
    (here / "runs" / "mine" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"did you mean {meant!r}\\?$"):
        players.make(spec)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [("eq:N=100", "'n'"), ("eq:belif=small", "'belief'"), ("eq:trick1=9", "'n_trick1'")],
)
def test_a_key_of_a_player_is_suggested(spec, meant):
    with pytest.raises(ValueError, match=f"unknown key .*; did you mean {meant}\\?$"):
        players.make(spec)


@pytest.mark.parametrize("key", ["m", "color", "worlds"])
def test_a_key_that_resembles_none_is_told_which_there_are(key):
    with pytest.raises(ValueError, match=f"unknown key '{key}'; expected one of n, criterion, "):
        players.make(f"eq:{key}=100")


def test_an_empty_player_is_told_which_there_are():
    with pytest.raises(ValueError, match="unknown kind '🎲'; expected one of random, heuristic"):
        players.make("🎲")
    with pytest.raises(ValueError, match=f"'': expected one of {', '.join(KINDS)}$"):
        players.make("")


def test_the_commands_say_it_too(capsys, here):
    assert "did you mean 'zeb:bundled'?" in answer(capsys, arena.main, "bundled", "vs", "random")
    assert "did you mean 'zeb:bundled'?" in answer(capsys, regret.main, "bundled")
    assert "did you mean bundled?" in answer(capsys, belief.main, "zeb:bundeld")
    for path in ("x" * 300, "zeb:" + "x" * 300):
        assert answer(capsys, belief.main, path).endswith("too long\n")
        assert answer(capsys, arena.main, f"zeb:{path}", "vs", "random").endswith("too long\n")
    assert belief.parser().parse(["zeb:bundled"]).path == "bundled"
    with pytest.raises(ValueError, match=r"did you mean bundled\?$"):
        players.make("zeb:bundeld")


def test_of_equally_unlike_words_the_shortest_difference_is_nearest():
    assert parsing.nearest("m", ["criterion", "n", "n_trick1"]) == "n"
    assert parsing.nearest("RANDOM", ["eq", "random"]) == "random"
    assert parsing.similar("bundeld", ["other", "bundled"]) == "bundled"
    assert parsing.similar("xyz", ["other", "bundled"]) == ""


# Networks


def test_a_missing_network_is_answered_with_where_was_looked_and_what_was_found(here):
    (here / "empty").mkdir()
    (here / "file").touch()
    (here / "out" / "zeb-557k").mkdir(parents=True)
    wanted = {
        "gone": f"no file or folder {here}/gone;",
        f"{here}/gone": f"{here}/gone: no network here: there is no file or folder of this name;",
        "": f"the folder {here} holds neither",
        "empty": f"the folder {here}/empty holds neither config.json nor checkpoints/step_...;",
        "file": f"the file {here}/file is no network;",
        "out/zeb-557": "did you mean out/zeb-557k?",
        "x" * 300: "no file or folder",
    }
    for path, part in wanted.items():
        said = places.not_found(places.Path(path))
        assert part in said and "; expected a folder made by" in said
    assert not places.suggestion(places.Path("nothing-like-it"))


# Experiments


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--learner.learning-rate", "--learner.lr"),
        ("--learner.learning_rate=1", "--learner.lr"),
        ("--learning-rate", "--learner.lr"),
        ("--batch-size", "--learner.batch"),
        ("--lr", "--learner.lr"),
        ("--learner.lrr", "--learner.lr"),
    ],
)
def test_a_field_under_another_usual_name_is_suggested(option, meant):
    with pytest.raises(ValueError, match=f"did you mean {re.escape(meant)}\\?$"):
        experiment.load("quickstart", [option, "1"])


def test_every_other_name_leads_to_a_field():
    options = experiment.Parser("try", "", usage="").with_fields()._option_string_actions
    for name, field in experiment._OTHER_NAMES.items():
        assert f"--{field}" in options and f"--{name}" not in options


def test_a_run_in_the_place_of_its_experiment_is_answered_with_the_call(here):
    run = here / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "experiment.json").write_text("{}")
    for name in ("mine", "runs/mine"):
        with pytest.raises(ValueError, match=r"is a run; .* as in `EXPERIMENT --name mine`$"):
            experiment.find(name)
    starts = [{"command": ["/bin/zebjax", "train", "teacher-from-nothing", "--name", "mine"]}]
    (run / "environment.json").write_text(json.dumps(starts))
    with pytest.raises(ValueError, match=r"as in `teacher-from-nothing --name mine`$"):
        experiment.find("mine")
    with pytest.raises(ValueError, match=f"gone.py: no file {here}{os.sep}gone.py; expected"):
        experiment.find("gone.py")


@pytest.mark.parametrize(
    "option", ["--runs", "--start.checkpoint", "--teacher.folder", "--replay.seed-folder"]
)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_name_of_a_place_is_refused(option, value):
    field = option.removeprefix("--").replace("-", "_")
    with pytest.raises(ValueError, match=f"^{field}: expected .*name.*, got '{value}'$"):
        experiment.load("quickstart", [option, value])


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("--network.embed-dim", "0", "network.embed_dim"),
        ("--selfplay.search.sims", "0", "selfplay.search.sims"),
        ("--learner.lr", "-1", "learner.lr"),
        ("--seed", "-1", "seed"),
        ("--cycles", "3000000000", "cycles"),
        ("--start.step", "3000000000", "start.step"),
        ("--learner.decay-updates", "3000000000", "learner.decay_updates"),
        ("--evaluation.deals", "3000000000", "evaluation.deals"),
    ],
)
def test_an_impossible_value_names_its_option(option, value, field):
    with pytest.raises(ValueError, match=f"^{re.escape(field)}: expected"):
        experiment.load("quickstart", [option, value])
