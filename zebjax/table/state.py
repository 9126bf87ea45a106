"""The state of one table: who sits where, the deal, the plays; undo, and what a seat may see."""

import dataclasses
from typing import Any

import jax
import numpy as np

from zebjax import game, position, tiles
from zebjax.common import jax_settings
from zebjax.position import Position
from zebjax.protocol import PLAY, Request
from zebjax.table import MAX_SEED

YOU = "you"
"""Name of the person among the players."""


@dataclasses.dataclass(frozen=True)
class Table:
    """One hand at a table, and the hands won before it."""

    seat: int
    """The person's seat 0..3."""
    seed: int
    """Of this hand: it decides the deal and the players' choices."""
    game: Position
    """The true position; its names are the specs of the players, and `YOU`."""
    number: int = 1
    """Number of the hand, from 1."""
    won: tuple[int, int] = (0, 0)
    """Earlier hands won by team 0 and by team 1."""
    undone: int = 0
    """Number of plays that the person has taken back in this hand."""

    @property
    def is_turn(self) -> bool:
        """True if the person is to play."""
        return self.game.mover == self.seat


@jax.jit
def _deal(key: jax.Array) -> game.GameState:
    return game.deal(jax.random.fold_in(key, 0))


@jax.jit
def _decision_key(key: jax.Array, ply: jax.Array) -> jax.Array:
    # Not the key of the deal: what a player is told must not tell the deal.
    return jax.random.key_data(jax.random.fold_in(jax.random.fold_in(key, 1), ply))


def new(seat: int, others: tuple[str, ...], seed: int) -> Table:
    """Deal the first hand of a table.

    Args:
        seat: the person's, 0..3.
        others: three player specs: left, partner, right of the person.
        seed: 0..2**32 - 1.

    Raises:
        ValueError: for an argument out of range.
    """
    if len(others) != tiles.N_PLAYERS - 1:
        raise ValueError(f"players: expected three (left, partner, right), got {len(others)}")
    for name, value, limit in (("seat", seat, tiles.N_PLAYERS - 1), ("seed", seed, MAX_SEED)):
        if not 0 <= value <= limit:
            raise ValueError(f"{name}: expected 0..{limit}, got {value}")
    around = (YOU, *others)
    players = position.four(around[(at - seat) % tiles.N_PLAYERS] for at in range(4))
    return Table(seat, seed, _dealt(seed, players))


def _dealt(seed: int, players: tuple[str, str, str, str]) -> Position:
    state = jax.tree.map(np.asarray, _deal(jax_settings.key(seed)))
    hands = position.four(tuple(int(tile) for tile in hand) for hand in state.hands)
    return Position(hands, int(state.declaration), int(state.leader), players=players)


def next_hand(table: Table, seed: int) -> Table:
    """Deal the next hand of a table whose hand is over.

    Raises:
        ValueError: if the hand is not over.
    """
    if not table.game.is_over:
        raise ValueError("next: this hand is not over")
    points, (first, second) = table.game.points, table.won
    won = (first + (points[0] > points[1]), second + (points[1] > points[0]))
    return Table(table.seat, seed, _dealt(seed, table.game.players), table.number + 1, won)


def play(table: Table, tile: int) -> Table:
    """Play a tile of the seat to move.

    Raises:
        ValueError: if the hand is over or the tile may not be played; the message says which may.
    """
    if table.game.is_over:
        raise ValueError("play: this hand is over")
    if tile not in table.game.legal:
        legal = ", ".join(tiles.TILE_NAMES[each] for each in table.game.legal)
        raise ValueError(f"tile: expected one that may be played now ({legal})")
    return dataclasses.replace(table, game=table.game.play(tile))


def undo(table: Table) -> Table:
    """Take back the person's last play and everything after it.

    Players choose by the seed and the ply, so the same play leads to the same answers.

    Raises:
        ValueError: if the person has not played in this hand.
    """
    own = [ply for ply, seat in enumerate(table.game.movers) if seat == table.seat]
    if not own:
        raise ValueError("undo: you have not played in this hand")
    return dataclasses.replace(table, game=table.game.before(own[-1]), undone=table.undone + 1)


def decision_seed(table: Table, ply: int) -> int:
    """The seed of a player's random choices at a ply. It says nothing of the deal."""
    return int(np.asarray(_decision_key(jax_settings.key(table.seed), np.int32(ply)))[0])


def request(table: Table) -> Request:
    """What the seat to move is told: its own hand, the public record, and a seed.

    Raises:
        ValueError: if the hand is over.
    """
    here, ply = table.game, len(table.game.plays)
    if here.is_over:
        raise ValueError("request: this hand is over")
    seen = dataclasses.replace(here.seen_by(here.mover), players=("",) * 4)
    return Request(ply, PLAY, seen, decision_seed(table, ply))


def view(table: Table) -> dict[str, Any]:
    """What the person may see, as plain data for JSON.

    Before the end it has no hidden tile and not the seed, from which the deal would follow.
    """
    here, over = table.game, table.game.is_over
    legal = here.legal if table.is_turn else ()
    return {
        "phase": "over" if over else "play",  # with bidding there are others
        "number": table.number,
        "seat": table.seat,
        "players": list(here.players),
        "declaration": here.declaration,
        "declaration_name": tiles.DECLARATION_NAMES[here.declaration],
        "leader": here.leader,
        "ply": len(here.plays),
        "turn": None if over else here.mover,
        "hand": [
            {"tile": tile, "played": tile in here.plays, "legal": tile in legal}
            for tile in here.hands[table.seat]
        ],
        "tricks": [_trick(trick) for trick in here.tricks],
        "points": list(here.points),
        "counts": [tiles.HAND_SIZE - here.movers.count(seat) for seat in range(4)],
        "won": list(table.won),
        "can_undo": table.seat in here.movers,
        "undone": table.undone,
        "hands": [list(hand) for hand in here.hands] if over else None,
        "seed": table.seed if over else None,
    }


def _trick(trick: position.Trick) -> dict[str, Any]:
    done = len(trick.tiles) == tiles.N_PLAYERS
    return {
        "leader": trick.leader,
        "tiles": list(trick.tiles),
        "winner": trick.winner if done else None,
        "points": trick.points if done else None,
    }
