"""Labelled self-play of the small network: every legal move of every decision, played to the end.

The label of a move is the points of the mover's team at the end, if the move is played in the true
deal and all four seats go on by the policy, each from its own view. The mean of these labels over
the deals that look the same to the mover is the honest value of the move under the policy: unlike a
solution with all hands known, it contains no knowledge that the players do not have.
"""

from typing import NamedTuple

import numpy as np

from zebjax import tiles
from zebjax.small import policy, rules
from zebjax.small.batch import in_threads
from zebjax.small.network import Net, Scratch, new_scratch, scorer
from zebjax.solver.bounds import count, lowest
from zebjax.solver.cached_code import compiled
from zebjax.training.labelled_games import Games
from zebjax.training.small_config import Exploration


@compiled
def _label_moves(
    net: Net, row: np.ndarray, scratch: Scratch, how: tuple, seed: np.ndarray, labels: np.ndarray
) -> None:
    """Roll out each legal move from `row` and write the mover's points into `labels[7]`."""
    after, own_seed = np.empty_like(row), np.empty_like(seed)
    both, scratches = policy.Policies(net, net), (scratch, scratch)
    legal, k = rules.legal_tiles(row), 0
    while legal:
        after[:] = row
        own_seed[:] = seed  # common random numbers: moves differ by what they cause, less by luck
        rules.play(after, lowest(legal))
        policy.follow(both, after, scratches, 0, how[2], own_seed)
        labels[k] = after[rules.POINTS + (rules.mover(row) & 1)]
        legal &= legal - 1
        k += 1


@compiled
def _play_one(
    net: Net, row: np.ndarray, scratch: Scratch, how: tuple, seed: np.ndarray, out: tuple
) -> None:
    """Play one game from its start in `row`; `out`: plays `[28]` and labels `[28, 7]`."""
    plays, labels = out
    for ply in range(28):
        legal = rules.legal_tiles(row)
        rank = lowest(legal)
        if legal & (legal - 1):
            policy.uniform(seed)  # so that rollouts and play do not share random numbers
            _label_moves(net, row, scratch, how, seed + np.uint64(ply + 1), labels[ply])
            if policy.uniform(seed) < how[1]:
                skip = int(policy.uniform(seed) * count(legal))
                for _ in range(skip):
                    legal &= legal - 1
                rank = lowest(legal)
            else:
                policy.evaluate(net, row, scratch)
                rank = policy.draw(scratch.out, legal, how[0], seed)
        plays[ply] = rank
        rules.play(row, rank)


@compiled
def play_many(
    first: int, last: int, net: Net, how: tuple, deals: tuple, seeds: np.ndarray, out: tuple
) -> None:
    """Kernel of `play`, see `batch.in_threads`."""
    hands, declaration, leader = deals
    scratch, row = new_scratch(net), np.zeros(rules.SIZE, np.int64)
    for game in range(first, last):
        rules.start(row, hands[game], declaration[game], leader[game])
        _play_one(net, row, scratch, how, seeds[game : game + 1], (out[0][game], out[1][game]))


class Deals(NamedTuple):
    """The starts of n games."""

    hands: np.ndarray
    """int8 `[n, 4, 7]`."""
    declaration: np.ndarray
    """int8 `[n]`."""
    leader: np.ndarray
    """int8 `[n]`."""
    seeds: np.ndarray
    """uint64 `[n]`, of the play."""


def deal(n: int, seed: tuple[int, ...]) -> Deals:
    """Deal n games; the declarations take turns."""
    rng = np.random.default_rng(seed)
    hands = np.argsort(rng.random((n, tiles.N_TILES)), 1).astype(np.int8).reshape(n, 4, 7)
    declaration = (np.arange(n) % tiles.N_DECLARATIONS).astype(np.int8)
    leader = rng.integers(0, tiles.N_PLAYERS, n, np.int8)
    return Deals(hands, declaration, leader, rng.integers(0, 1 << 63, n, np.uint64))


def play(net: Net, n: int, seed: tuple[int, ...], how: Exploration, threads: int) -> Games:
    """Play and label n games on random deals, see `deal`.

    Args:
        net: the policy of all four seats, with 56 outputs.
        n: number of games.
        seed: of deals and play.
        how: exploration.
        threads: number of threads; they do not change the result.
    """
    return play_deals(net, deal(n, seed), how, threads)


def play_deals(net: Net, deals: Deals, how: Exploration, threads: int) -> Games:
    """Play and label these deals, as `play`. What becomes of one does not depend on the others."""
    n, starts = len(deals.leader), (deals.hands, deals.declaration, deals.leader)
    plays, labels = np.zeros((n, 28), np.int8), np.full((n, 28, 7), -1, np.int8)
    settings = (how.temperature, how.random, how.rollout_temperature)
    # A copy of the seeds: playing advances them.
    arguments = (scorer(net), settings, starts, deals.seeds.copy(), (plays, labels))
    in_threads(play_many, n, arguments, threads, piece=20)
    return Games(*starts, plays, labels)
