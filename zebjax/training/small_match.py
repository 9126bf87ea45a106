"""Matches of a small network: against random play, in a second, and against another one."""

import numpy as np

from zebjax import tiles
from zebjax.small import policy, rules
from zebjax.small.batch import in_threads
from zebjax.small.network import Net, new_scratch, scorer
from zebjax.solver.bounds import count, lowest
from zebjax.solver.cached_code import compiled
from zebjax.training.small_games import deal


@compiled
def play_many(
    first: int, last: int, net: Net, deals: tuple, seeds: np.ndarray, margins: np.ndarray
) -> None:
    """Kernel of `against_random`, see `batch.in_threads`."""
    hands, declaration, leader = deals
    scratch, row, seed = new_scratch(net), np.zeros(rules.SIZE, np.int64), np.zeros(1, np.uint64)
    for number in range(first, last):
        for team in range(2):
            rules.start(row, hands[number], declaration[number], leader[number])
            seed[0] = seeds[number]  # the same luck in both games
            for _ in range(28):
                legal = rules.legal_tiles(row)
                if rules.mover(row) & 1 == team:
                    if legal & (legal - 1):
                        policy.evaluate(net, row, scratch)
                    rules.play(row, policy.best(scratch.out, legal))
                else:
                    for _ in range(int(policy.uniform(seed) * count(legal))):
                        legal &= legal - 1
                    rules.play(row, lowest(legal))
            points = row[rules.POINTS + team]
            margins[number, team] = 2 * points - tiles.TOTAL_POINTS


@compiled
def play_both(
    first: int, last: int, both: policy.Policies, deals: tuple, margins: np.ndarray
) -> None:
    """Kernel of `against`, see `batch.in_threads`."""
    hands, declaration, leader = deals
    scratches, row = policy.new_scratches(both), np.zeros(rules.SIZE, np.int64)
    seed = np.zeros(1, np.uint64)  # at temperature 0 nothing is drawn
    for number in range(first, last):
        for team in range(2):
            rules.start(row, hands[number], declaration[number], leader[number])
            policy.follow(both, row, scratches, team, 0.0, seed)
            points = row[rules.POINTS + team]
            margins[number, team] = 2 * points - tiles.TOTAL_POINTS


def against(net: Net, other: Net, n_deals: int, seed: tuple[int, ...], threads: int) -> np.ndarray:
    """Play paired deals against another network; both play their best moves.

    Args:
        net: it has 56 outputs.
        other: its opponent, as well.
        n_deals: number of deals.
        seed: of the deals.
        threads: as for `against_random`.

    Returns:
        As `against_random`.
    """
    hands, declaration, leader, _ = deal(n_deals, seed)
    margins = np.zeros((n_deals, 2), np.int8)
    both = policy.Policies(scorer(net), scorer(other))
    in_threads(play_both, n_deals, (both, (hands, declaration, leader), margins), threads, piece=50)
    return margins


def against_random(net: Net, n_deals: int, seed: tuple[int, ...], threads: int) -> np.ndarray:
    """Play paired deals, each twice with the teams swapped, against uniformly random moves.

    Args:
        net: plays its best move; it has 56 outputs.
        n_deals: number of deals.
        seed: of deals and play.
        threads: number of threads; they do not change the result.

    Returns:
        int8 `[n_deals, 2]`, the network's points minus the others', see `matches.pair_scores`.
    """
    hands, declaration, leader, seeds = deal(n_deals, seed)
    margins = np.zeros((n_deals, 2), np.int8)
    deals = (hands, declaration, leader)
    in_threads(play_many, n_deals, (scorer(net), deals, seeds, margins), threads, piece=50)
    return margins
