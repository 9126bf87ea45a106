"""Which commit of zebjax this is."""

import functools
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_BAKED = _PACKAGE / "_commit.txt"
"""Written into a wheel when it is built, by `.ci/hatch_build.py`."""


@functools.cache
def commit() -> str:
    """The commit of this code, with `+` if files differ from it; empty if that is not known."""
    if _BAKED.exists():
        return _BAKED.read_text().strip()
    if not (_PACKAGE.parent / ".git").exists():  # an installed copy may lie in somebody else's tree
        return ""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=_PACKAGE, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
