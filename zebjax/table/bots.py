"""Players at a table. Each chooses from a decision request alone."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from zebjax import game, players, position_arrays, tiles
from zebjax.players import Player
from zebjax.table import request, state
from zebjax.table.request import Request
from zebjax.table.state import Table

Bots = Mapping[str, Player]
"""By spec."""
SEES_ALL = "cheat"
OnProgress = Callable[[str, int, int], None]
"""Called with a player's spec, the plays done and the plays to do."""


def check_specs(specs: Iterable[str]) -> None:
    """Raise ValueError for a player that reads hidden hands: it may not sit at a table."""
    for spec in specs:
        if spec.partition(":")[0] == SEES_ALL:
            raise ValueError(
                f"player {spec!r} sees all hands; expected one that uses what its seat has seen"
            )


def load(specs: Iterable[str]) -> dict[str, Player]:
    """Make each player once.

    Raises:
        ValueError: for a spec that is wrong, or a player that reads hidden hands.
    """
    names = list(dict.fromkeys(specs))
    check_specs(names)
    return {spec: players.make(spec) for spec in names}


def choose(player: Player, asked: Request) -> int:
    """Let a player choose a tile.

    Raises:
        ValueError: if it chooses a tile that may not be played; the message names the player.
    """
    legal = asked.seen.legal
    if len(legal) == 1:
        return legal[0]
    states = position_arrays.to_states([asked.seen])
    slot = int(player.choose(states, np.array([asked.seed], np.uint32))[0])
    tile = asked.hand[slot] if 0 <= slot < tiles.HAND_SIZE else -1
    if tile not in legal:
        raise ValueError(f"player {player.spec!r}: chose slot {slot}, which may not be played")
    return tile


def answer(player: Player, line: str) -> int:
    """Let a player choose a tile from one line of JSON; see `request`."""
    return choose(player, request.from_json(line))


def advance(table: Table, bots: Bots) -> Table:
    """Let the players choose until it is the person's turn or the hand is over."""
    while not table.is_turn and not table.game.is_over:
        table = step(table, bots)
    return table


def step(table: Table, bots: Bots) -> Table:
    """Let the player to move choose; a line of JSON is all that it is given."""
    player = bots[table.game.players[table.game.mover]]
    return state.play(table, answer(player, state.request(table).to_json()))


def warm_up(bots: Bots, progress: OnProgress) -> None:
    """Have each player play one hand alone, so that its programs are compiled before a person
    waits for them.
    """
    for spec, player in bots.items():
        table = state.new(0, (spec,) * 3, seed=0)
        while not table.game.is_over:
            progress(spec, len(table.game.plays), game.N_PLIES)
            table = state.play(table, choose(player, state.request(table)))
        progress(spec, game.N_PLIES, game.N_PLIES)
