"""Perfect play from a position to the end, for people to look at."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles
from zebjax.solver.batch import solve


class Play(NamedTuple):
    """One play of a principal line."""

    seat: int
    slot: int
    tile: int
    points: int
    """What the seat's team still takes from before this play on, the trick on the table
    included."""


def principal_line(state: game.GameState) -> list[Play]:
    """Best play by all four from one state to the end; the lowest slot among equals.

    Raises:
        ValueError: if the state is not one that a game can reach.
    """
    plays: list[Play] = []
    state = jax.tree.map(jnp.asarray, state)
    while True:
        values = solve(jax.tree.map(lambda x: x[None], state), threads=1)[0]
        if game.is_over(state):
            return plays
        slot, seat = int(np.nanargmax(values)), int(game.current_player(state))
        plays.append(Play(seat, slot, int(state.hands[seat, slot]), int(values[slot])))
        state = game.play(state, slot)


def show_line(state: game.GameState) -> str:
    """`principal_line` as text, a trick a line, with the points of teams 0 and 1 after it.

    Raises:
        ValueError: if the state is not one that a game can reach.
    """
    lines, trick = [], []
    state = jax.tree.map(jnp.asarray, state)
    for play in principal_line(state):
        trick.append(f"{play.seat}: {tiles.TILE_NAMES[play.tile]}")
        state = game.play(state, play.slot)
        if state.ply % 4 == 0:
            ours, theirs = (int(points) for points in state.points)
            lines.append(f"{'   '.join(trick):<39} {ours:2d} - {theirs:2d}")
            trick = []
    return "\n".join(lines)
