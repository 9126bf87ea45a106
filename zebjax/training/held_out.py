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
from typing import Any

import jax
import numpy as np

from zebjax import contract_record, game, network, record
from zebjax.contract import Contract
from zebjax.contract_record import AnyRecord
from zebjax.observe import shorten, tokenizer
from zebjax.record import GameRecord
from zebjax.training.batches import Positions, make_batch, positions
from zebjax.training.config import Experiment
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.losses import Metrics, losses, with_beliefs

_FILE = "held_out.npz"
_MIN_BATCHES = 4
_UPDATES_PER_BATCH = 20
"""One measured batch for so many updates, so that measuring is a small part of a cycle."""
LOSSES = ("policy_loss", "value_loss", "belief_loss", "belief_loss_hidden", "belief_loss_marginal")
"""The losses that are reported, the last three for a network with a belief head."""
MOVE_LOSSES = ("move_value_error", "move_value_spread_error", "move_points_error")
"""Reported too for a network with a head for the values of moves."""


def none(with_contracts: bool = False) -> AnyRecord:
    """Return no games, with contracts or without, as NumPy arrays."""
    fields: list[Any] = [np.zeros((0, *shape), dtype) for dtype, shape in record.FIELDS.values()]
    records = GameRecord(*fields)
    if with_contracts:
        return contract_record.joined(records, Contract(*(np.zeros(0, np.int8) for _ in range(4))))
    return records


def is_held(records: AnyRecord, share: float) -> np.ndarray:
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


def split(records: AnyRecord, share: float) -> tuple[AnyRecord, AnyRecord]:
    """Return the games to train on, and those to withhold.

    Args:
        records: `[n]` games.
        share: 0 to 1.
    """
    records = jax.tree.map(np.asarray, records)
    if not share:
        return records, jax.tree.map(lambda leaf: leaf[:0], records)
    held = is_held(records, share)
    return (
        jax.tree.map(lambda leaf: leaf[~held], records),
        jax.tree.map(lambda leaf: leaf[held], records),
    )


def added(settings: Experiment, held: AnyRecord, new: AnyRecord) -> AnyRecord:
    """Return the newest games of both; `held` has the older ones.

    They have values of moves if the network learns them. So many are kept as have the same age as
    the games in the ring.
    """
    replay = settings.replay
    held, new = (record.with_moves(games, settings.network.move_values) for games in (held, new))
    n = math.ceil(replay.held_out * replay.capacity_examples / game.N_PLIES)
    return jax.tree.map(lambda *parts: np.concatenate(parts)[-n:] if n else parts[0][:0], held, new)


def save(folder: Path, held: AnyRecord) -> None:
    """Save the games in a folder; no games, no file."""
    if len(held.slots):
        np.savez(folder / _FILE, **record.arrays_of(held))


def load(folder: Path, with_contracts: bool = False) -> AnyRecord:
    """Read what `save` wrote, of games with contracts or without.

    Raises:
        ValueError: if the file is damaged; the message names it.
    """
    file = folder / _FILE
    if not file.exists():
        return none(with_contracts)
    try:
        with np.load(file) as arrays:
            held = none(with_contracts)._replace(**arrays)
        record.check_record(held, ("n",))
    except Exception as error:  # of zip, of NumPy, of the fields
        raise ValueError(f"{file}: cannot be read ({error})") from None
    return held


def sample(
    records: AnyRecord, n: int, seed: tuple[int, ...], decisions_only: bool = False
) -> tuple[AnyRecord, np.ndarray]:
    """Draw examples with replacement, uniform over all plies of all games.

    Args:
        records: `[games]`, at least one; NumPy arrays.
        n: number of examples.
        seed: decides the draw.
        decisions_only: as for `replay.sample`, so that losses can be compared with training's.

    Returns:
        The games of the examples, `[n]`, and their plies, int32 `[n]`.
    """
    random = np.random.default_rng(seed)
    if decisions_only:
        rows = random.integers(len(records.slots), size=n)
        has_choice = records.kind[rows] != record.TargetKind.FORCED
        plies = np.where(has_choice, random.random(has_choice.shape), -1).argmax(-1)
        return jax.tree.map(lambda leaf: leaf[rows], records), plies.astype(np.int32)
    example = random.integers(len(records.slots) * game.N_PLIES, size=n)
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
    records: AnyRecord,
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
        The losses in `LOSSES` and `MOVE_LOSSES` that the network has.
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
        output = with_beliefs(network_config, output, batch)
        metrics = losses(config, output, batch)[1]
        return {name: metrics[name] for name in (*LOSSES, *MOVE_LOSSES) if name in metrics}

    return jax.tree.map(lambda leaf: leaf.mean(), jax.lax.map(of_batch, batches))
