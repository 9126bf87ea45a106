"""The rules of a trick: which tiles may be played, what a play tells, and who wins.

Plain data without JAX, for one game on the host; they read the same tables as `game`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from zebjax import special, tiles

Hand = tuple[int, ...]
"""Tile ids; a hand's place of a tile is its slot."""
# Lists: they are read one entry at a time.
_LED_SUIT: list[list[int]] = tiles.LED_SUIT.tolist()
_FOLLOWS: list[list[list[bool]]] = tiles.CAN_FOLLOW.tolist()
_RANK: list[list[list[int]]] = tiles.TRICK_RANK.tolist()
_POINTS: list[int] = tiles.POINTS.tolist()


class Trick(NamedTuple):
    """One trick, complete or not."""

    leader: int
    tiles: Hand
    """1 to 4 tile ids in the order of play."""
    winner: int
    """The seat that has won it, or holds it so far."""
    points: int
    """Points on its tiles, and 1 for the trick."""
    silent: int = special.NOBODY
    """The seat that takes no part, in nello."""

    @property
    def seats(self) -> tuple[int, ...]:
        """The seats that play to it, in their order."""
        return special.seats_from(self.leader, self.silent)

    @property
    def is_done(self) -> bool:
        """True if every seat has played."""
        return len(self.tiles) == len(self.seats)

    @property
    def winning_tile(self) -> int:
        """The tile of `winner`."""
        return self.tiles[self.seats.index(self.winner)]


def legal_tiles(declaration: int, trick: Hand, left: Iterable[int]) -> Hand:
    """The tiles of a hand that may be played.

    Args:
        declaration: 0..12.
        trick: the tiles on the table; empty for the leader.
        left: the tiles left in the hand.
    """
    left = tuple(left)
    if declaration == special.SEVENS:
        return special.nearest(left)
    if not trick:
        return left
    follows = _followers(declaration, trick)
    return tuple(tile for tile in left if follows[tile]) or left


def not_held(declaration: int, trick: Hand, tile: int) -> set[int]:
    """The tiles that a seat does not hold, as its play says.

    Args:
        declaration: 0..12.
        trick: the tiles on the table before the play.
        tile: the play.
    """
    if declaration == special.SEVENS:
        return special.nearer_than(tile)
    if not trick:
        return set()
    follows = _followers(declaration, trick)
    return set() if follows[tile] else {other for other in range(28) if follows[other]}


def _followers(declaration: int, trick: Hand) -> list[bool]:
    """By tile id: True if it follows the suit that is led."""
    declaration = special.suits_of(declaration)
    return _FOLLOWS[declaration][_LED_SUIT[declaration][trick[0]]]


def movers_of(tricks: Iterable[Trick]) -> tuple[int, ...]:
    """The seat of each play of some tricks."""
    return tuple(seat for trick in tricks for seat in trick.seats[: len(trick.tiles)])


def tricks_of(declaration: int, leader: int, plays: Hand) -> tuple[Trick, ...]:
    """The tricks of some plays, which are not checked.

    Args:
        declaration: 0..12.
        leader: the seat that leads the first trick.
        plays: tile ids in the order of play.
    """
    size, silent = special.trick_size(declaration), special.silent_seat(declaration, leader)
    tricks = []
    for start in range(0, len(plays), size):
        tricks.append(trick_of(declaration, leader, plays[start : start + size], silent))
        leader = tricks[-1].winner
    return tuple(tricks)


def trick_of(declaration: int, leader: int, trick: Hand, silent: int) -> Trick:
    """One trick of 1 to 4 tiles, which are not checked.

    Args:
        declaration: 0..12.
        leader: the seat that leads it.
        trick: tile ids in the order of play.
        silent: the seat that takes no part, or `special.NOBODY`.
    """
    if declaration == special.SEVENS:
        best = special.sevens_winner(trick)
    else:
        suits = special.suits_of(declaration)
        rank = _RANK[suits][_LED_SUIT[suits][trick[0]]]
        ranks = [rank[tile] for tile in trick]
        best = ranks.index(max(ranks))
    winner = special.seats_from(leader, silent)[best]
    return Trick(leader, trick, winner, 1 + sum(_POINTS[tile] for tile in trick), silent)
