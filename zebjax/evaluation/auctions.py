"""The auction of one hand of a whole game, as at a table; every seat follows the same bidder."""

from typing import NamedTuple

import numpy as np

from zebjax import special, tiles
from zebjax.bidding import Bidding, Seen
from zebjax.evaluation.specials import number_of
from zebjax.players.auction import Bidder
from zebjax.position import Bid

USUAL = "usual"
"""Name of a contract with one of the nine declarations of real 42."""


class Agreed(NamedTuple):
    """What the auction of a hand has led to."""

    bid: Bid
    declaration: int
    """0..12, see `special`."""
    leader: int
    """The seat that has declared: the bidder, after a plunge or splash its partner."""
    kind: str
    """`special.PLUNGE`, `special.SPLASH`, or nothing."""

    @property
    def name(self) -> str:
        """`USUAL`, or the name of the contract among `bids.OPTIONS`."""
        return self.kind or _OPTION_OF.get(self.declaration, USUAL)

    @property
    def is_plain(self) -> bool:
        """True for a game of tricks and points, of which `game` knows the rules."""
        return not special.is_special(self.declaration)


_OPTION_OF = {declaration: option for option, declaration in special.OF_OPTION.items()}


def hold(
    hands: np.ndarray, dealer: int, bidder: Bidder, options: tuple[str, ...], seed: list[int]
) -> Agreed:
    """Hold one round of bids, and let the highest bidder or its partner declare.

    Args:
        hands: tile ids `[4, 7]`. A seat knows its own hand and what was said.
        dealer: the seat that speaks last.
        bidder: bids and declares for all seats.
        options: what is allowed beside the plain game, of `bids.OPTIONS`.
        seed: with the seat it gives the seed of the worlds of P(make).
    """
    held = [tuple(map(int, hand)) for hand in hands]
    said = Bidding(int(dealer), options=options)
    while not said.is_over:
        seen = Seen(held[said.turn], said)
        said = seen.call(bidder.call(seen, number_of(seed, said.turn)))
    assert said.winner is not None
    leader = said.declarer
    # Other numbers than those of the bids, as at a table.
    declaration = bidder.declare(
        Seen(held[leader], said), number_of(seed, tiles.N_PLAYERS + leader)
    )
    return Agreed(said.winner, declaration, leader, said.kind)
