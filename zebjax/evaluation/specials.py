"""Deals of nello between two players, each played twice: once A bids it and once B does.

`game` does not know nello, so these games are played one by one on the host, as at a table. There
is no such match of sevens, where no choice changes a trick; and a plunge or splash is a bid, after
which a game of `contracts` follows.
"""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from zebjax import bidding, special, tiles
from zebjax.evaluation import matches
from zebjax.players import Player
from zebjax.players import special as exact
from zebjax.players.base import FORFEIT
from zebjax.position import Bid, Position, four


@dataclasses.dataclass(frozen=True)
class Nello:
    """What is played."""

    declaration: int
    """`special.NELLO` or `special.NELLO_DOUBLES`."""
    marks: int = 1
    worlds: int = 50
    """Of P(make), which chooses the bidder."""


def playing(player: Player) -> Player:
    """The player; if it does not play nello, one that plays nello by E[Q], as at a table."""
    if player.choose_special is not None:
        return player
    return dataclasses.replace(player, choose_special=exact.choose)


def check_players(*contenders: Player) -> None:
    """Raise ValueError for a player that does not play nello."""
    for player in contenders:
        if player.choose_special is None:
            raise ValueError(
                f"player {player.spec!r} does not play nello; expected random, eq:n=N or ext"
            )


def deal(hands: np.ndarray, seed: list[int], what: Nello) -> Position:
    """Begin the game of one deal. The seat whose P(make) is highest bids, as after an auction.

    Args:
        hands: int `[4, 7]`.
        seed: of the worlds of P(make).
        what: the contract.
    """
    held = four(tuple(map(int, hand)) for hand in hands)
    number = number_of(seed, tiles.N_TILES)
    chances = [exact.p_make(hand, what.declaration, number, what.worlds) for hand in held]
    bidder = int(np.argmax(chances))
    bid = Bid(bidder, tiles.TOTAL_POINTS, what.marks)
    return Position(held, what.declaration, bidder, bid=bid)


def is_made(start: Position, sides: tuple[Player, Player], seed: list[int]) -> bool:
    """Play a game until nello or sevens is made or set.

    Args:
        start: a game without plays. In sevens nobody is asked: no choice there changes a trick.
        sides: the players of the bidder, and of the two others.
        seed: with the ply it gives the seed of a decision.

    Returns:
        True if it is made. A side that forfeits has lost.

    Raises:
        ValueError: if a player does not play nello, or chooses a tile that may not be played.
    """
    is_asked = special.is_nello(start.declaration)
    if is_asked:
        check_players(*sides)
    here = start
    while bidding.winner(here) is None:
        tile = here.legal[0]
        if is_asked and len(here.legal) > 1:
            side = (here.mover - start.leader) % 2
            choose = sides[side].choose_special
            assert choose is not None
            tile = choose(here.seen_by(here.mover), number_of(seed, len(here.plays)))
            if tile == FORFEIT:
                return side == 1
            if tile not in here.legal:
                raise ValueError(f"player {sides[side].spec!r} has chosen no legal tile")
        here = here.play(tile)
    return bidding.result(here) == bidding.MADE


def number_of(seed: list[int], place: int) -> int:
    """One number for one place of a seed: a ply, a seat, a draw of worlds."""
    return int(np.random.SeedSequence([*seed, place]).generate_state(1)[0])


def play_deals(
    players: tuple[Player, Player],
    key: jax.Array,
    first: int,
    n_deals: int,
    what: Nello,
    on_deal: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Play deals of a match, each twice; hands and bidders do not depend on `n_deals`.

    Args:
        players: A and B.
        key: the match's random key.
        first: number of the first deal.
        n_deals: number of deals.
        what: the contract.
        on_deal: called with the number of deals done.

    Returns:
        int32 `[n_deals, 2]` as from `contracts.play_deals`: A's points minus B's, where A's team
        bids and where B's team bids. Points stand for the contract: 42 to 0 if the bidder makes it,
        else 0 to 42.
    """
    a, b = players
    states, _ = matches.deal_twice(key, first, n_deals)
    match_seed = np.asarray(jax.random.key_data(key)).tolist()
    margins = np.zeros((n_deals, 2), np.int32)
    for row, hands in enumerate(np.asarray(states.hands)[:n_deals]):
        seed = [*match_seed, first + row]
        start = deal(hands, seed, what)
        for column, (sides, sign) in enumerate((((a, b), 1), ((b, a), -1))):
            bidder_wins = 1 if is_made(start, sides, seed) else -1
            margins[row, column] = sign * bidder_wins * tiles.TOTAL_POINTS
        if on_deal is not None:
            on_deal(row + 1)
    return margins


def declaration_of(name: str) -> int:
    """The declaration of a contract's name.

    Raises:
        ValueError: unless it is `nello` or `nello-doubles`.
    """
    declaration = special.OF_OPTION.get(name, -1)
    if not special.is_nello(declaration):
        raise ValueError(f"special: expected nello or nello-doubles, got {name!r}")
    return declaration
