"""The commit of this copy of zebjax."""

import functools
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_BAKED = _PACKAGE / "_commit.txt"
"""Written by `.ci/hatch_build.py` when a wheel is built."""


@functools.cache
def commit() -> str:
    """The commit of this code, with `+` if files differ from it; empty if it is unknown."""
    if _BAKED.exists():
        return _BAKED.read_text().strip()
    # git would search all parent folders: an installed copy may be inside another repository.
    if not (_PACKAGE.parent / ".git").exists():
        return ""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=_PACKAGE, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
