"""`zebjax convert`: the examples of its help, its errors, and no partial files."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from zebjax import network
from zebjax.convert import main
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import weights as torch_weights
from zebjax.torch_compat.pickle import Call, Name


def test_the_examples_of_the_help_work(reference_path, tmp_path, monkeypatch, capsys):
    for name in ("zeb-557k-1m.pt", "examples_selfplay.pt"):
        shutil.copy(reference_path(name), tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    examples = [
        shlex.split(line)[2:] for line in text.splitlines() if line.startswith("  zebjax convert ")
    ]
    assert len(examples) == 4
    for example in examples:
        assert main(example) == 0, example
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "out/zeb-557k: 556,970 parameters, 4 layers of 128, belief head: none, wrapped layout, "
        "step 3,599, "
        "1,010,176 games"
    )
    assert "584,318 parameters" in said[1] and "belief head: fresh" in said[1]
    assert said[2] == "wrote back.pt, back-config.json, back-state.json"
    assert (
        said[3]
        == "out/games/examples_selfplay.safetensors: 16 games, selfplay-mcts, worker 'golden-0', "
        "step 3,740"
    )
    assert network.load("out/zeb-557k-belief")[0].belief_head
    original = torch_archive.read("zeb-557k-1m.pt")["model_state_dict"]
    back = torch_archive.read("back.pt")
    assert list(back) == list(original)
    assert all(back[key].tobytes() == original[key].tobytes() for key in original)


@pytest.mark.slow  # the other tests call the same program
def test_as_a_process(reference_path, tmp_path):
    """Exit statuses and streams; and torch cannot be imported."""
    blocker = "import sys; sys.modules['torch'] = None; sys.argv[0] = 'convert'; import runpy; "
    code = blocker + "runpy.run_module('convert', run_name='__main__')"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            check=False,
        )

    source = reference_path("synthetic-large-belief.pt")
    done = run(source, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "3,347,110 parameters, 6 layers of 256, belief head: converted, hub layout, step 3,740"
        in done.stdout
    )
    again = run(source, tmp_path / "out")
    assert (again.returncode, again.stdout) == (2, "")
    assert (
        again.stderr
        == f"zebjax convert: {tmp_path / 'out'} exists already: remove it or choose another place\n"
    )
    assert os.listdir(tmp_path) == ["out"]


def _hostile(path):
    command = f"touch {path.parent / 'proof'}"
    torch_archive.write(path, {"model_state_dict": Call(Name("posix", "system"), (command,))})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "this is not a file"),
        (lambda path: path.touch(), "the file is empty"),
        (lambda path: path.write_bytes(b"\x80\x02N."), "a bare pickle"),
        (_hostile, "asks for 'posix.system'"),
        (lambda path: torch_archive.write(path, {"a": np.zeros(2)}), "looked for"),
    ],
)
def test_complaints(tmp_path, capsys, make, message):
    path = tmp_path / "in.pt"
    make(path)
    before = sorted(tmp_path.iterdir())
    assert main([str(path), str(tmp_path / "deep" / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"zebjax convert: {path}: ") and message in said.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_prefix_that_was_removed_is_reported(reference_path, tmp_path, capsys):
    content = torch_archive.read(reference_path("zeb-557k-1m.pt"))
    state = {f"module.{key}": value for key, value in content["model_state_dict"].items()}
    torch_archive.write(tmp_path / "in.pt", {**content, "model_state_dict": state})
    assert main([str(tmp_path / "in.pt"), str(tmp_path / "out")]) == 0
    assert "wrapped layout, prefix 'module.' removed, step 3,599" in capsys.readouterr().out


def test_a_truncated_download(reference_path, tmp_path, capsys):
    (tmp_path / "in.pt").write_bytes(reference_path("zeb-557k-1m.pt").read_bytes()[:1_000_000])
    assert main([str(tmp_path / "in.pt"), str(tmp_path / "out")]) == 2
    assert "damaged or truncated" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["in.pt"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file/out.pt", "file is not a folder"),
        ("file/deep/out.pt", "file is not a folder"),
        ("n" * 300 + ".pt", "File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, capsys, monkeypatch, out, message):
    """In both directions, and without a trace."""
    tiny = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, belief_head=False)
    shapes = network.abstract_params(tiny)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    (tmp_path / "file").write_text("mine")
    weights = SimpleNamespace(config=tiny, params=params, provenance=None)
    monkeypatch.setattr(torch_weights, "read", lambda source, limits: weights)
    monkeypatch.setattr(torch_weights, "history", lambda folder: {})
    monkeypatch.setattr(network, "find", lambda path: path)
    monkeypatch.setattr(network, "load", lambda path: (tiny, params))
    for arguments in (["in.pt", str(tmp_path / out)], ["--to-torch", "in", str(tmp_path / out)]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert (
            said.startswith(f"zebjax convert: {tmp_path}")
            and "cannot be written" in said
            and said.count("\n") == 1
        )
        assert out.split("/")[-1].removesuffix(".pt") in said and message in said
    assert {path.name for path in tmp_path.iterdir()} == {"file"} and (
        tmp_path / "file"
    ).read_text() == "mine"


def test_to_torch_complaints(tmp_path, capsys):
    assert main(["--to-torch", str(tmp_path / "none"), str(tmp_path / "out.pt")]) == 2
    assert "no network here" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.pt"], "expected OUT; see zebjax convert --help"),
        (["a.pt", "b", "--belief-head", "new"], "--belief-head: expected keep or fresh"),
        (["a.pt", "b", "--seed", "1"], "--seed can only be used with --belief-head fresh"),
        (["a.pt", "b", "--belief-head", "fresh", "--seed", "x"], "--seed: expected a whole number"),
        (["--to-torch", "a", "b.pt", "--belief-head", "fresh"], "cannot be used with --to-torch"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
