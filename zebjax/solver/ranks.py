"""The rules as bit masks over ranks.

The rank of a tile is its number 0..27 in an order in which, within every suit, the higher tile
wins. A set of tiles is an int with bit `rank` set for each tile. The order of a declaration is:
non-doubles by pip sum, then doubles by pip, then all trumps in the same order. It agrees with
`tiles.TRICK_RANK` in all suits at once, so the winner of a trick is the highest set bit of
`trick & WINS[declaration, led]`.
"""

import numpy as np

from zebjax import tiles

# Index of an empty suit, for tiles without a second suit (doubles and called tiles).
_NO_SUIT = tiles.N_SUITS


def _rank_of_tile() -> np.ndarray:
    """Return the rank 0..27 of each tile, int64 `[10, 28]` (declaration, tile id)."""
    rank = np.empty((tiles.N_DECLARATIONS, tiles.N_TILES), np.int64)
    for declaration in range(tiles.N_DECLARATIONS):
        trump = tiles.CALLED[declaration] & (
            declaration not in (tiles.DOUBLES_SUIT, tiles.NO_TRUMP)
        )
        order = np.lexsort((tiles.PIP_SUM, tiles.IS_DOUBLE, trump))  # the last key decides first
        rank[declaration, order] = np.arange(tiles.N_TILES)
    return rank


def _as_masks(member: np.ndarray) -> np.ndarray:
    """Convert bool `[10, ..., 28]` over tile ids to bit masks over ranks, int64 `[10, ...]`."""
    bits = np.int64(1) << RANK_OF_TILE
    bits = bits.reshape(bits.shape[0], *[1] * (member.ndim - 2), bits.shape[1])
    return np.where(member, bits, 0).sum(-1)


def _by_rank(values: np.ndarray) -> np.ndarray:
    """Reorder `[10, 28]` by tile id to an order by rank."""
    return np.take_along_axis(values, TILE_OF_RANK, 1)


def _second_suit() -> np.ndarray:
    """Return the suit that each tile follows but does not lead: its low pip; `[10, 28]`."""
    plain = ~tiles.CALLED & ~tiles.IS_DOUBLE
    return np.where(plain, tiles.LOW, _NO_SUIT)


def _suit_masks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tiles that follow each suit, those that lead it, and the trumps.

    The first two are int64 `[10, 9]`, where the last suit is `_NO_SUIT`; the trumps are `[10]`.
    """
    none = np.zeros((tiles.N_DECLARATIONS, 1, tiles.N_TILES), bool)
    suits = np.arange(tiles.N_SUITS)[:, None]
    follow = np.concatenate([tiles.CAN_FOLLOW, none], 1)
    lead = np.concatenate([tiles.LED_SUIT[:, None] == suits, none], 1)
    has_power = ~np.isin(np.arange(tiles.N_DECLARATIONS), (tiles.DOUBLES_SUIT, tiles.NO_TRUMP))
    return _as_masks(follow), _as_masks(lead), _as_masks(tiles.CALLED & has_power[:, None])


RANK_OF_TILE = _rank_of_tile()
TILE_OF_RANK = np.argsort(RANK_OF_TILE, 1)
TENS = _as_masks(np.broadcast_to(tiles.POINTS == 10, (10, 28)))  # [10]
FIVES = _as_masks(np.broadcast_to(tiles.POINTS == 5, (10, 28)))
_FOLLOW, _LEAD, TRUMPS = _suit_masks()

_SUIT, _SECOND = _by_rank(tiles.LED_SUIT.astype(np.int64)), _by_rank(_second_suit())
# All int64 [10, 28] by (declaration, rank of a tile):
FOLLOWS = np.take_along_axis(_FOLLOW, _SUIT, 1)  # tiles of the suit that it leads
WINS = FOLLOWS | TRUMPS[:, None]  # tiles that can win a trick that it leads
SECOND_LED_BY = np.take_along_axis(_LEAD, _SECOND, 1)  # tiles that lead its second suit
SECOND_FOLLOWS = np.take_along_axis(_FOLLOW, _SECOND, 1)  # tiles of its second suit
