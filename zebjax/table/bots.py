"""Players at a table. Each chooses from a request of `protocol` alone."""

from collections.abc import Callable, Iterable, Mapping

from zebjax import game, players, protocol
from zebjax.players import Player
from zebjax.protocol import Request
from zebjax.study import answering
from zebjax.table import state
from zebjax.table.state import Table

Bots = Mapping[str, Player]
"""By spec."""
OnProgress = Callable[[str, int, int], None]
"""Called with a player's spec, the plays done and the plays to do."""


def check_specs(specs: Iterable[str]) -> None:
    """Raise ValueError for a player that reads hidden hands: it may not sit at a table."""
    for spec in specs:
        answering.check_spec(spec)


def load(specs: Iterable[str]) -> dict[str, Player]:
    """Make each player once.

    Raises:
        ValueError: for a spec that is wrong, or a player that reads hidden hands.
    """
    names = list(dict.fromkeys(specs))
    check_specs(names)
    return {spec: players.make(spec) for spec in names}


def choose(player: Player, request: Request) -> int:
    """Let a player choose a tile; a line of the protocol is all that it is given.

    Raises:
        ValueError: if it chooses a tile that may not be played.
    """
    (reply,) = answering.answer([protocol.write_request(request).encode()], player)
    return protocol.read_reply(reply.encode(), request)


def advance(table: Table, bots: Bots) -> Table:
    """Let the players choose until it is the person's turn or the hand is over."""
    while not table.is_turn and not table.game.is_over:
        table = step(table, bots)
    return table


def step(table: Table, bots: Bots) -> Table:
    """Let the player to move choose, unless it has no choice."""
    legal = table.game.legal
    if len(legal) == 1:
        return state.play(table, legal[0])
    player = bots[table.game.players[table.game.mover]]
    return state.play(table, choose(player, state.request(table)))


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
