"""From scores to moves: softmax over the legal tiles, its logarithm, and random numbers."""

from typing import NamedTuple

import numpy as np

from zebjax.small.features import private_features, public_features
from zebjax.small.network import Net, Scratch, add_features, finish, new_scratch
from zebjax.small.rules import DECLARATION, LEADER, N_LAID, PLY, legal_tiles, play
from zebjax.solver.bounds import count, lowest, mixed
from zebjax.solver.cached_code import compiled, inlined


@compiled
def uniform(seed: np.ndarray) -> float:
    """Return a number in [0, 1) and advance the seed, uint64 `[1]`.

    SplitMix64, see `bounds.mixed`.
    """
    seed[0] += np.uint64(0x9E3779B97F4A7C15)
    return np.float64(mixed(seed[0]) >> np.uint64(11)) * 2.0**-53


@inlined
def evaluate(net: Net, row: np.ndarray, scratch: Scratch) -> int:
    """Compute `scratch.out` for the seat to move; return the number of `scratch.features`."""
    n = public_features(row, scratch.features, 0)
    n = private_features(row, scratch.features, n)
    for j in range(scratch.hidden.shape[0]):
        scratch.hidden[j] = net.first_bias[j]
    add_features(net.first, row[DECLARATION], scratch.features, n, scratch.hidden)
    finish(net, row, scratch)
    return n


@compiled
def best(scores: np.ndarray, legal: int) -> int:
    """Return the legal rank with the highest score, the lowest of several."""
    rank = lowest(legal)
    legal &= legal - 1
    while legal:
        other = lowest(legal)
        legal &= legal - 1
        if scores[other] > scores[rank]:
            rank = other
    return rank


@compiled
def draw(scores: np.ndarray, legal: int, temperature: float, seed: np.ndarray) -> int:
    """Draw a legal rank from softmax(scores / temperature); 0 gives the best."""
    top = best(scores, legal)
    if temperature <= 0:
        return top
    total, left = 0.0, legal
    while left:
        total += np.exp((scores[lowest(left)] - scores[top]) / temperature)
        left &= left - 1
    rest, left = uniform(seed) * total, legal
    while left:
        rank = lowest(left)
        left &= left - 1
        rest -= np.exp((scores[rank] - scores[top]) / temperature)
        if rest <= 0:
            return rank
    return top  # rounding left a rest


@compiled
def log_probability(
    scores: np.ndarray, legal: int, rank: int, temperature: float, floor: float
) -> float:
    """Return log((1 - floor) * softmax(scores / temperature)[rank] + floor / legal tiles).

    A temperature of 0 is that of the best rank.
    """
    top, n = best(scores, legal), count(legal)
    if temperature <= 0:
        share = 1.0 if rank == top else 0.0
    else:
        total = 0.0
        while legal:
            total += np.exp((scores[lowest(legal)] - scores[top]) / temperature)
            legal &= legal - 1
        share = np.exp((scores[rank] - scores[top]) / temperature) / total
    return np.log((1 - floor) * share + floor / n)


class Manner(NamedTuple):
    """How the others play by a network with 28 scores, when their past plays are judged."""

    temperature: float
    floor: float
    """Share of uniformly random plays."""
    opening_plies: int = 0
    """Plies at the start of the game in which a player of the mover's kind plays the best tile."""
    p_alike: float = 0.0
    """Probability before the first play that the partner is a player of the mover's kind."""
    seats: int = 7
    """Whose plays are judged: bit 0 the seat to the left, 1 the partner, 2 the right."""


class Policies(NamedTuple):
    """Who plays a game to its end: networks with 28 scores."""

    own: Net
    """Of the team whose result is wanted."""
    others: Net
    """Of its opponents."""


@compiled
def new_scratches(policies: Policies) -> tuple[Scratch, Scratch]:
    """Make the buffers for both networks."""
    return new_scratch(policies.own), new_scratch(policies.others)


@compiled
def follow(
    policies: Policies,
    row: np.ndarray,
    scratches: tuple[Scratch, Scratch],
    team: int,
    temperature: float,
    seed: np.ndarray,
) -> None:
    """Play to the end in place, each seat by its policy from its own view.

    Args:
        policies: of the team and of its opponents.
        row: the game.
        scratches: from `new_scratches`.
        team: 0 or 1, plays by `policies.own`.
        temperature: of both policies.
        seed: uint64 `[1]`; it is advanced.
    """
    mine, theirs = scratches
    while row[PLY] < 28:
        legal = legal_tiles(row)
        rank = lowest(legal)
        if legal & (legal - 1):
            if (row[LEADER] + row[N_LAID]) & 1 == team:
                evaluate(policies.own, row, mine)
                rank = draw(mine.out, legal, temperature, seed)
            else:
                evaluate(policies.others, row, theirs)
                rank = draw(theirs.out, legal, temperature, seed)
        play(row, rank)
