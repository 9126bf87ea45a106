"""What a hand is worth in the auction: P(make) of each declaration and bid, and a bidder.

The hand's owner leads the first trick. The other three hands are sampled: before the first play
every deal of the 21 hidden tiles is equally likely. In each world every lead is played to the end
by the small network, each seat from its own view (`small.batch.rollouts`). Or it is solved exactly,
as E[Q] does (`players.exact`); that assumes that all hands are known after the lead, and promises
too much.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from zebjax import bidding, contract, game, solver, tiles
from zebjax.bidding import Call, Seen
from zebjax.players.spec import MAX_WORLDS
from zebjax.small import batch, storage
from zebjax.small.network import Net, scorer

BIDS = tuple(range(contract.MIN_BID, contract.MAX_BID + 1))
"""Bids in points, 30 to 42."""
EXACT = "exact"
"""Names exact solutions in place of a small network."""
_TEMPERATURE = 0.02
"""Of the network's play, in units of the score."""
_POSITIONS_AT_ONCE = 8192
"""Positions in one call of the solver; Ctrl-C waits for the call."""


@dataclasses.dataclass(frozen=True)
class Chances:
    """Points of a hand's team over sampled worlds, for D declarations and the 7 leads."""

    declarations: tuple[int, ...]
    counts: np.ndarray
    """int64 `[D, 7, 43]`: number of worlds in which each lead ends with 0..42 points."""

    @property
    def n_worlds(self) -> int:
        """Number of worlds."""
        return int(self.counts[0, 0].sum())

    @property
    def by_lead(self) -> np.ndarray:
        """P(make) of each declaration, lead and bid, float64 `[D, 7, 13]`."""
        at_least = self.counts[..., ::-1].cumsum(-1)[..., ::-1]
        return at_least[..., contract.MIN_BID :] / self.n_worlds

    @property
    def p_make(self) -> np.ndarray:
        """P(make) of each declaration and bid with its best lead, float64 `[D, 13]`."""
        return self.by_lead.max(1)

    @property
    def mean_points(self) -> np.ndarray:
        """Most mean points of a lead, float64 `[D]`."""
        return (self.counts @ np.arange(tiles.TOTAL_POINTS + 1)).max(1) / self.n_worlds

    def best(self, bid: int) -> tuple[int, int, float]:
        """Return the best declaration for a bid, its best lead (a slot), and P(make).

        On ties the more mean points decide.
        """
        column = self.by_lead[..., bid - contract.MIN_BID]
        points = self.counts @ np.arange(tiles.TOTAL_POINTS + 1)
        ties = np.where(column == column.max(), points, -1)
        row, slot = np.unravel_index(int(ties.argmax()), ties.shape)
        return self.declarations[row], int(slot), float(column.max())


def highest_bid(chances: Chances, theta: float) -> tuple[int, int, float] | None:
    """Return the highest bid with P(make) of `theta` or more, its declaration and P(make).

    None if even 30 is less likely.
    """
    for bid in reversed(BIDS):
        declaration, _, p_make = chances.best(bid)
        if p_make >= theta:
            return bid, declaration, p_make
    return None


def is_partners(said: bidding.Bidding) -> bool:
    """True if the highest bid so far is that of the partner of the seat to speak."""
    high = said.high
    return high is not None and high.seat == (said.turn + 2) % tiles.N_PLAYERS


@functools.cache
def policy_of(by: str) -> Net | None:
    """Return what plays the hands out.

    Args:
        by: path of a small network, `small` for the bundled one, or `EXACT`.

    Returns:
        Its policy; None for exact solutions.

    Raises:
        ValueError: if there is no network at the path.
    """
    return None if by == EXACT else scorer(storage.load(by))


def check_hands(hands: np.ndarray) -> np.ndarray:
    """Return hands as int8 `[H, 7]`.

    Raises:
        ValueError: unless each hand is seven different tile ids.
    """
    hands = np.asarray(hands)
    if hands.ndim != 2 or hands.shape[1] != tiles.HAND_SIZE or hands.dtype.kind not in "iu":
        raise ValueError(f"hands: expected integers of shape (H, 7), got {hands.shape}")
    for hand in hands:
        if len(set(hand.tolist())) < tiles.HAND_SIZE or not 0 <= hand.min() <= hand.max() < 28:
            raise ValueError(f"hand: expected 7 different tile ids 0..27, got {hand.tolist()}")
    return hands.astype(np.int8)


def sample_worlds(hands: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Deal the hidden tiles of each hand n times.

    Args:
        hands: int8 `[H, 7]`, see `check_hands`.
        n: worlds per hand.
        rng: the source of all randomness.

    Returns:
        int8 `[H, n, 4, 7]`, the hand itself at seat 0.
    """
    if not 1 <= n <= MAX_WORLDS:
        raise ValueError(f"n: expected 1 to {MAX_WORLDS:,} worlds, got {n}")
    others = np.array([np.setdiff1d(np.arange(tiles.N_TILES), hand) for hand in hands], np.int8)
    dealt = rng.permuted(np.repeat(others[:, None], n, 1), axis=2)
    own = np.repeat(hands[:, None], n, 1)
    return np.concatenate([own, dealt], 2).reshape(len(hands), n, tiles.N_PLAYERS, -1)


def starts(hands: np.ndarray, declarations: np.ndarray) -> game.GameState:
    """Return new games that seat 0 leads: hands `[N, 4, 7]`, declarations `[N]`; NumPy arrays."""
    n = len(hands)
    trick_leaders = np.full((n, tiles.N_TRICKS), -1, np.int8)
    trick_leaders[:, 0] = 0
    return game.GameState(
        hands=hands,
        declaration=declarations.astype(np.int8),
        leader=np.zeros(n, np.int8),
        played=np.zeros((n, 4, 7), bool),
        history=np.full((n, game.N_PLIES), -1, np.int8),
        trick_leaders=trick_leaders,
        ply=np.zeros(n, np.int8),
        points=np.zeros((n, 2), np.int8),
    )


def points_by_lead(
    states: game.GameState, policy: Net | None, rng: np.random.Generator, threads: int | None
) -> np.ndarray:
    """Return the points of the first leader's team with each lead, `[N, 7]`."""
    if policy is None:
        return solver.solve(states, threads)
    seeds = rng.integers(2**64, size=len(states.ply), dtype=np.uint64)
    return batch.rollouts(
        batch.Policies(policy, policy), batch.read(states), seeds, _TEMPERATURE, threads
    )


def chances(
    hand: np.ndarray,
    n: int,
    rng: np.random.Generator,
    policy: Net | None,
    declarations: Sequence[int] = contract.DECLARATIONS,
    threads: int | None = None,
) -> Chances:
    """Play every lead of a hand out in n worlds, for each declaration in the same worlds.

    Args:
        hand: integers `[7]`, tile ids.
        n: number of worlds, 1..100,000.
        rng: the source of all randomness.
        policy: see `policy_of`.
        declarations: those to try.
        threads: as for `solver.solve`.

    Raises:
        ValueError: for a hand that does not exist, or n out of range.
    """
    worlds = sample_worlds(check_hands(np.asarray(hand)[None]), n, rng)[0]
    return chances_in(worlds, rng, policy, declarations, threads)


def chances_in(
    worlds: np.ndarray,
    rng: np.random.Generator,
    policy: Net | None,
    declarations: Sequence[int] = contract.DECLARATIONS,
    threads: int | None = None,
) -> Chances:
    """As `chances`, in worlds that the caller has dealt: int8 `[n, 4, 7]`, the hand at seat 0."""
    n = len(worlds)
    counts = np.zeros((len(declarations), tiles.HAND_SIZE, tiles.TOTAL_POINTS + 1), np.int64)
    for row, declaration in enumerate(declarations):
        for start in range(0, n, _POSITIONS_AT_ONCE):
            some = worlds[start : start + _POSITIONS_AT_ONCE]
            states = starts(some, np.full(len(some), declaration))
            points = points_by_lead(states, policy, rng, threads)
            for slot in range(tiles.HAND_SIZE):
                counts[row, slot] += np.bincount(
                    points[:, slot].astype(np.int64), minlength=tiles.TOTAL_POINTS + 1
                )
    return Chances(tuple(declarations), counts)


def count_makes(
    hands: np.ndarray,
    bids: np.ndarray,
    n: int,
    rng: np.random.Generator,
    policy: Net | None,
    declarations: Sequence[int] = contract.DECLARATIONS,
) -> np.ndarray:
    """Count the worlds in which each declaration and lead makes one bid.

    With exact solutions it is the count that `chances` gives, in about a fifth of the time.

    Args:
        hands: integers `[H, 7]`, tile ids.
        bids: integers `[H]`, points.
        n: worlds per hand.
        rng: the source of all randomness.
        policy: see `policy_of`.
        declarations: those to try, in the same worlds.

    Returns:
        int64 `[H, D, 7]`.

    Raises:
        ValueError: as `chances`.
    """
    hands, n_declarations = check_hands(hands), len(declarations)
    made = np.zeros((len(hands), n_declarations, tiles.HAND_SIZE), np.int64)
    at_once = max(1, _POSITIONS_AT_ONCE // (n * n_declarations))
    for start in range(0, len(hands), at_once):
        worlds = sample_worlds(hands[start : start + at_once], n, rng)
        size = len(worlds)
        # Axes: hand, declaration, world.
        states = starts(
            np.repeat(worlds[:, None], n_declarations, 1).reshape(-1, 4, 7),
            np.tile(np.repeat(declarations, n), size),
        )
        need = np.repeat(np.asarray(bids)[start : start + size], n * n_declarations)
        if policy is None:
            enough = solver.at_least(states, need.astype(np.int64))
        else:
            enough = points_by_lead(states, policy, rng, None) >= need[:, None]
        made[start : start + size] = enough.reshape(size, n_declarations, n, -1).sum(2)
    return made


def best_rows(made: np.ndarray, n: int) -> np.ndarray:
    """Return the row of each hand's best declaration, int64 `[H]`.

    It has the lead that makes the bid in most worlds; on ties the more worlds summed over all leads
    decide, then the lower row.

    Args:
        made: integers `[H, D, 7]`, from `count_makes`.
        n: number of worlds.
    """
    return (made.max(2) * (tiles.HAND_SIZE * n + 1) + made.sum(2)).argmax(1)


def declare(
    hands: np.ndarray,
    bids: np.ndarray,
    n: int,
    rng: np.random.Generator,
    policy: Net | None,
    declarations: Sequence[int] = contract.DECLARATIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the declaration with the highest P(make) for the bid of each hand, see `best_rows`.

    Arguments and errors are those of `count_makes`.

    Returns:
        Declarations, int8 `[H]`, and P(make), float64 `[H]`.
    """
    made = count_makes(hands, bids, n, rng, policy, declarations)
    return np.asarray(declarations, np.int8)[best_rows(made, n)], made.max((1, 2)) / n


THETA, WORLDS, BY = 0.5, 50, storage.BUNDLED_NAME
"""Those of a bidder, unless its user chooses."""


@dataclasses.dataclass(frozen=True)
class Bidder:
    """The rule by which a seat bids and declares; it knows its own hand and the bids."""

    theta: float = THETA
    """The least P(make) to bid with, 0 to 1."""
    worlds: int = WORLDS
    """Per declaration."""
    by: str = BY
    """See `policy_of`."""

    def call(self, seen: Seen, seed: int) -> Call:
        """Bid one point more than the last bid, or 30, if P(make) is `theta` or more; else pass.

        A bid of 42 or of marks is never raised, and no bid of the partner: the team has the
        contract already. The dealer bids 30 if all others have passed.

        Args:
            seen: the round must be open for a bid.
            seed: of the worlds.
        """
        return self.offer(seen, seed)[0]

    def offer(self, seen: Seen, seed: int) -> tuple[Call, float]:
        """The `call`, and its P(make); 0 for a pass and for a bid that is forced."""
        high = seen.bidding.high
        points = contract.MIN_BID if high is None else high.points + 1
        if bidding.PASS not in seen.bidding.allowed:
            return bidding.LOWEST, 0.0
        if points > contract.MAX_BID or is_partners(seen.bidding):
            return bidding.PASS, 0.0
        _, p_make = self.best(seen, points, seed)
        return ((points, 1), p_make) if p_make >= self.theta else (bidding.PASS, 0.0)

    def declare(self, seen: Seen, seed: int) -> int:
        """Choose the declaration with the highest P(make) for the contract, see `declare`.

        Args:
            seen: the hand of the highest bidder; the round must be over.
            seed: of the worlds.
        """
        bid = seen.bidding.winner
        assert bid is not None
        return self.best(seen, bid.points, seed)[0]

    def best(self, seen: Seen, points: int, seed: int) -> tuple[int, float]:
        """The declaration of the nine with the highest P(make) of a bid, and that P(make)."""
        rng = np.random.default_rng([seed, points])
        hands, points_of = np.array([seen.hand]), np.array([points])
        found, p_make = declare(hands, points_of, self.worlds, rng, policy_of(self.by))
        return int(found[0]), float(p_make[0])
