"""Which renamings of the pips leave the game what it is: none, as NOTES says."""

import itertools

import numpy as np

from zebjax import tiles

COUNTS = {(5, 5): 10, (6, 4): 10, (5, 0): 5, (4, 1): 5, (3, 2): 5}
PIPS = [(high, low) for high in range(7) for low in range(high + 1)]


def renamed(pips):
    """The tile that each tile becomes, int `[28]`."""
    pairs = (sorted((pips[high], pips[low])) for high, low in PIPS)
    return np.array([high * (high + 1) // 2 + low for low, high in pairs])


def winners(declaration):
    """True where the second tile, played on the first as a lead, wins: bool `[28, 28]`."""
    led = tiles.LED_SUIT[declaration]
    ranks = tiles.TRICK_RANK[declaration, led]
    return ranks > ranks[np.arange(28), np.arange(28)][:, None]


def test_no_renaming_of_pips_keeps_the_game():
    """Twos and threes may change places as far as counts go, but not as far as ranks do."""
    assert {
        PIPS[tile]: int(n) for tile, n in enumerate(tiles.POINTS) if n
    } == COUNTS  # without the point of the trick
    keep_counts = [
        pips
        for pips in itertools.permutations(range(7))
        if (tiles.POINTS[renamed(pips)] == tiles.POINTS).all()
    ]
    assert keep_counts == [(0, 1, 2, 3, 4, 5, 6), (0, 1, 3, 2, 4, 5, 6)]
    keep_winners = []
    for pips in keep_counts:
        becomes = renamed(pips)
        declarations = [*pips, *range(7, tiles.N_DECLARATIONS)]
        if all(
            (winners(other)[np.ix_(becomes, becomes)] == winners(declaration)).all()
            for declaration, other in enumerate(declarations)
        ):
            keep_winners.append(pips)
    assert keep_winners == [(0, 1, 2, 3, 4, 5, 6)]
