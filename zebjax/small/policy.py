"""From scores to moves: softmax over the legal tiles, its logarithm, and random numbers."""

import numpy as np

from zebjax.small.features import private_features, public_features
from zebjax.small.network import Net, Scratch, add_features, finish
from zebjax.small.rules import DECLARATION, PLY, legal_tiles, play
from zebjax.solver.bounds import lowest
from zebjax.solver.cached_code import compiled, inlined


@compiled
def uniform(seed: np.ndarray) -> float:
    """Return a number in [0, 1) and advance the seed, uint64 `[1]`.

    SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
    """
    seed[0] += np.uint64(0x9E3779B97F4A7C15)
    x = seed[0]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.float64(x >> np.uint64(11)) * 2.0**-53


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
    """Return log((1 - floor) * softmax(scores / temperature)[rank] + floor / legal tiles)."""
    top = scores[best(scores, legal)]
    total, n = 0.0, 0
    while legal:
        total += np.exp((scores[lowest(legal)] - top) / temperature)
        legal &= legal - 1
        n += 1
    share = np.exp((scores[rank] - top) / temperature) / total
    return np.log((1 - floor) * share + floor / n)


@compiled
def follow(
    net: Net, row: np.ndarray, scratch: Scratch, temperature: float, seed: np.ndarray
) -> None:
    """Play to the end in place, each seat by the policy from its own view."""
    while row[PLY] < 28:
        legal = legal_tiles(row)
        rank = lowest(legal)
        if legal & (legal - 1):
            evaluate(net, row, scratch)
            rank = draw(scratch.out, legal, temperature, seed)
        play(row, rank)
