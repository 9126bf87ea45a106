"""One position of a game as plain data: hands, of which some may be unknown, and the plays.

This is the form that people and other programs exchange: text (`notation`), JSON, requests to a
player. It needs no JAX. The rules here read the same tables as `game`, for one game on the host;
`position_arrays` turns a position into a `GameState` and back. A position may also be one of nello
or sevens (see `special`), which `game` does not know.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from zebjax import special, tiles
from zebjax.tricks import Hand as Hand
from zebjax.tricks import Trick as Trick
from zebjax.tricks import legal_tiles as legal_tiles
from zebjax.tricks import movers_of as movers_of
from zebjax.tricks import not_held, trick_of
from zebjax.tricks import tricks_of as tricks_of

Place = tuple[str, int, int]
"""A field of a position, with two indices: see `Impossible`."""
T = TypeVar("T")
UNKNOWN: Hand = ()
N_PLIES = tiles.N_TILES
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


class Auction(NamedTuple):
    """How a contract came about, as a table remembers it; no rule of the play reads it.

    `bidding.check_auction` checks it.
    """

    dealer: int
    calls: tuple[str, ...]
    """As texts, see `bidding.name`, from the seat left of the dealer on."""
    marks: tuple[int, int] | None = None
    """Of teams 0 and 1 in this game, before this hand; None: not known."""


@dataclasses.dataclass(frozen=True)
class Position:
    """One game after some plays; all 28 plays are a finished game, in nello all 21.

    It is checked when it is made.

    Raises:
        Impossible: if no game can lead to it.
    """

    hands: tuple[Hand, Hand, Hand, Hand]
    """By seat, the seven tiles dealt, those already played included; `UNKNOWN` is allowed."""
    declaration: int
    """0..9, see `tiles`; 10..12, see `special`."""
    leader: int
    """The seat that led the first trick."""
    plays: Hand = ()
    """Tile ids in the order of play."""
    bid: Bid | None = None
    players: tuple[str, str, str, str] = ("", "", "", "")
    """Names by seat; empty if not known."""
    auction: Auction | None = None

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
            if trick.is_done:
                points[trick.winner % 2] += trick.points
        return points[0], points[1]

    @property
    def is_over(self) -> bool:
        """True if all tiles have been played, except those of a seat that takes no part."""
        return len(self.plays) == tiles.N_TRICKS * special.trick_size(self.declaration)

    @property
    def mover(self) -> int:
        """The seat to move; -1 if the game is over."""
        if self.is_over:
            return -1
        if not self.tricks:
            return self.leader
        last = self.tricks[-1]
        return last.winner if last.is_done else last.seats[len(last.tiles)]

    @property
    def trick_leader(self) -> int:
        """The seat that leads the trick of the next play; -1 if the game is over."""
        if self.is_over or not self.tricks:
            return -1 if self.is_over else self.leader
        last = self.tricks[-1]
        return last.winner if last.is_done else last.leader

    @property
    def trick(self) -> Hand:
        """The tiles on the table."""
        return () if not self.tricks or self.tricks[-1].is_done else self.tricks[-1].tiles

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


def _check(position: Position) -> None:
    _check_range("declaration", position.declaration, special.N_DECLARATIONS)
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
                other = holders[tile]
                where = f"twice in hand {seat}" if other == seat else f"in hand {other} too"
                reason = f"{tiles.TILE_NAMES[tile]} is {where}"
                raise Impossible(("hand", seat, slot), reason)
            holders[tile] = seat


def _check_bid(position: Position) -> None:
    bid, reason = position.bid, ""
    if bid is None:
        if special.is_special(position.declaration):
            name = special.DECLARATION_NAMES[position.declaration]
            reason = f"bid: {name} is played with a bid of {MAX_BID} points or of marks"
            raise Impossible(("bid", 0, 0), reason)
        return
    if not MIN_BID <= bid.points <= MAX_BID:
        reason = f"bid: expected points from {MIN_BID} to {MAX_BID}, got {bid.points}"
    elif not 1 <= bid.marks <= MAX_MARKS:
        reason = f"bid: expected marks from 1 to {MAX_MARKS}, got {bid.marks}"
    elif bid.marks > 1 and bid.points != MAX_BID:
        reason = f"bid: expected {MAX_BID} points for {bid.marks} marks, got {bid.points}"
    elif special.is_special(position.declaration) and bid.points != MAX_BID:
        name = special.DECLARATION_NAMES[position.declaration]
        reason = f"bid: expected {MAX_BID} points or marks for {name}, got {bid.points}"
    elif bid.seat != position.leader:
        reason = f"bid: the bidder leads the first trick, {position.leader}; got {bid.seat}"
    if reason:
        raise Impossible(("bid", 0, 0), reason)


def _check_plays(position: Position) -> None:
    """Walk through the plays; then check that the unknown hands can be dealt."""
    size = special.trick_size(position.declaration)
    silent = special.silent_seat(position.declaration, position.leader)
    if len(position.plays) > (most := tiles.N_TRICKS * size):
        raise Impossible(("play", most, 0), f"a game has {most} plays; this is one more")
    holders = {tile: seat for seat, hand in enumerate(position.hands) for tile in hand}
    left = [list(hand) for hand in position.hands]
    may_hold = [set(range(tiles.N_TILES)) for _ in range(4)]
    leader, trick, seen = position.leader, UNKNOWN, set[int]()
    for ply, tile in enumerate(position.plays):
        seat = special.seats_from(leader, silent)[len(trick)]
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
            reason = _no_longer(position.declaration, seat, tile)
        if reason:
            raise Impossible(("play", ply, 0), reason)
        seen.add(tile)
        if position.hands[seat]:
            left[seat].remove(tile)
        else:
            may_hold[seat] -= not_held(position.declaration, trick, tile)
        trick = (*trick, tile)
        if len(trick) == size:
            leader, trick = trick_of(position.declaration, leader, trick, silent).winner, UNKNOWN
    _check_hidden(position, may_hold)


def _says(seat: int, tile: int) -> str:
    return f"seat {seat} plays {tiles.TILE_NAMES[tile]}"


def _no_longer(declaration: int, seat: int, tile: int) -> str:
    if declaration == special.SEVENS:
        return f"{_says(seat, tile)}, but has played a tile farther from seven before"
    return f"{_says(seat, tile)}, but did not follow its suit earlier"


def _wrong_play(declaration: int, trick: Hand, left: list[int], seat: int, tile: int) -> str:
    """Why a known hand may not play a tile; empty if it may."""
    if tile not in left:
        return f"{_says(seat, tile)}, which is not in its hand"
    legal = legal_tiles(declaration, trick, left)
    if tile in legal:
        return ""
    names = ", ".join(tiles.TILE_NAMES[each] for each in legal)
    if declaration == special.SEVENS:
        return f"{_says(seat, tile)}, but must play its tile nearest to seven: {names}"
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
