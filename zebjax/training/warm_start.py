"""What a run begins with: weights (fresh, a torch file, the Hugging Face Hub, a network folder), a
teacher's games.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from zebjax import network, record
from zebjax.common import hub
from zebjax.game import N_PLIES
from zebjax.record import GameRecord
from zebjax.torch_compat import weights as torch_weights
from zebjax.training.config import Experiment


class Beginning(NamedTuple):
    """What a run begins with."""

    params: network.Params
    step: int
    """Training step of the weights."""
    total_games: int
    """Games that the weights were trained on."""


def begin(
    settings: Experiment, folder: Path, key: jax.Array, note: Callable[[str], None]
) -> Beginning:
    """The first weights of a new run.

    Args:
        settings: `start` says where the weights are; see `StartConfig.checkpoint`.
        folder: a file of weights is converted into this folder, where its provenance stays.
        key: for fresh weights.
        note: is called with a line about each thing that is downloaded or converted.

    Raises:
        ValueError: if the checkpoint is not there, cannot be read, or is not of the experiment's
            network.
    """
    wanted = settings.start
    if wanted.checkpoint is None:
        return Beginning(
            network.init(settings.network, key), wanted.step or 0, wanted.total_games or 0
        )
    source = _locate(wanted.checkpoint, note)
    if source.is_file():
        # Of an earlier start that was killed before it saved anything.
        shutil.rmtree(folder, ignore_errors=True)
        made = torch_weights.convert(
            source, folder, belief_head=wanted.belief_head, seed=settings.seed
        )
        stripped = f", without the prefix {made.prefix} of its tensors" if made.prefix else ""
        note(f"converted {wanted.checkpoint} into {folder}{stripped}")
        source = folder
    elif wanted.belief_head == "fresh":
        raise ValueError(
            "start.belief_head: fresh is for torch files; start.checkpoint is a network folder, "
            "which has its heads"
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


def _locate(name: str, note: Callable[[str], None]) -> Path:
    """Where the weights that `start.checkpoint` names lie: a file to convert, or a folder."""
    try:
        if hub.is_hub(name):
            note(f"looking for {name}")
            file = torch_weights.local(name)
            is_network = file.name == network.WEIGHTS_FILE and not hub.parse(name).is_file
            return file.parent if is_network else file
        if not Path(name).exists() and name != network.BUNDLED.name:
            raise ValueError(
                f"{name} is not there; give a network folder, a run, a .pt or .safetensors file, "
                f"hf://USER/REPO or hf://USER/REPO/FILE.pt, or {network.BUNDLED.name}"
            )
        return Path(name) if Path(name).is_file() else network.find(name)
    except ValueError as error:
        raise ValueError(f"start.checkpoint: {error}") from None


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
        raise ValueError(f"{field}: no *.safetensors in {folder}; make some with `zebjax {maker}`")
    return files


def taught_games(settings: Experiment) -> GameRecord:
    """All games that are in the teacher's folder when a run begins, every one proved legal by
    replay; NumPy arrays.

    Raises:
        ValueError: if there are none, more or fewer than the ring is to hold, or a file must not be
            used.
    """
    folder = Path(settings.teacher.folder or "")
    files = _record_files(folder, "teacher.folder", "teach")
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
