"""A player that takes over another's game."""

import numpy as np

from zebjax import game, tiles
from zebjax.players.base import Player, gather


def takeover(player: Player, before: Player, trick: int) -> Player:
    """Make a player that plays as `before` until a trick, and as `player` from it on.

    Against `before` as opponent it shows what `player` gains in the tricks from that one on.

    Args:
        player: plays from the trick on.
        before: plays the tricks before.
        trick: 1..7.

    Raises:
        ValueError: if trick is out of range.
    """
    if not 1 <= trick <= tiles.N_TRICKS:
        raise ValueError(f"trick: expected 1 to {tiles.N_TRICKS}, got {trick}")
    name = f"{player.spec} from trick {trick} of {before.spec}"
    known = player.identity and before.identity
    identity = f"{player.identity} from trick {trick} of {before.identity}" if known else ""

    def choose(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        is_late = np.asarray(states.ply) >= tiles.N_PLAYERS * (trick - 1)
        slots = np.zeros(len(keys), np.int32)
        for each, which in ((before, ~is_late), (player, is_late)):
            if len(rows := np.flatnonzero(which)):
                slots[rows] = each.choose(gather(states, rows), keys[rows])
        return slots

    return Player(name, choose, identity, pads_one=player.pads_one or before.pads_one)
