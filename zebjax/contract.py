"""The contract of real 42: a seat bids, chooses the declaration, leads, and must make its bid.

A game with a contract is another game than one without: its value is `VALUE`, +1 for the team that
makes or sets, and not the more points won. A state (`game.GameState`) is the same in both, so the
contract is kept beside it. Contracts may be device arrays or NumPy arrays, with any leading axes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, tiles
from zebjax.bidding import DECLARATIONS as DECLARATIONS
from zebjax.common.arrays import Array, Scalar
from zebjax.common.bids import MAX_BID as MAX_BID
from zebjax.common.bids import MAX_MARKS as MAX_MARKS
from zebjax.common.bids import MIN_BID as MIN_BID

VALUE = "make/set"
"""Name of this game's value in files and results; without a contract it is the points won."""


class Contract(NamedTuple):
    """One contract; many with leading axes. Every field is an integer."""

    bidder: Array
    """The seat 0..3 that bid highest; it chooses the declaration and leads the first trick."""
    declaration: Array
    """0..9, see `tiles`."""
    bid: Array
    """30..42, the points that the bidder's team must take. A bid of marks is one of 42 points."""
    marks: Array
    """1..7, the marks that the hand is worth; only a bid of 42 can be worth more than 1."""


def of(bidder: int, declaration: int, bid: int = MIN_BID, marks: int = 1) -> Contract:
    """Make one contract of int8 NumPy arrays.

    Raises:
        ValueError: as `check`.

    >>> of(bidder=2, declaration=6, bid=31).bid.item()
    31
    """
    made = Contract(*(np.asarray(value) for value in (bidder, declaration, bid, marks)))
    check(made)
    return Contract(*(field.astype(np.int8) for field in made))


def check(contract: Contract) -> None:
    """Check contracts of NumPy arrays.

    Raises:
        ValueError: the message names the field, and the expected and the given value.
    """
    for name, low, high in (
        ("bidder", 0, tiles.N_PLAYERS - 1),
        ("declaration", 0, tiles.N_DECLARATIONS - 1),
        ("bid", MIN_BID, MAX_BID),
        ("marks", 1, MAX_MARKS),
    ):
        field = np.asarray(getattr(contract, name))
        if field.dtype.kind not in "iu" or field.shape != np.shape(contract.bidder):
            raise ValueError(
                f"{name}: expected integers of shape {np.shape(contract.bidder)}, got "
                f"{field.dtype} of shape {field.shape}"
            )
        if len(outside := field[(field < low) | (field > high)]):
            raise ValueError(f"{name}: expected an integer {low}..{high}, got {outside[0]}")
    points = np.asarray(contract.bid)
    if len(wrong := points[(np.asarray(contract.marks) > 1) & (points < MAX_BID)]):
        raise ValueError(f"bid: expected {MAX_BID} points for 2 marks or more, got {wrong[0]}")


def check_game(contract: Contract, declaration: Any, leader: Any) -> None:
    """Check that games are those of their contracts.

    Args:
        contract: contracts with any leading axes, as `check` accepts them.
        declaration: the games', with the same axes.
        leader: the games', with the same axes.

    Raises:
        ValueError: if a game has another declaration, or its first leader is not the bidder.
    """
    for name, field, expected in (
        ("declaration", contract.declaration, declaration),
        ("bidder", contract.bidder, leader),
    ):
        ours, theirs = np.atleast_1d(field), np.atleast_1d(expected)
        if len(wrong := np.argwhere(ours != theirs)):
            place = tuple(wrong[0])
            what = "leader of the first trick" if name == "bidder" else name
            raise ValueError(
                f"{name}: expected the game's {what}, {theirs[place]}, got {ours[place]}"
            )


def new_game(hands: Array, contract: Contract) -> game.GameState:
    """Start the game of one contract.

    Args:
        hands: integers `[4, 7]`, as for `game.new_game`.
        contract: one contract.

    Raises:
        ValueError: as `game.new_game`.
    """
    return game.new_game(hands, contract.declaration, contract.bidder)


def needs(contract: Contract, seat: Any) -> Array:
    """Return the points with which the team of `seat` wins the contract.

    It is the bid for the bidder's team; the other team sets it as soon as the bid is out of reach.

    Args:
        contract: one contract, or many with leading axes.
        seat: seats 0..3, with the same axes.

    >>> int(needs(of(bidder=0, declaration=9, bid=32), 2)), int(needs(of(0, 9, 32), 1))
    (32, 11)
    """
    xp = np if isinstance(contract.bid, np.ndarray) and not isinstance(seat, jax.Array) else jnp
    ours = contract.bidder % 2 == seat % 2
    # In int32, because int8 has no room above 127 for sums of callers.
    bid = contract.bid.astype(xp.int32)
    return xp.where(ours, bid, tiles.TOTAL_POINTS + 1 - bid)


def outcome(state: game.GameState, contract: Contract, player: Scalar) -> jax.Array:
    """Value of the points on the table for `player`'s team, float32.

    Args:
        state: one game, finished or not.
        contract: its contract.
        player: seat 0..3.

    Returns:
        +1 if the team has made or set the contract, -1 if the other team has, 0 if it is open; at
        the end never 0.
    """
    team = player % 2
    points = game.points(state)
    won = points[team] >= needs(contract, team)
    lost = points[1 - team] >= needs(contract, 1 - team)
    return won.astype(jnp.float32) - lost.astype(jnp.float32)


def made(contract: Contract, points: np.ndarray) -> np.ndarray:
    """True where the bidder's team has made its bid.

    Args:
        contract: `[n]` contracts, NumPy arrays.
        points: integers `[n, 2]`, points by team.
    """
    team = np.asarray(contract.bidder, np.intp) % 2
    return points[np.arange(len(team)), team] >= np.asarray(contract.bid)


def declare_by_pips(hand: np.ndarray) -> int:
    """Choose a declaration by the pips of a hand alone.

    It is the suit with the most tiles, of the seven pips and the doubles; then one with its highest
    double; then the one with the most pips; then the higher one. It never declares no trump.

    Args:
        hand: integers `[7]`, tile ids.

    Returns:
        The declaration, 0..7.

    >>> declare_by_pips(np.array([tiles.tile_id(6, low) for low in range(7)]))
    6
    """
    hand = np.asarray(hand)

    def strength(declaration: int) -> tuple[int, bool, int, int]:
        suit = hand[tiles.CALLED[declaration, hand]]
        pip = min(declaration, 6)  # the highest double is a trump of doubles, too
        return len(suit), tiles.tile_id(pip, pip) in suit, int(tiles.PIP_SUM[suit].sum()), pip

    return max(range(tiles.DOUBLES_TRUMP + 1), key=strength)
