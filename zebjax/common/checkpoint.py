"""Checkpoint folders: one orbax item per pytree, and JSON files beside them.

Create them with `files.new_folder`, so that a killed process never leaves an incomplete one under
its final name.
"""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from zebjax.common import files

_STEP = re.compile(r"step_(\d{9})")
_MAX_SHOWN = 12
"""Maximum number of steps that a message lists in full."""


def save_tree(path: Path, tree: Any) -> None:
    """Write a pytree of arrays (typed random keys included) with orbax to the new folder `path`.

    Raises:
        ValueError: if the disk is full.
    """
    # orbax logs one traceback per array that it cannot write, besides the error that it raises.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # orbax writes NumPy arrays in half the CPU time that it takes for arrays of a device.
            checkpointer.save(Path(path).absolute(), jax.device_get(_without_none(tree)))
    except (ValueError, OSError) as error:
        if "No space left" in str(error):
            raise ValueError(
                f"{path.parent}: cannot be written (no space left on device)"
            ) from None
        raise
    # The file holds an absolute path of this machine, and checkpoints are shared with others.
    (Path(path) / "commit_success.txt").unlink(missing_ok=True)


def restore_tree(path: Path, like: Any) -> Any:
    """Read a pytree of the structure, shapes and dtypes of `like` (arrays or ShapeDtypeStructs).

    The arrays go to this process's first device, except where `like` has a sharding.

    Raises:
        ValueError: if the stored tree differs; the message names the path and the first
            difference.
    """
    path = Path(path).absolute()
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or here
        ),
        _without_none(like),
    )
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # Checked first, because orbax reports a wrong shape by a page of asyncio tracebacks.
            _check_shapes(path, checkpointer.metadata(path), template)
            return _with_none(like, checkpointer.restore(path, template))
    except (KeyError, FileNotFoundError) as error:
        raise ValueError(f"{path}: not a readable checkpoint: {error}") from error


# A field that is None leaves no trace on disk. So a struct that gets a new optional field can still
# be read from where it was written before it had one; orbax itself would refuse it.


def _is_struct(tree: Any) -> bool:
    return isinstance(tree, tuple) and hasattr(tree, "_fields")


def _mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to the children of a tuple, list or dict; return any other tree as it is."""
    if _is_struct(tree):
        return type(tree)(*map(function, tree, *others))
    if isinstance(tree, tuple | list):
        return type(tree)(map(function, tree, *others))
    if isinstance(tree, dict):
        return {name: function(tree[name], *(other[name] for other in others)) for name in tree}
    return others[0] if others else tree


def _without_none(tree: Any) -> Any:
    """Return a pytree with a dict for each NamedTuple that has fields of None, without those."""
    if _is_struct(tree) and any(child is None for child in tree):
        return {
            name: _without_none(child)
            for name, child in tree._asdict().items()
            if child is not None
        }
    return _mapped(_without_none, tree)


def _with_none(like: Any, tree: Any) -> Any:
    """Undo `_without_none`; `like` is the tree before it, with other leaves."""
    if _is_struct(like) and any(child is None for child in like):
        children = (
            None if child is None else _with_none(child, tree[name])
            for name, child in like._asdict().items()
        )
        return type(like)(*children)
    return _mapped(_with_none, like, tree)


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
        # orbax stores the integers of a typed key, so its stored shape is another one.
        is_key = jax.dtypes.issubdtype(wanted[name].dtype, jax.dtypes.prng_key)
        if not is_key and stored[name] != wanted[name].shape:
            raise ValueError(
                f"{path}: array {name} has shape {stored[name]}, expected {wanted[name].shape}"
            )


def step_folder(root: Path, step: int) -> Path:
    """Path of the checkpoint of `step` under `root`."""
    return Path(root) / f"step_{step:09d}"


def steps(root: Path) -> list[int]:
    """Return the complete steps under `root`, ascending; empty if there are none."""
    if not Path(root).is_dir():
        return []
    folders = (entry.name for entry in Path(root).iterdir() if entry.is_dir())
    return sorted(int(match[1]) for name in folders if (match := _STEP.fullmatch(name)))


def named(path: Path) -> Path | None:
    """Return the folder of the step that `RUN@STEP` names; None if `path` has another form.

    Raises:
        ValueError: if the run RUN has not kept this step, or for `RUN/STEP`; the message says what
            to write.
    """
    run, at, step = str(path).rpartition("@")
    is_guess = not at and path.name.isdecimal()
    if is_guess:
        run, step = str(path.parent), path.name
    kept = steps(Path(run) / "checkpoints")
    if not kept or not step.isdecimal():
        return None
    if int(step) not in kept:
        shown = list(map(str, kept))
        shown = shown if len(shown) <= _MAX_SHOWN else [*shown[:5], "...", *shown[-5:]]
        raise ValueError(f"{path}: step {int(step)} is not kept; there are {', '.join(shown)}")
    if is_guess:
        raise ValueError(f"{path}: no checkpoint here; write {run}@{int(step)} for a step of a run")
    return step_folder(Path(run) / "checkpoints", int(step))


def remove_steps(root: Path, obsolete: list[int]) -> None:
    """Delete these steps, and the temporary files of killed writers."""
    for step in obsolete:
        files.remove_folder(step_folder(root, step))
    files.remove_leftovers(root)


def prune(root: Path, keep: int) -> None:
    """Delete all but the newest `keep` steps, and the temporary files of killed writers."""
    remove_steps(root, steps(root)[:-keep])
