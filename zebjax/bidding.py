"""One round of bids, and when a contract is made or set.

Plain data without JAX, as in `position`. The round begins left of the dealer and ends with the
dealer, who must bid if all others pass. The highest bidder chooses the declaration and leads. A bid
is points, 30 to 42, or marks, which are all 42 points; 42 is worth one mark. A first bid of marks
is at most 2, a later one at most one mark more than the bid before it. A table may allow more: see
`special`.
"""

import dataclasses
import functools

from zebjax import special, tiles
from zebjax.common import bids
from zebjax.position import Bid, Hand, Position

Call = tuple[int, int] | tuple[int, int, str] | None
"""What a seat says: points and marks, as `bids.parse` gives them, or `PASS`. A plunge or a splash
has its name as third part."""
PASS: Call = None
LOWEST: Call = (bids.MIN_BID, 1)
FIRST_MARKS = 2
"""Most marks of a bid that does not follow a bid of marks."""
DECLARATIONS = (*range(7), tiles.DOUBLES_TRUMP, tiles.NO_TRUMP)
"""The nine declarations of real 42. Doubles as a suit without trump power are a table's option."""
MOST_BEFORE = bids.MAX_MARKS - 1
"""Most marks of a team before a hand: with one more it has won the game."""
MARKS_EXPECTED = f"marks from 0 to {MOST_BEFORE} of each team"
MADE, SET = "made", "set"
_BIDS = (
    *((points, 1) for points in range(bids.MIN_BID, bids.MAX_BID + 1)),
    *((bids.MAX_BID, marks) for marks in range(2, bids.MAX_MARKS + 1)),
)


def name(call: Call) -> str:
    """A call as text: `pass`, `31`, `2 marks`, `plunge 4 marks`.

    >>> name(PASS), name((42, 1)), name((42, 2)), name((42, 4, special.PLUNGE))
    ('pass', '42', '2 marks', 'plunge 4 marks')
    """
    if call is None:
        return "pass"
    points, marks = call[:2]
    text = f"{marks} marks" if marks > 1 else str(points)
    return f"{kind} {text}" if (kind := kind_of(call)) else text


def kind_of(call: Call) -> str:
    """`special.PLUNGE`, `special.SPLASH`, or nothing for any other call."""
    return call[2] if call is not None and len(call) == 3 else ""


def read(text: str) -> Call:
    """The call of a text, see `name`; `bids.parse` reads a bid.

    Raises:
        ValueError: if it is none.
    """
    if text.strip() == "pass":
        return PASS
    kind, _, rest = text.strip().partition(" ")
    if kind in special.DOUBLES_NEEDED:
        return (*bids.parse(rest), kind)
    return bids.parse(text)


@dataclasses.dataclass(frozen=True)
class Bidding:
    """A round of bids. It is checked when it is made.

    Raises:
        ValueError: if a call is not allowed, or there is one too many.
    """

    dealer: int
    """The seat 0..3 that speaks last."""
    calls: tuple[Call, ...] = ()
    """From the seat left of the dealer on."""
    options: tuple[str, ...] = ()
    """What the table allows, of `bids.OPTIONS`."""

    def __post_init__(self) -> None:
        if not 0 <= self.dealer < tiles.N_PLAYERS:
            raise ValueError(f"dealer: expected 0..3, got {self.dealer}")
        for option in self.options:
            if option not in bids.OPTIONS:
                expected = ", ".join(bids.OPTIONS)
                raise ValueError(f"options: expected some of {expected}, got {option!r}")
        for place, call in enumerate(self.calls):
            if call not in (allowed := _allowed(self.calls[:place], self.options)):
                raise ValueError(_refusal(call, allowed))

    @property
    def is_over(self) -> bool:
        """True if every seat has spoken."""
        return len(self.calls) == tiles.N_PLAYERS

    @property
    def turn(self) -> int:
        """The seat to speak; -1 if the round is over."""
        return -1 if self.is_over else self._seat(len(self.calls))

    @property
    def high(self) -> Bid | None:
        """The highest bid, which is the last one; None if all have passed so far."""
        place = self._highest
        call = None if place is None else self.calls[place]
        return None if place is None or call is None else Bid(self._seat(place), *call[:2])

    @property
    def winner(self) -> Bid | None:
        """The contract's bid, in the name of who made it; None before the round is over."""
        return self.high if self.is_over else None

    @property
    def high_name(self) -> str:
        """The highest bid as text, see `name`; empty if all have passed so far."""
        return "" if self._highest is None else name(self.calls[self._highest])

    @property
    def kind(self) -> str:
        """Of the highest bid, see `kind_of`."""
        return "" if self._highest is None else kind_of(self.calls[self._highest])

    @property
    def declarer(self) -> int:
        """The seat that declares and leads: the bidder, after a plunge or splash its partner; -1
        before the round is over.
        """
        if self.winner is None:
            return -1
        return (self.winner.seat + 2 * bool(self.kind)) % tiles.N_PLAYERS

    @functools.cached_property
    def declarations(self) -> tuple[int, ...]:
        """What `declarer` may declare; empty before the round is over."""
        if self.winner is None:
            return ()
        added = [special.OF_OPTION[each] for each in self.options if each in special.OF_OPTION]
        if self.kind or self.winner.points < bids.MAX_BID:
            added = [each for each in added if not special.is_special(each)]
        return tuple(sorted({*DECLARATIONS, *added}))

    @functools.cached_property
    def allowed(self) -> tuple[Call, ...]:
        """What the seat to speak may say, `PASS` first and then the lowest bid; empty at the end.

        The dealer may not pass if all others have passed. A plunge and a splash, which come last,
        also need doubles in hand: see `Seen.allowed`.
        """
        return _allowed(self.calls, self.options)

    def call(self, call: Call) -> "Bidding":
        """The round after one more call.

        Raises:
            ValueError: if it is not allowed.
        """
        return dataclasses.replace(self, calls=(*self.calls, call))

    @property
    def _highest(self) -> int | None:
        """The place of the highest bid among the calls."""
        places = (at for at in reversed(range(len(self.calls))) if self.calls[at] is not None)
        return next(places, None)

    def _seat(self, place: int) -> int:
        return (self.dealer + 1 + place) % tiles.N_PLAYERS


def _allowed(calls: tuple[Call, ...], options: tuple[str, ...]) -> tuple[Call, ...]:
    if len(calls) == tiles.N_PLAYERS:
        return ()
    high = next((call[:2] for call in reversed(calls) if call is not None), None)
    most = FIRST_MARKS if high is None else max(FIRST_MARKS, high[1] + 1)
    # A tuple of points and marks is higher if its points are, then if its marks are.
    higher: list[Call] = [bid for bid in _BIDS if (high is None or bid > high) and bid[1] <= most]
    for kind in special.DOUBLES_NEEDED:
        marks = special.marks_of(kind, 0 if high is None else high[1])
        if kind in options and marks is not None:
            higher.append((bids.MAX_BID, marks, kind))
    is_forced = high is None and len(calls) == tiles.N_PLAYERS - 1
    return (*higher,) if is_forced else (PASS, *higher)


def _refusal(call: Call, allowed: tuple[Call, ...]) -> str:
    if not allowed:
        return "bid: every seat has spoken"
    if call is PASS:
        return f"bid: all others have passed, so the dealer must bid {bids.MIN_BID} or more"
    plain = [bid for bid in allowed if bid is not PASS and not kind_of(bid)]
    others = "".join(f", or {name(bid)}" for bid in allowed if kind_of(bid))
    if not plain:
        return f"bid: no bid is higher than the last; expected pass{others}, got {name(call)}"
    lowest, highest = name(plain[0]), name(plain[-1])
    return f"bid: expected pass or a bid from {lowest} to {highest}{others}, got {name(call)}"


def needs(bid: Bid) -> tuple[int, int]:
    """The points with which team 0 and team 1 win a contract; see `contract.needs`.

    >>> needs(Bid(seat=1, points=32))
    (11, 32)
    """
    ours, theirs = bid.points, tiles.TOTAL_POINTS + 1 - bid.points
    return (ours, theirs) if bid.seat % 2 == 0 else (theirs, ours)


def winner(game: Position) -> int | None:
    """The team that has made or set the contract; None while it is open, or without one."""
    if game.bid is None:
        return None
    if special.is_special(game.declaration):
        winners = [trick.winner for trick in game.tricks if trick.is_done]
        return special.winning_team(game.declaration, game.bid.seat, winners)
    for team, enough in enumerate(needs(game.bid)):
        if game.points[team] >= enough:
            return team
    return None


def result(game: Position) -> str | None:
    """`MADE` or `SET`; None while the contract is open, or without one."""
    team = winner(game)
    if team is None or game.bid is None:
        return None
    return MADE if team == game.bid.seat % 2 else SET


def check_auction(game: Position) -> None:
    """Check that a game's round of bids, if it is known, has led to its contract, and its marks.

    Raises:
        ValueError: if not.
    """
    if game.auction is None:
        return
    dealer, calls, marks = game.auction
    if marks is not None and (
        len(marks) != 2 or not all(type(each) is int and 0 <= each <= MOST_BEFORE for each in marks)
    ):
        raise ValueError(f"marks: expected {MARKS_EXPECTED}, got {list(marks)}")
    said = Bidding(dealer, tuple(map(read, calls)), bids.OPTIONS)
    if said.winner is None:
        raise ValueError(f"calls: expected those of all four seats, got {len(calls)}")
    if game.bid != said.winner._replace(seat=said.declarer):
        raise ValueError(
            f"calls: {said.high_name} by seat {said.winner.seat} is not the bid of this game"
        )


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a seat knows before the first play.

    Raises:
        ValueError: unless the hand has seven different tiles.
    """

    hand: Hand
    bidding: Bidding

    def __post_init__(self) -> None:
        if len(self.hand) != tiles.HAND_SIZE or len(set(self.hand)) != tiles.HAND_SIZE:
            raise ValueError("hand: expected seven different tiles")

    @property
    def allowed(self) -> tuple[Call, ...]:
        """What the seat to speak may say with this hand, see `Bidding.allowed`."""
        return tuple(call for call in self.bidding.allowed if not self.lacks_doubles(call))

    def lacks_doubles(self, call: Call) -> bool:
        """True if the hand has fewer doubles than a call needs."""
        return special.n_doubles(self.hand) < special.DOUBLES_NEEDED.get(kind_of(call), 0)

    def call(self, call: Call) -> Bidding:
        """The round after this seat's call.

        Raises:
            ValueError: if it is not allowed, see `Bidding.call`, or the hand lacks doubles for it.
        """
        if call in self.bidding.allowed and self.lacks_doubles(call):
            kind, n = kind_of(call), special.n_doubles(self.hand)
            needed = special.DOUBLES_NEEDED[kind]
            raise ValueError(f"bid: {kind} needs {needed} doubles in hand, this one has {n}")
        if call not in self.allowed:
            raise ValueError(_refusal(call, self.allowed))
        return self.bidding.call(call)
