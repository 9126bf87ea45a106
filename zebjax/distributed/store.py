"""Where weights and games lie when several processes share them: a directory, an object store, a
Hugging Face Hub repo.

Objects are immutable and created once: whoever puts a name first has it, so nothing is counted
twice. The one exception are small objects that only tell (heartbeats, the pointer to the newest
weights): they are replaced.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

NO_OBJECTS: Mapping[str, bytes] = {}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_MOST_NAME = 300


class StoreError(ValueError):
    """The store cannot do what it was asked, now or later; the message says which store, which
    object and why.
    """


class Unreachable(StoreError):
    """The store does not answer as it should: later it may."""


class Missing(StoreError):
    """There is no such object."""


class Refused(StoreError):
    """Trying again is no use: no access, no such bucket or repository, too large, or no possible
    name.
    """


class Entry(NamedTuple):
    """One object as a listing tells of it."""

    name: str
    size: int
    """Bytes."""


class Changed(NamedTuple):
    """An object that is not as it was when last looked at."""

    data: bytes
    tag: str
    """What to ask with the next time."""


class Store(Protocol):
    """What every kind of store does. Names are relative paths like
    `examples/gpu-1/000000001-....safetensors`.

    Every call may raise Unreachable or Refused.
    """

    where: str
    """What it is called in messages."""

    def put(self, new: Mapping[str, bytes], replace: Mapping[str, bytes] = NO_OBJECTS) -> set[str]:
        """Create the `new` objects that are not there yet, in order; if that was all, write over
        the `replace` ones.

        So what tells of new objects, such as the pointer to the newest weights, is left alone by
        who came second with one of them. Who only tries again, after an answer that was lost, came
        second to itself: a sign of life may be left to the next one, and a pointer is written by a
        call of its own.

        Returns:
            The names of `new` that this call created: what was there already is left as it is. The
            `replace` ones were written if these are all of `new`.
        """

    def entries(self, folder: str, after: str = "") -> list[Entry]:
        """All objects in a folder and its folders whose names come after `after`, ordered by name.

        Objects whose names are no possible ones of ours are left out.
        """

    def get(self, name: str, max_bytes: int) -> bytes:
        """The object's bytes; Missing if there is none, Refused if it is larger than
        `max_bytes`.
        """

    def get_if_changed(self, name: str, tag: str | None, max_bytes: int) -> Changed | None:
        """The object if it is not the one with this tag any more (None: in any case); Missing if
        there is none.
        """

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there are no error."""


def check_name(name: str) -> None:
    """Raise Refused for a name that no store should see, such as one that leads out of it."""
    if not is_name(name):
        raise Refused(
            f"object {name[:80]!r}: expected a relative path of letters, digits, '.', '_' and '-'"
        )


def is_name(name: str) -> bool:
    """Whether an object of ours may be called so."""
    return bool(_NAME.fullmatch(name)) and len(name) <= _MOST_NAME


def in_order(found: Iterable[Entry], folder: str, after: str) -> list[Entry]:
    """What of a listing is ours, in the folder, and comes after `after`; by name."""
    return sorted(
        entry
        for entry in found
        if entry.name > after and entry.name.startswith(f"{folder}/") and is_name(entry.name)
    )
