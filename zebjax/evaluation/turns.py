"""Games played to their end, many at once, by the choices of players."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from zebjax import game, tiles
from zebjax.contract import Contract
from zebjax.players import Player, base


class Turn(NamedTuple):
    """Many games at one ply, as NumPy arrays with a leading axis."""

    states: game.GameState
    legal: np.ndarray
    """bool `[games, 7]`."""
    movers: np.ndarray
    """The seat to move."""
    keys: np.ndarray
    """uint32 `[games, 2]`, the raw random key of each game at this ply."""


def play_out(
    states: game.GameState,
    play_keys: jax.Array,
    choose: Callable[[Turn], np.ndarray],
    on_ply: Callable[[int], None] | None = None,
) -> game.GameState:
    """Play many new games to their end, all together, one ply at a time.

    Args:
        states: new games, with a leading axis.
        play_keys: one typed random key per game; the number of each ply is folded in.
        choose: called once per ply; returns a legal slot for each game.
        on_ply: called after every ply with the number of plies played.

    Returns:
        The finished games.
    """
    for ply in range(game.N_PLIES):
        legal, movers, keys = (np.asarray(array) for array in _view(states, play_keys, ply))
        states = _play(states, choose(Turn(jax.tree.map(np.asarray, states), legal, movers, keys)))
        if on_ply is not None:
            on_ply(ply + 1)
    return states


def seated(
    a: Player,
    b: Player,
    team_of_a: np.ndarray,
    contracts: Contract | None = None,
    forfeiter: np.ndarray | None = None,
) -> Callable[[Turn], np.ndarray]:
    """Return the choice of moves for `play_out`: A plays both seats of its team, B the others.

    Args:
        a: a player.
        b: the other.
        team_of_a: 0 or 1 for each game.
        contracts: those of the games, if they have any.
        forfeiter: integers, -1 for each game; becomes the team that forfeits it. None: no player
            may forfeit.

    """
    lost = np.full(len(team_of_a), -1) if forfeiter is None else forfeiter

    def choose(turn: Turn) -> np.ndarray:
        slots = turn.legal.argmax(-1).astype(np.int32)
        has_choice = turn.legal.sum(-1) > 1
        for player, team in ((a, team_of_a), (b, 1 - team_of_a)):
            rows = np.flatnonzero(has_choice & (turn.movers % 2 == team) & (lost < 0))
            if len(rows):
                chosen = ask(player, turn, rows, contracts, forfeits=forfeiter is not None)
                given_up = chosen == base.FORFEIT
                lost[rows[given_up]] = team[rows[given_up]]
                slots[rows] = np.where(given_up, slots[rows], chosen)
        return slots

    return choose


def ask(
    player: Player,
    turn: Turn,
    rows: np.ndarray,
    contracts: Contract | None = None,
    forfeits: bool = False,
) -> np.ndarray:
    """Let a player choose slots in the games `rows`.

    Args:
        player: the player.
        turn: many games.
        rows: integers, those to choose in.
        contracts: those of all games, if they have any.
        forfeits: True if the caller can do with `base.FORFEIT` of a player that may forfeit.

    Returns:
        int `[len(rows)]`.

    Raises:
        ValueError: if a slot is not legal; the message names the player.
    """
    # The last game of many that has a choice is asked for twice if the player would compile a
    # program of its own for it.
    is_last = len(rows) == 1 < len(turn.legal)
    asked = np.repeat(rows, 2) if is_last and player.pads_one else rows
    some = None
    if contracts is not None:
        some = Contract(*(np.asarray(field)[asked] for field in contracts))
    slots = player.slots(base.gather(turn.states, asked), some, turn.keys[asked])[: len(rows)]
    legal = turn.legal[rows]
    in_range = (slots >= 0) & (slots < tiles.HAND_SIZE)
    wrong = ~(in_range & legal[np.arange(len(slots)), np.where(in_range, slots, 0)])
    if forfeits and player.may_forfeit:
        wrong &= slots != base.FORFEIT
    if wrong.any():
        row = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"player {player.spec!r}: expected one of the legal slots "
            f"{np.flatnonzero(legal[row]).tolist()}, "
            f"got {slots[row]}"
        )
    return slots


def final_points(states: game.GameState, forfeiter: np.ndarray) -> np.ndarray:
    """Points by team of finished games, int32 `[n, 2]`; a forfeited game is 0 to 42.

    Args:
        states: n finished games.
        forfeiter: as for `seated`.
    """
    points = np.array(states.points, np.int32)
    for team in (0, 1):
        points[forfeiter == team, team] = 0
        points[forfeiter == team, 1 - team] = tiles.TOTAL_POINTS
    return points


@jax.jit
def _view(
    states: game.GameState, play_keys: jax.Array, ply: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the fields `legal`, `movers` and `keys` of `Turn`."""
    keys = jax.vmap(jax.random.fold_in, (0, None))(play_keys, ply)
    return (
        jax.vmap(game.legal_slots)(states),
        jax.vmap(game.current_player)(states),
        jax.random.key_data(keys),
    )


@jax.jit
def _play(states: game.GameState, slots: jax.Array) -> game.GameState:
    return jax.vmap(game.play)(states, slots)
