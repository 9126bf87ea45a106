"""A folder has one process: by file locks, by a marker file where there are none, or unlocked."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from zebjax.common import files, locks

ROOT = Path(__file__).parents[2]
HOLDER = """
import fcntl, pathlib, sys, time
from zebjax.common import locks
if sys.argv[2] == "no-locks":
    def flock(*arguments):
        raise OSError(38, "Function not implemented")
    import filelock._unix
    filelock._unix.fcntl.flock = flock
with locks.locked(pathlib.Path(sys.argv[1]), "choose another"):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(folder, how, script=HOLDER):
    """Another process that has the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def no_locks(monkeypatch):
    """The file system answers as one without locks; which error is the test's to choose."""
    import fcntl

    def answer(number):
        def flock(*arguments):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)

    answer(errno.ENOSYS)
    return answer


def test_another_process_is_kept_out_until_it_is_gone_however_it_went(tmp_path):
    process = hold(tmp_path / "run", "locks")
    try:
        with (
            pytest.raises(ValueError, match="run: another process is working here; choose another"),
            locks.locked(tmp_path / "run", "choose another"),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with locks.locked(tmp_path / "run", "choose another"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_said_and_still_lets_in_only_one(tmp_path, no_locks, number):
    no_locks(number)
    notes = []
    folder = tmp_path / "run"
    with locks.locked(folder, "choose another", notes.append):
        assert len(notes) == 1 and str(folder) in notes[0] and os.strerror(number) in notes[0]
        assert (folder / locks.MARKER).exists()
    assert not (folder / locks.MARKER).exists()


def test_a_marker_keeps_a_second_process_out_and_goes_with_its_process(
    tmp_path, no_locks, monkeypatch
):
    monkeypatch.setattr(locks, "_MARKER_WAIT_S", 1.0)
    folder = tmp_path / "run"
    process = hold(folder, "no-locks")
    try:
        with (
            pytest.raises(ValueError, match="another process is working here; choose another"),
            locks.locked(folder, "choose another", lambda text: None),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder / locks.MARKER).exists()  # left by the dead process
    began = time.monotonic()
    with locks.locked(folder, "choose another", lambda text: None):
        assert time.monotonic() - began < 5


SLEEPER = HOLDER.replace(
    "time.sleep(600)",
    """sys.stdin.readline()
    from zebjax.common import files
    folder = pathlib.Path(sys.argv[1])
    def make_folder():
        with files.new_folder(folder / "step", durable=True):
            pass
    for write in (
        lambda: files.write_text(folder / "state", "of the sleeper"),
        make_folder,
        lambda: files.write_together({folder / "new": b"1"}),
        lambda: files.remove_folder(folder / "kept"),
        lambda: files.write_text(folder.parent / "elsewhere", "1"),
    ):
        try:
            write()
            print("written", flush=True)
        except ValueError as error:
            print(error, flush=True)
""",
).replace(
    "from zebjax.common import locks\n",
    "from zebjax.common import locks\nlocks.MARKER_LASTS_S = 1.0\n",
)


def test_who_slept_while_another_took_the_folder_over_writes_nothing_more_there(
    tmp_path, no_locks, monkeypatch
):
    monkeypatch.setattr(locks, "MARKER_LASTS_S", 1.0)
    folder = tmp_path / "run"
    (folder / "kept").mkdir(parents=True)
    process = hold(folder, "no-locks", SLEEPER)
    try:
        process.send_signal(signal.SIGSTOP)
        with locks.locked(folder, "choose another", lambda text: None):
            files.write_text(folder / "state", "of the newer one")
            process.send_signal(signal.SIGCONT)
            said, _ = process.communicate("\n", timeout=60)
            *refused, elsewhere = said.splitlines()
            assert len(refused) == 4 and elsewhere == "written"
            assert all("another one has taken the folder over" in line for line in refused)
            assert (folder / "state").read_text() == "of the newer one"
            assert (folder / "kept").is_dir() and not (folder / "new").exists()
            files.write_text(folder / "state", "of the newer one")  # its marker is still there
    finally:
        process.kill()
        process.wait()


def test_without_any_lock_the_work_goes_on_with_a_warning(tmp_path, no_locks, monkeypatch):
    def acquire(self, *arguments, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(filelock.SoftFileLease, "acquire", acquire)
    notes = []
    with locks.locked(tmp_path / "run", "choose another", notes.append):
        pass
    assert "continuing without a lock" in notes[-1] and str(tmp_path / "run") in notes[-1]
    with pytest.raises(ValueError, match="no locks here"):
        locks.kind(tmp_path)


def test_the_kind_of_lock_is_found_out_and_the_probe_goes_again(tmp_path, no_locks, monkeypatch):
    assert "marker file" in locks.kind(tmp_path)
    monkeypatch.undo()
    assert locks.kind(tmp_path) == "locks of the file system"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_done_goes_with_the_next_lock(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".tmp-curves.png-1-ab").write_text("half")
    with locks.locked(tmp_path / "run", "choose another"):
        assert {path.name for path in (tmp_path / "run").iterdir()} == {locks.LOCK}


def test_the_package_imports_where_these_modules_do_not_exist():
    """As on Windows. The Python files that import them are those that this finds."""
    script = """
import importlib, pkgutil, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
from zebjax.common import checkpoint, files
import zebjax
found = [file for file in __import__("pathlib").Path(zebjax.__path__[0]).rglob("*.py")
         if any(line.split()[:2] in (["import", bad], ["from", bad])
                for line in file.read_text().splitlines() if not line.startswith(" ")
                for bad in ("fcntl", "resource", "pwd", "grp", "termios"))]
assert not found, found
"""
    subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True
    )


def test_a_block_that_raises_leaves_nothing_that_is_unused(tmp_path):
    run = tmp_path / "runs" / "one"

    def refused(write=lambda: None):
        with pytest.raises(ValueError), locks.locked(run, "choose another"):
            write()
            raise ValueError("refused")

    refused(lambda: (run / "workers" / "a").mkdir(parents=True))
    assert not list(tmp_path.iterdir())
    refused(lambda: (run / "metrics.jsonl").touch())
    assert [path.name for path in run.iterdir()] == ["metrics.jsonl"]
    with locks.locked(run, "choose another"):
        pass
    refused()  # the lock file was there before
    assert sorted(path.name for path in run.iterdir()) == [".lock", "metrics.jsonl"]


def test_a_process_that_opened_a_lock_file_which_is_deleted_takes_the_new_one(tmp_path):
    """The lock of a deleted file keeps nobody out, so it must not count."""
    run = tmp_path / "one"
    with pytest.raises(ValueError), locks.locked(run, "choose another"):
        waits = filelock.FileLock(run / locks.LOCK)
        with pytest.raises(filelock.Timeout):
            waits.acquire(timeout=0)
        raise ValueError("refused")
    run.mkdir()
    waits.acquire(timeout=0)
    with pytest.raises(ValueError, match="another process"), locks.locked(run, "choose another"):
        pass
    waits.release()


def test_the_part_of_a_path_that_is_a_file_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "run"):
        with (
            pytest.raises(ValueError, match=f"^{folder}: expected a folder, but {file} is a file$"),
            locks.locked(folder, "choose another"),
        ):
            pass
