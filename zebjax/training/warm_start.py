"""What a run begins with: weights (fresh, a torch file, the Hugging Face Hub, a folder of ours), a
teacher's games.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from zebjax import network, record
from zebjax.game import N_PLIES
from zebjax.record import GameRecord
from zebjax.torch_compat import weights as torch_weights
from zebjax.training.config import Experiment

_HUB = "hf://"


class Beginning(NamedTuple):
    """What a run begins with."""

    params: network.Params
    step: int
    """Training step of the weights."""
    total_games: int
    """Games behind them."""


def begin(
    settings: Experiment, folder: Path, key: jax.Array, note: Callable[[str], None]
) -> Beginning:
    """The first weights of a new run; a torch file is converted into `folder`, where its provenance
    stays.

    Raises:
        ValueError: if the checkpoint is not there, cannot be read, or is not of the experiment's
            network.
    """
    wanted = settings.start
    if wanted.checkpoint is None:
        return Beginning(
            network.init(settings.network, key), wanted.step or 0, wanted.total_games or 0
        )
    source = _locate(wanted.checkpoint, folder.parent, note)
    if source.is_file():
        shutil.rmtree(
            folder, ignore_errors=True
        )  # of an earlier start that was killed before it saved anything
        torch_weights.convert(source, folder, belief_head=wanted.belief_head, seed=settings.seed)
        note(f"converted {source} into {folder}")
        source = folder
    elif wanted.belief_head == "fresh":
        raise ValueError(
            "start.belief_head: fresh is for torch files; start.checkpoint is a folder that has "
            "its heads"
        )
    config, params = network.load(source)
    if not config.same_weights(settings.network):
        raise ValueError(
            f"start.checkpoint: {wanted.checkpoint} holds {config}, but the experiment's network "
            f"is {settings.network}"
        )
    history = torch_weights.history(network.find(source))
    step = history.get("step") if wanted.step is None else wanted.step
    total_games = history.get("total_games") if wanted.total_games is None else wanted.total_games
    return Beginning(params, step or 0, total_games or 0)


def _locate(name: str, downloads: Path, note: Callable[[str], None]) -> Path:
    """The local path of what `start.checkpoint` names."""
    if name.startswith(_HUB):
        return _download(name, downloads, note)
    if not Path(name).exists():
        if name == network.BUNDLED.name:
            return network.BUNDLED
        raise ValueError(
            f"start.checkpoint: {name} is not there; give a torch .pt file, "
            "hf://USER/REPO/FILE.pt, a zebjax folder, "
            f"or {network.BUNDLED.name}"
        )
    return Path(name)


def _download(name: str, downloads: Path, note: Callable[[str], None]) -> Path:
    """Fetch a hub file and the JSON files that belong to it."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
    except ImportError:
        raise ValueError(
            'start.checkpoint: hf:// needs the extra "hub": pip install "zebjax[hub]"'
        ) from None
    parts = name.removeprefix(_HUB).split("/")
    if len(parts) < 3 or not name.endswith(".pt"):
        raise ValueError(f"start.checkpoint: expected hf://USER/REPO/FILE.pt, got {name}")
    repo, file = "/".join(parts[:2]), "/".join(parts[2:])
    note(f"downloading {file} of {repo}")
    target = downloads / "downloads"
    config, state = torch_weights.hub_files(Path(file))
    try:
        path = huggingface_hub.hf_hub_download(repo, file, local_dir=target)
        for beside in (config, state):
            try:
                huggingface_hub.hf_hub_download(repo, str(beside), local_dir=target)
            except EntryNotFoundError:
                continue  # a wrapped checkpoint has none; the converter says what it misses
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(f"start.checkpoint: {name} cannot be downloaded: {error}") from None
    return Path(path)


class Seeds(NamedTuple):
    """Games that the rings of a new run begin with; NumPy arrays."""

    selfplay: GameRecord
    eval_aux: GameRecord


def seeds(settings: Experiment) -> Seeds:
    """The games in `replay.seed_folder`, every one proved legal by replay, those of the newest
    files last.

    Files are ordered by the time of writing that they tell. Games against E[Q] are the eval-aux
    stream's.

    Raises:
        ValueError: if there are none, or a file must not be used.
    """
    folder = Path(settings.replay.seed_folder or "")
    read = [
        record.read(file)
        for file in _record_files(folder, "replay.seed_folder", "convert --examples")
    ]
    read.sort(key=lambda one: one[1].created_at)

    def joined(is_aux: bool) -> GameRecord:
        games = [
            records for records, metadata in read if (metadata.source == record.EVAL_AUX) == is_aux
        ]
        none = jax.tree.map(np.asarray, record.empty(0))
        return jax.tree.map(lambda *parts: np.concatenate(parts), none, *games)

    return Seeds(joined(False), joined(True))


def _record_files(folder: Path, field: str, maker: str) -> list[Path]:
    # What begins with a dot is being written, or was when its writer was killed.
    files = sorted(file for file in folder.rglob("*.safetensors") if not file.name.startswith("."))
    if not files:
        raise ValueError(
            f"{field}: no *.safetensors in {folder}; make some with `python -m {maker}`"
        )
    return files


def taught_games(settings: Experiment) -> GameRecord:
    """All games that are in the teacher's folder when a run begins, every one proved legal by
    replay; NumPy arrays.

    Raises:
        ValueError: if there are none, more or fewer than the ring is to hold, or a file must not be
            used.
    """
    folder = Path(settings.teacher.folder or "")
    files = _record_files(folder, "teacher.folder", "zebjax.teach")
    games = jax.tree.map(
        lambda *parts: np.concatenate(parts), *(record.read(file)[0] for file in files)
    )
    n_examples, ring = len(games.slots) * N_PLIES, settings.replay
    if not n_examples:
        raise ValueError(f"teacher.folder: the files in {folder} hold no games")
    if n_examples > ring.capacity_examples:
        raise ValueError(
            f"replay.capacity_examples: {folder} holds {n_examples:,} examples, more than "
            f"{ring.capacity_examples:,}"
        )
    if n_examples < ring.min_buffer:
        raise ValueError(
            f"replay.min_buffer: {folder} holds {n_examples:,} examples ({len(games.slots):,} "
            "games), fewer than "
            f"{ring.min_buffer:,}"
        )
    return games
