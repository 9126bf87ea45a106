"""Games that are never trained on, and the losses on them.

A network that memorises its buffer has a low loss on it, and a higher one on other games of the
same age. So a share of the self-play games is withheld from the ring. Every cycle the losses are
measured on examples of both, in the same way: without dropout, with the weights of the cycle's end.

A game is withheld or not by a hash of its deal, so every run with that share or a larger one
withholds it, also if it begins with the games of another run. The games live on the host. As many
are kept as make their age that of the ring's games.
"""

import functools
import math
import zlib
from pathlib import Path

import jax
import numpy as np

from zebjax import game, network, record
from zebjax.observe import shorten, tokenizer
from zebjax.record import GameRecord
from zebjax.training.batches import Positions, make_batch, positions
from zebjax.training.config import Experiment, LearnerConfig
from zebjax.training.losses import Metrics, losses

_FILE = "held_out.npz"
_MIN_BATCHES = 4
_UPDATES_PER_BATCH = 20
"""One measured batch for so many updates, so that measuring is a small part of a cycle."""
LOSSES = ("policy_loss", "value_loss", "belief_loss", "belief_loss_hidden", "belief_loss_marginal")
"""The losses that are reported, the last three for a network with a belief head."""


def none() -> GameRecord:
    """Return no games, as NumPy arrays."""
    return GameRecord(*(np.zeros((0, *shape), dtype) for dtype, shape in record.FIELDS.values()))


def is_held(records: GameRecord, share: float) -> np.ndarray:
    """Return True for the games that a run with this share withholds, bool `[n]`.

    Args:
        records: `[n]` games, NumPy arrays.
        share: 0 to 1.
    """
    deals = np.concatenate(
        [
            np.asarray(records.hands).reshape(-1, 28),
            np.asarray(records.declaration)[:, None],
            np.asarray(records.leader)[:, None],
        ],
        axis=1,
    ).astype(np.uint8)
    hashes = np.array([zlib.crc32(deal.tobytes()) for deal in deals], np.float64)
    return hashes < share * 2**32


def split(records: GameRecord, share: float) -> tuple[GameRecord, GameRecord]:
    """Return the games to train on, and those to withhold.

    Args:
        records: `[n]` games.
        share: 0 to 1.
    """
    if not share:
        return records, none()
    records = GameRecord(*map(np.asarray, records))
    held = is_held(records, share)
    return (
        jax.tree.map(lambda leaf: leaf[~held], records),
        jax.tree.map(lambda leaf: leaf[held], records),
    )


def added(settings: Experiment, held: GameRecord, new: GameRecord) -> GameRecord:
    """Return the newest games of both; `held` has the older ones.

    So many are kept as have the same age as the games in the ring.
    """
    replay = settings.replay
    n = math.ceil(replay.held_out * replay.capacity_examples / game.N_PLIES)
    return jax.tree.map(lambda *parts: np.concatenate(parts)[-n:] if n else parts[0][:0], held, new)


def save(folder: Path, held: GameRecord) -> None:
    """Save the games in a folder; no games, no file."""
    if len(held.slots):
        np.savez(folder / _FILE, **held._asdict())


def load(folder: Path) -> GameRecord:
    """Read what `save` wrote.

    Raises:
        ValueError: if the file is damaged; the message names it.
    """
    file = folder / _FILE
    if not file.exists():
        return none()
    try:
        with np.load(file) as arrays:
            held = GameRecord(**arrays)
        record.check_record(held, ("n",))
    except Exception as error:  # of zip, of NumPy, of the fields
        raise ValueError(f"{file}: cannot be read ({error})") from None
    return held


def sample(records: GameRecord, n: int, seed: tuple[int, ...]) -> tuple[GameRecord, np.ndarray]:
    """Draw examples, uniform over all plies of all games, with replacement.

    Args:
        records: `[games]`, at least one; NumPy arrays.
        n: number of examples.
        seed: decides the draw.

    Returns:
        The games of the examples, `[n]`, and their plies, int32 `[n]`.
    """
    example = np.random.default_rng(seed).integers(len(records.slots) * game.N_PLIES, size=n)
    rows = example // game.N_PLIES
    plies = (example % game.N_PLIES).astype(np.int32)
    return jax.tree.map(lambda leaf: leaf[rows], records), plies


def n_measured(config: LearnerConfig) -> int:
    """Return the number of examples that one measurement takes, whole batches."""
    return config.batch * max(_MIN_BATCHES, config.updates_per_cycle // _UPDATES_PER_BATCH)


@functools.partial(jax.jit, static_argnames=("config", "network_config"))
def measure(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    records: GameRecord,
    plies: jax.Array,
) -> Metrics:
    """Compute the losses of examples, without dropout; means over batches, as in training.

    Args:
        config: static.
        network_config: static.
        params: the network's parameters.
        records: `[n]` games, n a multiple of `config.batch`.
        plies: int32 `[n]`, one ply of each.

    Returns:
        The losses in `LOSSES` that the network has.
    """
    examples = positions(records, plies)
    batches = jax.tree.map(lambda leaf: leaf.reshape(-1, config.batch, *leaf.shape[1:]), examples)
    longest = tokenizer(network_config.tokenizer).lengths[-1]

    def of_batch(examples: Positions) -> Metrics:
        batch = make_batch(
            examples, network_config.tokenizer, config.policy_mask, config.root_value_share
        )
        batch = batch._replace(observation=shorten(batch.observation, longest))
        output = network.apply(network_config, params, batch.observation)
        metrics = losses(config, output, batch)[1]
        return {name: metrics[name] for name in LOSSES if name in metrics}

    return jax.tree.map(lambda leaf: leaf.mean(), jax.lax.map(of_batch, batches))
