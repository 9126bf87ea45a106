"""Rules of the special contracts of real 42, as plain data without JAX.

A table may allow each of them; none is part of the plain game. Those that are named instead of a
trump have a declaration of their own here, after the ten of `tiles`:

- `NELLO`: after a bid of 42 or of marks. The bidder leads; its partner turns its tiles face down
  and takes no part, so a trick has three tiles. There is no trump, suits are followed, and a double
  is the highest of its suit. The bidder makes it by taking no trick; the first it takes sets it.
- `NELLO_DOUBLES`: the same, but the doubles are a suit of their own, the 6-6 highest.
- `SEVENS`: after a bid of 42 or of marks. The bidder leads. There are no suits and no trump: each
  seat plays its tile whose pips are nearest to seven in all, and may choose only among equally near
  ones. The nearest tile wins, the first played of equals. The bidder's team must take every trick.

Two are bids, and then a hand of the plain game, in which the bidder's PARTNER names trump without a
word and leads, and the team must take all 42 points:

- `PLUNGE`: with four doubles or more in hand, for 4 marks, or one more than the last bid of marks.
- `SPLASH`: with three doubles or more, for 2 marks, or one more than the last bid of marks.

Rules differ from table to table: special.md says who plays which, with the sources. Some play
nello's doubles low, allow nello only after another bid, or make splash worth 3 marks: that is not
here.
"""

from collections.abc import Iterable, Sequence

from zebjax import tiles
from zebjax.common.bids import DOUBLES_SUIT as DOUBLES_SUIT_OPTION
from zebjax.common.bids import MAX_MARKS
from zebjax.common.bids import NELLO as NELLO_OPTION
from zebjax.common.bids import NELLO_DOUBLES as NELLO_DOUBLES_OPTION
from zebjax.common.bids import PLUNGE as PLUNGE
from zebjax.common.bids import SEVENS as SEVENS_OPTION
from zebjax.common.bids import SPLASH as SPLASH

NELLO, NELLO_DOUBLES, SEVENS = range(tiles.N_DECLARATIONS, tiles.N_DECLARATIONS + 3)
DECLARATION_NAMES = (*tiles.DECLARATION_NAMES, "nello", "nello doubles suit", "sevens")
"""By declaration, those of `tiles` included."""
N_DECLARATIONS = len(DECLARATION_NAMES)
OF_OPTION = {
    DOUBLES_SUIT_OPTION: tiles.DOUBLES_SUIT,
    NELLO_OPTION: NELLO,
    NELLO_DOUBLES_OPTION: NELLO_DOUBLES,
    SEVENS_OPTION: SEVENS,
}
"""The declaration that each option of a table adds."""
DOUBLES_NEEDED = {PLUNGE: 4, SPLASH: 3}
LEAST_MARKS = {PLUNGE: 4, SPLASH: 2}
NOBODY = -1
"""The silent seat of a game in which all four play."""
SEVEN = 7
DISTANCE: list[int] = abs(tiles.PIP_SUM - SEVEN).tolist()
"""By tile id: how far its pips are from seven in all, 0 to 7."""
_SUITS_OF = {NELLO: tiles.NO_TRUMP, NELLO_DOUBLES: tiles.DOUBLES_SUIT}


def is_special(declaration: int) -> bool:
    """True for a contract that is not a game of suits and points: nello or sevens."""
    return declaration >= tiles.N_DECLARATIONS


def is_nello(declaration: int) -> bool:
    """True for both kinds of nello."""
    return declaration in _SUITS_OF


def suits_of(declaration: int) -> int:
    """The declaration 0..9 whose tables of `tiles` say who follows and who wins.

    >>> suits_of(NELLO) == tiles.NO_TRUMP, suits_of(3)
    (True, 3)
    """
    return _SUITS_OF.get(declaration, declaration)


def silent_seat(declaration: int, leader: int) -> int:
    """The seat that takes no part, or `NOBODY`.

    Args:
        declaration: 0..12.
        leader: the seat that leads the first trick; in nello it is the bidder.
    """
    return (leader + 2) % tiles.N_PLAYERS if is_nello(declaration) else NOBODY


def seats_from(leader: int, silent: int = NOBODY) -> tuple[int, ...]:
    """The seats in the order in which they play to a trick.

    >>> seats_from(3), seats_from(3, silent=0)
    ((3, 0, 1, 2), (3, 1, 2))
    """
    around = ((leader + step) % tiles.N_PLAYERS for step in range(tiles.N_PLAYERS))
    return tuple(seat for seat in around if seat != silent)


def trick_size(declaration: int) -> int:
    """Tiles of a whole trick: 3 in nello, else 4."""
    return tiles.N_PLAYERS - is_nello(declaration)


def nearest(left: Iterable[int]) -> tuple[int, ...]:
    """The tiles nearest to seven, in their order: those that may be played in sevens.

    >>> [tiles.TILE_NAMES[tile] for tile in nearest(map(tiles.TILE_NAMES.index, ("6-6", "6-2")))]
    ['6-2']
    """
    left = tuple(left)
    least = min((DISTANCE[tile] for tile in left), default=0)
    return tuple(tile for tile in left if DISTANCE[tile] == least)


def nearer_than(tile: int) -> set[int]:
    """The tiles that a seat does not hold once it has played this one in sevens."""
    return {each for each in range(tiles.N_TILES) if DISTANCE[each] < DISTANCE[tile]}


def sevens_winner(trick: Sequence[int]) -> int:
    """The place 0..3 of the tile that wins, or wins so far, in sevens."""
    distances = [DISTANCE[tile] for tile in trick]
    return distances.index(min(distances))


def winning_team(declaration: int, bidder: int, winners: Sequence[int]) -> int | None:
    """The team that has won a contract of nello or sevens; None while it is open.

    Args:
        declaration: of nello or sevens.
        bidder: its seat.
        winners: the seats that have won the tricks that are finished.
    """
    ours = bidder % 2
    nello = is_nello(declaration)
    if any(seat == bidder if nello else seat % 2 != ours for seat in winners):
        return 1 - ours
    return ours if len(winners) == tiles.N_TRICKS else None


def n_doubles(hand: Iterable[int]) -> int:
    """The doubles of a hand."""
    return sum(bool(tiles.IS_DOUBLE[tile]) for tile in hand)


def marks_of(kind: str, last: int) -> int | None:
    """The marks of a plunge or a splash; None if it would be more than a game has.

    Args:
        kind: `PLUNGE` or `SPLASH`.
        last: marks of the bid before it: 1 for one of points, 0 without any.

    >>> marks_of(PLUNGE, 0), marks_of(PLUNGE, 4), marks_of(SPLASH, 1), marks_of(SPLASH, 7)
    (4, 5, 2, None)
    """
    marks = max(LEAST_MARKS[kind], last + 1)
    return marks if marks <= MAX_MARKS else None
