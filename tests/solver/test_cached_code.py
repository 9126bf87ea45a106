"""The solver's cache saves time; the solver also works without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zebjax
from zebjax.common import caches

IMPORTED = "from zebjax import solver; from zebjax.solver import cached_code, root\n"
SHOWN = IMPORTED + "print(cached_code.folder_of(root.values))"
USED = (
    IMPORTED
    + "from zebjax.solver import positions; print(positions.laid_rank(positions.lay(0, 3), 0))"
)
"""A small function: compiling the whole solver takes a minute on a busy machine."""
NO_TEMPORARY = "import tempfile; tempfile.tempdir = '/dev/null'\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the package that nothing can be cached in, as in a container: numba's place for it
    is a file, which stops even the superuser."""
    folder = tmp_path_factory.mktemp("installed")
    package = Path(zebjax.__file__).parent
    shutil.copytree(
        package, folder / "zebjax", ignore=shutil.ignore_patterns("__pycache__", "bundled")
    )
    (folder / "zebjax" / "solver" / "__pycache__").touch()
    return folder


def run(installed, script, **environment):
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "NUMBA_", "TMPDIR"))
    }
    environment = kept | {"PYTHONPATH": str(installed), "HOME": "/dev/null"} | environment
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode().strip(), done.stderr.decode()


def test_without_a_home_the_cache_is_in_a_folder_of_ones_own(installed, tmp_path):
    folder, _ = run(installed, SHOWN, TMPDIR=str(tmp_path))
    (own,) = tmp_path.iterdir()
    assert own.stat().st_mode & 0o777 == 0o700 and folder.startswith(str(own / "solver"))


def test_an_import_writes_nothing(installed, tmp_path):
    place = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    run(installed, IMPORTED, **place)
    assert list(tmp_path.iterdir()) == []
    run(installed, USED, **place)
    assert list((tmp_path / "cache").rglob("*.nbi"))


@pytest.mark.slow  # compiles twice
def test_what_is_older_than_a_source_is_compiled_again(installed, tmp_path):
    run(installed, USED, XDG_CACHE_HOME=str(tmp_path))
    indices = list(tmp_path.rglob("*.nbi"))
    for index in indices:
        os.utime(index, (1, 1))
    out, _ = run(installed, USED, XDG_CACHE_HOME=str(tmp_path))
    assert out == "3" and indices and all(index.stat().st_mtime > 1 for index in indices)


@pytest.mark.slow
def test_a_temporary_folder_that_others_can_write_into_is_not_trusted(installed, tmp_path):
    run(installed, SHOWN, TMPDIR=str(tmp_path))
    (own,) = tmp_path.iterdir()
    own.chmod(0o777)
    assert run(installed, SHOWN, TMPDIR=str(tmp_path))[0] == "None"
    shutil.rmtree(own)
    (tmp_path / "elsewhere").mkdir()
    own.symlink_to(tmp_path / "elsewhere")
    assert run(installed, SHOWN, TMPDIR=str(tmp_path))[0] == "None"


@pytest.mark.slow
def test_the_users_cache_and_numbas_own_setting_go_first(installed, tmp_path):
    folder, _ = run(installed, SHOWN, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert folder.startswith(str(tmp_path / "cache" / "zebjax" / "solver"))
    folder, _ = run(installed, SHOWN, NUMBA_CACHE_DIR=str(tmp_path / "mine"))
    assert folder.startswith(str(tmp_path / "mine"))
    folder, _ = run(
        installed, SHOWN, NUMBA_CACHE_DIR="/dev/null/x", XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert folder.startswith(str(tmp_path / "cache"))


@pytest.mark.slow  # a full disk takes the same path
def test_without_any_folder_the_solver_works_without_a_cache(installed):
    out, _ = run(installed, NO_TEMPORARY + USED + "\n" + SHOWN, XDG_CACHE_HOME="/dev/null")
    assert out.split() == ["3", "None"]


@pytest.mark.slow  # a full disk takes the same path
def test_a_damaged_cache_costs_a_compilation(installed, tmp_path):
    run(installed, USED, XDG_CACHE_HOME=str(tmp_path))
    indices = list(tmp_path.rglob("*.nbi"))
    assert indices
    for index in indices:
        index.write_bytes(b"damaged")
    out, err = run(installed, USED, XDG_CACHE_HOME=str(tmp_path))
    assert out == "3" and err.count("cannot use the cached code") == 1


def test_a_disk_that_is_full_costs_only_the_cache(installed, tmp_path):
    full = """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
"""
    out, err = run(installed, full + USED, XDG_CACHE_HOME=str(tmp_path))
    assert out == "3" and err.count("cannot use the cached code") == 1


def test_the_folder_of_a_cache_can_be_written_or_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert caches.folder("x") == tmp_path / "zebjax" / "x" and caches.folder("x").is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    monkeypatch.setattr("tempfile.tempdir", "/dev/null")
    assert caches.folder("x") is None
