"""Cache folders for compiled programs of JAX and of the exact solver.

A cache only saves time. Its files may be deleted at any moment, and without a cache folder
everything still works.
"""

import os
import stat
import tempfile
from pathlib import Path


def folder(name: str) -> Path | None:
    """Return a writable cache folder of this name, created if missing; None if there is none.

    It is below `$XDG_CACHE_HOME`, else below `~/.cache`, else below a private folder of this user
    in the temporary folder.

    A cache holds code that will be executed, and all users can write to the temporary folder. So
    the private folder is used only if no other user can write to it.
    """
    for root in (_below_home(), _below_temporary()):
        if root is not None and is_writable(root / name):
            return root / name
    return None


def is_writable(place: Path) -> bool:
    """True if a file can be created in the folder `place`, which is created if missing."""
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
    # 0o022: the group or other users can write.
    return place if is_ours and not found.st_mode & 0o022 else None
