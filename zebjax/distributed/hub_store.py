"""A store on the Hugging Face Hub: `hf://USER/REPO[/PREFIX]`.

Examples are in the dataset repository `USER/REPO-examples`, so that a worker's token needs write
access only there; everything else is in the model repository `USER/REPO`. Every write is a commit,
and a repository accepts 128 commits per hour. So the objects of one `put` are one commit, and
writers wait `store.upload_interval_s` between two. Polling an unchanged file costs one HEAD
request.
"""

import contextlib
import functools
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from zebjax.common import hub
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
)

T = TypeVar("T")
_TIMEOUT_S = 30.0
_MAX_TRIES = 20
_PATHS_PER_CALL = 500


class _Busy(Unreachable):
    """The Hub asks the client to wait `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class HubStore:
    """See `store.Store`. Every write is one commit in each repository that it changes."""

    def __init__(self, url: str, retry_s: float = 20, private: bool = True) -> None:
        """Nothing is sent yet.

        Args:
            url: `hf://USER/REPO[/PREFIX]`.
            retry_s: seconds in which a call is repeated after transient errors.
            private: True if repositories that this store creates are private.

        Raises:
            Refused: for another form of URL, or without the extra `hub`.
        """
        try:
            import huggingface_hub
        except ImportError:
            raise Refused(
                f'{url}: hf:// needs the extra "hub": pip install "zebjax[hub]"'
            ) from None
        try:
            place = hub.parse(url)
        except hub.HubError:
            place = None
        if place is None or place.revision is not None:
            raise Refused(f"{url}: expected hf://USER/REPO or hf://USER/REPO/PREFIX")
        self.where = url
        self._repo, self._prefix = place.repo, place.path
        self._retry_s, self._private = retry_s, private
        self._endpoint = os.environ.get("HF_ENDPOINT")
        self._api: Any = huggingface_hub.HfApi(endpoint=self._endpoint)

    def _place(self, name: str) -> dict[str, str]:
        """The repository of a name, as arguments of the client."""
        if name == "examples" or name.startswith("examples/"):
            return {"repo_id": f"{self._repo}-examples", "repo_type": "dataset"}
        return {"repo_id": self._repo, "repo_type": "model"}

    def _path(self, name: str) -> str:
        check_name(name)
        # A file without a folder is for the original's programs: they look at the top.
        if "/" not in name and "." in name:
            return name
        return f"{self._prefix}/{name}" if self._prefix else name

    # ---- writing

    def check_writable(self) -> None:
        """Raise Refused if it is known without asking the Hub that nothing can be written: no
        token, a name that the Hub does not allow, or HF_HUB_OFFLINE.
        """
        from huggingface_hub import constants, get_token
        from huggingface_hub.utils import validate_repo_id

        with self._explained():
            validate_repo_id(self._repo)
        if constants.is_offline_mode():
            raise Refused(f"{self.where}: HF_HUB_OFFLINE is set; unset it to write to the Hub")
        if get_token() is None:
            raise Refused(f"{self.where}: no token found; {_where_tokens_are()}")

    def put(self, new: Mapping[str, bytes], replace: Mapping[str, bytes] = NO_OBJECTS) -> set[str]:
        """See `Store`. Objects of both repositories are written in two commits.

        The first write of a lease also creates the examples repository, because a worker's token
        may not allow that.
        """
        if any(name.startswith("leases/") for name in new):
            self._trying(functools.partial(self._head_or_new, self._place("examples")))
        created: set[str] = set()
        wanted = 0
        # New objects are written first, because the replaced ones may point to them.
        for place, names in self._by_place([*new, *replace]):
            mine = {name: new[name] for name in new if name in names}
            replaced = {
                name: replace[name] for name in replace if name in names and len(created) == wanted
            }
            created |= self._trying(functools.partial(self._commit, place, mine, replaced))
            wanted += len(mine)
        return created

    def _by_place(self, names: list[str]) -> list[tuple[dict[str, str], set[str]]]:
        """Group the names by repository, in the order of their first names."""
        found: dict[str, tuple[dict[str, str], set[str]]] = {}
        for name in names:
            check_name(name)
            place = self._place(name)
            found.setdefault(place["repo_id"], (place, set()))[1].add(name)
        return list(found.values())

    def _commit(
        self, place: dict[str, str], new: Mapping[str, bytes], replace: Mapping[str, bytes]
    ) -> set[str]:
        from huggingface_hub import CommitOperationAdd

        head = self._head_or_new(place)
        there = self._existing(place, list(new), head)
        created = [name for name in new if name not in there]
        replace = {} if there else replace
        operations = [
            CommitOperationAdd(self._path(name), data)
            for name, data in (*((name, new[name]) for name in created), *replace.items())
        ]
        if operations:
            message = f"{len(created)} new, {len(replace)} replaced"
            # With `parent_commit` the Hub refuses the commit (status 412) if another process wrote
            # in between, and `_trying` repeats it: so an existing object is never overwritten.
            self._api.create_commit(
                **place, operations=operations, commit_message=message, parent_commit=head
            )
            # The client creates no commit if another process has just written the same bytes.
            if created and not getattr(operations[0], "_is_committed", True):
                raise Unreachable(f"{self.where}: others wrote at the same time")
        return set(created)

    def _head_or_new(self, place: dict[str, str]) -> str:
        """Return the newest commit of a repository; create the repository if it is missing."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return self._head(place)
        except RepositoryNotFoundError:
            self._api.create_repo(**place, private=self._private, exist_ok=True)
            return self._head(place)

    def _head(self, place: dict[str, str]) -> str:
        return str(self._api.repo_info(**place, timeout=_TIMEOUT_S).sha)

    def _existing(self, place: dict[str, str], names: list[str], revision: str) -> set[str]:
        paths = {self._path(name): name for name in names}
        found: set[str] = set()
        for start in range(0, len(names), _PATHS_PER_CALL):
            asked = list(paths)[start : start + _PATHS_PER_CALL]
            found |= {
                info.path
                for info in self._api.get_paths_info(**place, paths=asked, revision=revision)
            }
        return {name for path, name in paths.items() if path in found}

    def delete(self, names: list[str]) -> None:
        """See `Store`."""
        from huggingface_hub import CommitOperationDelete

        def commit(place: dict[str, str], here: list[str]) -> None:
            head = self._head(place)
            operations = [
                CommitOperationDelete(self._path(name))
                for name in self._existing(place, here, head)
            ]
            if operations:
                message = f"{len(operations)} deleted"
                self._api.create_commit(
                    **place, operations=operations, commit_message=message, parent_commit=head
                )

        for place, here in self._by_place(names):
            with contextlib.suppress(Missing):  # without a repository there is nothing to delete
                self._trying(functools.partial(commit, place, sorted(here)))

    # ---- reading

    def entries(self, folder: str, after: str = "") -> list[Entry]:
        """See `Store`."""
        path, place = self._path(folder), self._place(folder)

        try:
            found = self._trying(lambda: self._tree(place, path))
        except Missing:
            return []
        return in_order(found, folder, after)

    def _tree(self, place: dict[str, str], path: str) -> list[Entry]:
        """Return all files under a path."""
        # Not by the client's `list_repo_tree`: its own retries take minutes.
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        url = f"{self._api.endpoint}/api/{place['repo_type']}s/{place['repo_id']}/tree/main/{path}"
        params: dict[str, str] | None = {"recursive": "true", "expand": "false"}
        found = []
        while params:
            response = get_session().get(
                url, params=params, headers=build_hf_headers(), timeout=_TIMEOUT_S
            )
            hf_raise_for_status(response)
            found += [
                Entry(self._name(i["path"]), int(i["size"]))
                for i in response.json()
                if i["type"] == "file"
            ]
            # Use only the query of the next page's URL, so that the token goes to no other host.
            params = dict(parse_qsl(urlsplit(response.links.get("next", {}).get("url", "")).query))
        return found

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self._prefix}/") if self._prefix else path

    def get(self, name: str, max_bytes: int) -> bytes:
        """See `Store`."""
        changed = self.get_if_changed(name, None, max_bytes)
        assert changed is not None
        return changed.data

    def get_if_changed(self, name: str, tag: str | None, max_bytes: int) -> Changed | None:
        """See `Store`."""
        path = self._path(name)
        try:
            return self._trying(lambda: self._get(name, path, tag, max_bytes))
        except Missing:
            raise Missing(f"{self.where}: there is no {name}") from None

    def _get(self, name: str, path: str, tag: str | None, max_bytes: int) -> Changed | None:
        import huggingface_hub

        place = self._place(name)
        url = huggingface_hub.hf_hub_url(filename=path, endpoint=self._endpoint, **place)
        head = self._api.get_hf_file_metadata(url=url, timeout=_TIMEOUT_S)
        if tag is not None and head.etag == tag:
            return None
        if (head.size or 0) > max_bytes:
            raise Refused(
                f"{self.where}: {name} has {head.size:,} bytes, more than the {max_bytes:,} allowed"
            )
        # Into a temporary folder, because the client's cache would grow without limit. The commit
        # of the HEAD request makes data and tag belong together.
        with tempfile.TemporaryDirectory() as folder:
            file = self._api.hf_hub_download(
                **place, filename=path, revision=head.commit_hash, local_dir=folder
            )
            with open(Path(file), "rb") as opened:
                data = opened.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise Refused(f"{self.where}: {name} has more than the {max_bytes:,} bytes allowed")
        return Changed(data, str(head.etag))

    # ---- errors

    def _trying(self, work: Callable[[], T]) -> T:
        """Call `work`; repeat it after transient errors, with backoff and jitter, for `retry_s`
        seconds.
        """
        until, pause_s = time.monotonic() + self._retry_s, 0.25
        for _ in range(_MAX_TRIES):
            try:
                with self._explained():
                    return work()
            except Unreachable as error:
                wait_s = max(pause_s, getattr(error, "wait_s", 0.0)) * random.uniform(1.0, 1.5)
                if time.monotonic() + wait_s > until:
                    raise
                last = error
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, 8.0)
        raise last

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the client's exceptions into StoreErrors; their messages never contain the token."""
        from huggingface_hub import errors as theirs

        try:
            yield
        except StoreError:
            raise
        # A subclass of EntryNotFoundError that means a failed connection, so it is caught first.
        except theirs.LocalEntryNotFoundError:
            raise Unreachable(f"{self.where}: the Hub cannot be reached") from None
        except (
            theirs.EntryNotFoundError,
            theirs.RepositoryNotFoundError,
            theirs.RevisionNotFoundError,
        ) as error:
            if _status(error) in (401, 403):
                raise self._no_access(error) from None
            raise Missing(f"{self.where}: not found ({type(error).__name__})") from None
        except theirs.HFValidationError:
            raise Refused(f"{self.where}: the Hub allows no repository of this name") from None
        except theirs.HfHubHTTPError as error:
            status = _status(error)
            if status in (401, 403):
                raise self._no_access(error) from None
            # 408 timeout, 409 conflict, 412 another commit in between, 429 too many requests:
            # these may succeed later.
            if status is not None and 400 <= status < 500 and status not in (408, 409, 412, 429):
                raise Refused(f"{self.where}: the Hub refuses it (status {status})") from None
            why = (
                "others wrote at the same time"
                if status == 412
                else f"the Hub answers with status {status}"
            )
            raise _Busy(f"{self.where}: {why}", _retry_after_s(error)) from None
        except (OSError, ValueError, RuntimeError) as error:
            raise Unreachable(f"{self.where}: {type(error).__name__}") from None
        except Exception as error:
            # The client has changed its HTTP library before, so its errors go by module name.
            if type(error).__module__.startswith(("http", "requests")):
                raise Unreachable(
                    f"{self.where}: the Hub cannot be reached ({type(error).__name__})"
                ) from None
            raise

    def _no_access(self, error: Exception) -> Refused:
        from huggingface_hub import get_token

        if get_token() is None:
            trouble = "no token found"
        elif _status(error) == 401:
            trouble = "the Hub does not accept the token, or there is no such repository"
        else:
            trouble = "the token has no right to do this"
        return Refused(
            f"{self.where}: no access (status {_status(error)}): {trouble}; {_where_tokens_are()}"
        )


def _where_tokens_are() -> str:
    from huggingface_hub import constants

    return (
        f"looked for it in HF_TOKEN, then in {constants.HF_TOKEN_PATH}, which `hf auth login` "
        "writes; it must be a token that may write there"
    )


def _retry_after_s(error: Exception) -> float:
    """Seconds to wait according to the Retry-After header; 0 if it is missing or a date."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return max(0.0, float(headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)
