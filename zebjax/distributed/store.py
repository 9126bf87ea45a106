"""Where weights and games lie when several processes share them: a directory, an object store, a Hugging Face Hub repo.

Objects are immutable and created once: whoever puts a name first has it, so nothing is counted twice. The one exception
are small objects that only tell (heartbeats, the pointer to the newest weights): they are replaced.
"""

import contextlib
import datetime
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

NO_OBJECTS: Mapping[str, bytes] = {}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_MOST_NAME = 300
_TIMEOUT_S = 30


class StoreError(ValueError):
    """The store cannot do what it was asked, now or later; the message says which store, which object and why."""


class Unreachable(StoreError):
    """The store does not answer as it should: later it may."""


class Missing(StoreError):
    """There is no such object."""


class Refused(StoreError):
    """Trying again is no use: no access, no such bucket or repository, too large, or no possible name."""


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
    """What every kind of store does. Names are relative paths like `examples/gpu-1/000000001-....safetensors`.

    Every call may raise Unreachable or Refused.
    """

    where: str
    """What it is called in messages."""

    def put(self, new: Mapping[str, bytes], replace: Mapping[str, bytes] = NO_OBJECTS) -> set[str]:
        """Create the `new` objects that are not there yet, in order; if that was all, write over the `replace` ones.

        So what tells of new objects, such as the pointer to the newest weights, is left alone by who came second with
        one of them. Who only tries again, after an answer that was lost, came second to itself: a sign of life may be
        left to the next one, and a pointer is written by a call of its own.

        Returns:
            The names of `new` that this call created: what was there already is left as it is. The `replace` ones were
            written if these are all of `new`.
        """

    def entries(self, folder: str, after: str = "") -> list[Entry]:
        """All objects in a folder and its folders whose names come after `after`, ordered by name.

        Objects whose names are no possible ones of ours are left out.
        """

    def get(self, name: str, max_bytes: int) -> bytes:
        """The object's bytes; Missing if there is none, Refused if it is larger than `max_bytes`."""

    def get_if_changed(self, name: str, tag: str | None, max_bytes: int) -> Changed | None:
        """The object if it is not the one with this tag any more (None: in any case); Missing if there is none."""

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there are no error."""


def open_store(url: str, create: bool = True) -> Store:
    """The store at a place: a folder, `s3://BUCKET/PREFIX` and the like, or `hf://USER/REPO[/PREFIX]`.

    A folder is made if need be, unless not to `create`. Credentials come from the environment or the tools' own files,
    never from the URL.

    Raises:
        StoreError: if there can be no such store.
    """
    if re.match(r"[a-z][a-z0-9+.-]*://[^/]*@", url):
        raise Refused(f"{url.split('://')[0]}://...: credentials do not belong in a store's URL; see the README")
    if url.startswith("hf://"):
        from zebjax.distributed.hub_store import HubStore

        return HubStore(url)
    if not create and not Path(url.removeprefix("file://")).is_dir() and re.match(r"file://|(?!.*://)", url):
        raise Refused(
            f"{url}: there is no such folder; expected a store's place and a run's name, as in runs/store/NAME"
        )
    return ObjectStore(url)


def check_name(name: str) -> None:
    """Raise Refused for a name that no store should see, such as one that leads out of it."""
    if not is_name(name):
        raise Refused(f"object {name[:80]!r}: expected a relative path of letters, digits, '.', '_' and '-'")


def is_name(name: str) -> bool:
    """Whether an object of ours may be called so."""
    return bool(_NAME.fullmatch(name)) and len(name) <= _MOST_NAME


def in_order(found: Iterable[Entry], folder: str, after: str) -> list[Entry]:
    """What of a listing is ours, in the folder, and comes after `after`; by name."""
    return sorted(
        entry for entry in found if entry.name > after and entry.name.startswith(f"{folder}/") and is_name(entry.name)
    )


class ObjectStore:
    """A folder (also `file://`), `s3://`, `gs://`, `az://` or `memory://`, all by `obstore`.

    Calls over the network are retried by it on transient errors, with backoff and jitter.
    """

    def __init__(self, url: str, retry_s: float = 20) -> None:
        import obstore.store

        self.where = url
        if "://" not in url:
            url = Path(url).absolute().as_uri()
        try:
            if url.startswith("file://"):
                self._store: Any = obstore.store.from_url(url, mkdir=True)
            elif url.startswith("memory://"):
                self._store = obstore.store.MemoryStore()
            else:
                options: Any = {
                    "client_options": {
                        "timeout": f"{_TIMEOUT_S}s",
                        "connect_timeout": "5s",
                        "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
                    },
                    "retry_config": {"max_retries": 5, "retry_timeout": datetime.timedelta(seconds=retry_s)},
                }
                self._store = obstore.store.from_url(url, **options)
        except Exception as error:  # one of many kinds, by scheme
            raise Refused(
                f"{self.where}: cannot be a store ({_first_line(error)}); expected a folder, s3://, gs://, az:// or "
                "hf://"
            ) from None

    def put(self, new: Mapping[str, bytes], replace: Mapping[str, bytes] = NO_OBJECTS) -> set[str]:
        """See `Store`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        created = set()
        for name, data in new.items():
            with self._explained(name), contextlib.suppress(AlreadyExistsError):
                obstore.put(self._store, name, data, mode="create")
                created.add(name)
        if len(created) < len(new):
            return created
        for name, data in replace.items():
            with self._explained(name):
                obstore.put(self._store, name, data, mode="overwrite")
        return created

    def entries(self, folder: str, after: str = "") -> list[Entry]:
        """See `Store`."""
        from obstore.exceptions import InvalidPathError

        try:
            with self._explained(folder, InvalidPathError):
                return in_order(self._listed(folder, after), folder, after)
        except InvalidPathError as error:  # whoever deletes it sets this right
            raise Unreachable(
                f"{self.where}: {folder}/ holds a name that cannot be listed ({_first_line(error)}); delete it"
            ) from None

    def _listed(self, folder: str, after: str) -> list[Entry]:
        """What can be listed; obstore ends a listing at a name that is no possible path (`a//b`, bytes not UTF-8)."""
        from obstore.exceptions import BaseError

        try:
            return self._plainly_listed(folder, after)
        except BaseError as error:
            if not _is_one_name(error):
                raise
            return self._listed_around(folder, after)

    def _plainly_listed(self, folder: str, after: str) -> list[Entry]:
        import obstore

        stream = obstore.list(self._store, folder, offset=after or None, chunk_size=1000)
        return [_entry(meta) for chunk in stream for meta in chunk]

    def _listed_around(self, folder: str, after: str) -> list[Entry]:
        """A listing without the names that are no paths, and without the folders in it where that does not go."""
        import obstore
        from obstore.exceptions import InvalidPathError
        from obstore.store import LocalStore

        if isinstance(self._store, LocalStore):  # which goes on after each; a chunk would be lost with the name
            return list(_what_comes(obstore.list(self._store, folder, offset=after or None, chunk_size=1)))
        try:
            level = obstore.list_with_delimiter(self._store, folder)
        except InvalidPathError:
            # One right in the folder, like `folder//x` or `folder/../x`: these come before all names of ours.
            return self._plainly_listed(folder, max(after, f"{folder}/0"))
        found = [_entry(meta) for meta in level["objects"]]
        for inner in filter(is_name, level["common_prefixes"]):
            with contextlib.suppress(InvalidPathError):
                found += self._listed(inner, after)
        return found

    def get(self, name: str, max_bytes: int) -> bytes:
        """See `Store`."""
        changed = self.get_if_changed(name, None, max_bytes)
        assert changed is not None
        return changed.data

    def get_if_changed(self, name: str, tag: str | None, max_bytes: int) -> Changed | None:
        """See `Store`."""
        import obstore
        from obstore.exceptions import NotModifiedError

        with self._explained(name):
            try:
                result = obstore.get(self._store, name, options={"if_none_match": tag} if tag else None)
            except NotModifiedError:
                return None
            size = int(result.meta["size"])
            if size > max_bytes:
                raise Refused(f"{self.where}: {name} has {size:,} bytes, more than the {max_bytes:,} allowed")
            data = bytes(result.bytes())
            if len(data) != size:
                raise Unreachable(f"{self.where}: {name} ended after {len(data):,} of {size:,} bytes")
            return Changed(data, str(result.meta["e_tag"]))

    def delete(self, names: list[str]) -> None:
        """See `Store`."""
        import obstore

        for name in names:
            with self._explained(name), contextlib.suppress(FileNotFoundError, Missing):
                obstore.delete(self._store, name)

    @contextlib.contextmanager
    def _explained(self, name: str, *but: type[Exception]) -> Iterator[None]:
        """Check the name, and say by StoreErrors what obstore says by many kinds of exceptions, `but` for these."""
        from obstore import exceptions as theirs

        check_name(name)
        refusals = (theirs.PermissionDeniedError, theirs.UnauthenticatedError, theirs.InvalidPathError)
        kept: Any = (StoreError, theirs.AlreadyExistsError, theirs.NotModifiedError, *but)
        try:
            yield
        except kept:
            raise
        except (FileNotFoundError, theirs.NotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise Refused(f"{self.where}: there is no such bucket") from None
            raise Missing(f"{self.where}: there is no {name}") from None
        except (*refusals, theirs.NotSupportedError, PermissionError) as error:
            raise Refused(f"{self.where}: no access to {name} ({_first_line(error)})") from None
        except (theirs.BaseError, OSError, ValueError) as error:
            raise Unreachable(f"{self.where}: {name}: {_first_line(error)}") from None


def _entry(meta: Any) -> Entry:
    return Entry(str(meta["path"]), int(meta["size"]))


def _is_one_name(error: Exception) -> bool:
    """Whether a listing failed at one name: no possible path, or in a folder a link to one above it."""
    from obstore.exceptions import InvalidPathError

    return isinstance(error, InvalidPathError) or "File system loop found" in str(error)


def _what_comes(stream: Any) -> Iterator[Entry]:
    """The entries of a listing in chunks of one that goes on after a name that cannot be listed."""
    from obstore.exceptions import BaseError

    while True:
        try:
            chunk = next(stream, None)
        except BaseError as error:
            if not _is_one_name(error):
                raise
            continue
        if chunk is None:
            return
        yield from map(_entry, chunk)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300] or type(error).__name__
