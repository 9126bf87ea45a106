"""What the person at a table may see, as plain data for JSON."""

from typing import Any

from zebjax import bidding, position, special, suits, tiles
from zebjax.table import GOAL
from zebjax.table.state import Table


def view(table: Table) -> dict[str, Any]:
    """What the person may see.

    Before the end it has no hidden tile and not the seed, from which the deal would follow. Before
    the declaration is chosen it is None. The hand is in the order of `suits.in_order`, and not in
    that of its slots.
    """
    here, phase = table.game, table.phase
    over, is_declared = phase == "over", phase in ("play", "over")
    legal = here.legal if table.is_turn and phase == "play" else ()
    return {
        "phase": phase,
        "number": table.number,
        "seat": table.seat,
        "players": list(here.players),
        "declaration": here.declaration if is_declared else None,
        "declaration_name": suits.phrase(here.declaration) if is_declared else None,
        "silent": special.silent_seat(here.declaration, here.leader) if is_declared else -1,
        "leader": here.leader if is_declared else None,
        "ply": len(here.plays),
        "turn": None if over else table.turn,
        "hand": [
            {"tile": tile, "played": tile in here.plays, "legal": tile in legal}
            for tile in suits.in_order(
                here.hands[table.seat], here.declaration if is_declared else None
            )
        ],
        "tricks": [_trick(trick) for trick in here.tricks],
        "points": list(here.points),
        "counts": [tiles.HAND_SIZE - here.movers.count(seat) for seat in range(4)],
        "won": list(table.won),
        "can_undo": table.can_undo,
        "undone": table.undone,
        "hands": [list(hand) for hand in here.hands] if over else None,
        "seed": table.seed if over else None,
        "auction": _auction(table),
    }


def _auction(table: Table) -> dict[str, Any] | None:
    """Bids, contract and marks; None at a table without bids.

    `calls`: what was said, from the seat left of the dealer on. `allowed`: what the person may say
    now. `declarations`: what it may declare now. `bid`: the highest bid so far, with its text, and
    `kind`: plunge, splash or empty. `special`: nello or sevens, if that is played; `tricks`: those
    that each team has taken. `needs`: points with which each team wins the contract, in nello and
    sevens without a meaning. `result`: of this hand, and `winner` the team. `marks`: of the game,
    this hand included; `games`: earlier games won.
    """
    said = table.bidding
    if said is None:
        return None
    bid, is_mine = said.high, table.is_turn
    return {
        "dealer": said.dealer,
        "calls": [bidding.name(call) for call in said.calls],
        "allowed": [bidding.name(call) for call in table.allowed],
        "declarations": [
            {"declaration": each, "name": suits.NAMES[each]}
            for each in said.declarations
            if is_mine and table.phase == "declare"
        ],
        "bid": bid and {**bid._asdict(), "name": said.high_name},
        "kind": said.kind,
        "special": _special_name(table.game),
        "tricks": _taken(table.game),
        "needs": table.game.bid and list(bidding.needs(table.game.bid)),
        "result": bidding.result(table.game),
        "winner": bidding.winner(table.game),
        "marks": list(table.score),
        "goal": GOAL,
        "games": list(table.games),
        "game_winner": table.game_winner,
    }


def _special_name(game: position.Position) -> str | None:
    """Nello or sevens, if it has been declared."""
    if game.bid is None or not special.is_special(game.declaration):
        return None
    return suits.NAMES[game.declaration]


def _taken(game: position.Position) -> list[int]:
    """Tricks that each team has taken."""
    winners = [trick.winner % 2 for trick in game.tricks if trick.is_done]
    return [winners.count(team) for team in range(2)]


def _trick(trick: position.Trick) -> dict[str, Any]:
    done = trick.is_done
    return {
        "leader": trick.leader,
        "seats": list(trick.seats),
        "tiles": list(trick.tiles),
        "winner": trick.winner if done else None,
        "points": trick.points if done else None,
    }
