"""Hypothesis strategies: positions of random games by the rules for one game, without JAX."""

import random

from hypothesis import strategies as st

from zebjax import position, tiles
from zebjax.position import Bid, Position, four

ANY, UNFINISHED = st.integers(0, 28), st.integers(0, 27)
NAMES = st.text("abz:=,.019- é", max_size=12).map(lambda text: " ".join(text.split()))


def random_game(rng, plies=28, bid=None):
    """Play `plies` random legal moves of a random deal; `rng` is a random.Random."""
    ids = list(range(tiles.N_TILES))
    rng.shuffle(ids)
    hands = four(tuple(ids[7 * seat : 7 * seat + 7]) for seat in range(4))
    first, declaration = rng.randrange(4), rng.randrange(10)
    left, leader, plays = [list(hand) for hand in hands], first, ()
    for ply in range(plies):
        trick = plays[ply // 4 * 4 :]
        hand = left[(leader + len(trick)) % 4]
        tile = rng.choice(position.legal_tiles(declaration, trick, hand))
        hand.remove(tile)
        plays = (*plays, tile)
        if len(trick) == 3:
            leader = position.tricks_of(declaration, leader, plays[-4:])[0].winner
    return Position(hands, declaration, first, plays, bid and bid._replace(seat=first))


@st.composite
def games(draw, plies=ANY):
    """Positions with four known hands."""
    bids = st.none() | st.builds(Bid, st.just(0), st.integers(30, 42), st.just(1))
    bids |= st.builds(Bid, st.just(0), st.just(42), st.integers(1, 7))
    # Of a seed and not drawn one by one, which takes a hundred times as long.
    return random_game(random.Random(draw(st.integers(0, 2**32))), draw(plies), draw(bids))


@st.composite
def seen(draw, plies=UNFINISHED):
    """Positions as some seats see them: each hand is known or not, the mover's is known."""
    made = draw(games(plies))
    unknown = draw(st.sets(st.integers(0, 3), max_size=4)) - {made.mover}
    hands = four(() if seat in unknown else hand for seat, hand in enumerate(made.hands))
    return Position(hands, made.declaration, made.leader, made.plays, made.bid)
