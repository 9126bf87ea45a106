"""The 28 dominoes and the 10 declarations of Texas 42, as NumPy tables.

A tile id is `high * (high + 1) // 2 + low`: 0 is 0-0, 1 is 1-0, 2 is 1-1, ... 27 is 6-6.
A declaration is 0..6 (that pip is trump), 7 (doubles are trump), 8 (doubles are a suit of their own
without trump power) or 9 (no trump). A suit is 0..6 (a pip) or 7, the *called suit*: the trump
pip's tiles, or the doubles for declarations 7 and 8; it is empty for declaration 9.
"""

import numpy as np

N_TILES = 28
N_PLAYERS = 4
HAND_SIZE = 7
N_TRICKS = 7
N_DECLARATIONS = 10
N_SUITS = 8
CALLED_SUIT = 7
DOUBLES_TRUMP, DOUBLES_SUIT, NO_TRUMP = 7, 8, 9
TOTAL_POINTS = 42  # 35 on the five count tiles, 1 for each of the 7 tricks
POINTS_SCALE = 20
"""Networks learn the points of a move as (ours - theirs) at the end over this, so that their spread
is about 1, as that of values."""

HIGH = np.array([high for high in range(7) for _ in range(high + 1)], np.int8)
LOW = np.array([low for high in range(7) for low in range(high + 1)], np.int8)
IS_DOUBLE = HIGH == LOW
PIP_SUM = HIGH + LOW
POINTS = np.where(PIP_SUM == 10, 10, np.where(PIP_SUM == 5, 5, 0)).astype(np.int8)

TILE_NAMES = tuple(f"{high}-{low}" for high, low in zip(HIGH, LOW, strict=True))
"""By tile id."""
DECLARATION_NAMES = (
    *(f"trump {pip}" for pip in range(7)),
    "doubles trump",
    "doubles suit",
    "no trump",
)
"""By declaration."""


def tile_id(high: int, low: int) -> int:
    """Id 0..27 of the tile with these two pips, in either order.

    >>> tile_id(3, 5), TILE_NAMES[tile_id(3, 5)]
    (18, '5-3')
    """
    high, low = max(high, low), min(high, low)
    return high * (high + 1) // 2 + low


def _called() -> np.ndarray:
    """True for the tiles of the called suit, bool `[10, 28]` (declaration, tile)."""
    called = np.zeros((N_DECLARATIONS, N_TILES), bool)
    for pip in range(7):
        called[pip] = (HIGH == pip) | (LOW == pip)
    called[[DOUBLES_TRUMP, DOUBLES_SUIT]] = IS_DOUBLE
    return called


def _can_follow() -> np.ndarray:
    """True for the tiles that follow a suit, bool `[10, 8, 28]` (declaration, led suit, tile)."""
    can_follow = np.zeros((N_DECLARATIONS, N_SUITS, N_TILES), bool)
    for pip in range(7):
        # A called tile does not belong to the suits of its pips: with fours as trumps the 6-4 does
        # not follow sixes.
        can_follow[:, pip] = ((HIGH == pip) | (LOW == pip)) & ~CALLED
    can_follow[:, CALLED_SUIT] = CALLED
    return can_follow


def _trick_rank() -> np.ndarray:
    """Rank of a tile in a trick, int8 `[10, 8, 28]` (declaration, led suit, tile).

    The highest rank wins. It is `16 * tier + rank in its suit`: tier 2 is a trump, tier 1 follows
    the led suit, and any other tile is 0. Inside a suit the double is highest (14), then the pip
    sum decides; among doubles the pip does.
    """
    rank = np.where(IS_DOUBLE, 14, PIP_SUM).astype(np.int8)
    doubles_rank = np.where(IS_DOUBLE, HIGH, rank).astype(np.int8)
    trick_rank = np.zeros((N_DECLARATIONS, N_SUITS, N_TILES), np.int8)
    for declaration in range(N_DECLARATIONS):
        in_suit = doubles_rank if declaration in (DOUBLES_TRUMP, DOUBLES_SUIT) else rank
        # Declaration 8 makes the doubles a suit, but they win only where doubles were led.
        trump = CALLED[declaration] & (declaration not in (DOUBLES_SUIT, NO_TRUMP))
        for suit in range(N_SUITS):
            follows = CAN_FOLLOW[declaration, suit]
            tier = np.where(trump, 2, np.where(follows, 1, 0))
            trick_rank[declaration, suit] = np.where(tier > 0, 16 * tier + in_suit, 0)
    return trick_rank


def _as_bits(flags: np.ndarray) -> np.ndarray:
    """Flags of the 28 tiles in the last axis as bits of a uint32, bit t for tile t."""
    return (flags.astype(np.uint32) << np.arange(N_TILES, dtype=np.uint32)).sum(-1, np.uint32)


CALLED = _called()
# int8 [10, 28] (declaration, tile): the suit that must be followed when the tile is led.
LED_SUIT = np.where(CALLED, CALLED_SUIT, HIGH).astype(np.int8)
CAN_FOLLOW = _can_follow()
TRICK_RANK = _trick_rank()
FOLLOWERS = _as_bits(CAN_FOLLOW[np.arange(N_DECLARATIONS)[:, None], LED_SUIT])
"""uint32 `[10, 28]` (declaration, led tile): bit t is 1 if tile t follows."""
