"""Convert the original's checkpoint files to network folders and back, with their provenance.

`layouts` describes the files that can be read. `to_torch` writes the layout `hub`.
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

import zebjax
from zebjax import network
from zebjax.common import hub, jax_settings
from zebjax.common.files import new_folder, write_json, write_together
from zebjax.network import Params, ZebConfig, storage
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import layouts
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.layouts import Layout
from zebjax.torch_compat.layouts import hub_files as hub_files
from zebjax.torch_compat.names import from_state_dict, to_state_dict
from zebjax.torch_compat.pickle import TorchFileError

BeliefHead = Literal["keep", "fresh"]
TRAINING_FILE = storage.TRAINING_FILE
WEIGHT_LIMITS = Limits(pickle_bytes=32 << 20, entries=400_000, values=2_000_000)
"""Enough for a checkpoint of the original with its replay buffer of 50,000 examples."""
_TORCH_FILE = "model.pt"
_WRITTEN_CONFIG = ("embed_dim", "n_heads", "n_layers", "ff_dim", "tokenizer", "belief_head")
_STATE_KEYS = ("step", "total_games", "wandb_run_id")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The origin of converted weights, stored as `provenance.json` beside them.

    A field is None if the source does not have it.
    """

    source: str
    """File name, without its folder."""
    sha256: str
    """sha256 of the source file."""
    layout: Layout
    """See `layouts`."""
    step: int | None
    """Training cycle (`step` of a hub state, `epoch` of a checkpoint)."""
    total_games: int | None
    wandb_run_id: str | None
    source_weights_name: str | None
    """Name of the weights that the checkpoint was started from."""
    belief_head: Literal["none", "converted", "fresh"]
    belief_head_seed: int | None
    """Seed of a fresh belief head."""
    converter_version: str
    converted_at: str
    """UTC, ISO 8601."""
    prefix: str = ""
    """The prefix of all keys of the state_dict, which was removed."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Every plain value in the source besides the weights, by its dotted path."""


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
    limits: Limits = WEIGHT_LIMITS,
) -> Provenance:
    """Convert a file of weights into a new network folder, atomically.

    Args:
        source: as for `read`.
        folder: must not exist.
        belief_head: "keep" the file's belief head, if any; "fresh" adds a random one to weights
            that have none.
        seed: for a fresh belief head, in [0, 2**32).
        limits: maximum sizes.

    Returns:
        The provenance, which is also written to `provenance.json`.

    Raises:
        TorchFileError: if the file cannot be used, or `folder` exists.
    """
    folder = Path(folder)
    if os.path.exists(folder):
        raise TorchFileError(f"{folder} exists already: remove it or choose another place")
    weights = read(source, limits)
    if belief_head == "fresh":
        weights = with_fresh_belief_head(weights, seed)
    with new_folder(folder) as temporary:
        facts = {
            name: value
            for name in ("source", *_STATE_KEYS, "source_weights_name")
            if (value := getattr(weights.provenance, name)) is not None
        }
        network.save(temporary, weights.config, weights.params, facts)
        provenance = dataclasses.asdict(weights.provenance)
        write_json(temporary / storage.PROVENANCE_FILE, provenance)
    return weights.provenance


def read_provenance(folder: Path | str) -> Provenance | None:
    """Read the provenance of converted weights; None for weights that zebjax trained.

    Raises:
        TorchFileError: if the file is damaged.
    """
    path = Path(folder) / storage.PROVENANCE_FILE
    if not path.is_file():
        return None
    try:
        return Provenance(**layouts.read_sidecar(path))
    except TypeError as error:
        raise TorchFileError(f"{path}: not the provenance of converted weights ({error})") from None


def read(source: Path | str, limits: Limits = WEIGHT_LIMITS) -> TorchWeights:
    """Read a file of weights in any layout of `layouts`.

    Args:
        source: a `.pt` or `.safetensors` file, with its JSON files beside it if it needs any; a
            folder with `model.safetensors` or `model.pt`; or one of these on the Hub (`hf://...`).
        limits: maximum sizes.

    Returns:
        The network; its parameters are float32.

    Raises:
        TorchFileError: if the file, a JSON file or a tensor is wrong; the message names it.
    """
    source = local(source)
    data = torch_archive.read_bytes(source, limits)
    try:
        if layouts.is_safetensors(data):
            found = layouts.from_safetensors(data, source)
        else:
            found = layouts.from_torch(data, source, limits)
        params = found.params
        if params is None:
            params = from_state_dict(found.config, found.state_dict)
    except ValueError as error:
        raise TorchFileError(f"{source}: {error}") from None
    provenance = Provenance(
        source=source.name,
        sha256=hashlib.sha256(data).hexdigest(),
        layout=found.layout,
        **found.known,
        belief_head="converted" if found.config.belief_head else "none",
        belief_head_seed=None,
        converter_version=zebjax.__version__,
        converted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        prefix=found.prefix,
        facts=found.facts,
    )
    return TorchWeights(found.config, params, provenance)


def names_torch_file(path: str) -> bool:
    """True if a path, local or on the Hub, ends as torch files do."""
    name = hub.parse(path).path if hub.is_hub(path) else path
    return name.endswith((".pt", ".pth", ".ckpt"))


def local(source: Path | str) -> Path:
    """Return the local path of a file of weights; download it if it is on the Hub.

    Args:
        source: a file, a folder with `model.safetensors` or `model.pt`, or one of these on the Hub.

    Raises:
        HubError: if it cannot be downloaded.
    """
    if not hub.is_hub(source):
        source = Path(source)
        inside = [source / name for name in (storage.WEIGHTS_FILE, _TORCH_FILE)]
        return next((file for file in inside if file.is_file()), source)
    place = hub.parse(source)
    if place.is_file:
        return _fetch(place)
    folder = f"{place.path}/" if place.path else ""
    try:
        return _fetch(place._replace(path=f"{folder}{storage.WEIGHTS_FILE}"))
    except hub.HubFileMissing as error:
        try:
            return _fetch(place._replace(path=f"{folder}{_TORCH_FILE}"))
        except hub.HubFileMissing:
            raise error from None


def _fetch(place: hub.HubPath) -> Path:
    """Download a file of weights and the JSON files that may belong to it."""
    beside = {file.name for file in layouts.hub_files(Path(place.path))}
    return hub.fetch(place, (*sorted(beside), storage.CONFIG_FILE, storage.TRAINING_FILE))


def with_fresh_belief_head(weights: TorchWeights, seed: int) -> TorchWeights:
    """Add a belief head, drawn by `network.init` from `seed`.

    Raises:
        TorchFileError: if the weights have a belief head.
        ValueError: if `seed` is out of range.
    """
    if weights.config.belief_head:
        raise TorchFileError(
            f"{weights.provenance.source}: cannot add a fresh belief head, since these weights "
            "have one already; use keep"
        )
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected an integer from 0 to 2**32 - 1, got {seed}")
    config = dataclasses.replace(weights.config, belief_head=True)
    fresh = network.init(config, jax_settings.key(seed))
    head = {name: fresh[name] for name in fresh.keys() - weights.params.keys()}
    provenance = dataclasses.replace(weights.provenance, belief_head="fresh", belief_head_seed=seed)
    return TorchWeights(config, weights.params | head, provenance)


def to_torch(
    source: Path | str, path: Path | str, *, state: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a network in the original's hub layout: state_dict, configuration, training state.

    Either all three files are written or none.

    Args:
        source: any path that `network.load` accepts.
        path: the `.pt` file; the two JSON files are written beside it. None of the three may exist.
        state: `step`, `total_games` and `wandb_run_id` of the training state, as far as they are
            known; None to take them from the network's training.json or provenance.

    Returns:
        The three files.

    Raises:
        TorchFileError: if one of the files exists, or the original has no such network.
        ValueError: if there is no network at `source`.
    """
    path = Path(path)
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
    """Return the bytes of the three files of the original's hub layout by path, the `.pt` last.

    Raises:
        TorchFileError: if the original has no such network.
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


def history(found: Path) -> dict[str, Any]:
    """Return the known facts about a network's training: `step`, `total_games`, `wandb_run_id`.

    Args:
        found: the result of `network.find`.
    """
    if facts := storage.history(found):
        return facts
    provenance = read_provenance(found.parent if found.is_file() else found)
    return dataclasses.asdict(provenance) if provenance else {}
