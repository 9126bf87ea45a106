"""The original's checkpoint files as ours, and back, with their provenance.

Two layouts are read: `hub`, a plain state_dict `<name>.pt` with `<name>-config.json` and
`<name>-state.json` beside it (`config.json` and `training_state.json` if the name is `model`), and
`wrapped`, one file that holds all of that. `hub` is written.
"""

import dataclasses
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

import zebjax
from zebjax import network
from zebjax.common import checkpoint
from zebjax.common.files import write_together
from zebjax.network import Params, ZebConfig
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat.archive import DEFAULT_LIMITS, Limits
from zebjax.torch_compat.names import from_state_dict, to_state_dict
from zebjax.torch_compat.pickle import TorchFileError, shown

BeliefHead = Literal["keep", "fresh"]
TRAINING_FILE = "training.json"  # what a run writes beside the weights it trained
_PROVENANCE_FILE = "provenance.json"
_MAX_JSON_BYTES = 1 << 20
_REQUIRED_CONFIG = ("embed_dim", "n_heads", "n_layers", "ff_dim")
_OPTIONAL_CONFIG = {"tokenizer": str, "belief_head": bool, "dropout": float}
_WRITTEN_CONFIG = (*_REQUIRED_CONFIG, "tokenizer", "belief_head")
_WRAPPED_KEYS = ("model_state_dict", "model_config", "epoch", "total_games", "source_weights_name")
_STATE_KEYS = ("step", "total_games", "wandb_run_id")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where converted weights came from; `provenance.json` beside them. None where the source does
    not say.
    """

    source: str
    """File name, without its folder."""
    sha256: str
    """Of the source file."""
    layout: Literal["wrapped", "hub"]
    step: int | None
    """Training cycle (`step` of a hub state, `epoch` of a wrapped checkpoint)."""
    total_games: int | None
    wandb_run_id: str | None
    source_weights_name: str | None
    """What a wrapped checkpoint itself says it was started from."""
    belief_head: Literal["none", "converted", "fresh"]
    belief_head_seed: int | None
    """Of a fresh belief head."""
    converter_version: str
    converted_at: str
    """UTC, ISO 8601."""


class TorchWeights(NamedTuple):
    """A network read from a torch file."""

    config: ZebConfig
    params: Params
    provenance: Provenance


def convert(
    source: Path | str,
    folder: Path | str,
    *,
    belief_head: BeliefHead = "keep",
    seed: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> Provenance:
    """Convert a torch file of the original into a new folder that `network.load` reads, complete or
    not there.

    Args:
        source: the `.pt` file; a hub file has its JSON files beside it.
        folder: must not exist.
        belief_head: `keep` what is there; `fresh` adds a randomly initialised one to weights that
            have none.
        seed: of a fresh belief head, in [0, 2**32).
        limits: what the file may cost.

    Returns:
        What was also written as `provenance.json`.

    Raises:
        TorchFileError: if the file cannot be used, or `folder` exists.
    """
    folder = Path(folder)
    if os.path.exists(folder):
        raise TorchFileError(f"{folder} exists already: remove it or choose another place")
    weights = read(source, limits)
    if belief_head == "fresh":
        weights = with_fresh_belief_head(weights, seed)
    with checkpoint.new_folder(folder) as temporary:
        network.save(temporary, weights.config, weights.params)
        checkpoint.write_json(temporary / _PROVENANCE_FILE, dataclasses.asdict(weights.provenance))
    return weights.provenance


def read_provenance(folder: Path | str) -> Provenance | None:
    """The provenance of converted weights, or None where there is none (weights that were trained
    here).
    """
    path = Path(folder) / _PROVENANCE_FILE
    if not path.is_file():
        return None
    try:
        return Provenance(**_read_json(path))
    except TypeError as error:
        raise TorchFileError(f"{path}: not the provenance of converted weights ({error})") from None


def read(source: Path | str, limits: Limits = DEFAULT_LIMITS) -> TorchWeights:
    """Read a torch file of the original, in either layout; parameters are float32.

    Raises:
        TorchFileError: if the file, its JSON files or any tensor in it is not as it must be, naming
            which.
    """
    source = Path(source)
    data = torch_archive.read_bytes(source, limits)
    content = torch_archive.parse(data, source, limits)
    if not isinstance(content, dict):
        raise TorchFileError(
            f"{source}: expected a state_dict or a checkpoint, it holds a {type(content).__name__}"
        )
    wrapped = "model_state_dict" in content
    fields, state_dict, facts = (
        _unwrap(content, source) if wrapped else _hub_layout(content, source)
    )
    config = _config(fields, f"{source}: model_config" if wrapped else str(hub_files(source)[0]))
    try:
        params = from_state_dict(config, state_dict)
    except TorchFileError as error:
        raise TorchFileError(f"{source}: {error}") from None
    provenance = Provenance(
        source=source.name,
        sha256=hashlib.sha256(data).hexdigest(),
        layout="wrapped" if wrapped else "hub",
        **{key: facts.get(key) for key in (*_STATE_KEYS, "source_weights_name")},
        belief_head="converted" if config.belief_head else "none",
        belief_head_seed=None,
        converter_version=zebjax.__version__,
        converted_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return TorchWeights(config, params, provenance)


def with_fresh_belief_head(weights: TorchWeights, seed: int) -> TorchWeights:
    """The same weights plus a belief head as `network.init` draws it from `seed`; TorchFileError if
    they have one.
    """
    if weights.config.belief_head:
        raise TorchFileError(
            f"{weights.provenance.source}: a fresh belief head was asked for, but these weights "
            "have one already"
        )
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected an integer from 0 to 2**32 - 1, got {seed}")
    config = dataclasses.replace(weights.config, belief_head=True)
    fresh = network.init(config, jax.random.key(seed))
    head = {name: fresh[name] for name in fresh.keys() - weights.params.keys()}
    provenance = dataclasses.replace(weights.provenance, belief_head="fresh", belief_head_seed=seed)
    return TorchWeights(config, weights.params | head, provenance)


def hub_files(source: Path) -> tuple[Path, Path]:
    """Where the config and the training state of a hub file lie."""
    if source.stem == "model":
        return source.with_name("config.json"), source.with_name("training_state.json")
    return source.with_name(f"{source.stem}-config.json"), source.with_name(
        f"{source.stem}-state.json"
    )


def _hub_layout(content: dict, source: Path) -> tuple[Any, dict, dict[str, Any]]:
    """Config fields, state_dict and facts of a plain state_dict."""
    config_file, state_file = hub_files(source)
    if not any(isinstance(value, np.ndarray) for value in content.values()):
        raise TorchFileError(
            f"{source}: expected a state_dict of tensors, or a checkpoint with model_state_dict"
        )
    if not config_file.is_file():
        raise TorchFileError(
            f"{source}: a plain state_dict needs its configuration beside it, looked for "
            f"{config_file}"
        )
    facts = _read_json(state_file) if state_file.is_file() else {}
    return (
        _read_json(config_file),
        content,
        _facts(facts, state_file, {key: key for key in _STATE_KEYS}),
    )


def _unwrap(content: dict, source: Path) -> tuple[Any, dict, dict[str, Any]]:
    """Config fields, state_dict and facts of a wrapped checkpoint."""
    for key in content:
        if key not in _WRAPPED_KEYS:
            raise TorchFileError(
                f"{source}: unexpected key {shown(key)}; expected {', '.join(_WRAPPED_KEYS)}"
            )
    if "model_config" not in content:
        raise TorchFileError(f"{source}: key model_config is missing beside model_state_dict")
    if not isinstance(content["model_state_dict"], dict):
        raise TorchFileError(f"{source}: model_state_dict: expected a dictionary of tensors")
    names = {
        "step": "epoch",
        "total_games": "total_games",
        "source_weights_name": "source_weights_name",
    }
    return content["model_config"], content["model_state_dict"], _facts(content, source, names)


def _facts(fields: Any, source: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """Our name -> value, for `names` of ours -> theirs; each may be absent or None."""
    if not isinstance(fields, dict):
        raise TorchFileError(f"{source}: expected an object with {', '.join(names.values())}")
    facts = {ours: fields.get(theirs) for ours, theirs in names.items()}
    for ours, value in facts.items():
        is_count = ours in ("step", "total_games")
        good = type(value) is int and value >= 0 if is_count else isinstance(value, str)
        if value is not None and not good:
            expected = "a count" if is_count else "a text"
            raise TorchFileError(
                f"{source}: {names[ours]}: expected {expected}, got {shown(value)}"
            )
    return facts


def _config(fields: Any, source: str) -> ZebConfig:
    """A ZebConfig from the original's keyword arguments; old ones lack the tokenizer (v1) and
    belief head (none).
    """
    if not isinstance(fields, dict):
        raise TorchFileError(f"{source}: expected the network's keyword arguments")
    for key, value in fields.items():
        if key not in _REQUIRED_CONFIG and key not in _OPTIONAL_CONFIG:
            raise TorchFileError(f"{source}: unknown field {shown(key)}")
        expected = _OPTIONAL_CONFIG.get(key, int)
        if type(value) is not expected and not (expected is float and type(value) is int):
            raise TorchFileError(
                f"{source}: {key}: expected {expected.__name__}, got {shown(value)}"
            )
    for key in _REQUIRED_CONFIG:
        if key not in fields:
            raise TorchFileError(f"{source}: field {key} is missing")
    defaults: dict[str, Any] = {"tokenizer": "v1", "belief_head": False}
    try:
        return ZebConfig(**defaults | fields)
    except ValueError as error:
        raise TorchFileError(f"{source}: {error}") from None


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise TorchFileError(f"{path}: larger than the {_MAX_JSON_BYTES:,} bytes allowed")
        return checkpoint.read_json(path)
    except RecursionError:
        raise TorchFileError(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise TorchFileError(str(error)) from None


def to_torch(
    source: Path | str, path: Path | str, *, state: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a checkpoint as the original's hub layout: state_dict, configuration and training
    state; all or nothing.

    Args:
        source: whatever `network.load` reads.
        path: the `.pt` file; the two JSON files go beside it. None of the three may exist.
        state: `step`, `total_games`, `wandb_run_id` for the training state; by default what the
            checkpoint's provenance or its training says. What is not known is left out.

    Returns:
        The three files.

    Raises:
        TorchFileError: if one of them exists, or the original has no such network.
        ValueError: if there is no checkpoint at `source`.
    """
    source, path = Path(source), Path(path)
    if path.suffix != ".pt":
        raise TorchFileError(f"{path}: expected a name that ends in .pt")
    files = [*hub_files(path), path]
    for file in files:
        if os.path.exists(file):
            raise TorchFileError(f"{file} exists already: remove it or choose another place")
    config, params = network.load(source)
    known = history(network.find(source)) if state is None else state
    write_together(hub_contents(path, config, params, known))
    return [path, *files[:2]]


def hub_contents(
    path: Path, config: ZebConfig, params: Params, state: Mapping[str, Any]
) -> dict[Path, bytes]:
    """The three files of the original's hub layout, the `.pt` at `path` last; TorchFileError as in
    `to_torch`.
    """
    fields = {name: getattr(config, name) for name in _WRITTEN_CONFIG}
    config_file, state_file = hub_files(path)
    return {
        config_file: json.dumps(fields).encode(),
        state_file: json.dumps(
            {key: state[key] for key in _STATE_KEYS if state.get(key) is not None}
        ).encode(),
        path: torch_archive.serialise(OrderedDict(to_state_dict(config, params)), path.stem),
    }


def history(folder: Path) -> dict[str, Any]:
    """What a checkpoint folder says of its training: `step`, `total_games`, `wandb_run_id`, as far
    as it knows.
    """
    if (folder / TRAINING_FILE).is_file():
        return _read_json(folder / TRAINING_FILE)
    provenance = read_provenance(folder)
    return dataclasses.asdict(provenance) if provenance else {}
