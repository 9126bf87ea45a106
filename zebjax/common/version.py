"""The version of this program and the commit that it was made from."""

import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_BAKED = _PACKAGE / "_commit"
"""Written into the wheel when it is built, see `hatch_build.py`."""
_GIT_TIMEOUT_S = 10.0


def commit() -> str:
    """The short commit id of this code, with `+` if files differ from it; empty if unknown.

    A wheel holds the commit that it was built from; a checkout is asked through git.
    """
    if _BAKED.is_file():
        return _BAKED.read_text().strip()
    # An installed copy without a commit may lie inside somebody else's repository: do not ask that.
    if not (_PACKAGE.parent / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=_PACKAGE.parent,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # git is not installed, or hangs
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
