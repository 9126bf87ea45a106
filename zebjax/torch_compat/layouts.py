"""Find weights, configuration and history in the kinds of files that people have.

Four layouts can be read:

- `hub`: a plain state_dict `<name>.pt`, with `<name>-config.json` and `<name>-state.json` beside it
  (`config.json` and `training_state.json` if the name is `model`);
- `wrapped`: one file with `model_state_dict` and other entries of a training program;
- `lightning`: a checkpoint of PyTorch Lightning, `state_dict` and `hyper_parameters`;
- `safetensors`: tensors only, with a configuration in the metadata or in a file beside it.

Optimisers, random states and replay buffers are not read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ml_dtypes
import numpy as np
import safetensors

from zebjax import network
from zebjax.common.files import read_json
from zebjax.common.tensor_file import metadata_of
from zebjax.network import Params, ZebConfig, storage
from zebjax.network.config import config_from_dict
from zebjax.observe import tokenizer
from zebjax.torch_compat.archive import Limits, TorchFile
from zebjax.torch_compat.facts import Scalar, facts_of, known_of, mapping_of
from zebjax.torch_compat.pickle import Call, Name, TorchFileError, shown
from zebjax.torch_compat.tolerant import Foreign

Layout = Literal["wrapped", "hub", "lightning", "safetensors"]
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes that wrappers (DataParallel, torch.compile, Lightning) add to every key."""
_STATE_DICT_KEYS = ("model_state_dict", "state_dict", "model")
_CONFIG_PLACES = (
    ("config", "model_config"),
    ("config",),
    ("hyper_parameters", "model_config"),
    ("hyper_parameters", "config"),
    ("hyper_parameters",),
    ("training_config", "model_config"),
    ("training_config",),
    ("hparams",),
    ("args",),
)
_REQUIRED = ("embed_dim", "n_heads", "n_layers", "ff_dim")
_OPTIONAL = {"tokenizer": str, "belief_head": bool, "dropout": float, "max_tokens": int}
_OUR_NAME = "embed_project.kernel"  # an array name that every network of zebjax has
_BELIEF_KEY = "belief_proj.0.weight"
_MAX_JSON_BYTES = 1 << 20
_SAFETENSORS_TYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


class Found(NamedTuple):
    """A network found in a file."""

    layout: Layout
    config: ZebConfig
    state_dict: Mapping[str, Any]
    """Arrays by the original's names; empty if `params` is given."""
    facts: dict[str, Scalar]
    """Every plain value besides the weights, by its dotted path in the file."""
    known: dict[str, Any]
    """`step`, `total_games`, `wandb_run_id` and `source_weights_name`; None if not in the file."""
    prefix: str
    """The prefix of all keys, which was removed."""
    params: Params | None = None
    """Parameters, if the file was written by zebjax."""


def hub_files(source: Path) -> tuple[Path, Path]:
    """Return the paths of the configuration and the training state of a file in hub layout."""
    if source.stem == "model":
        return source.with_name("config.json"), source.with_name("training_state.json")
    return source.with_name(f"{source.stem}-config.json"), source.with_name(
        f"{source.stem}-state.json"
    )


def from_torch(data: bytes, source: Path, limits: Limits) -> Found:
    """Read the bytes of a `.pt` file.

    Args:
        data: the bytes.
        source: path of the file; its JSON files are looked for beside it.
        limits: maximum sizes.

    Raises:
        TorchFileError: if it cannot be used. The message names a file only if a JSON file is wrong.
    """
    file = TorchFile(data, limits)
    content = mapping_of(file.tree)
    if isinstance(file.tree, Foreign) and not content:
        raise TorchFileError(
            f"it holds an object of type {shown(file.tree.name)}, which is not read; load it with "
            "a trusted copy of torch and save its state_dict()"
        )
    if content is None:
        raise TorchFileError(f"expected a state_dict or a checkpoint, it holds {_kind(file.tree)}")
    key = next((key for key in _STATE_DICT_KEYS if key in content), None)
    if key is None:
        if not any(isinstance(value, Call) for value in content.values()):
            raise TorchFileError(
                "expected a state_dict of tensors, or a checkpoint with model_state_dict"
            )
        return _plain(_state_dict(file, content), source)
    inner = mapping_of(content[key])
    if isinstance(content[key], Foreign | Call | Name) and not inner:
        file.value(content[key])  # raises an error that names the object
    if inner is None:
        raise TorchFileError(f"{key}: expected a dictionary of tensors, got {_kind(content[key])}")
    state_dict, prefix = strip_prefix(_state_dict(file, inner))
    rest = {name: value for name, value in content.items() if name != key}
    facts = dict(facts_of(file, rest))
    fields, place = _config_fields(file, rest, source)
    layout: Layout = "lightning" if "pytorch-lightning_version" in content else "wrapped"
    return Found(
        layout, config_of(fields, place, state_dict), state_dict, facts, known_of(facts, ""), prefix
    )


def _plain(state_dict: dict[str, Any], source: Path) -> Found:
    """Read a state_dict whose JSON files lie beside it (hub layout)."""
    state_dict, prefix = strip_prefix(state_dict)
    config_file, state_file = hub_files(source)
    if not config_file.is_file():
        raise TorchFileError(
            f"a plain state_dict needs its configuration beside it, looked for {config_file}"
        )
    facts = read_sidecar(state_file) if state_file.is_file() else {}
    if not isinstance(facts, dict):
        raise TorchFileError(f"{state_file}: expected an object with step and total_games")
    config = config_of(read_sidecar(config_file), str(config_file), state_dict)
    plain = dict(facts_of(None, facts))
    return Found("hub", config, state_dict, plain, known_of(facts, f"{state_file}: "), prefix)


def from_safetensors(data: bytes, source: Path) -> Found:
    """Read the bytes of a safetensors file, with the original's tensor names or ours.

    Arguments and errors are as for `from_torch`.
    """
    state_dict, prefix = strip_prefix(_safetensors(data))
    metadata = metadata_of(data)
    fields, place = _json(metadata.get("config") or metadata.get("model_config")), "its metadata"
    if fields is None:
        nearby = (hub_files(source)[0], source.with_name(storage.CONFIG_FILE))
        config_file = next((file for file in nearby if file.is_file()), None)
        if config_file is None:
            looked_for = " and ".join(dict.fromkeys(map(str, nearby)))
            raise TorchFileError(
                "a safetensors file needs its configuration in its metadata or beside it, looked "
                f"for {looked_for}"
            )
        fields, place = read_sidecar(config_file), str(config_file)
    facts: dict[str, Any] = {
        key: int(value) if isinstance(value, str) and value.isdecimal() else value
        for key, value in metadata.items()
        if key not in ("config", "model_config", "format")
    }
    for state_file in (hub_files(source)[1], source.with_name(storage.TRAINING_FILE)):
        if state_file.is_file() and isinstance(state := read_sidecar(state_file), dict):
            facts |= state
    plain, known = dict(facts_of(None, facts)), known_of(facts, "")
    if _OUR_NAME in state_dict:
        config = config_from_dict(fields, Path(place))
        params = storage.from_bytes(data, config)
        return Found("safetensors", config, {}, plain, known, "", params)
    return Found(
        "safetensors", config_of(fields, place, state_dict), state_dict, plain, known, prefix
    )


def is_safetensors(data: bytes) -> bool:
    """True if the bytes start like a safetensors file."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data)


def _safetensors(data: bytes) -> dict[str, np.ndarray]:
    try:
        found = dict(safetensors.deserialize(data))
        return {
            name: np.frombuffer(tensor["data"], _SAFETENSORS_TYPES[tensor["dtype"]]).reshape(
                tensor["shape"]
            )
            for name, tensor in found.items()
        }
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise TorchFileError(f"not a readable safetensors file ({shown(str(error))})") from None


def strip_prefix(state_dict: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Remove the `PREFIXES` that all keys share; return the state_dict and the removed prefix."""
    prefix = ""
    while state_dict and all(isinstance(key, str) for key in state_dict):
        shared = next((p for p in PREFIXES if all(key.startswith(p) for key in state_dict)), None)
        if shared is None:
            break
        prefix += shared
        state_dict = {key.removeprefix(shared): value for key, value in state_dict.items()}
    return state_dict, prefix


# ---- parts of a checkpoint


def _kind(node: Any) -> str:
    return shown(node) if not isinstance(node, dict) else "a dictionary"


def _state_dict(file: TorchFile, nodes: Mapping[str, Any]) -> dict[str, Any]:
    state_dict = {}
    for key, node in nodes.items():
        try:
            state_dict[key] = file.value(node)
        except TorchFileError as error:
            raise TorchFileError(f"key {shown(key)}: {error}") from None
    return state_dict


def _config_fields(file: TorchFile, content: Mapping[str, Any], source: Path) -> tuple[Any, str]:
    """Return the network's keyword arguments, and the place where they were found."""
    if "model_config" in content:
        return _scalars(file, content["model_config"]), "model_config"
    for place in _CONFIG_PLACES:
        node: Any = content
        for part in place:
            node = (mapping_of(node) or {}).get(part)
        fields = _scalars(file, node)
        # These may be the settings of a whole training program: keep those of the network.
        if isinstance(fields, dict) and all(name in fields for name in _REQUIRED):
            known = {*_REQUIRED, *_OPTIONAL}
            return {key: value for key, value in fields.items() if key in known}, ".".join(place)
    config_file = hub_files(source)[0]
    if config_file.is_file():
        return read_sidecar(config_file), str(config_file)
    for place in _CONFIG_PLACES:
        node = content
        for part in (*place, "model_size"):
            node = (mapping_of(node) or {}).get(part)
        if isinstance(node, str) and node in network.PRESETS:
            preset = network.PRESETS[node]
            return {name: getattr(preset, name) for name in _REQUIRED}, ".".join(place)
    raise TorchFileError(
        "it does not say what network it holds: looked for model_config, config and "
        f"hyper_parameters in it, and for {config_file}"
    )


def _scalars(file: TorchFile, node: Any) -> Any:
    fields = mapping_of(node)
    if fields is None:
        return None
    # Other values stay as they are, so that `config_of` can report them.
    plain = {key: file.scalar(value) for key, value in fields.items()}
    return {key: fields[key] if value is None else value for key, value in plain.items()}


def config_of(fields: Any, place: str, state_dict: Mapping[str, Any]) -> ZebConfig:
    """Make a ZebConfig from the original's keyword arguments.

    Args:
        fields: the arguments. Old files lack the tokenizer, which is v1, and the belief head, which
            exists if its tensors do.
        place: the place where the fields were found, for messages.
        state_dict: the network's.

    Raises:
        TorchFileError: if a field is missing or wrong; the message names the place and the field.
    """
    if not isinstance(fields, dict):
        raise TorchFileError(f"{place}: expected the network's keyword arguments")
    for key, value in fields.items():
        if key not in _REQUIRED and key not in _OPTIONAL:
            raise TorchFileError(f"{place}: unknown field {shown(key)}")
        expected = _OPTIONAL.get(key, int)
        if type(value) is not expected and not (expected is float and type(value) is int):
            raise TorchFileError(
                f"{place}: {key}: expected {expected.__name__}, got {shown(value)}"
            )
    for key in _REQUIRED:
        if key not in fields:
            raise TorchFileError(f"{place}: field {key} is missing")
    defaults: dict[str, Any] = {"tokenizer": "v1", "belief_head": _BELIEF_KEY in state_dict}
    fields = defaults | fields
    if fields["tokenizer"] != "v1":
        raise TorchFileError(
            f"{place}: tokenizer: expected v1, the only one that the original has, got "
            f"{shown(fields['tokenizer'])}"
        )
    max_tokens = fields.pop("max_tokens", None)
    try:
        config = ZebConfig(**fields)
        length = tokenizer(config.tokenizer).length
    except ValueError as error:
        raise TorchFileError(f"{place}: {error}") from None
    if max_tokens not in (None, length):
        raise TorchFileError(
            f"{place}: max_tokens: expected {length} with tokenizer {config.tokenizer}, got "
            f"{max_tokens}"
        )
    return config


def read_sidecar(path: Path) -> Any:
    """Read a small JSON file beside a checkpoint.

    Raises:
        TorchFileError: if it is too large or not JSON; the message names it.
    """
    try:
        return read_json(path, _MAX_JSON_BYTES)
    except ValueError as error:
        raise TorchFileError(str(error)) from None


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
