"""Files and folders that are either complete or not there.

All are written under a temporary name that no other process uses, then renamed. A killed process
leaves at most a `.tmp-...` behind, which `remove_leftovers` deletes.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
"""Prefix of every temporary name."""
_MAX_NAME = 200  # file systems allow 255 bytes; the rest is for the prefix and the number


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other process or thread chooses."""
    return path.with_name(
        f"{TEMPORARY}{path.name[:_MAX_NAME]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which makes a file or folder, into a ValueError that names
    `path`.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{path}: cannot be written: {path.parent} is not a folder") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def new_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """A temporary path for the block to write; it becomes `path`, replacing any, when the block
    ends, and is deleted when the block raises.

    Args:
        path: the file to make; its folder must exist.
        durable: wait until the disk has it, for files that a later start depends on.

    Raises:
        OSError: if the disk does not take it; `path` is then as it was.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; it is on the disk when this returns. OSError as
    `new_file`.
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
    """Write several new files, their folders too; if one fails, none of them is left.

    Raises:
        ValueError: naming the file that cannot be written.
    """
    temporaries = {path: temporary_name(path) for path in contents}
    placed: list[Path] = []
    try:
        for path, temporary in temporaries.items():
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(contents[path])
        for path, temporary in temporaries.items():
            with writing(path):
                os.rename(temporary, path)
            placed.append(path)
    except BaseException:
        for path in (*temporaries.values(), *placed):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def read_json(path: Path, max_bytes: int | None = None) -> Any:
    """The value in a JSON file.

    Raises:
        ValueError: naming the file, if it cannot be read, has more than `max_bytes`, or is not
            JSON.
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
    """A temporary folder that becomes `path` when the block ends, and is deleted when the block
    raises.

    Args:
        path: the folder to make, its parents too.
        replace: an existing `path` is deleted first; else it is an error.
        durable: wait until the disk has every file of it.

    Raises:
        FileExistsError: if `path` exists and is not to be replaced.
        ValueError: if there can be no such folder.
    """
    path = Path(path).absolute()
    if os.path.exists(path) and not replace:
        raise FileExistsError(f"{path} exists already: remove it or choose another place")
    temporary = temporary_name(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        yield temporary
        if durable:
            for file in filter(Path.is_file, temporary.rglob("*")):
                _flush(file)
        if replace:
            remove_folder(path)
        os.rename(temporary, path)
        if durable:
            _flush_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_folder(folder: Path) -> None:
    """Delete a folder if it is there. It is renamed first, so that a killed deletion leaves no
    half of it under its name.
    """
    if folder.exists():
        doomed = temporary_name(folder)
        os.rename(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers left half done in `folder`. Call it only where no other process
    writes there.
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


def _flush_folder(folder: Path) -> None:
    """Have the disk take a renaming; only POSIX systems open folders."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
