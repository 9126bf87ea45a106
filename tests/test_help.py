"""The help of every command, subcommand and benchmark: what it never shows, how wide it is."""

import importlib
import re

import pytest

from zebjax import benchmark, experiment, fleet
from zebjax.common import overrides
from zebjax.common.commands import COMMANDS
from zebjax.players import spec

ALL = [
    *([name] for name in COMMANDS),
    *([name, "quickstart"] for name in ("train", "doctor")),
    ["rollback", "quickstart", "3"],
    *(["fleet", name] for name in fleet.SUBCOMMANDS),
    *(["benchmark", name] for name in benchmark.names()),
]
MAX_COLUMNS = 100


def help_of(words, capsys):
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(COMMANDS[words[0]].module).main([*words[1:], "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_help_text_is_prose_that_fits_a_terminal(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = help_of(words, capsys)
    assert not re.search(r">>>|Traceback|Args:|Raises:|Returns:", shown)
    assert [line for line in shown.splitlines() if len(line) > MAX_COLUMNS] == []
    if words[0] in ("train", "doctor", "rollback"):
        assert shown.count("shows that experiment's values as defaults") == 1
    # A value in brackets is said to be the default.
    assert not re.search(r"\((\d[\d.e]*|vastai)\)", shown)
    assert re.search(r"^examples?:$", shown, re.MULTILINE)


def test_no_settings_text_of_an_option_shows_code():
    for field in overrides.fields(experiment.Experiment):
        assert ">>>" not in field.about + overrides.about(field.owner)
        assert overrides.about(field.owner), field.owner


def test_a_docstring_without_its_doctests_keeps_its_prose():
    class Both:
        """First,
        in two lines.

        >>> 1 + 1
        2

        Last.
        """

    assert overrides.about(Both) == "First, in two lines. Last."


def test_the_brackets_of_player_specs_are_explained_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = help_of(["arena"], capsys)
    assert " ".join(shown.split()).count("In [ ]: what may be left out") == 1
    # Every value in the brackets is a default, or the letter N.
    for kind in spec.KINDS.values():
        for name, value in re.findall(r"(\w+)=([\w.]+)", kind.usage):
            assert name in kind.options and (value == "N" or kind.options[name](value) is not None)
