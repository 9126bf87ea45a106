"""One position of a game as plain data: hands, of which some may be unknown, and the plays.

This is the form that people and other programs exchange: text (`notation`), JSON, requests to a
player. It needs no JAX. The rules here read the same tables as `game`, for one game on the host;
`position_arrays` turns a position into a `GameState` and back.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from zebjax import tiles

Hand = tuple[int, ...]
"""Tile ids; a hand's place of a tile is its slot."""
Place = tuple[str, int, int]
"""A field of a position, with two indices: see `Impossible`."""
T = TypeVar("T")
UNKNOWN: Hand = ()
N_PLIES = tiles.N_TILES
# Lists: they are read one entry at a time.
_LED_SUIT: list[list[int]] = tiles.LED_SUIT.tolist()
_FOLLOWS: list[list[list[bool]]] = tiles.CAN_FOLLOW.tolist()
_RANK: list[list[list[int]]] = tiles.TRICK_RANK.tolist()
_POINTS: list[int] = tiles.POINTS.tolist()
MIN_BID, MAX_BID, MAX_MARKS = 30, tiles.TOTAL_POINTS, 7
MAX_NAME = 200
"""Maximum length of a player's name."""


class Impossible(ValueError):
    """No game can lead to a position; the message says why."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        """The part that is wrong: ("hand", seat, slot), ("play", ply, 0), ("declaration", 0, 0),
        ("leader", 0, 0), ("bid", 0, 0), ("player", seat, 0) or ("position", 0, 0)."""


class Bid(NamedTuple):
    """A contract: the bidder chose the declaration, leads, and must make the bid."""

    seat: int
    points: int
    """30..42, the points that the bidder's team must take."""
    marks: int = 1
    """1..7, worth of the hand; more than 1 only with 42 points."""


class Trick(NamedTuple):
    """One trick, complete or not."""

    leader: int
    tiles: Hand
    """1 to 4 tile ids in the order of play."""
    winner: int
    """The seat that has won it, or holds it so far."""
    points: int
    """Points on its tiles, and 1 for the trick."""


@dataclasses.dataclass(frozen=True)
class Position:
    """One game after some plays; all 28 plays are a finished game.

    It is checked when it is made.

    Raises:
        Impossible: if no game can lead to it.
    """

    hands: tuple[Hand, Hand, Hand, Hand]
    """By seat, the seven tiles dealt, those already played included; `UNKNOWN` is allowed."""
    declaration: int
    """0..9, see `tiles`."""
    leader: int
    """The seat that led the first trick."""
    plays: Hand = ()
    """Tile ids in the order of play."""
    bid: Bid | None = None
    players: tuple[str, str, str, str] = ("", "", "", "")
    """Names by seat; empty if not known."""

    def __post_init__(self) -> None:
        _check(self)

    @functools.cached_property
    def tricks(self) -> tuple[Trick, ...]:
        """The tricks begun."""
        return tricks_of(self.declaration, self.leader, self.plays)

    @functools.cached_property
    def movers(self) -> tuple[int, ...]:
        """The seat of each play."""
        return movers_of(self.tricks)

    @functools.cached_property
    def points(self) -> tuple[int, int]:
        """Points by team, of finished tricks."""
        points = [0, 0]
        for trick in self.tricks:
            if len(trick.tiles) == 4:
                points[trick.winner % 2] += trick.points
        return points[0], points[1]

    @property
    def is_over(self) -> bool:
        """True if all 28 tiles have been played."""
        return len(self.plays) == N_PLIES

    @property
    def mover(self) -> int:
        """The seat to move; -1 if the game is over."""
        if self.is_over:
            return -1
        if not self.tricks:
            return self.leader
        last = self.tricks[-1]
        return last.winner if len(last.tiles) == 4 else (last.leader + len(last.tiles)) % 4

    @property
    def trick_leader(self) -> int:
        """The seat that leads the trick of the next play; -1 if the game is over."""
        if self.is_over or not self.tricks:
            return -1 if self.is_over else self.leader
        last = self.tricks[-1]
        return last.winner if len(last.tiles) == 4 else last.leader

    @property
    def trick(self) -> Hand:
        """The tiles on the table."""
        return self.plays[len(self.plays) // 4 * 4 :]

    @functools.cached_property
    def legal(self) -> Hand:
        """The tiles that the mover may play, in the order of its slots; empty if not known."""
        if self.is_over:
            return ()
        left = [tile for tile in self.hands[self.mover] if tile not in self.plays]
        return legal_tiles(self.declaration, self.trick, left)

    @functools.cached_property
    def hidden(self) -> Hand:
        """The tiles that have not been played and are in no known hand, in ascending order."""
        seen = {*itertools.chain(*self.hands), *self.plays}
        return tuple(tile for tile in range(tiles.N_TILES) if tile not in seen)

    def played_by(self, seat: int) -> Hand:
        """The tiles that a seat has played, in order."""
        return tuple(
            tile for tile, mover in zip(self.plays, self.movers, strict=True) if mover == seat
        )

    def before(self, ply: int) -> "Position":
        """The position before a play 0..28."""
        return dataclasses.replace(self, plays=self.plays[:ply])

    def play(self, tile: int) -> "Position":
        """The position after one more play.

        Raises:
            Impossible: if the tile may not be played.
        """
        return dataclasses.replace(self, plays=(*self.plays, tile))

    def seen_by(self, seat: int) -> "Position":
        """All that a seat knows: its own hand and the public record."""
        hands = [self.hands[at] if at == seat else UNKNOWN for at in range(4)]
        return dataclasses.replace(self, hands=four(hands))


def four(parts: Iterable[T]) -> tuple[T, T, T, T]:
    """Exactly four things, one for each seat.

    Raises:
        ValueError: if there are not four.
    """
    first, second, third, fourth = parts
    return first, second, third, fourth


def legal_tiles(declaration: int, trick: Hand, left: Iterable[int]) -> Hand:
    """The tiles of a hand that may be played.

    Args:
        declaration: 0..9.
        trick: the tiles on the table; empty for the leader.
        left: the tiles left in the hand.
    """
    left = tuple(left)
    if not trick:
        return left
    follows = _FOLLOWS[declaration][_LED_SUIT[declaration][trick[0]]]
    return tuple(tile for tile in left if follows[tile]) or left


def movers_of(tricks: Iterable[Trick]) -> tuple[int, ...]:
    """The seat of each play of some tricks."""
    return tuple(
        (trick.leader + place) % 4 for trick in tricks for place in range(len(trick.tiles))
    )


def tricks_of(declaration: int, leader: int, plays: Hand) -> tuple[Trick, ...]:
    """The tricks of some plays, which are not checked.

    Args:
        declaration: 0..9.
        leader: the seat that leads the first trick.
        plays: tile ids in the order of play.
    """
    tricks = []
    for start in range(0, len(plays), 4):
        tricks.append(_trick(declaration, leader, plays[start : start + 4]))
        leader = tricks[-1].winner
    return tuple(tricks)


def _trick(declaration: int, leader: int, trick: Hand) -> Trick:
    rank = _RANK[declaration][_LED_SUIT[declaration][trick[0]]]
    ranks = [rank[tile] for tile in trick]
    winner = (leader + ranks.index(max(ranks))) % 4
    return Trick(leader, trick, winner, 1 + sum(_POINTS[tile] for tile in trick))


def _check(position: Position) -> None:
    _check_range("declaration", position.declaration, tiles.N_DECLARATIONS)
    _check_range("leader", position.leader, 4)
    _check_hands(position.hands)
    _check_bid(position)
    if len(position.players) != 4:
        raise Impossible(("player", 0, 0), f"expected 4 names, got {len(position.players)}")
    for seat, name in enumerate(position.players):
        if len(name) > MAX_NAME or name != " ".join(name.split()) or not name.isprintable():
            reason = f"expected one line of at most {MAX_NAME} characters, single spaces between"
            raise Impossible(("player", seat, 0), reason)
    _check_plays(position)


def _check_range(name: str, value: int, limit: int) -> None:
    if not 0 <= value < limit:
        raise Impossible((name, 0, 0), f"{name}: expected an integer 0..{limit - 1}, got {value}")


def _check_hands(hands: tuple[Hand, ...]) -> None:
    if len(hands) != 4:
        raise Impossible(("hand", 0, 0), f"expected 4 hands, got {len(hands)}")
    holders: dict[int, int] = {}
    for seat, hand in enumerate(hands):
        if hand and len(hand) != tiles.HAND_SIZE:
            reason = f"hand {seat}: expected 7 tiles with those played, got {len(hand)}"
            raise Impossible(("hand", seat, len(hand) - 1), reason)
        for slot, tile in enumerate(hand):
            if not 0 <= tile < tiles.N_TILES:
                reason = f"hand {seat}: expected tile ids 0..27, got {tile}"
                raise Impossible(("hand", seat, slot), reason)
            if tile in holders:
                reason = f"{tiles.TILE_NAMES[tile]} is in hand {holders[tile]} too"
                raise Impossible(("hand", seat, slot), reason)
            holders[tile] = seat


def _check_bid(position: Position) -> None:
    bid = position.bid
    if bid is None:
        return
    reason = ""
    if not MIN_BID <= bid.points <= MAX_BID:
        reason = f"bid: expected points from {MIN_BID} to {MAX_BID}, got {bid.points}"
    elif not 1 <= bid.marks <= MAX_MARKS:
        reason = f"bid: expected marks from 1 to {MAX_MARKS}, got {bid.marks}"
    elif bid.marks > 1 and bid.points != MAX_BID:
        reason = f"bid: expected {MAX_BID} points for {bid.marks} marks, got {bid.points}"
    elif bid.seat != position.leader:
        reason = f"bid: the bidder leads the first trick, {position.leader}; got {bid.seat}"
    if reason:
        raise Impossible(("bid", 0, 0), reason)


def _check_plays(position: Position) -> None:
    """Walk through the plays; then check that the unknown hands can be dealt."""
    if len(position.plays) > N_PLIES:
        raise Impossible(("play", N_PLIES, 0), f"a game has {N_PLIES} plays; this is one more")
    holders = {tile: seat for seat, hand in enumerate(position.hands) for tile in hand}
    left = [list(hand) for hand in position.hands]
    may_hold = [set(range(tiles.N_TILES)) for _ in range(4)]
    leader, trick, seen = position.leader, UNKNOWN, set[int]()
    for ply, tile in enumerate(position.plays):
        seat = (leader + len(trick)) % 4
        reason = ""
        if not 0 <= tile < tiles.N_TILES:
            reason = f"expected tile ids 0..27, got {tile}"
        elif tile in seen:
            reason = f"{tiles.TILE_NAMES[tile]} has been played before"
        elif holders.get(tile, seat) != seat:
            reason = f"{_says(seat, tile)}, which is in the hand of seat {holders[tile]}"
        elif position.hands[seat]:
            reason = _wrong_play(position.declaration, trick, left[seat], seat, tile)
        elif tile not in may_hold[seat]:
            reason = f"{_says(seat, tile)}, but did not follow its suit earlier"
        if reason:
            raise Impossible(("play", ply, 0), reason)
        seen.add(tile)
        if position.hands[seat]:
            left[seat].remove(tile)
        elif trick:
            follows = _FOLLOWS[position.declaration][_LED_SUIT[position.declaration][trick[0]]]
            if not follows[tile]:
                may_hold[seat] -= {other for other in range(tiles.N_TILES) if follows[other]}
        trick = (*trick, tile)
        if len(trick) == 4:
            leader, trick = _trick(position.declaration, leader, trick).winner, UNKNOWN
    _check_hidden(position, may_hold)


def _says(seat: int, tile: int) -> str:
    return f"seat {seat} plays {tiles.TILE_NAMES[tile]}"


def _wrong_play(declaration: int, trick: Hand, left: list[int], seat: int, tile: int) -> str:
    """Why a known hand may not play a tile; empty if it may."""
    if tile not in left:
        return f"{_says(seat, tile)}, which is not in its hand"
    legal = legal_tiles(declaration, trick, left)
    if tile in legal:
        return ""
    names = ", ".join(tiles.TILE_NAMES[each] for each in legal)
    return f"{_says(seat, tile)}, but must follow {tiles.TILE_NAMES[trick[0]]}: {names}"


def _check_hidden(position: Position, may_hold: list[set[int]]) -> None:
    """Raise an error unless the hidden tiles can be dealt to the unknown hands.

    By Hall's theorem they can if, for each group of unknown hands, no more tiles fit only into the
    group than it has room for.
    """
    unknown = [seat for seat in range(4) if not position.hands[seat]]
    movers = position.movers
    for size in range(len(unknown) + 1):
        for group in itertools.combinations(unknown, size):
            others = [seat for seat in unknown if seat not in group]
            only = [
                tile
                for tile in position.hidden
                if not any(tile in may_hold[seat] for seat in others)
            ]
            room = sum(tiles.HAND_SIZE - movers.count(seat) for seat in group)
            if len(only) > room:
                names = ", ".join(tiles.TILE_NAMES[tile] for tile in only)
                seats = " and ".join(map(str, group)) or "no unknown hand"
                reason = f"the hidden tiles cannot be dealt: {names} fit only seat {seats}"
                raise Impossible(("position", 0, 0), reason)
