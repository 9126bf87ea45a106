"""Stores over `obstore`: a folder, S3, Google Cloud Storage, Azure, memory."""

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zebjax.distributed import credentials
from zebjax.distributed.store import (
    NO_OBJECTS,
    Changed,
    Entry,
    Missing,
    Refused,
    StoreError,
    Unreachable,
    check_name,
    in_order,
    is_name,
)

_TIMEOUT_S = 30


class ObjectStore:
    """A store in a folder (also `file://`), `s3://`, `gs://`, `az://` or `memory://`.

    obstore repeats network calls after transient errors, with backoff and jitter.
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
                    "retry_config": {
                        "max_retries": 5,
                        "retry_timeout": datetime.timedelta(seconds=retry_s),
                    },
                }
                if url.startswith("s3://"):
                    options |= credentials.s3_options()
                self._store = obstore.store.from_url(url, **options)
        except Refused as error:
            raise Refused(f"{self.where}: {error}") from None
        except Exception as error:  # of many kinds, depending on the scheme
            raise Refused(
                f"{self.where}: cannot be a store ({_first_line(error)}); expected a folder, "
                "s3://, gs://, az:// or "
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
        except InvalidPathError as error:  # not Refused: it works again once the object is deleted
            raise Unreachable(
                f"{self.where}: {folder}/ holds a name that cannot be listed "
                f"({_first_line(error)}); delete it"
            ) from None

    def _listed(self, folder: str, after: str) -> list[Entry]:
        """Return the entries of a listing, without names that obstore cannot list if possible.

        obstore ends a listing with an error at a name that is not a valid path (`a//b`, bytes that
        are not UTF-8).
        """
        from obstore.exceptions import BaseError

        try:
            return self._plainly_listed(folder, after)
        except BaseError as error:
            if not _is_bad_name(error):
                raise
            return self._listed_around(folder, after)

    def _plainly_listed(self, folder: str, after: str) -> list[Entry]:
        import obstore

        stream = obstore.list(self._store, folder, offset=after or None, chunk_size=1000)
        return [_entry(meta) for chunk in stream for meta in chunk]

    def _listed_around(self, folder: str, after: str) -> list[Entry]:
        """Return a listing without invalid names, and without folders that cannot be listed."""
        import obstore
        from obstore.exceptions import InvalidPathError
        from obstore.store import LocalStore

        # A folder's listing continues after an error. An error loses its whole chunk, so a chunk
        # holds one name.
        if isinstance(self._store, LocalStore):
            return list(
                _without_bad_names(
                    obstore.list(self._store, folder, offset=after or None, chunk_size=1)
                )
            )
        try:
            level = obstore.list_with_delimiter(self._store, folder)
        except InvalidPathError:
            # The name is directly in the folder, like `folder//x` or `folder/../x`. Such names sort
            # before all valid ones, so list from `folder/0` on.
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
                result = obstore.get(
                    self._store, name, options={"if_none_match": tag} if tag else None
                )
            except NotModifiedError:
                return None
            size = int(result.meta["size"])
            if size > max_bytes:
                raise Refused(
                    f"{self.where}: {name} has {size:,} bytes, more than the {max_bytes:,} allowed"
                )
            data = bytes(result.bytes())
            if len(data) != size:
                raise Unreachable(
                    f"{self.where}: {name} ended after {len(data):,} of {size:,} bytes"
                )
            return Changed(data, str(result.meta["e_tag"]))

    def delete(self, names: list[str]) -> None:
        """See `Store`."""
        import obstore

        for name in names:
            with self._explained(name), contextlib.suppress(FileNotFoundError, Missing):
                obstore.delete(self._store, name)

    @contextlib.contextmanager
    def _explained(self, name: str, *but: type[Exception]) -> Iterator[None]:
        """Check the name; turn exceptions of obstore, except those in `but`, into StoreErrors."""
        from obstore import exceptions as theirs

        check_name(name)
        refusals = (
            theirs.PermissionDeniedError,
            theirs.UnauthenticatedError,
            theirs.InvalidPathError,
        )
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
            if advice := credentials.trouble(self.where, error):
                raise Refused(f"{self.where}: no access to {name}: {advice}") from None
            raise Refused(f"{self.where}: no access to {name} ({_first_line(error)})") from None
        except (theirs.BaseError, OSError, ValueError) as error:
            if advice := credentials.trouble(self.where, error):
                raise Refused(f"{self.where}: no access to {name}: {advice}") from None
            raise Unreachable(f"{self.where}: {name}: {_first_line(error)}") from None


def _entry(meta: Any) -> Entry:
    return Entry(str(meta["path"]), int(meta["size"]))


def _is_bad_name(error: Exception) -> bool:
    """True if one name made a listing fail: an invalid path, or a link to a parent folder."""
    from obstore.exceptions import InvalidPathError

    return isinstance(error, InvalidPathError) or "File system loop found" in str(error)


def _without_bad_names(stream: Any) -> Iterator[Entry]:
    """Yield the entries of a listing in chunks of one, without names that cannot be listed."""
    from obstore.exceptions import BaseError

    while True:
        try:
            chunk = next(stream, None)
        except BaseError as error:
            if not _is_bad_name(error):
                raise
            continue
        if chunk is None:
            return
        yield from map(_entry, chunk)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:300] or type(error).__name__
