"""`zebjax convert --examples`: good files are converted, bad files are named and kept."""

import os

import jax
import numpy as np
import pytest

from zebjax import record
from zebjax.convert import main
from zebjax.torch_compat import archive as torch_archive
from zebjax.training import warm_start
from zebjax.training.config import Experiment, ReplayConfig, TeacherConfig


def test_the_command_goes_on_past_bad_files(batch, mine, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    for name in ("a", "b", "c"):
        torch_archive.write(tmp_path / f"{name}.pt", batch)
    (tmp_path / "b.pt").write_bytes((tmp_path / "b.pt").read_bytes()[:5000])
    files = [str(tmp_path / f"{name}.pt") for name in ("a", "b", "none", "c")]
    assert main(["--examples", *files, str(out)]) == 2
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{out / name}.safetensors: 12 games, selfplay-mcts, worker 'w0', step 5"
        for name in ("a", "c")
    ]
    complaints = said.err.splitlines()
    assert complaints[0].startswith(f"zebjax convert: {files[1]}: damaged or truncated")
    assert complaints[1].startswith(f"zebjax convert: {files[2]}: no such file")
    assert complaints[2:] == ["zebjax convert: refused 2 of 4 files"]
    assert sorted(os.listdir(out)) == ["a.safetensors", "c.safetensors"]
    records, metadata = record.read(out / "a.safetensors")
    jax.tree.map(np.testing.assert_array_equal, records, mine)
    assert (metadata.worker, metadata.games) == ("w0", 12)

    # Nothing that is there is replaced.
    before = (out / "a.safetensors").read_bytes()
    assert main(["--examples", files[0], str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert f"{files[0]}: {out / 'a.safetensors'} exists already" in said.err
    assert (out / "a.safetensors").read_bytes() == before


def test_the_folder_can_be_trained_on(batch, mine, tmp_path):
    for name in ("a", "b"):
        torch_archive.write(tmp_path / f"{name}.pt", batch)
        assert main(["--examples", str(tmp_path / f"{name}.pt"), str(tmp_path / "out")]) == 0
    settings = Experiment(
        name="x",
        teacher=TeacherConfig(str(tmp_path / "out")),
        replay=ReplayConfig(capacity_examples=28 * 24),
    )
    taught = warm_start.taught_games(settings)
    jax.tree.map(
        lambda got, one: np.testing.assert_array_equal(got, np.concatenate([one, one])),
        taught,
        mine,
    )


def test_the_command_leaves_nothing_where_it_cannot_write(batch, tmp_path, capsys):
    torch_archive.write(tmp_path / "a.pt", batch)
    (tmp_path / "file").write_text("mine")
    assert main(["--examples", str(tmp_path / "a.pt"), str(tmp_path / "file")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "cannot be written" in said.err and "file is not a folder" in said.err
    assert (
        sorted(os.listdir(tmp_path)) == ["a.pt", "file"]
        and (tmp_path / "file").read_text() == "mine"
    )
    assert main(["--examples", str(tmp_path / "none.pt"), str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--examples", "a.pt"], "expected OUT; see"),
        (["--examples", "a.pt", "b.pt"], "expected OUT at the end"),
        (["--examples", "a.pt", "b", "--seed", "1"], "--examples cannot be used with"),
        (["--examples", "--to-torch", "a.pt", "b"], "--examples cannot be used with"),
        (["a.pt", "b.pt", "c"], "expected one CHECKPOINT and OUT, got 3 names"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err
