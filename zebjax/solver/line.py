"""Perfect play from a position to the end (the principal line), for people to read."""

from typing import NamedTuple

import jax
import numpy as np

from zebjax import game, tiles
from zebjax.solver.batch import solve


class Play(NamedTuple):
    """One play of a principal line."""

    seat: int
    slot: int
    tile: int
    points: int
    """Points that the seat's team will still take, counted before this play; the trick on the table
    is included."""


def principal_line(state: game.GameState) -> list[Play]:
    """Return best play by all four from one state to the end; the lowest of equal slots.

    Args:
        state: one game, device or NumPy arrays.

    Returns:
        One entry for each play; empty if the game is over.

    Raises:
        ValueError: if no game can reach the state, or a field has a wrong shape or dtype.
    """
    game.check_state(state)
    plays: list[Play] = []
    while True:
        # One thread: a single position cannot be divided.
        values = solve(jax.tree.map(lambda x: np.asarray(x)[None], state), threads=1)[0]
        if game.is_over(state):
            return plays
        slot, seat = int(np.nanargmax(values)), int(game.current_player(state))
        plays.append(Play(seat, slot, int(state.hands[seat, slot]), int(values[slot])))
        state = game.play(state, slot)


def show_line(state: game.GameState) -> str:
    """Return `principal_line` as text: one line per trick, then the points of teams 0 and 1.

    Raises:
        ValueError: as `principal_line`.
    """
    lines, trick = [], []
    for play in principal_line(state):
        trick.append(f"{play.seat}: {tiles.TILE_NAMES[play.tile]}")
        state = game.play(state, play.slot)
        if state.ply % 4 == 0:
            ours, theirs = (int(points) for points in state.points)
            lines.append(f"{'   '.join(trick):<39} {ours:2d} - {theirs:2d}")
            trick = []
    return "\n".join(lines)
