"""The folder of compiled functions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import jax
from zebjax.common import compilation_cache
compilation_cache.keep()
print(jax.config.jax_compilation_cache_dir)
"""


NO_TEMPORARY = """
import tempfile
tempfile.tempdir = "/dev/null"
"""
NO_HOME = """
import os, pathlib
def nobody():
    raise RuntimeError("Could not determine home directory.")
pathlib.Path.home = nobody
"""


def folder_used(**environment: str) -> str:
    script = environment.pop("script", SCRIPT)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XDG_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_it_is_the_users_cache(tmp_path):
    assert folder_used(XDG_CACHE_HOME=str(tmp_path)) == str(tmp_path / "zebjax" / "jax")
    assert folder_used(HOME=str(tmp_path)) == str(tmp_path / ".cache" / "zebjax" / "jax")
    assert (tmp_path / ".cache" / "zebjax" / "jax").is_dir()


@pytest.mark.slow  # a process of its own
def test_the_users_own_choice_goes_first(tmp_path):
    chosen = tmp_path / "mine"
    assert folder_used(XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=str(chosen)) == str(
        chosen
    )


@pytest.mark.parametrize("home", ["/dev/null", pytest.param("/proc", marks=pytest.mark.slow)])
def test_without_a_home_that_can_be_written_it_is_a_temporary_folder_of_ones_own(home, tmp_path):
    (folder,) = folder_used(HOME=home, TMPDIR=str(tmp_path)).split()
    assert folder.startswith(f"{tmp_path}/zebjax-cache") and folder.endswith("/jax")


def test_no_home_at_all_does_no_harm(tmp_path):
    assert folder_used(script=NO_HOME + SCRIPT, TMPDIR=str(tmp_path)).endswith("/jax")
    assert folder_used(script=NO_HOME + NO_TEMPORARY + SCRIPT) == "None"
