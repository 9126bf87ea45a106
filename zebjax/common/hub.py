"""Paths on the Hugging Face Hub, `hf://USER/REPO[/PATH][@REVISION]`, and downloads from there.

Only named files of a few harmless kinds are downloaded. They go into the Hub client's own cache,
so that `HF_HUB_OFFLINE=1` works with the files that it holds.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

SCHEME = "hf://"
# A pathlib.Path turns hf://USER into hf:/USER, so both spellings are accepted.
_SCHEME = re.compile(r"hf:(/{1,2}(?=[^/]|$)|$)")
_NAME = r"[A-Za-z0-9][\w.-]*"
_URL = re.compile(rf"hf:/{{1,2}}({_NAME}/{_NAME})((?:/{_NAME})*)/?(?:@({_NAME}(?:/{_NAME})*))?")
FILE_SUFFIXES = (".pt", ".safetensors", ".json", ".md")
"""Kinds of files that may be downloaded; none of them is executed."""
MAX_BYTES = {".json": 1 << 20, ".md": 1 << 20}
MAX_WEIGHTS_BYTES = 1 << 28
"""Of a file of weights, downloaded or read."""
_TIMEOUT_S = 30.0


class HubError(ValueError):
    """A file on the Hub cannot be downloaded; the message says why and what to do."""


class HubFileMissing(HubError):
    """The repository does not have this file, or HF_HUB_OFFLINE is set and it is not cached."""


class HubPath(NamedTuple):
    """A repository on the Hub, or a file or folder in it."""

    repo: str
    """`USER/REPO`."""
    path: str
    """Path in the repository, without slashes at either end; empty for the whole repository."""
    revision: str | None
    """Branch, tag or commit; None is the default branch."""

    def __str__(self) -> str:
        path = f"/{self.path}" if self.path else ""
        return f"{SCHEME}{self.repo}{path}" + (f"@{self.revision}" if self.revision else "")

    @property
    def is_file(self) -> bool:
        """True if the path has the suffix of a downloadable file; other paths are folders."""
        return self.path.endswith(FILE_SUFFIXES)


def is_hub(url: Path | str) -> bool:
    """True if `url` starts with `hf://`, well formed or not."""
    return bool(_SCHEME.match(str(url)))


def parse(url: Path | str) -> HubPath:
    """Parse `hf://USER/REPO[/PATH][@REVISION]`.

    Raises:
        HubError: if it does not have that form.
    """
    match = _URL.fullmatch(str(url))
    if match is None:
        raise HubError(
            f"{url}: expected hf://USER/REPO, hf://USER/REPO/FILE or hf://USER/REPO/FOLDER, and "
            "optionally @REVISION at the end"
        )
    return HubPath(match[1], match[2].strip("/"), match[3])


def repository(text: str) -> HubPath:
    """Parse the name of a repository, `USER/REPO` or `hf://USER/REPO`.

    Raises:
        HubError: if it does not have that form.
    """
    try:
        place = parse(text if is_hub(text) else f"{SCHEME}{text}")
    except HubError:
        place = None
    if place is None or place.path or place.revision:
        raise HubError(f"expected USER/REPO, got {text!r}")
    return place


def fetch(place: HubPath, beside: tuple[str, ...] = ()) -> Path:
    """Download a file, and optional files of the same folder, into the Hub's cache.

    Args:
        place: the file.
        beside: names of files in the same folder and commit; those that the repository does not
            have are skipped.

    Returns:
        The local path of the file, in one folder with the others. Only read it: it belongs to the
        Hub's cache.

    Raises:
        HubError: if it cannot be downloaded; the message says what to do.
        HubFileMissing: if there is no such file.
    """
    file = _fetch(place)
    commit = _commit(file, place)
    folder = PurePosixPath(place.path).parent
    for name in beside:
        try:
            _fetch(HubPath(place.repo, str(folder / name), commit))
        except HubFileMissing:
            continue
    return file


def _commit(file: Path, place: HubPath) -> str | None:
    """The commit of a file in the cache, from its path `.../snapshots/COMMIT/PATH`."""
    folder = file.parents[len(PurePosixPath(place.path).parts) - 1]
    return folder.name if folder.parent.name == "snapshots" else place.revision


def _fetch(place: HubPath) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError:
        raise HubError(f'{place}: hf:// needs the extra "hub"; pip install "zebjax[hub]"') from None
    if not place.is_file:
        raise HubError(f"{place}: expected a file that ends in {', '.join(FILE_SUFFIXES)}")
    endpoint = os.environ.get("HF_ENDPOINT")
    suffix = PurePosixPath(place.path).suffix
    max_bytes = MAX_BYTES.get(suffix, MAX_WEIGHTS_BYTES)
    offline = wants_offline = constants.is_offline_mode()
    try:
        if not offline:
            url = huggingface_hub.hf_hub_url(
                place.repo, place.path, revision=place.revision, endpoint=endpoint
            )
            try:
                metadata = huggingface_hub.get_hf_file_metadata(
                    url, timeout=_TIMEOUT_S, endpoint=endpoint
                )
                if metadata.size is None:
                    raise HubError(f"{place}: the Hub does not say how large it is; not downloaded")
                _check_size(place, metadata.size, max_bytes)
            except huggingface_hub.errors.EntryNotFoundError:
                pass  # the download below raises it again, and the cache then remembers it
            except Exception as error:
                if not _is_unreachable(error):
                    raise
                # Continue as if offline: the file may be in the cache.
                offline = True
        file = huggingface_hub.hf_hub_download(
            place.repo,
            place.path,
            revision=place.revision,
            endpoint=endpoint,
            local_files_only=offline,
        )
    except HubError:
        raise
    except Exception as error:
        if isinstance(error, huggingface_hub.errors.LocalEntryNotFoundError) and not wants_offline:
            raise _unreachable(place) from None
        raise _explained(place, error, offline) from None
    _check_size(place, os.path.getsize(file), max_bytes)
    return Path(file)


def _check_size(place: HubPath, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise HubError(f"{place}: {size:,} bytes, more than the {max_bytes:,} allowed")


def _unreachable(place: HubPath) -> HubError:
    """The error for a file that is not in the cache while the Hub does not answer.

    The repository may well have it, so it is not missing, unless the cache knows better.
    """
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(place.repo, place.path, revision=place.revision)
    if found is huggingface_hub._CACHED_NO_EXIST:
        return HubFileMissing(f"{place}: {place.repo} has no file {place.path}")
    return HubError(
        f"{place}: the Hub cannot be reached and the file is not in the cache; try again later, or "
        "set HF_HUB_OFFLINE=1 to use only what the cache holds"
    )


def _is_unreachable(error: Exception) -> bool:
    """True if the Hub did not answer, or answered with a server error (status 500 or more)."""
    if getattr(error, "response", None) is not None:
        return (_status(error) or 0) >= 500
    # The client has changed its HTTP library before, so the errors are recognised by module name.
    return isinstance(error, OSError) or type(error).__module__.startswith(("httpx", "httpcore"))


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _explained(place: HubPath, error: Exception, offline: bool) -> HubError:
    """Turn an exception of the client into one sentence, which never contains a token."""
    from huggingface_hub import errors as theirs

    login = "set HF_TOKEN or run `hf auth login`"
    if isinstance(error, theirs.LocalEntryNotFoundError):
        return HubFileMissing(
            f"{place}: HF_HUB_OFFLINE is set and the file is not in the cache; download it "
            "once while online"
        )
    if isinstance(error, theirs.GatedRepoError):
        return HubError(f"{place}: access must be granted on the repository's page; then {login}")
    if _status(error) in (401, 403) and not isinstance(error, theirs.RepositoryNotFoundError):
        return HubError(
            f"{place}: no access (status {_status(error)}); {login} with a token for it"
        )
    if isinstance(error, theirs.RepositoryNotFoundError):
        return HubError(
            f"{place}: there is no repository {place.repo}, or it is private; check the name, or "
            f"{login}"
        )
    if isinstance(error, theirs.RevisionNotFoundError):
        return HubError(f"{place}: {place.repo} has no revision {place.revision}")
    if isinstance(error, theirs.EntryNotFoundError):
        return HubFileMissing(f"{place}: {place.repo} has no file {place.path}")
    if isinstance(error, theirs.HFValidationError):
        return HubError(f"{place}: the Hub allows no repository of this name")
    if isinstance(error, theirs.HfHubHTTPError):
        return HubError(f"{place}: the Hub answers with status {_status(error)}; try again later")
    if isinstance(error, OSError) and error.strerror:
        return HubError(f"{place}: cannot be written into the Hub's cache ({error.strerror})")
    state = " offline" if offline else ""
    return HubError(f"{place}: cannot be downloaded{state} ({type(error).__name__})")
