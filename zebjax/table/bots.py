"""Players at a table. Each chooses from a request of `protocol` alone."""

from collections.abc import Callable, Iterable, Mapping

from zebjax import bidding, game, players, protocol
from zebjax.players import Player
from zebjax.players.auction import Bidder
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


def about_contracts(bots: Bots) -> str:
    """One sentence that names the players that do not play to make or set; empty if all do."""
    others = [spec for spec, player in bots.items() if player.choose_in_contract is None]
    if not others:
        return ""
    return (
        f"{', '.join(others)} play{'s' * (len(others) == 1)} for points and not to make or set the "
        "bid; eq:n=20,criterion=make plays for the bid"
    )


def _asked(player: Player, request: Request, bidder: Bidder | None = None) -> bytes:
    """The reply of a player; a line of the protocol is all that it is given."""
    line = protocol.write_request(request).encode()
    (reply,) = answering.answer([line], player, bidder)
    return reply.encode()


def choose(player: Player, request: Request) -> int:
    """Let a player choose a tile.

    Raises:
        ValueError: if it chooses a tile that may not be played.
    """
    return protocol.read_reply(_asked(player, request), request)


def advance(table: Table, bots: Bots, bidder: Bidder | None = None) -> Table:
    """Let the players act until it is the person's turn or the hand is over."""
    while not table.is_turn and not table.is_over:
        table = step(table, bots, bidder)
    return table


def step(table: Table, bots: Bots, bidder: Bidder | None = None) -> Table:
    """Let the player to act bid, declare or choose a tile, unless it has no choice.

    Args:
        table: it must not be the person's turn.
        bots: the players.
        bidder: bids and declares for all of them; None for the usual one.
    """
    player = bots[table.game.players[table.turn]]
    if table.phase == "bid":
        request = state.request(table)
        return state.call(table, protocol.read_bid(_asked(player, request, bidder), request))
    if table.phase == "declare":
        request = state.request(table)
        reply = _asked(player, request, bidder)
        return state.declare(table, protocol.read_declaration(reply, request))
    legal = table.game.legal
    if len(legal) == 1:
        return state.play(table, legal[0])
    return state.play(table, choose(player, state.request(table)))


def warm_up(bots: Bots, progress: OnProgress, bids: bool = False) -> None:
    """Have each player play one hand alone and `prepare`, so that its programs are compiled before
    a person waits for them.

    Args:
        bots: the players.
        progress: is told the plays.
        bids: True to play with a contract.
    """
    for spec, player in bots.items():
        table = state.new(0, (spec,) * 3, 0, bids)
        if bids:  # the bidder is the same for all, and its solver is that of the players
            for call in (bidding.LOWEST, *(bidding.PASS,) * 3):
                table = state.call(table, call)
            table = state.declare(table, bidding.DECLARATIONS[0])
        while not table.is_over:
            progress(spec, len(table.game.plays), game.N_PLIES)
            table = state.play(table, choose(player, state.request(table)))
        player.prepare()
        progress(spec, game.N_PLIES, game.N_PLIES)
