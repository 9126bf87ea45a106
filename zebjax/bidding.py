"""One round of bids, and when a contract is made or set.

Plain data without JAX, as in `position`. The round begins left of the dealer and ends with the
dealer, who must bid if all others pass. The highest bidder chooses the declaration and leads. A bid
is points, 30 to 42, or marks, which are all 42 points; 42 is worth one mark. A first bid of marks
is at most 2, a later one at most one mark more than the bid before it.
"""

import dataclasses
import functools

from zebjax import tiles
from zebjax.common import bids
from zebjax.position import Bid, Hand, Position

Call = tuple[int, int] | None
"""What a seat says: points and marks, as `bids.parse` gives them, or `PASS`."""
PASS: Call = None
LOWEST: Call = (bids.MIN_BID, 1)
FIRST_MARKS = 2
"""Most marks of a bid that does not follow a bid of marks."""
DECLARATIONS = (*range(7), tiles.DOUBLES_TRUMP, tiles.NO_TRUMP)
"""The nine declarations of real 42. Doubles as a suit without trump power are a table's option."""
MADE, SET = "made", "set"
_BIDS = (
    *((points, 1) for points in range(bids.MIN_BID, bids.MAX_BID + 1)),
    *((bids.MAX_BID, marks) for marks in range(2, bids.MAX_MARKS + 1)),
)


def name(call: Call) -> str:
    """A call as text: `pass`, `31`, `2 marks`.

    >>> name(PASS), name((42, 1)), name((42, 2))
    ('pass', '42', '2 marks')
    """
    if call is None:
        return "pass"
    points, marks = call
    return f"{marks} marks" if marks > 1 else str(points)


def read(text: str) -> Call:
    """The call of a text, see `name`; `bids.parse` reads a bid.

    Raises:
        ValueError: if it is none.
    """
    return PASS if text.strip() == "pass" else bids.parse(text)


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

    def __post_init__(self) -> None:
        if not 0 <= self.dealer < tiles.N_PLAYERS:
            raise ValueError(f"dealer: expected 0..3, got {self.dealer}")
        for place, call in enumerate(self.calls):
            if call not in (allowed := _allowed(self.calls[:place])):
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
        for place in reversed(range(len(self.calls))):
            if (call := self.calls[place]) is not None:
                return Bid(self._seat(place), *call)
        return None

    @property
    def winner(self) -> Bid | None:
        """The contract's bid; None before the round is over."""
        return self.high if self.is_over else None

    @functools.cached_property
    def allowed(self) -> tuple[Call, ...]:
        """What the seat to speak may say, `PASS` first and then the lowest bid; empty at the end.

        The dealer may not pass if all others have passed.
        """
        return _allowed(self.calls)

    def call(self, call: Call) -> "Bidding":
        """The round after one more call.

        Raises:
            ValueError: if it is not allowed.
        """
        return dataclasses.replace(self, calls=(*self.calls, call))

    def _seat(self, place: int) -> int:
        return (self.dealer + 1 + place) % tiles.N_PLAYERS


def _allowed(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    if len(calls) == tiles.N_PLAYERS:
        return ()
    high = next((call for call in reversed(calls) if call is not None), None)
    most = FIRST_MARKS if high is None else max(FIRST_MARKS, high[1] + 1)
    # A tuple of points and marks is higher if its points are, then if its marks are.
    higher = [bid for bid in _BIDS if (high is None or bid > high) and bid[1] <= most]
    is_forced = high is None and len(calls) == tiles.N_PLAYERS - 1
    return (*higher,) if is_forced else (PASS, *higher)


def _refusal(call: Call, allowed: tuple[Call, ...]) -> str:
    if not allowed:
        return "bid: every seat has spoken"
    if call is PASS:
        return f"bid: all others have passed, so the dealer must bid {bids.MIN_BID} or more"
    if len(allowed) == 1:
        return f"bid: no bid is higher than the last; expected pass, got {name(call)}"
    lowest, highest = (name(bid) for bid in (allowed[allowed[0] is PASS], allowed[-1]))
    return f"bid: expected pass or a bid from {lowest} to {highest}, got {name(call)}"


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
