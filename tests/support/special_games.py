"""Random games of the special contracts, and their rules as a person would say them."""

import random

from hypothesis import strategies as st

from zebjax import special, tiles
from zebjax.position import Bid, Position, four

DECLARATIONS = (special.NELLO, special.NELLO_DOUBLES, special.SEVENS)
PIPS = [tuple(map(int, name.split("-"))) for name in tiles.TILE_NAMES]


def ids(text):
    """Tile ids of names with spaces between."""
    return tuple(tiles.TILE_NAMES.index(name) for name in text.split())


def suit_led(declaration, tile):
    """The suit of a led tile: a pip, or "doubles"."""
    high, low = PIPS[tile]
    return "doubles" if declaration == special.NELLO_DOUBLES and high == low else high


def follows(declaration, suit, tile):
    high, low = PIPS[tile]
    if declaration == special.NELLO_DOUBLES and high == low:
        return suit == "doubles"
    return suit in (high, low)


def strength(declaration, suit, tile):
    """Higher wins; by the words of the rules and not by the tables of `tiles`."""
    high, low = PIPS[tile]
    if declaration == special.SEVENS:
        return -abs(high + low - 7)
    if not follows(declaration, suit, tile):
        return -1
    if suit == "doubles":
        return high
    return 7 if high == low else high + low - suit


def may_play(declaration, trick, hand):
    if declaration == special.SEVENS:
        best = min(abs(sum(PIPS[tile]) - 7) for tile in hand)
        return [tile for tile in hand if abs(sum(PIPS[tile]) - 7) == best]
    if not trick:
        return list(hand)
    suit = suit_led(declaration, trick[0])
    return [tile for tile in hand if follows(declaration, suit, tile)] or list(hand)


def deal(rng):
    left = list(range(tiles.N_TILES))
    rng.shuffle(left)
    return four(tuple(left[7 * seat : 7 * seat + 7]) for seat in range(4))


def random_game(rng, declaration, plies=28, marks=1):
    """Play random legal tiles by the rules above alone; `rng` is a random.Random."""
    hands, bidder = deal(rng), rng.randrange(4)
    order = [(bidder + step) % 4 for step in range(4)]
    if declaration != special.SEVENS:
        order.remove((bidder + 2) % 4)
    left, leader, trick, plays = [list(hand) for hand in hands], bidder, [], []
    for _ in range(min(plies, 7 * len(order))):
        at = (order.index(leader) + len(trick)) % len(order)
        tile = rng.choice(may_play(declaration, trick, left[order[at]]))
        left[order[at]].remove(tile)
        trick.append(tile)
        plays.append(tile)
        if len(trick) == len(order):
            suit = suit_led(declaration, trick[0])
            values = [strength(declaration, suit, each) for each in trick]
            leader = order[(order.index(leader) + values.index(max(values))) % len(order)]
            trick = []
    return Position(hands, declaration, bidder, tuple(plays), Bid(bidder, 42, marks))


@st.composite
def games(draw, plies=28):
    """Games of nello and sevens, finished or not."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    declaration, marks = draw(st.sampled_from(DECLARATIONS)), draw(st.integers(1, 7))
    return random_game(rng, declaration, draw(st.integers(0, plies)), marks)
