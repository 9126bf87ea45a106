"""Folders of arrays and small JSON files that are either complete or not there.

A checkpoint folder holds one orbax item per pytree and JSON files beside them. It is written under
a temporary name and renamed when complete, so a killed process never leaves a half-written one
under a real name.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

_STEP = re.compile(r"step_(\d{9})")
_TEMPORARY = ".tmp-"


@contextmanager
def new_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends, and is deleted when the block
    raises.

    Raises:
        FileExistsError: if `path` exists and is not to be replaced.
        ValueError: if there can be no such folder.
    """
    path = Path(path).absolute()
    if os.path.exists(path) and not replace:
        raise FileExistsError(f"{path} exists already: remove it or choose another place")
    temporary = path.parent / f"{_TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        yield temporary
        if replace:
            _remove(path)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says when a file or folder cannot be made into a ValueError that names
    it.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{path}: cannot be written: {path.parent} is not a folder") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from None


@contextmanager
def locked(folder: Path, advice: str) -> Iterator[None]:
    """Keep a second process out of a folder, made if need be; the lock goes when the process does,
    however it ends.

    Raises:
        ValueError: with `advice`, if another process has it; or if there can be no such folder.
    """
    with writing(folder / ".lock"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    with open(folder / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another process is working here; {advice}") from None
        yield


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_json(path: Path, value: Any) -> None:
    """Write a small JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; ValueError that names it if it is not JSON."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def save_tree(path: Path, tree: Any) -> None:
    """Write a pytree of arrays (typed random keys included) with orbax into the new folder
    `path`.
    """
    # What it cannot write it also logs, array by array, on top of what it raises.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(Path(path).absolute(), tree)
    except (ValueError, OSError) as error:
        if "No space left" in str(error):
            raise ValueError(
                f"{path.parent}: cannot be written (no space left on device)"
            ) from None
        raise
    # It names the folder that was written to on this machine, and a checkpoint may be given away.
    (Path(path) / "commit_success.txt").unlink(missing_ok=True)


def restore_tree(path: Path, like: Any) -> Any:
    """Read a pytree of the structure, shapes and dtypes of `like` (arrays or ShapeDtypeStructs).

    It goes to this process's first device unless `like` says otherwise, wherever it was written.

    Raises:
        ValueError: if what is on disk is not that, naming the path and the first difference.
    """
    path = Path(path).absolute()
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or here
        ),
        like,
    )
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # Checked first: orbax answers a wrong shape with a page of asyncio tracebacks.
            _check_shapes(path, checkpointer.metadata(path), template)
            return checkpointer.restore(path, template)
    except (KeyError, FileNotFoundError) as error:
        raise ValueError(f"{path}: not a readable checkpoint: {error}") from error


def _check_shapes(path: Path, metadata: Any, template: Any) -> None:
    tree = getattr(metadata, "item_metadata", metadata)
    if tree is None:
        raise ValueError(f"{path}: not a readable checkpoint: its metadata is missing")
    stored = {
        leaf.name: leaf.shape
        for leaf in jax.tree.leaves(getattr(tree, "tree", tree))
        if hasattr(leaf, "shape")
    }
    wanted = {
        jax.tree_util.keystr(key_path, simple=True, separator="."): leaf
        for key_path, leaf in jax.tree_util.tree_leaves_with_path(template)
    }
    for name in sorted(wanted.keys() | stored.keys()):
        if name not in stored:
            raise ValueError(f"{path}: array {name} is missing")
        if name not in wanted:
            raise ValueError(f"{path}: array {name} is not expected here")
        is_key = jax.dtypes.issubdtype(
            wanted[name].dtype, jax.dtypes.prng_key
        )  # stored as its integers
        if not is_key and stored[name] != wanted[name].shape:
            raise ValueError(
                f"{path}: array {name} has shape {stored[name]}, expected {wanted[name].shape}"
            )


def step_folder(root: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies under `root`."""
    return Path(root) / f"step_{step:09d}"


def steps(root: Path) -> list[int]:
    """The complete steps under `root`, ascending; empty if there are none."""
    if not Path(root).is_dir():
        return []
    folders = (entry.name for entry in Path(root).iterdir() if entry.is_dir())
    return sorted(int(match[1]) for name in folders if (match := _STEP.fullmatch(name)))


def remove_steps(root: Path, doomed: list[int]) -> None:
    """Delete these steps, and whatever a killed writer left half done."""
    for step in doomed:
        _remove(step_folder(root, step))
    for leftover in Path(root).glob(f"{_TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def prune(root: Path, keep: int) -> None:
    """Delete all but the newest `keep` steps, and whatever a killed writer left half done."""
    remove_steps(root, steps(root)[:-keep])


def _remove(folder: Path) -> None:
    """Delete a folder if it is there, under another name, so that a killed deletion leaves no
    broken one.
    """
    if folder.exists():
        doomed = folder.with_name(f"{_TEMPORARY}{folder.name}-{uuid.uuid4().hex[:8]}")
        os.rename(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
