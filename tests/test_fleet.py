"""The command `zebjax fleet`: its subcommands, what they refuse, a fleet of real trainings."""

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.fleets import kill_all, marked, until
from tests.support.workers import SETTINGS
from zebjax import fleet
from zebjax.operations import events
from zebjax.operations.local import command, systemd
from zebjax.training import metrics

ROOT = Path(__file__).parents[1]


def run(*words, cwd=ROOT):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(
        [sys.executable, "-m", "zebjax", "fleet", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", fleet.SUBCOMMANDS)
def test_every_subcommand_has_a_help_with_examples_that_parse(name, capsys):
    with pytest.raises(SystemExit) as stop:
        fleet.main([name, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and shown.startswith(f"usage: zebjax fleet {name} ")
    lines = shown.replace("\\\n", "").split("\nexample")[1].splitlines()[1:]
    assert lines
    for line in lines:
        words = line.split()
        assert words[:3] == ["zebjax", "fleet", name]
        fleet.parser(name).parse(words[3:])


def test_an_unknown_subcommand_gets_a_sentence_and_none_lists_them(capsys):
    assert fleet.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in fleet.SUBCOMMANDS)
    with pytest.raises(SystemExit) as stop:
        fleet.main(["lokal", "quickstart"])
    assert stop.value.code == 2
    assert "unknown subcommand 'lokal'; did you mean 'local'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["quickstart", "--evalaux", "1"], "--evalaux: this experiment does not train on eval-aux"),
        (["quickstart", "--selfplay", "0"], "--selfplay: expected a worker or more"),
        (
            ["quickstart", "--store", "a", "--store.url", "b"],
            "--store and --store.url mean",
        ),
        (["quickstart", "--learner.lr", "-1"], "learner.lr: expected a positive number"),
        (["quickstrat"], "did you mean 'quickstart'?"),
        (["quickstart", "--store", "/dev/null"], "expected a folder, but /dev/null is a file"),
        (["quickstart", "--runs", "/dev/null/x"], "expected a folder, but /dev/null is a file"),
    ],
)
def test_what_cannot_be_a_fleet_is_refused_before_anything_is_written(
    words, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert fleet.main(["local", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("zebjax fleet local: ") and sentence in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_windows_gets_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(command.sys, "platform", "win32")
    assert fleet.main(["local", "quickstart"]) == 2
    assert "supervisor does not run on Windows" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["status", "no/such"], ["logs", "no/such"], ["stop", "no/such"]])
def test_a_fleet_that_is_not_there_gets_a_sentence(words, capsys):
    assert fleet.main(words) == 2
    assert capsys.readouterr().err.startswith(f"zebjax fleet {words[0]}: no/such: there is no")


def test_the_arguments_are_written_as_they_were_meant():
    typed = ["quickstart", "--evalaux", "2", "--eval-aux.enabled", "--name", "a b", "--seed=7"]
    own = command.parser().parse(typed)
    own_words = command.words(own)
    assert own_words == [
        *("quickstart", "--selfplay", "1", "--evalaux", "2"),
        *("--name=a b", "--seed=7", "--eval-aux.enabled=True"),
    ]
    assert command.parser().parse(own_words) == own


def test_a_systemd_unit_is_printed_that_systemd_accepts(tmp_path, monkeypatch, capsys):
    place = tmp_path / "50 % of it"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("SECRET", "hidden")
    words = ["--name=mine", '--tracking.project=a $b "c" d\\e;f', "--selfplay", "2"]
    assert fleet.main(["local", "quickstart", *words, "--systemd"]) == 0
    unit = capsys.readouterr().out
    assert list(place.iterdir()) == [] and "hidden" not in unit
    (start,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert start.endswith(" --foreground") and f"{sys.executable} -m zebjax fleet local" in start
    read = shlex.split(start.partition("=")[2].replace("$$", "$").replace("%%", "%"))
    own = command.parser().parse(read[5:])
    assert getattr(own, "tracking.project") == 'a $b "c" d\\e;f'
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")

    def complaints(text):
        file = tmp_path / "zebjax-mine.service"
        file.write_text(text)
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    assert complaints(unit) == ""
    assert "KilMode" in complaints(unit.replace("KillMode", "KilMode"))  # it does look


def test_the_unit_waits_as_long_as_the_fleet_may_take():
    policy = systemd.Policy(worker_stop_s=100, learner_stop_s=200)
    unit = systemd.unit("x", ["zebjax"], policy)
    (line,) = (line for line in unit.splitlines() if line.startswith("TimeoutStopSec="))
    assert float(line.partition("=")[2]) > policy.stop_s > 300


TINY_FILE = """
from zebjax.experiment import *
experiment = {0!r}
"""


@pytest.mark.slow
def test_a_fleet_of_real_trainings_learns_survives_kills_and_ends(tmp_path):
    settings = dataclasses.replace(SETTINGS, name="tiny", cycles=1000)
    (tmp_path / "tiny.py").write_text(TINY_FILE.format(settings))
    folder = tmp_path / "runs" / "tiny" / "fleet"
    rows = tmp_path / "runs" / "tiny" / metrics.FILE

    def cycle():
        found = metrics.read(rows)
        return found[-1]["cycle"] if found else 0

    try:
        began = run("local", "tiny.py", "--selfplay", "2", "--evalaux", "1", cwd=tmp_path)
        assert began.returncode == 0, began.stderr
        assert "tiny: started learner, play-1, play-2, evalaux-1" in began.stdout
        until(lambda: cycle() >= 1, 600)
        assert (
            "runs already"
            in run("local", "tiny.py", "--selfplay", "2", "--evalaux", "1", cwd=tmp_path).stdout
        )
        # One kill of each kind of process, while they work.
        for name in ("learner", "play-1", "evalaux-1"):
            (number,) = (each for each, known in marked(folder).items() if known == name)
            os.kill(number, 9)
            until(lambda name=name: name in marked(folder).values())
        reached = cycle()
        until(lambda: cycle() >= reached + 2, 600)
        status = run("status", "tiny", cwd=tmp_path)
        assert "all processes run" in status.stdout, status.stdout
        stopped = run("stop", "runs/store/tiny", cwd=tmp_path)
        assert stopped.returncode == 0 and "learner stopped (exit status 0)" in stopped.stdout
        assert marked(folder) == {}
        # The same command resumes; with its last cycle near, the fleet ends by itself.
        words = ["tiny.py", "--selfplay", "1", "--evalaux", "0", "--cycles", str(cycle() + 1)]
        assert run("local", *words, cwd=tmp_path).returncode == 0
        until(
            lambda: (
                events.read(folder)[-1]["name"] == "supervisor"
                and events.read(folder)[-1]["event"] == "stopped"
            ),
            600,
        )
        assert "tiny: complete" in run("status", "tiny", cwd=tmp_path).stdout
        time.sleep(0.5)
        assert marked(folder) == {}
    finally:
        kill_all(folder)
