"""Atomic writes: a file or folder is either complete or absent.

Each is written under a temporary name that no other process uses, then renamed. A killed process
leaves at most a `.tmp-...` behind, which `remove_leftovers` deletes.
"""

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
"""Prefix of every temporary name."""
_NO_FLUSH = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS}
"""What `fsync` of a folder answers where the file system has no such thing."""
_MAX_NAME = 200  # file systems allow 255 bytes; the rest is for the prefix and the number


def temporary_name(path: Path) -> Path:
    """Return a temporary name in the folder of `path`, different for each call and process."""
    return path.with_name(
        f"{TEMPORARY}{path.name[:_MAX_NAME]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )


def require_folder(path: Path) -> None:
    """Check that `path` is a folder or can become one; nothing is made.

    Raises:
        ValueError: if a part of it is a file; the message names that part.
    """
    path = Path(path).absolute()
    there = next(place for place in (path, *path.parents) if os.path.exists(place))
    if not there.is_dir():
        raise ValueError(f"{path}: expected a folder, but {there} is a file")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into a ValueError that names it."""
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        there = (place for place in path.parents if os.path.exists(place))
        wrong = next((place for place in there if not place.is_dir()), path.parent)
        raise ValueError(f"{path}: cannot be written: {wrong} is not a folder") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None


_checks: dict[Path, Callable[[], None]] = {}


@contextmanager
def checked(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """During the block, call `check` before a file or folder below `folder` is put in its place or
    deleted; what `check` raises stops that.
    """
    folder = Path(folder).absolute()
    _checks[folder] = check
    try:
        yield
    finally:
        _checks.pop(folder, None)


def _check(path: Path) -> None:
    for folder, check in list(_checks.items()):
        if Path(path).absolute().is_relative_to(folder):
            check()


@contextmanager
def new_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path for the block to write.

    It is renamed to `path`, replacing an existing file, when the block ends. It is deleted when
    the block raises.

    Args:
        path: the file to create; its folder must exist.
        durable: call fsync on the file before the rename and on its folder after, for files that a
            restart depends on.

    Raises:
        OSError: if it cannot be written; `path` is then unchanged, unless only the fsync of its
            folder failed.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        yield temporary
        if durable:
            _flush(temporary)
        _check(path)
        os.replace(temporary, path)
        if durable:
            _flush_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file completely or not at all, and wait until it is on the disk.

    Raises:
        OSError: as `new_file`.
    """
    with new_file(path, durable=True) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file as `write_bytes` does."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several new files and create their folders; if one fails, delete all of these files.

    Raises:
        ValueError: if a file cannot be written; the message names it.
    """
    temporaries = {path: temporary_name(path) for path in contents}
    placed: list[Path] = []
    try:
        for path, temporary in temporaries.items():
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(contents[path])
        for path, temporary in temporaries.items():
            _check(path)
            with writing(path):
                os.rename(temporary, path)
            placed.append(path)
    except BaseException:
        for path in (*temporaries.values(), *placed):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def read_json(path: Path, max_bytes: int | None = None) -> Any:
    """Return the value in a JSON file.

    Raises:
        ValueError: if the file cannot be read, is larger than `max_bytes` or is not JSON; the
            message names it.
    """
    try:
        if max_bytes is not None and path.stat().st_size > max_bytes:
            raise ValueError(f"{path}: larger than the {max_bytes:,} bytes allowed")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def new_folder(path: Path, replace: bool = False, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary folder, which is renamed to `path` when the block ends.

    It is deleted when the block raises.

    Args:
        path: the folder to create, with its parents.
        replace: delete an existing `path` before the rename; if False, that is an error.
        durable: call fsync on every file of the folder before the rename, and on its parent after.

    Raises:
        FileExistsError: if `path` exists and `replace` is False.
        ValueError: if the folder cannot be created.
    """
    path = Path(path).absolute()
    made = [parent for parent in path.parents if not parent.exists()]
    if os.path.exists(path) and not replace:
        raise FileExistsError(f"{path} exists already: remove it or choose another place")
    temporary = temporary_name(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # a name that the file system refuses is refused before the work
        temporary.mkdir()
    try:
        yield temporary
        if durable:
            _flush_tree(temporary)
        _check(path)
        if replace:
            remove_folder(path)
        os.rename(temporary, path)
        if durable:
            for parent in (path.parent, *(folder.parent for folder in made)):
                _flush_folder(parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_folder(folder: Path) -> None:
    """Delete a folder if it exists.

    It is renamed first, so that a killed deletion leaves no incomplete folder under its name.
    """
    if folder.exists():
        _check(folder)
        doomed = temporary_name(folder)
        os.rename(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def nothing_left(*paths: Path) -> Iterator[None]:
    """If the block raises, delete what it created of these paths and the folders that hold them:
    files, and folders without a file. So a command that is refused leaves nothing.
    """
    created = [
        place for path in paths for place in (path, *Path(path).parents) if not place.exists()
    ]
    try:
        yield
    except BaseException:
        remove_unused(created)
        raise


def remove_unused(created: Sequence[Path]) -> None:
    """Delete the files of this list, and its folders in which there is no file, in this order."""
    for path in created:
        with contextlib.suppress(OSError):  # it holds something, so it is in use
            if path.is_file():
                path.unlink()
                continue
            for inner in sorted(path.rglob("*"), reverse=True):
                inner.rmdir()
            path.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed writers in `folder`.

    Call it only if no other process writes there: its temporary files would be deleted too.
    """
    for leftover in Path(folder).glob(f"{TEMPORARY}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                leftover.unlink()


def _flush(file: Path) -> None:
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _flush_tree(folder: Path) -> None:
    """Flush every file and folder in `folder`, then the folder itself."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _flush_tree(entry)
        elif entry.is_file():
            _flush(entry)
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    """Have the disk take the names in a folder, where the platform can do that."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(number)


def unused_name(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3`, ... before the suffix that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
