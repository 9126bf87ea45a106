"""Where zebjax keeps what it may lose at any time: compiled programs of JAX and of the solver.

A cache saves time and is never a condition: without a place for one, everything still works.
"""

import os
import stat
import tempfile
from pathlib import Path


def folder(name: str) -> Path | None:
    """A folder of this name that this user can write: below `$XDG_CACHE_HOME`, else below
    `~/.cache`, else in a folder of the user's own below the temporary folder, else None.

    Caches hold compiled code, so the one below the temporary folder, which everybody can write, is
    used only if nobody else can write into it.
    """
    for root in (_below_home(), _below_temporary()):
        if root is not None and is_writable(root / name):
            return root / name
    return None


def is_writable(place: Path) -> bool:
    """True if a file can be made in `place`, which is made if need be."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError:
        return False
    return True


def _below_home() -> Path | None:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zebjax"
    except RuntimeError:  # this user id has no home
        return None


def _below_temporary() -> Path | None:
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError:  # no folder for temporary files either
        return None
    if not hasattr(os, "getuid"):  # Windows: the temporary folder is the user's own
        return temporary / "zebjax-cache"
    place = temporary / f"zebjax-cache-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return place if is_ours and not found.st_mode & 0o022 else None
