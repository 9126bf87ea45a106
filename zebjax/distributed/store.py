"""The protocol of a store, where the processes of a run share weights and games: a folder, an
object store, or repositories on the Hugging Face Hub.

Objects are immutable and created once: only the first process that puts a name succeeds, so no game
is counted twice. The exceptions are small objects that only inform (heartbeats, the pointer to the
newest weights): they are replaced.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

NO_OBJECTS: Mapping[str, bytes] = {}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_MAX_NAME = 300


class StoreError(ValueError):
    """A call of the store failed; the message names the store, the object and the reason."""


class Unreachable(StoreError):
    """The store did not answer as expected; the same call may succeed later."""


class Missing(StoreError):
    """There is no such object."""


class Refused(StoreError):
    """Trying again will not help: no access, no such bucket or repository, an object that is too
    large, or an invalid name.
    """


class Entry(NamedTuple):
    """One object of a listing."""

    name: str
    size: int
    """Bytes."""


class Changed(NamedTuple):
    """An object that has changed since it was last read."""

    data: bytes
    tag: str
    """The version of the object, for the next call of `get_if_changed`."""


class Store(Protocol):
    """The calls that every kind of store has. Names are relative paths like
    `examples/gpu-1/000000001-....safetensors`.

    Every call may raise Unreachable or Refused.
    """

    where: str
    """The store's name in messages."""

    def put(self, new: Mapping[str, bytes], replace: Mapping[str, bytes] = NO_OBJECTS) -> set[str]:
        """Create the `new` objects that do not exist yet, in order. If this call created all of
        them, also write the `replace` objects, over existing ones.

        So the second of two processes with the same new object does not replace what points to it,
        such as `weights/newest.json`. A process that repeats a call whose answer was lost also
        finds its own objects: it leaves a heartbeat to the next call, and writes a pointer by a
        call without `new`.

        Returns:
            The names of `new` that this call created. Existing objects are unchanged. The `replace`
            objects were written if these are all names of `new`.
        """

    def entries(self, folder: str, after: str = "") -> list[Entry]:
        """All objects below a folder whose names sort after `after`, sorted by name.

        Objects with names that `is_name` refuses are left out.
        """

    def get(self, name: str, max_bytes: int) -> bytes:
        """The object's bytes.

        Raises:
            Missing: if it does not exist.
            Refused: if it is larger than `max_bytes`.
        """

    def get_if_changed(self, name: str, tag: str | None, max_bytes: int) -> Changed | None:
        """The object, or None if its tag is still `tag`; with tag None always the object.

        Raises:
            Missing, Refused: as `get`.
        """

    def delete(self, names: list[str]) -> None:
        """Delete objects; a missing one is no error."""


def check_name(name: str) -> None:
    """Raise Refused for an invalid name, such as one that leads out of the store."""
    if not is_name(name):
        raise Refused(
            f"object {name[:80]!r}: expected a relative path of letters, digits, '.', '_' and '-'"
        )


def is_name(name: str) -> bool:
    """True if an object may have this name."""
    return bool(_NAME.fullmatch(name)) and len(name) <= _MAX_NAME


def in_order(found: Iterable[Entry], folder: str, after: str) -> list[Entry]:
    """The entries with valid names in the folder that sort after `after`, sorted by name."""
    return sorted(
        entry
        for entry in found
        if entry.name > after and entry.name.startswith(f"{folder}/") and is_name(entry.name)
    )
