"""The parser of all commands, with fields of nested dataclasses as options."""

import argparse
import dataclasses
import gc
import signal
import time
from typing import Literal

import pytest

from zebjax.common import cli, console, overrides


@dataclasses.dataclass(frozen=True)
class Inner:
    """Inside."""

    rate: float = 0.5
    """A rate, 100 % at most."""
    low_end: int = 1
    high_end: int = 2
    is_on: bool = False

    def __post_init__(self):
        if self.low_end > self.high_end:
            raise ValueError("low_end: expected at most high_end")


@dataclasses.dataclass(frozen=True)
class Outer:
    """Outside."""

    name: str
    word: Literal["red", "blue"] = "red"
    maybe: str | None = "here"
    count: Literal["all"] | int = "all"
    two_parts: Inner = Inner()


SETTINGS = Outer(name="x")


def parse(*words):
    parser = cli.Parser("try", "About.", "--word red")
    parser.add_argument("file", nargs="?")
    overrides.add_options(parser, Outer)
    return parser.parse(list(words))


def changed(*words):
    return overrides.apply(SETTINGS, parse(*words))


def complaint(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("zebjax try: ") and err.count("\n") == 1
    return err.removeprefix("zebjax try: ").strip()


@pytest.mark.parametrize(
    "words",
    [
        ["--two-parts.is-on"],
        ["--two_parts.is_on"],
        ["--two-parts.is-on=True"],
        ["--two_parts.is_on=true"],
        ["--two-parts.is-on", "True"],
        ["--two-parts.no-is-on=False"],
        ["--two-parts.no-is-on", "--two-parts.is-on"],
    ],
)
def test_a_boolean_is_switched_on_in_every_spelling(words):
    assert changed(*words).two_parts.is_on is True


@pytest.mark.parametrize(
    "words",
    [
        ["--two-parts.no-is-on"],
        ["--two_parts.no_is_on"],
        ["--two_parts.is_on=False"],
        ["--two-parts.is-on", "false"],
        ["--two-parts.is-on", "--two-parts.no-is-on"],
    ],
)
def test_a_boolean_is_switched_off_in_every_spelling(words):
    on = dataclasses.replace(SETTINGS, two_parts=Inner(is_on=True))
    assert overrides.apply(on, parse(*words)).two_parts.is_on is False


def test_a_boolean_takes_no_word_that_is_not_its_value():
    given = parse("--two-parts.is-on", "file.py")
    assert given.file == "file.py" and overrides.apply(SETTINGS, given).two_parts.is_on


def test_values_have_the_type_of_their_field():
    new = changed("--word=blue", "--maybe", "None", "--count", "3", "--two-parts.rate", "-1")
    assert new == Outer("x", "blue", None, 3, Inner(rate=-1.0))
    assert changed("--count", "all", "--maybe", "3").maybe == "3"
    assert changed() == SETTINGS


def test_fields_that_depend_on_each_other_change_together():
    new = changed("--two-parts.low-end", "7", "--two-parts.high-end", "9")
    assert (new.two_parts.low_end, new.two_parts.high_end) == (7, 9)
    # The check says `low_end`; the user has typed --two-parts.low-end.
    with pytest.raises(ValueError, match=r"^two_parts\.low_end: expected at most high_end"):
        changed("--two-parts.low-end", "7")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--wrd", "red"], "unknown option '--wrd'; did you mean --word?"),
        (["--rate", "1"], "unknown option '--rate'; did you mean --two-parts.rate?"),
        (["--two_parts.rte=1"], "unknown option '--two_parts.rte'; did you mean --two-parts.rate?"),
        (["--word", "rd"], "--word: expected red or blue, got 'rd'; did you mean 'red'?"),
        (["--word"], "--word: expected a value"),
        (["--two-parts.rate", "fast"], "--two-parts.rate: expected a number, got 'fast'"),
        (["--two-parts.low-end", "1.5"], "--two-parts.low-end: expected a whole number, got '1.5'"),
        (
            ["--two-parts.low-end", "9" * 20],
            f"--two-parts.low-end: expected a whole number up to 10^15, got '{'9' * 20}'",
        ),
        (["--count", "some"], "--count: expected all or a whole number, got 'some'"),
        (["--two-parts.is-on=2"], "--two-parts.is-on: expected True or False, got '2'"),
        (["a", "b"], "unexpected argument 'b'; see zebjax try --help"),
    ],
)
def test_a_mistake_gets_one_sentence(capsys, words, sentence):
    assert complaint(capsys, *words) == sentence


@pytest.mark.parametrize("word", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(capsys, word):
    assert complaint(capsys, word) == f"file: expected a name, got {word!r}"
    assert changed("--name", word).name == word, "a text may be empty; its own check judges it"
    parser = cli.Parser("try", "About.", "")
    parser.add_argument("--by", metavar="PLAYER")
    parser.add_argument("--note", default="")
    assert parser.parse(["--note", word]).note == word
    with pytest.raises(SystemExit):
        parser.parse(["--by", word])
    assert f"--by: expected a name, got {word!r}" in capsys.readouterr().err


def test_a_file_to_write_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir.png").mkdir()
    (tmp_path / "file").touch()
    wanted = {
        "": "expected a name that ends in .png, got ''",
        "x.jpg": "expected a name that ends in .png, got 'x.jpg'",
        "dir.png": "expected the name of a file, 'dir.png' is a folder",
        "gone/x.png": "the folder 'gone' does not exist",
        "file/x.png": "the folder 'file' is a file",
    }
    for text, sentence in wanted.items():
        with pytest.raises(argparse.ArgumentTypeError) as refused:
            cli.picture(text)
        assert str(refused.value) == sentence
    assert cli.picture("x.PNG").name == "x.PNG"
    assert cli.file_to_write("gone/x", "", creates_folder=True).name == "x"
    assert {path.name for path in tmp_path.iterdir()} == {"dir.png", "file"}


def test_a_folder_may_be_there_or_not_and_a_file_to_read_must_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    assert cli.folder("dir").name == "dir" and cli.folder("gone/x").name == "x"
    assert cli.file_to_read("file").name == "file"
    for check, text, sentence in (
        (cli.folder, "file", "expected a folder, 'file' is a file"),
        (cli.folder, "file/x", "expected a folder, 'file' is a file"),
        (cli.folder, " ", "expected the name of a folder, got ' '"),
        (cli.file_to_read, "dir", "expected a file, 'dir' is a folder"),
        (cli.file_to_read, "gone", "there is no file 'gone'"),
        (cli.file_to_read, "", "expected the name of a file, got ''"),
    ):
        with pytest.raises(argparse.ArgumentTypeError) as refused:
            check(text)
        assert str(refused.value) == sentence


def test_an_error_of_the_system_names_the_file_and_what_was_expected(capsys, tmp_path):
    (tmp_path / "file").touch()
    wanted = {
        tmp_path: "is a folder; expected a file",
        tmp_path / "gone": "there is no such file or folder",
        tmp_path / "file" / "x": "a part of this path is a file; expected a folder",
        tmp_path / ("x" * 300): "file name too long",
    }
    for path, sentence in wanted.items():
        status = cli.run("try", lambda _, path=path: len(path.read_bytes()), None, compiles=False)
        assert status == 2 and capsys.readouterr().err == f"zebjax try: {path}: {sentence}\n"
    assert cli.said(OSError("the store does not answer")) == "the store does not answer"


def test_a_field_without_an_option_is_an_error_of_the_programmer():
    @dataclasses.dataclass(frozen=True)
    class Odd:
        many: dict = dataclasses.field(default_factory=dict)

    with pytest.raises(TypeError, match="has no option"):
        overrides.add_options(cli.Parser("try", ""), Odd)


def test_help_shows_every_field_with_its_text_and_value(capsys):
    parser = cli.Parser("try", "About.", "--word red", "--count 3")
    overrides.add_options(parser, Outer)
    with pytest.raises(SystemExit):
        parser.parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--two-parts.rate X A rate, 100 % at most. (default 0.5)" in shown
    assert "--name TEXT --word" in shown, "a field without a default shows none"
    assert shown.endswith("examples: zebjax try --word red zebjax try --count 3")
    overrides.show_values(parser, dataclasses.replace(SETTINGS, count=7))
    assert "(default 7)" in parser.format_help() and "(default x)" in parser.format_help()


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("what: expected this"), 2, "zebjax try: what: expected this\n"),
        (
            FileNotFoundError(2, "No such file", "x"),
            2,
            "zebjax try: x: there is no such file or folder\n",
        ),
        (KeyboardInterrupt(), 130, "zebjax try: interrupted\n"),
    ],
)
def test_what_a_command_raises_becomes_a_sentence_and_a_status(capsys, error, status, said):
    def command(arguments):
        raise error

    assert cli.run("try", command, parse(), compiles=False) == status
    assert capsys.readouterr().err == said


def test_an_interrupt_within_a_callback_of_the_garbage_collector_is_not_lost():
    def interrupt(phase, info):
        gc.callbacks.remove(interrupt)
        signal.raise_signal(signal.SIGINT)

    def command(arguments):
        gc.callbacks.append(interrupt)
        gc.collect()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            time.sleep(0.01)
        return 0

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # workers of xdist ignore it
    try:
        assert cli.run("x", command, argparse.Namespace(), compiles=False) == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_progress_is_lines_where_there_is_no_terminal(capsys):
    with cli.progress("title") as show:
        show(0.1, "begun")
        show(1.0, "[done]")
    assert capsys.readouterr().err == "title: 100 %  [done]\n"


def test_a_console_prints_text_as_it_is(capsys):
    console.make().print("[bold]not markup[/bold]")
    assert capsys.readouterr().out == "[bold]not markup[/bold]\n"
    assert console.make().width == 120


@pytest.mark.parametrize("wanted", ["1", ""])
def test_a_traceback_is_shown_when_asked_for(capsys, monkeypatch, wanted):
    monkeypatch.setenv("ZEBJAX_TRACEBACK", wanted)

    def command(arguments):
        raise ValueError("what: expected this")

    assert cli.run("try", command, parse(), compiles=False) == 2
    err = capsys.readouterr().err
    assert ("Traceback" in err and "in command" in err) == bool(wanted)
    assert err.endswith("\nzebjax try: what: expected this\n" if wanted else "this\n")
