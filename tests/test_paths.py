"""A path of the wrong kind is refused at once, and the message names the option."""

import sys

import pytest

from zebjax.__main__ import main

HAND = ["6-6", "6-5", "6-4", "5-5", "3-2", "1-0", "4-4"]
IS_FILE, IS_FOLDER = "expected a folder, 'file' is a file", "expected a file, 'dir' is a folder"
NO_FILE = "there is no file 'gone'"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve", "--games", "file"], f"--games: {IS_FILE}"),
        (["play", "--games", "file/x"], f"--games: {IS_FILE}"),
        (["arena", "random", "vs", "random", "--cache", "file"], f"--cache: {IS_FILE}"),
        (["arena", "--run", "file"], f"--run: {IS_FILE}"),
        (["arena", "--run", "dir"], "--run: dir: expected a run with two checkpoints or more"),
        (["teach", "--games", "1", "--out", "file"], f"--out: {IS_FILE}"),
        (["export", "bundled", "--hub", "hf://a/b", "--ladder", "dir"], f"--ladder: {IS_FOLDER}"),
        (["export", "bundled", "--hub", "hf://a/b", "--ladder", "gone"], f"--ladder: {NO_FILE}"),
        (["recap", "run", "--arena", "dir"], f"--arena: {IS_FOLDER}"),
        (["recap", "run", "--arena", "gone"], f"--arena: {NO_FILE}"),
        (["analyse", "--position", "dir"], f"--position: {IS_FOLDER}"),
        (["analyse", "--network", "dir"], "--network: dir: no network here"),
        (["bid", "--calibrate", "2", "--keep", "dir"], "--keep: expected the name of a file"),
        (["bid", *HAND, "--by", "dir"], "--by: dir: cannot be read"),
        (["bid", "--calibrate", "2", "--by", "dir"], "--by: dir: cannot be read"),
        (["imitate", "dir", "out", "--start", "dir"], "--start: dir: cannot be read"),
        (["train", "quickstart", "--runs", "file"], "runs: /"),
        (["rollback", "quickstart", "8", "--runs", "file"], "runs: /"),
        (["benchmark", "plan", "--results", "file"], f"--results: {IS_FILE}"),
        (["benchmark", "table", "--prices", "dir"], f"--prices: {IS_FOLDER}"),
    ],
    ids=lambda words: "-".join(words[:2]) if isinstance(words, list) else None,
)
def test_a_path_of_the_wrong_kind_names_its_option(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)  # `zebjax benchmark` writes it
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    try:
        status = main(words)
    except SystemExit as leaving:
        status = leaving.code
    said = capsys.readouterr().err
    called = " ".join(words[: 2 if words[0] == "benchmark" else 1])
    assert status == 2 and f"zebjax {called}: {sentence}" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir", "file"]
