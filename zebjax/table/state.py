"""The state of one table: who sits where, the deal, bids and plays; undo.

At a table with bids the highest bidder's team must make its bid. The hand is over as soon as it is
made or set, as among people; it gives marks, and `GOAL` marks win a whole game.
"""

import dataclasses
from typing import Literal

import jax
import numpy as np

from zebjax import bidding, game, position, suits, tiles
from zebjax.bidding import Bidding, Call, Seen
from zebjax.common import jax_settings, parsing
from zebjax.position import Auction, Position
from zebjax.protocol import BID, DECLARE, PLAY, Request
from zebjax.table import GOAL, MAX_SEED

Phase = Literal["bid", "declare", "play", "over"]

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
    """The true position; its names are the specs of the players, and `YOU`. While its declaration
    is not chosen, in the phases bid and declare, only its hands and names mean anything."""
    number: int = 1
    """Number of the hand, from 1."""
    won: tuple[int, int] = (0, 0)
    """Earlier hands won by team 0 and by team 1; with bids, their marks in this game."""
    undone: int = 0
    """Number of times that the person has taken something back in this hand."""
    bidding: Bidding | None = None
    """The round of bids; None at a table without bids."""
    games: tuple[int, int] = (0, 0)
    """With bids: earlier games of `GOAL` marks won by team 0 and by team 1."""

    @property
    def phase(self) -> Phase:
        """What comes next."""
        if self.bidding is not None and self.game.bid is None:
            return "declare" if self.bidding.is_over else "bid"
        is_decided = bidding.winner(self.game) is not None
        return "over" if is_decided or self.game.is_over else "play"

    @property
    def is_over(self) -> bool:
        """True if the hand is over."""
        return self.phase == "over"

    @property
    def turn(self) -> int:
        """The seat to bid, to declare or to play; -1 if the hand is over."""
        if self.bidding is None or self.phase == "play":
            return self.game.mover
        if self.phase == "over":
            return -1
        return self.bidding.declarer if self.bidding.is_over else self.bidding.turn

    @property
    def is_turn(self) -> bool:
        """True if the person is to bid, to declare or to play."""
        return self.turn == self.seat

    @property
    def can_undo(self) -> bool:
        """True if the person has bid, declared or played in this hand."""
        return self.seat in self.game.movers or self._own_call is not None

    @property
    def seen_bids(self) -> Seen:
        """What the seat to bid or to declare knows."""
        assert self.bidding is not None
        return Seen(self.game.hands[self.turn], self.bidding)

    @property
    def allowed(self) -> tuple[Call, ...]:
        """What the person may say now: `PASS` if it may pass, then the bids from the lowest."""
        if self.phase != "bid" or not self.is_turn:
            return ()
        # A plunge or splash comes after the bid of as many marks.
        order = sorted(self.seen_bids.allowed, key=lambda said: said or ())
        return tuple(order)

    @property
    def score(self) -> tuple[int, int]:
        """`won`, with this hand if it is over."""
        if not self.is_over:
            return self.won
        if self.game.bid is None:
            points = self.game.points
            gains = (int(points[0] > points[1]), int(points[1] > points[0]))
        else:
            team, marks = bidding.winner(self.game), self.game.bid.marks
            gains = (marks * (team == 0), marks * (team == 1))
        return self.won[0] + gains[0], self.won[1] + gains[1]

    @property
    def game_winner(self) -> int | None:
        """With bids: the team that has won the game by this hand, or None."""
        if self.bidding is None or max(self.score) < GOAL:
            return None
        return int(self.score[1] >= GOAL)

    @property
    def _own_call(self) -> int | None:
        """The place of the person's call in the round of bids; None if there is none."""
        if self.bidding is None:
            return None
        place = (self.seat - self.bidding.dealer - 1) % tiles.N_PLAYERS
        return place if place < len(self.bidding.calls) else None


@jax.jit
def _deal(key: jax.Array) -> game.GameState:
    return game.deal(jax.random.fold_in(key, 0))


@jax.jit
def _decision_key(key: jax.Array, number: jax.Array) -> jax.Array:
    # Not the key of the deal: what a player is told must not tell the deal.
    return jax.random.key_data(jax.random.fold_in(jax.random.fold_in(key, 1), number))


def new(
    seat: int,
    others: tuple[str, ...],
    seed: int,
    bids: bool = False,
    options: tuple[str, ...] = (),
) -> Table:
    """Deal the first hand of a table.

    Args:
        seat: the person's, 0..3.
        others: three player specs: left, partner, right of the person.
        seed: 0..2**32 - 1.
        bids: True for a table with bids. The dealer is then the seat that would lead without.
        options: with bids, what the table allows, of `common.bids.OPTIONS`.

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
    dealt = _dealt(seed, players)
    return Table(seat, seed, dealt, bidding=Bidding(dealt.leader, (), options) if bids else None)


def _dealt(seed: int, players: tuple[str, str, str, str]) -> Position:
    state = jax.tree.map(np.asarray, _deal(jax_settings.key(seed)))
    hands = position.four(tuple(int(tile) for tile in hand) for hand in state.hands)
    return Position(hands, int(state.declaration), int(state.leader), players=players)


def next_hand(table: Table, seed: int) -> Table:
    """Deal the next hand of a table whose hand is over, with bids by the next dealer to the left.

    After the last hand of a game it is the first of a new one.

    Raises:
        ValueError: if the hand is not over.
    """
    if not table.is_over:
        raise ValueError("next: this hand is not over")
    won, games = table.score, table.games
    if (team := table.game_winner) is not None:
        won, games = (0, 0), (games[0] + (team == 0), games[1] + (team == 1))
    last = table.bidding
    round_ = last and Bidding((last.dealer + 1) % tiles.N_PLAYERS, (), last.options)
    dealt = _dealt(seed, table.game.players)
    return Table(table.seat, seed, dealt, table.number + 1, won, bidding=round_, games=games)


def call(table: Table, said: Call) -> Table:
    """Let the seat to bid say something.

    Raises:
        ValueError: if no seat is to bid, or the bid is not allowed.
    """
    if table.bidding is None or table.phase != "bid":
        raise ValueError("bid: there are no bids now")
    return dataclasses.replace(table, bidding=table.seen_bids.call(said))


def declare(table: Table, declaration: int) -> Table:
    """Let the highest bidder, or its partner after a plunge or splash, choose the declaration.

    It leads the first trick, and the contract stands in its name.

    Raises:
        ValueError: if no declaration is to be chosen now, or it is none of those allowed.
    """
    said = table.bidding
    if said is None or said.winner is None or table.phase != "declare":
        raise ValueError("declare: there is nothing to declare now")
    if declaration not in said.declarations:
        names = ", ".join(suits.NAMES[each] for each in said.declarations)
        raise ValueError(f"declaration: expected one of {names}")
    leader = said.declarer
    made = dataclasses.replace(
        table.game,
        declaration=declaration,
        leader=leader,
        bid=said.winner._replace(seat=leader),
        auction=Auction(said.dealer, tuple(map(bidding.name, said.calls)), table.won),
    )
    return dataclasses.replace(table, game=made)


def play(table: Table, tile: int) -> Table:
    """Play a tile of the seat to move.

    Raises:
        ValueError: if the hand is over or the tile may not be played; the message says which may.
    """
    if table.phase != "play":
        reason = "this hand is over" if table.is_over else "the bids come first"
        raise ValueError(f"play: {reason}")
    if tile not in table.game.legal:
        legal = parsing.either(tiles.TILE_NAMES[each] for each in table.game.legal)
        raise ValueError(f"that tile may not be played now; expected {legal}")
    return dataclasses.replace(table, game=table.game.play(tile))


def undo(table: Table) -> Table:
    """Take back the last thing that the person did in this hand, and everything after it.

    That is its last play; without one its declaration; without one its call. Players choose by the
    seed and the number of the decision, so the same choice leads to the same answers.

    Raises:
        ValueError: if the person has done nothing in this hand.
    """
    said, place = table.bidding, table._own_call
    own = [ply for ply, seat in enumerate(table.game.movers) if seat == table.seat]
    if own:
        return dataclasses.replace(table, game=table.game.before(own[-1]), undone=table.undone + 1)
    if said is None or place is None:
        done = "played" if said is None else "bid"
        raise ValueError(f"undo: you have not {done} in this hand")
    if table.game.bid is None or said.declarer != table.seat:
        said = dataclasses.replace(said, calls=said.calls[:place])
    dealt = _dealt(table.seed, table.game.players)
    game = dataclasses.replace(
        table.game,
        declaration=dealt.declaration,
        leader=dealt.leader,
        bid=None,
        plays=(),
        auction=None,
    )
    return dataclasses.replace(table, game=game, bidding=said, undone=table.undone + 1)


def decision_seed(table: Table, number: int) -> int:
    """The seed of a player's random choices at a ply or, from 28 on, a call and the declaration.

    It says nothing of the deal.
    """
    return int(np.asarray(_decision_key(jax_settings.key(table.seed), np.int32(number)))[0])


def request(table: Table) -> Request:
    """What the seat to act is told: its own hand, the public record, and a seed.

    Raises:
        ValueError: if the hand is over.
    """
    here, ply = table.game, len(table.game.plays)
    if table.is_over:
        raise ValueError("request: this hand is over")
    if table.bidding is not None and table.phase != "play":
        number = position.N_PLIES + len(table.bidding.calls)
        kind = BID if table.phase == "bid" else DECLARE
        return Request(number, kind, seed=decision_seed(table, number), auction=table.seen_bids)
    seen = dataclasses.replace(here.seen_by(here.mover), players=("",) * 4)
    return Request(ply, PLAY, seen, decision_seed(table, ply))
