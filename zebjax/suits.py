"""Declarations in the words of players, and the order in which players hold a hand.

Files and programs use the names of `special.DECLARATION_NAMES`, as in `trump 4`; people read and
may write `fours`.
"""

import re
from collections.abc import Iterable

from zebjax import special, tiles
from zebjax.common.parsing import nearest

NAMES = (
    *("blanks", "aces", "deuces", "treys", "fours", "fives", "sixes"),
    *("doubles", "doubles a suit", "follow me", "nello", "nello, doubles a suit", "sevens"),
)
"""By declaration."""
_MORE = (
    *("zeros zeroes zero blank 0", "ones one ace 1", "twos two deuce 2", "threes three trey 3"),
    *("four 4", "five 5", "six 6"),
)
"""Other words for a pip, with spaces between."""
_DECLARATIONS = {
    **{name: each for each, name in enumerate(special.DECLARATION_NAMES)},
    **{name: each for each, name in enumerate(NAMES)},
    **{word: pip for pip, words in enumerate(_MORE) for word in words.split()},
    **dict.fromkeys(("follow-me", "no trumps"), tiles.NO_TRUMP),
    "nello-doubles": special.NELLO_DOUBLES,
}
"""By what may be written for them."""


def phrase(declaration: int) -> str:
    """What is played, as a heading.

    >>> phrase(0), phrase(tiles.NO_TRUMP), phrase(special.NELLO)
    ('trumps: blanks', 'follow me (no trump)', 'nello')
    """
    if declaration == tiles.NO_TRUMP:
        return f"{NAMES[declaration]} (no trump)"
    has_trumps = declaration <= tiles.DOUBLES_TRUMP
    return f"trumps: {NAMES[declaration]}" if has_trumps else NAMES[declaration]


def read(text: str) -> int:
    """The declaration that somebody has written.

    Args:
        text: a name of `special.DECLARATION_NAMES` or of players, in small or capital letters.

    Raises:
        ValueError: if it is none; the message names the nearest.

    >>> [read(text) for text in ("trump 4", "fours", "Trumps: deuces", "no trump", "ones")]
    [4, 4, 2, 9, 1]
    """
    words = " ".join(text.lower().split())
    plain = re.sub("^trumps?:? |( are)? trumps?$", "", words)
    for each in (words, plain):
        if each in _DECLARATIONS:
            return _DECLARATIONS[each]
    guess = nearest(words, (name for name in _DECLARATIONS if len(name) > 1))
    raise ValueError(f"{text!r} is not a declaration; did you mean {guess!r}?")


def in_order(hand: Iterable[int], declaration: int | None = None) -> list[int]:
    """A hand as players hold it: by suits, the trumps or the doubles' own suit first.

    A tile stands in its suit of trumps, or else in that of its higher pip. Suits go from sixes to
    blanks, and in each the double is first. For sevens the tile nearest to seven is first.

    Args:
        hand: tile ids.
        declaration: 0..12; None while nothing is declared, which is as without a trump.

    >>> [tiles.TILE_NAMES[tile] for tile in in_order([27, 22, 10, 25, 14], 4)]
    ['4-4', '6-4', '4-0', '6-6', '6-1']
    """
    if declaration == special.SEVENS:
        return sorted(hand, key=lambda tile: (special.DISTANCE[tile], -tile))
    suits = special.suits_of(tiles.NO_TRUMP if declaration is None else declaration)

    def place(tile: int) -> tuple[bool, int, int]:
        suit = int(tiles.LED_SUIT[suits, tile])
        # A rank in a trick to which the tile itself is led: that in its suit.
        return suit != tiles.CALLED_SUIT, -suit, -int(tiles.TRICK_RANK[suits, suit, tile])

    return sorted(hand, key=place)
