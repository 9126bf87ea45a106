"""The command `arena`: what it prints, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from zebjax import arena, players
from zebjax.evaluation import matches
from zebjax.players import spec


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """The command keeps its finished pairs under the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["random", "vs", "heuristc"],
            "player 'heuristc': unknown kind 'heuristc'; did you mean 'heuristic'?",
        ),
        (["random", "versus", "random"], "expected A vs B, got 'versus' in the place of 'vs'"),
        (["random", "vs"], "expected A vs B, --matrix or --ladder, got 'random vs'"),
        ([], "expected A vs B, --matrix or --ladder, got ''"),
        (
            ["random", "vs", "random", "heuristic"],
            "nothing more, got 'heuristic'; for more players add --matrix",
        ),
        (
            ["random", "vs", "random", "--anchor", "random=1"],
            "--anchor: ratings need --matrix, --ladder or --run",
        ),
        (["--matrix", "random"], "--matrix: expected 2 players or more, got 1"),
        (["--matrix", "random", "random"], "player 'random' is listed twice"),
        (
            ["--matrix", "random", "vs", "heuristic"],
            "--matrix: expected players without 'vs' between them",
        ),
        (
            ["--matrix", "random", "heuristic", "--anchor", "x=1"],
            "--anchor: 'x' is none of the players random, heur",
        ),
        (
            ["--matrix", "random", "heuristic", "--anchor", "x"],
            "--anchor: expected PLAYER=RATING as in",
        ),
        (
            ["--matrix", "random", "heuristic", "--anchor", "x=inf"],
            "--anchor: expected PLAYER=RATING as in",
        ),
        (["--matrix", "--ladder"], "--ladder: not allowed with --matrix"),
        (
            ["random", "vs", "random", "--until", "1"],
            "--until: expected a number from 0.001 to 0.4, got '1'",
        ),
        (
            ["random", "vs", "random", "--plot", "a.jpg"],
            "--plot: expected a name that ends in .png, got 'a.jpg'",
        ),
        (
            ["random", "vs", "random", "--plot", "no/a.png"],
            "--plot: the folder 'no' does not exist",
        ),
        (
            ["random", "vs", "random", "--cache", "/dev/null/x"],
            "--cache: expected a folder, '/dev/null' is a file",
        ),
        (
            ["random", "vs", "random", "--cache", "x", "--no-cache"],
            "--no-cache: not allowed with --cache",
        ),
        (
            ["random", "vs", "random", "--deal", "5"],
            "unknown option '--deal'; did you mean --deals?",
        ),
        (
            ["random", "vs", "random", "--deals", "1"],
            "--deals: expected a whole number from 2 to 100000000, got '1'",
        ),
        (["random", "vs", "random", "--deals", "many"], "--deals: expected a whole number"),
        (["random", "vs", "random", "--seed", "-1"], "--seed: expected a whole number from 0"),
        (["random", "vs", "random", "--batch", "0"], "--batch: expected a whole number from 1"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = arena.main(arguments)
    except SystemExit as leaving:
        status = leaving.code
    output = capsys.readouterr()
    assert status == 2 and output.out == ""
    assert (
        message in output.err
        and output.err.startswith("zebjax arena: ")
        and output.err.count("\n") == 1
    )
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing"


def test_the_table_and_the_bar_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert arena.main(["heuristic", "vs", "random", "--deals", "21"]) == 0
    output = capsys.readouterr()
    assert "heuristic vs random" in output.err and "wins" in output.err
    for words in (
        "heuristic vs random",
        "wins (a tie counts 1/2)",
        "points per game",
        "21",
        "normal approximation",
    ):
        assert words in output.out


def test_the_help_shows_every_player_and_an_example(capsys):
    with pytest.raises(SystemExit) as leaving:
        arena.main(["--help"])
    output = capsys.readouterr().out
    assert leaving.value.code == 0 and "zebjax arena heuristic vs random" in output
    assert all(kind.usage in output for kind in spec.KINDS.values())


def test_json_equals_the_library():
    command = [
        sys.executable,
        "-m",
        "zebjax.arena",
        "heuristic",
        "vs",
        "random",
        "--seed",
        "4",
        "--json",
    ]
    command += ["--deals", "21", "--no-cache"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    expected = json.loads(
        matches.play_match(players.heuristic(), players.random(), 21, jax.random.key(4)).to_json()
    )
    assert {name: told[name] for name in expected} == expected and told["seed"] == 4
    assert "21 deals" in done.stderr
