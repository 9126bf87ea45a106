"""Bids and declarations at a table with special contracts, by P(make) of each; see `special`."""

import dataclasses
from typing import NamedTuple

import numpy as np

from zebjax import bidding, contract, solver, special, tiles
from zebjax.bidding import Call, Seen
from zebjax.players import auction
from zebjax.players import special as player
from zebjax.players.auction import Bidder
from zebjax.position import Hand
from zebjax.small import batch
from zebjax.small.network import Net

_PARTNER = [2, 3, 0, 1]
"""Seats as the partner of seat 0 counts them."""
_DRAWS = 40
"""Worlds that are dealt for each one with enough doubles in the bidder's hand."""
_TRIES = 50


class Offer(NamedTuple):
    """A special contract that a hand may bid or name."""

    name: str
    """`plunge`, `splash`, or the name of the declaration."""
    call: Call
    """The lowest call with which it can be had."""
    p_make: float

    @property
    def mean_marks(self) -> float:
        """Mean marks won: those of the call if it is made, less those if it is set."""
        assert self.call is not None
        return self.call[1] * (2 * self.p_make - 1)


def p_make_for_partner(
    hand: Hand, n: int, rng: np.random.Generator, policy: Net | None = None
) -> float:
    """P(make) of a plunge or splash: the share of n worlds in which its team takes all points.

    The partner declares by its pips (`contract.declare_by_pips`) and leads. With a policy it leads
    as the policy does, and all play by it; with exact solutions it may lead what is best in each
    world, which is far more than it knows at a table.

    Args:
        hand: of the seat that plunges.
        n: worlds.
        rng: the source of all randomness.
        policy: see `auction.policy_of`.
    """
    worlds = auction.sample_worlds(np.array([hand], np.int8), n, rng)[0][:, _PARTNER]
    declarations = np.array([contract.declare_by_pips(world[0]) for world in worlds])
    states = auction.starts(worlds, declarations)
    if policy is None:
        return float(solver.at_least(states, np.full(n, tiles.TOTAL_POINTS)).any(1).mean())
    seeds = rng.integers(2**64, size=n, dtype=np.uint64)
    leads = batch.choose(policy, batch.read(states), seeds, 0.0)
    points = auction.points_by_lead(states, policy, rng, None)
    return float((points[np.arange(n), leads] >= tiles.TOTAL_POINTS).mean())


def worlds_of_partner(hand: Hand, kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Deal n worlds in which the partner holds the doubles of its plunge or splash.

    Args:
        hand: of the seat that declares.
        kind: of the bid.
        n: worlds.
        rng: the source of all randomness.

    Returns:
        int8 `[m, 4, 7]` with m from 1 to n, the hand at seat 0.

    Raises:
        ValueError: if no such world is found; the table would not have allowed the bid.
    """
    parts: list[np.ndarray] = []
    for _ in range(_TRIES):
        dealt = auction.sample_worlds(np.array([hand], np.int8), n * _DRAWS, rng)[0]
        enough = tiles.IS_DOUBLE[dealt[:, 2]].sum(1) >= special.DOUBLES_NEEDED[kind]
        parts.append(dealt[enough])
        if sum(map(len, parts)) >= n:
            break
    worlds = np.concatenate(parts)[:n]
    if len(worlds) == 0:
        raise ValueError(f"auction: no partner of this hand has the doubles of a {kind}")
    return worlds


def declare_for_partner(
    hand: Hand, kind: str, n: int, rng: np.random.Generator
) -> tuple[int, float]:
    """Choose trump after the partner's plunge or splash: the one that takes all points most often.

    Arguments and errors are those of `worlds_of_partner`.

    Returns:
        The declaration, one of the nine, and its P(make).
    """
    worlds = worlds_of_partner(hand, kind, n, rng)
    size, n_declarations = len(worlds), len(contract.DECLARATIONS)
    # Axes: declaration, world.
    states = auction.starts(
        np.tile(worlds, (n_declarations, 1, 1)), np.repeat(contract.DECLARATIONS, size)
    )
    enough = solver.at_least(states, np.full(len(states.ply), tiles.TOTAL_POINTS))
    made = enough.reshape(1, n_declarations, size, -1).sum(2)
    row = int(auction.best_rows(made, size)[0])
    return contract.DECLARATIONS[row], float(made[0, row].max() / size)


def offers(seen: Seen, seed: int, n: int, by: str = auction.BY) -> list[Offer]:
    """The special contracts that a hand may bid now, or name after a won bid, with their P(make).

    Args:
        seen: the round may be over; then what may be declared counts.
        seed: of the worlds.
        n: worlds of each.
        by: plays a plunge or splash out, see `auction.policy_of`.
    """
    said, made = seen.bidding, list[Offer]()
    calls = [call for call in seen.allowed if call is not None and bidding.kind_of(call)]
    if calls:
        rng = np.random.default_rng([seed, special.N_DECLARATIONS])
        p_make = p_make_for_partner(seen.hand, n, rng, auction.policy_of(by))
        made += [Offer(bidding.kind_of(call), call, p_make) for call in calls]
    if said.is_over:
        assert said.winner is not None
        call, named = (said.winner.points, said.winner.marks), said.declarations
    else:
        marks = [
            each for each in seen.allowed if each is not None and each[0] == tiles.TOTAL_POINTS
        ]
        plain = [each for each in marks if not bidding.kind_of(each)]
        if not plain:
            return made
        call = plain[0][:2]
        named = tuple(
            special.OF_OPTION[option] for option in said.options if option in special.OF_OPTION
        )
    for declaration in named:
        if special.is_special(declaration):
            p_make = player.p_make(seen.hand, declaration, seed, n)
            made.append(Offer(special.DECLARATION_NAMES[declaration], call, p_make))
    return made


@dataclasses.dataclass(frozen=True)
class SpecialBidder(Bidder):
    """A `Bidder` that also considers the special contracts of its table; elsewhere it is the same.

    Of all bids with P(make) of `theta` or more it makes the one with the most mean marks.
    """

    def call(self, seen: Seen, seed: int) -> Call:
        """As `Bidder.call`, or a plunge, a splash, or the lowest bid of 42 or marks."""
        usual, p_make = self.offer(seen, seed)
        if not seen.bidding.options or auction.is_partners(seen.bidding):
            return usual
        found = [
            each for each in offers(seen, seed, self.worlds, self.by) if each.p_make >= self.theta
        ]
        if usual is not bidding.PASS and p_make >= self.theta:
            found.insert(0, Offer("", usual, p_make))
        return max(found, key=lambda each: each.mean_marks).call if found else usual

    def declare(self, seen: Seen, seed: int) -> int:
        """As `Bidder.declare`; after a plunge or splash `declare_for_partner`; nello or sevens if
        its P(make) is higher than that of the best trump.
        """
        said = seen.bidding
        if said.kind:
            rng = np.random.default_rng([seed, tiles.TOTAL_POINTS])
            return declare_for_partner(seen.hand, said.kind, self.worlds, rng)[0]
        found = offers(seen, seed, self.worlds, self.by)
        if not found:
            return super().declare(seen, seed)
        assert said.winner is not None
        usual, p_make = self.best(seen, said.winner.points, seed)
        best = max(found, key=lambda each: each.p_make)
        return special.DECLARATION_NAMES.index(best.name) if best.p_make > p_make else usual
