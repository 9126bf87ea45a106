"""Save, find and load networks; a network is a folder, or one file that holds its config too.

A network folder holds

    config.json         the fields of ZebConfig
    model.safetensors   the parameters, float32; see `to_bytes`
    training.json       facts about its training (run, step, total_games, trained_examples);
                        optional
    README.md           a model card

Folders of older runs, with an orbax item `params/` for `model.safetensors`, can be read too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from zebjax.common import checkpoint, devices, hub
from zebjax.common.files import read_json, write_json, write_text, writing
from zebjax.common.tensor_file import SMALL_FORMAT, metadata_of
from zebjax.network import card, places
from zebjax.network.config import ZebConfig, config_from_dict
from zebjax.network.model import Params, abstract_params, n_params

CONFIG_FILE = "config.json"
WEIGHTS_FILE = card.WEIGHTS_FILE
TRAINING_FILE = "training.json"
PROVENANCE_FILE = "provenance.json"
CARD_FILE = "README.md"
_ORBAX_ITEM = "params"
MAX_BYTES = hub.MAX_WEIGHTS_BYTES
"""Maximum size of a weights file."""
_MAX_HEADER_BYTES = 1 << 20
_TORCH_SUFFIXES = (".pt", ".pth", ".ckpt")
_FORMAT_KEY, _CONFIG_KEY = "zebjax_format", "config"
_FORMAT = "1"
# An array name that every network of the original has, and ours never have.
_ORIGINAL_NAME = "embeddings.proj.weight"

BUNDLED = Path(__file__).parents[1] / "bundled"
"""The network that comes with zebjax, with the path `bundled`; see its README.md."""


# ---- bytes


def array_names(params: Params) -> list[str]:
    """Return the name of each array in a weights file, in the order of `jax.tree.leaves`.

    A name is the array's path in the parameters, joined by dots: `layers.00.qkv.kernel`.
    """
    return [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]


def to_bytes(config: ZebConfig, params: Params) -> bytes:
    """Return a network as the bytes of one safetensors file, float32.

    `array_names` gives the names of the arrays; kernels are `[in, out]`. The metadata holds
    `zebjax_format` (1) and `config` (the ZebConfig as JSON), so the file can be loaded alone.
    """
    leaves = jax.tree.leaves(jax.device_get(params))
    arrays = {
        name: np.ascontiguousarray(leaf)
        for name, leaf in zip(array_names(params), leaves, strict=True)
    }
    metadata = {_FORMAT_KEY: _FORMAT, _CONFIG_KEY: json.dumps(config.stored_fields())}
    return safetensors.numpy.save(arrays, metadata)


def from_bytes(data: bytes, config: ZebConfig) -> Params:
    """Read parameters from the bytes of a safetensors file that `to_bytes` made.

    Args:
        data: the bytes; they may come from an untrusted source.
        config: the network that the parameters must fit.

    Returns:
        Arrays on the first device, float32 and finite.

    Raises:
        ValueError: if they are damaged or of another network; no other error is ever raised.
    """
    _check_metadata(metadata_of(data), config)
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a readable safetensors file ({error})") from None
    abstract = abstract_params(config)
    names = array_names(abstract)
    leaves, structure = jax.tree.flatten(abstract)
    if odd := sorted(set(names) ^ set(arrays)):
        if _ORIGINAL_NAME in arrays:
            raise ValueError(
                "its arrays are named as in the original PyTorch system; convert it with "
                "`zebjax convert` first"
            )
        # The file may be hostile: no control character may reach a terminal.
        shown = "".join(filter(str.isprintable, odd[0]))[:80]
        problem = "is missing" if odd[0] in names else "is not expected"
        raise ValueError(f"array {shown} {problem}")
    for name, leaf in zip(names, leaves, strict=True):
        found = arrays[name]
        if found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise ValueError(
                f"array {name}: expected {leaf.dtype} {leaf.shape}, got {found.dtype} {found.shape}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"array {name} is not finite")
    return jax.device_put(jax.tree.unflatten(structure, [arrays[name] for name in names]))


def _check_metadata(metadata: Mapping[str, str], config: ZebConfig) -> None:
    """Raise ValueError for a later format, or for weights that were saved for another network."""
    version = metadata.get(_FORMAT_KEY, _FORMAT)
    if version != _FORMAT:
        raise ValueError(
            f"its format is {str(version)[:20]!r}, this zebjax reads {_FORMAT}; update zebjax"
        )
    # Shapes alone cannot show a mismatch: they are the same for every number of heads.
    if _CONFIG_KEY not in metadata:
        return
    written = _config_of(metadata)
    if not written.same_weights(config):
        theirs, ours = written.parameter_fields(), config.parameter_fields()
        name = next(name for name in sorted(theirs) if theirs[name] != ours[name])
        raise ValueError(
            f"made for another network: {name} is {theirs[name]}, expected {ours[name]}"
        )


def _config_of(metadata: Mapping[str, str]) -> ZebConfig:
    try:
        fields = json.loads(metadata[_CONFIG_KEY])
    except (ValueError, TypeError, RecursionError):
        raise ValueError("the config in its metadata cannot be read") from None
    return config_from_dict(fields, Path("its metadata"))


# ---- folders


def save(
    folder: Path, config: ZebConfig, params: Params, training: Mapping[str, Any] | None = None
) -> None:
    """Write a network into an existing folder (see `common.files.new_folder`).

    Args:
        folder: receives config.json, model.safetensors, README.md and, with `training`,
            training.json.
        config: the config that the parameters were made with.
        params: arrays, on any device.
        training: where the parameters come from, as plain values: `run`, `step`, `total_games`...

    Raises:
        ValueError: if a file cannot be written.
    """
    with writing(folder / WEIGHTS_FILE):
        write_json(folder / CONFIG_FILE, config.stored_fields())
        (folder / WEIGHTS_FILE).write_bytes(to_bytes(config, params))
        if training is not None:
            write_json(folder / TRAINING_FILE, dict(training))
        text = card.model_card(config, n_params(params), training or {})
        write_text(folder / CARD_FILE, text)


def find(path: Path | str) -> Path:
    """Return the place of a network on this machine; download it if it is on the Hub.

    Args:
        path: a network folder, a `.safetensors` file that zebjax wrote, a run folder (its newest
            step is used), a step of a run (`runs/NAME@8`), `bundled`, or a place on the Hub
            (`hf://USER/REPO[/FOLDER][@REVISION]`). Downloads go into the Hub's cache.

    Returns:
        The network folder; the file if `path` names a file.

    Raises:
        ValueError: if there is no network at `path`.
    """
    if hub.is_hub(path):
        return _fetched(hub.parse(path))
    path = Path(path)
    if (path / CONFIG_FILE).is_file() or (path.suffix == ".safetensors" and path.is_file()):
        return path
    if path == Path(BUNDLED.name):
        return BUNDLED
    root = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    steps = checkpoint.steps(root)
    if steps:
        return checkpoint.step_folder(root, steps[-1])
    if step := checkpoint.named(path):
        return step
    if path.is_file() and path.suffix in _TORCH_SUFFIXES:
        raise ValueError(_needs_conversion(str(path)))
    raise ValueError(places.not_found(path))


def _fetched(place: hub.HubPath) -> Path:
    if place.is_file:
        if not place.path.endswith(".safetensors"):
            raise ValueError(_needs_conversion(str(place)))
        return hub.fetch(place, (CONFIG_FILE, TRAINING_FILE, PROVENANCE_FILE))
    folder = f"{place.path}/" if place.path else ""
    file = hub.fetch(
        place._replace(path=f"{folder}{WEIGHTS_FILE}"),
        (CONFIG_FILE, TRAINING_FILE, PROVENANCE_FILE),
    )
    if not (file.parent / CONFIG_FILE).is_file():
        raise ValueError(f"{place}: there is {WEIGHTS_FILE}, but no {CONFIG_FILE} beside it")
    return file.parent


def _needs_conversion(path: str) -> str:
    return f"{path}: not a zebjax network; convert it first with `zebjax convert {path} OUT_DIR`"


def load(path: Path | str) -> tuple[ZebConfig, Params]:
    """Read a network.

    Args:
        path: see `find`.

    Returns:
        The config, and the parameters, copied to every device of this process.

    Raises:
        ValueError: if there is no network at `path`, or it is damaged, larger than `MAX_BYTES`,
            not finite, or does not fit its config; the message names the file.
    """
    found = find(path)
    if found.is_file():
        data = _read(found)
        if SMALL_FORMAT in metadata_of(data):
            raise ValueError(f"{found}: a small network; expected small:{path}, or another network")
        if _CONFIG_KEY not in metadata_of(data):
            raise ValueError(
                f"{found}: not a zebjax network, its metadata has no config; convert it first "
                f"with `zebjax convert {path} OUT_DIR`"
            )
        config = _named(found, _config_of, metadata_of(data))
    else:
        config_file = found / CONFIG_FILE
        config = config_from_dict(read_json(config_file, _MAX_HEADER_BYTES), config_file)
        if not (found / WEIGHTS_FILE).is_file() and (found / _ORBAX_ITEM).is_dir():
            return config, devices.everywhere(_load_orbax(found, config))
        found = found / WEIGHTS_FILE
        data = _read(found)
    return config, devices.everywhere(_named(found, from_bytes, data, config))


def _named(file: Path, work: Any, *arguments: Any) -> Any:
    """Return `work(*arguments)`; put the file's name in front of a ValueError's message."""
    try:
        return work(*arguments)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _read(file: Path) -> bytes:
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(
            f"{file}: no such file; a network folder needs {CONFIG_FILE} and {WEIGHTS_FILE}"
        ) from None
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"{file}: larger than the {MAX_BYTES:,} bytes allowed")
    if data.startswith(b"version https://git-lfs"):
        raise ValueError(f"{file}: only a Git LFS pointer, not the file; run `git lfs pull`")
    return data


def _load_orbax(folder: Path, config: ZebConfig) -> Params:
    """Read the parameters of a folder from before zebjax wrote `model.safetensors`."""
    params = checkpoint.restore_tree(folder / _ORBAX_ITEM, abstract_params(config))
    leaves = zip(array_names(params), jax.tree.leaves(jax.device_get(params)), strict=True)
    for name, leaf in leaves:
        if not np.isfinite(leaf).all():
            raise ValueError(f"{folder / _ORBAX_ITEM}: array {name} is not finite")
    return params


def history(found: Path) -> dict[str, Any]:
    """Return the contents of training.json; empty if there is no such file.

    Args:
        found: the result of `find`.

    Raises:
        ValueError: if the file is not a JSON object.
    """
    file = (found.parent if found.is_file() else found) / TRAINING_FILE
    if not file.is_file():
        return {}
    facts = read_json(file, _MAX_HEADER_BYTES)
    if not isinstance(facts, dict):
        raise ValueError(f"{file}: expected an object with step and total_games")
    return facts
