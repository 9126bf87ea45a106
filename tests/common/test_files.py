"""Writes of files and folders are atomic, also with concurrent writers and killed ones."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.faulty import full_disk
from zebjax.common import charts, files

ROOT = Path(__file__).parents[2]


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_one_before_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": "ü"})
    assert files.read_json(path) == {"a": "ü"} and left(tmp_path) == ["a.json"]
    files.write_text(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()


def test_what_the_disk_does_not_take_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, "old")
    with full_disk(100), pytest.raises(OSError, match="too large"):
        files.write_bytes(path, b"x" * 1000)
    with pytest.raises(RuntimeError), files.new_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == "old" and left(tmp_path) == ["a.json"]


def test_many_writers_of_one_file_do_not_meet(tmp_path):
    """One fixed temporary name: one thread renamed what another was still writing."""
    path, failures = tmp_path / "a.json", []

    def write(value):
        try:
            for _ in range(50):
                files.write_json(path, [value] * 1000)
                assert len(set(files.read_json(path))) == 1
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and left(tmp_path) == ["a.json"]


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path):
    files.write_text(tmp_path / ("x" * 250), "whole")
    assert left(tmp_path) == ["x" * 250]


def test_files_that_belong_together_are_all_there_or_none(tmp_path):
    files.write_together({tmp_path / "new" / "a": b"1", tmp_path / "b": b"2"})
    assert (tmp_path / "new" / "a").read_bytes() == b"1" and (tmp_path / "b").read_bytes() == b"2"
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError, match="taken: cannot be written"):
        files.write_together({tmp_path / "c": b"3", tmp_path / "taken": b"4"})
    with pytest.raises(ValueError, match=r"b/d: cannot be written: .* is not a folder"):
        files.write_together({tmp_path / "c": b"3", tmp_path / "b" / "d": b"4"})
    assert left(tmp_path) == ["b", "new", "taken"]


def test_a_killed_writer_leaves_nothing_under_the_real_name(tmp_path):
    script = f"""
import os, pathlib, signal
from zebjax.common import files
with files.new_folder(pathlib.Path({str(tmp_path)!r}) / "step", durable=True) as folder:
    (folder / "a").write_text("half")
    with files.new_file(pathlib.Path({str(tmp_path)!r}) / "row") as row:
        row.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert len(left(tmp_path)) == 2 and all(name.startswith(".tmp-") for name in left(tmp_path))
    (tmp_path / "mine").write_text("kept")
    files.remove_leftovers(tmp_path)
    assert left(tmp_path) == ["mine"]


def test_a_durable_folder_is_like_any_other(tmp_path):
    with files.new_folder(tmp_path / "a" / "b", durable=True) as folder:
        (folder / "in").mkdir()
        (folder / "in" / "x").write_text("1")
    assert (tmp_path / "a" / "b" / "in" / "x").read_text() == "1"
    with pytest.raises(FileExistsError, match="exists already"), files.new_folder(tmp_path / "a"):
        pass


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_what_is_no_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json: not a JSON file"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"b\.json: cannot be read"):
        files.read_json(tmp_path / "b.json")


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    charts.save_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ValueError, match=r"b\.png: cannot be written"):
        charts.save_figure(figure, tmp_path / "b.png")
    assert left(tmp_path) == ["a.png", "b.png"]


def test_all_that_is_durable_is_flushed_and_the_folder_after_the_renaming(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def look(number):
        flushed.append((os.fstat(number).st_ino, (tmp_path / "new" / "step").exists()))
        fsync(number)

    monkeypatch.setattr(os, "fsync", look)
    with files.new_folder(tmp_path / "new" / "step", durable=True) as folder:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "x").write_text("1")
    step = tmp_path / "new" / "step"
    inside = [step / "a" / "b" / "x", step / "a" / "b", step / "a", step]
    assert flushed == [
        *((path.stat().st_ino, False) for path in inside),
        *((path.stat().st_ino, True) for path in (tmp_path / "new", tmp_path)),
    ]
    flushed.clear()
    files.write_text(tmp_path / "file", "1")
    numbers = [number for number, _ in flushed]
    assert numbers == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]
    flushed.clear()
    with files.new_file(tmp_path / "picture") as temporary:
        temporary.write_text("1")
    assert not flushed


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_that_cannot_flush_a_folder_is_no_error_and_a_broken_disk_is(
    tmp_path, monkeypatch, number
):
    fsync = os.fsync

    def fail(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", fail)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            files.write_text(tmp_path / "a", "1")
    else:
        files.write_text(tmp_path / "a", "1")
        assert left(tmp_path) == ["a"]


def test_a_path_that_cannot_become_a_folder_is_refused_and_nothing_is_made(tmp_path):
    (tmp_path / "file").touch()
    files.require_folder(tmp_path / "a" / "b")
    files.require_folder(tmp_path)
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(ValueError, match=f"{path}: expected a folder, but {tmp_path}/file is"):
            files.require_folder(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
