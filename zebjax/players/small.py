"""The player of the small network: its policy, compiled by numba, without search."""

import hashlib
from typing import NamedTuple

import numpy as np

from zebjax import game, tiles
from zebjax.common.arrays import check
from zebjax.players.base import Player
from zebjax.small import batch, storage
from zebjax.small.network import Net, scorer


def digest(net: Net) -> str:
    """Return the sha256 of a network's arrays."""
    made = hashlib.sha256()
    for name, array in zip(Net._fields, net, strict=True):
        made.update(f"{name} {array.dtype} {array.shape}".encode())
        made.update(array.tobytes())
    return made.hexdigest()


def slots(
    net: Net, states: game.GameState, keys: np.ndarray, temperature: float = 0.0
) -> np.ndarray:
    """Choose a move in each of n games, int32 `[n]`; `states` and `keys` as for `Player.choose`.

    Args:
        net: with 28 scores (`network.scorer`).
        states: games that are not over.
        keys: one raw random key per game.
        temperature: as for `player`.
    """
    check("keys", keys, ("n", 2), int)
    return batch.choose(net, batch.read(states), batch.seeds_of(keys, 1), temperature)


def predictions(net: Net, states: game.GameState) -> tuple[np.ndarray, np.ndarray]:
    """Return what a network says of every move: P(win) and points, see `base.Judged`.

    Args:
        net: with 56 outputs.
        states: games that are not over.
    """
    value, margin = np.moveaxis(batch.values(net, batch.read(states)).astype(np.float64), -1, 0)
    # A network's outputs have no limits.
    p_win = np.clip((value + 1) / 2, 0, 1)
    points = np.clip((tiles.TOTAL_POINTS + tiles.POINTS_SCALE * margin) / 2, 0, tiles.TOTAL_POINTS)
    return p_win, points


class Loaded(NamedTuple):
    """A network that was read."""

    scores: Net
    """With 28 scores, see `network.scorer`."""
    whole: Net
    """With 56 outputs."""
    digest: str
    """Of its arrays."""


def load(path: str) -> Loaded:
    """Read a network.

    Raises:
        ValueError: if there is no network at `path`.
    """
    net = storage.load(path)
    return Loaded(scorer(net), net, digest(net))


def player(path: str = storage.BUNDLED_NAME, temperature: float = 0.0) -> Player:
    """Make the player of the spec `small[:PATH][,temperature=0]`.

    Args:
        path: a file that `zebjax iterate` made, or `small` for the bundled one.
        temperature: the slot is drawn from softmax(score / temperature); 0 plays the best.

    Raises:
        ValueError: if there is no network at `path`.
    """
    net = load(path)

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        return slots(net.scores, states, keys, temperature)

    identity = f"small:sha256={net.digest},temperature={temperature!r}"
    return Player(f"small:{path},temperature={temperature:g}", choose, identity=identity)
