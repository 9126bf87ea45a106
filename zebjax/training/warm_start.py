"""The start of a run: its first weights, and existing games for its rings.

Weights are random, or come from a torch file, the Hugging Face Hub or a network folder.
"""

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from zebjax import contract_record, network, record
from zebjax.common import hub
from zebjax.contract_record import AnyRecord
from zebjax.game import N_PLIES
from zebjax.network import places
from zebjax.record import GameRecord
from zebjax.torch_compat import weights as torch_weights
from zebjax.training import labelled_games
from zebjax.training.config import Experiment, TeacherConfig


class Beginning(NamedTuple):
    """The first weights of a run, with their history."""

    params: network.Params
    step: int
    """Training step of the weights."""
    total_games: int
    """Number of games that the weights were trained on."""


def begin(
    settings: Experiment, folder: Path, key: jax.Array, note: Callable[[str], None]
) -> Beginning:
    """Load or make the first weights of a new run.

    Args:
        settings: the experiment; see `StartConfig.checkpoint`.
        folder: destination of a conversion; the provenance is kept there.
        key: one typed random key, for random weights.
        note: called with a sentence about each download and conversion.

    Raises:
        ValueError: if the checkpoint does not exist, cannot be read, or does not fit the
            experiment's network.
    """
    wanted = settings.start
    if wanted.checkpoint is None:
        return Beginning(
            network.init(settings.network, key), wanted.step or 0, wanted.total_games or 0
        )
    source = _locate(wanted.checkpoint, note)
    if is_torch := source.is_file():
        # Left by an earlier start that was killed before its first save.
        shutil.rmtree(folder, ignore_errors=True)
        made = torch_weights.convert(
            source, folder, belief_head=wanted.belief_head, seed=settings.seed
        )
        stripped = f", without the prefix {made.prefix} of its tensors" if made.prefix else ""
        note(f"converted {wanted.checkpoint} into {folder}{stripped}")
        source = folder
    config, params = network.load(source)
    if wanted.belief_head == "fresh":
        if not settings.network.belief_head:
            raise ValueError("start.belief_head: fresh needs network.belief_head True")
        # It has learned nothing yet, so it can correct anything.
        prior = settings.network.belief_prior
        config = dataclasses.replace(config, belief_head=True, belief_prior=prior)
        if not is_torch:  # a conversion has drawn it
            params |= network.fresh_belief_head(config, key)
    if settings.network.move_values:
        config, params = network.with_move_values(config, params)
    elif config.move_values:
        raise ValueError(
            f"start.checkpoint: {wanted.checkpoint} has a head for the values of moves; expected "
            "network.move_values True with it"
        )
    if not config.same_weights(settings.network):
        raise ValueError(_differs(wanted.checkpoint, config, settings.network))
    history = torch_weights.history(network.find(source))
    step = history.get("step") if wanted.step is None else wanted.step
    total_games = history.get("total_games") if wanted.total_games is None else wanted.total_games
    return Beginning(params, step or 0, total_games or 0)


def _differs(checkpoint: str, found: network.ZebConfig, wanted: network.ZebConfig) -> str:
    """Return the message for a checkpoint that does not fit the experiment's network."""
    theirs, ours = found.parameter_fields(), wanted.parameter_fields()
    odd = [name for name in sorted(ours) if theirs[name] != ours[name]]
    differs = ", ".join(f"network.{name} {ours[name]} (it has {theirs[name]})" for name in odd)
    advice = "; to change belief_prior add --start.belief-head fresh" * ("belief_prior" in odd)
    return (
        f"start.checkpoint: {checkpoint} does not fit the experiment's network, which has {differs}"
        f"{advice}"
    )


def _locate(name: str, note: Callable[[str], None]) -> Path:
    """Return the path of the weights named by `start.checkpoint`: a torch file or a folder."""
    try:
        if hub.is_hub(name):
            note(f"getting {name} from the Hub")
            file = torch_weights.local(name)
            is_network = file.name == network.WEIGHTS_FILE and not hub.parse(name).is_file
            return file.parent if is_network else file
        if not Path(name).exists() and name != network.BUNDLED.name:
            expected = (
                "expected a network folder, a run, a .pt or .safetensors file, hf://USER/REPO or "
                f"hf://USER/REPO/FILE.pt, or {network.BUNDLED.name}"
            )
            raise ValueError(places.not_found(Path(name), expected))
        return Path(name) if Path(name).is_file() else network.find(name)
    except ValueError as error:
        raise ValueError(f"start.checkpoint: {error}") from None


class Seeds(NamedTuple):
    """Games for the rings of a new run; NumPy arrays."""

    selfplay: GameRecord
    eval_aux: GameRecord


def seeds(settings: Experiment) -> Seeds:
    """Read the games in `replay.seed_folder`, those of the newest files last.

    Every game is replayed to prove that it is legal. Files are ordered by the creation time in
    their metadata. Games with source eval-aux go to the ring of that stream.

    Raises:
        ValueError: if there are no files, or a file is damaged.
    """
    folder = Path(settings.replay.seed_folder or "")
    files = _record_files(folder, "replay.seed_folder", "convert --examples")
    for file in files:
        if labelled_games.is_file_of(file):
            raise ValueError(
                f"replay.seed_folder: {file} holds games with rollouts; expected their folder as "
                "teacher.folder"
            )
    read = [record.read(file) for file in files]
    read.sort(key=lambda one: one[1].created_at)

    def joined(is_aux: bool) -> GameRecord:
        games = [
            records for records, metadata in read if (metadata.source == record.EVAL_AUX) == is_aux
        ]
        none = jax.tree.map(np.asarray, record.empty(0))
        games = [record.with_moves(records, settings.network.move_values) for records in games]
        none = record.with_moves(none, settings.network.move_values)
        return jax.tree.map(lambda *parts: np.concatenate(parts), none, *games)

    return Seeds(joined(False), joined(True))


def _record_files(folder: Path, field: str, maker: str) -> list[Path]:
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise ValueError(
            f"{field}: {folder} {found}; expected a folder of games, made with `zebjax {maker}`"
        )
    # A name that begins with a dot is a temporary file, of a writer at work or killed.
    files = sorted(file for file in folder.rglob("*.safetensors") if not file.name.startswith("."))
    if not files:
        raise ValueError(f"{field}: no *.safetensors in {folder}; make some with `zebjax {maker}`")
    return files


_NETWORKS = re.compile(r"(round|params)_\d+\.safetensors")
"""The networks of `zebjax iterate`, beside its games."""


def _taught(settings: Experiment, file: Path) -> AnyRecord:
    """Read a file of lessons, fitted to the network: with contracts, and with values of moves."""
    if labelled_games.is_file_of(file):
        if settings.network.plays_contracts:
            raise ValueError(f"{file}: expected games with a contract, these have none")
        games = labelled_games.read(file)
        read: AnyRecord = labelled_games.lessons(games, settings.teacher.temperature, str(file))
    elif settings.network.plays_contracts:
        records, contracts, _ = contract_record.read(file)
        read = contract_record.joined(records, contracts)
    else:
        read = record.read(file)[0]
    fitted: AnyRecord = record.with_moves(read, settings.network.move_values)
    return fitted


def games_in(folder: Path, field: str) -> GameRecord:
    """Read all games of a folder without values of moves, NumPy arrays.

    `field` is the folder's name in messages.

    Raises:
        ValueError: if there are no games, or a file is damaged or has contracts.
    """
    # Some files may have values of moves and others not; nothing that reads these needs them.
    read = [
        record.with_moves(record.read(file)[0], False)
        for file in _record_files(folder, field, "teach")
    ]
    games: GameRecord = jax.tree.map(lambda *parts: np.concatenate(parts), *read)
    if not len(games.slots):
        raise ValueError(f"{field}: the files in {folder} hold no games")
    return games


def taught_games(settings: Experiment) -> AnyRecord:
    """Read all games in the teacher's folder, with their contracts for a network of make/set; NumPy
    arrays.

    Every game is replayed to prove that it is legal. Games with rollouts become lessons, see
    `labelled_games`.

    Raises:
        ValueError: if there are no games, more than the ring can hold or fewer than `min_buffer`,
            or a file is damaged or of games for the other value.
    """
    folder = Path(settings.teacher.folder or "")
    files = _record_files(folder, "teacher.folder", "teach")
    files = [file for file in files if not _NETWORKS.fullmatch(file.name)]
    if not files:
        raise ValueError(f"teacher.folder: {folder} holds networks of `zebjax iterate`, no games")
    if settings.teacher.temperature != TeacherConfig.temperature and not any(
        labelled_games.is_file_of(file) for file in files
    ):
        raise ValueError(
            f"teacher.temperature: the games in {folder} have policy targets already; expected "
            f"{TeacherConfig.temperature:g}, its default, or games with rollouts"
        )
    read = [_taught(settings, file) for file in files]
    games = jax.tree.map(lambda *parts: np.concatenate(parts), *read)
    n_examples, ring = len(games.slots) * N_PLIES, settings.replay
    if not n_examples:
        raise ValueError(f"teacher.folder: the files in {folder} hold no games")
    if n_examples > ring.capacity_examples:
        raise ValueError(
            f"replay.capacity_examples: {folder} holds {n_examples:,} examples, more than the "
            f"{ring.capacity_examples:,} that the ring can hold"
        )
    if n_examples < ring.min_buffer:
        raise ValueError(
            f"replay.min_buffer: {folder} holds {n_examples:,} examples ({len(games.slots):,} "
            "games), fewer than "
            f"{ring.min_buffer:,}"
        )
    return games
