"""The compiled loops of `batch`. Each works on the games first .. last - 1 of a batch."""

import numpy as np

from zebjax.small import features, policy, rules
from zebjax.small.network import Net, add_features, finish, new_scratch
from zebjax.solver.bounds import count
from zebjax.solver.cached_code import compiled

_HANDS, _LED, _FOLLOWED = rules.HANDS, rules.LED, rules.FOLLOWED
_DECLARATION, _POINTS = rules.DECLARATION, rules.POINTS


@compiled
def _replay(row: np.ndarray, games: tuple, number: int, plies: int) -> None:
    """Set a row to one of the games after its first plies."""
    hands, declaration, leader, history, _ = games
    rules.start(row, hands[number], declaration[number], leader[number])
    for ply in range(plies):
        rules.play(row, rules.RANKS[declaration[number], history[number, ply]])


@compiled
def choose(
    first: int,
    last: int,
    net: Net,
    games: tuple,
    seeds: np.ndarray,
    temperature: float,
    out: np.ndarray,
) -> None:
    """Kernel of `batch.choose`."""
    hands, declaration, _, _, ply = games
    scratch, row = new_scratch(net), np.zeros(rules.SIZE, np.int64)
    for number in range(first, last):
        if ply[number] == 28:
            continue
        _replay(row, games, number, ply[number])
        policy.evaluate(net, row, scratch)
        seed = seeds[number : number + 1].copy()
        rank = policy.draw(scratch.out, rules.legal_tiles(row), temperature, seed)
        for slot in range(7):
            if rules.RANKS[declaration[number], hands[number, rules.mover(row), slot]] == rank:
                out[number] = slot


@compiled
def _hands_of(worlds: np.ndarray, declaration: int, seat: int, out: np.ndarray) -> None:
    """Write the dealt hands of a seat in each world as masks over ranks."""
    for world in range(out.shape[0]):
        out[world] = 0
        for slot in range(7):
            out[world] |= 1 << rules.RANKS[declaration, worlds[world, seat, slot]]


@compiled
def log_likelihoods(
    first: int,
    last: int,
    net: Net,
    games: tuple,
    worlds: np.ndarray,
    counts: np.ndarray,
    how: tuple,
    out: np.ndarray,
) -> None:
    """Kernel of `batch.log_likelihoods`."""
    temperature, floor = how
    scratch, row = new_scratch(net), np.zeros(rules.SIZE, np.int64)
    public = np.zeros_like(scratch.hidden)
    for number in range(first, last):
        n, declaration = counts[number], games[1][number]
        _replay(row, games, number, games[4][number])
        me = rules.mover(row)
        dealt = np.zeros((4, n), np.int64)
        for seat in range(4):
            if seat != me:
                _hands_of(worlds[number], declaration, seat, dealt[seat])
        _replay(row, games, number, 0)
        for ply in range(games[4][number]):
            rank, seat = rules.RANKS[declaration, games[3][number, ply]], rules.mover(row)
            if seat != me:
                group = (seat ^ me) & 1  # 0 the partner, 1 an opponent
                # All worlds share the public features, so their rows are added once.
                k = features.public_features(row, scratch.features, 0)
                public[:] = net.first_bias
                add_features(net.first, declaration, scratch.features, k, public)
                gone = row[_LED + seat] | row[_FOLLOWED + seat]
                for world in range(n):
                    row[_HANDS + seat] = dealt[seat, world] & ~gone
                    legal = rules.legal_tiles(row)
                    if legal & (legal - 1) == 0:
                        continue
                    k = features.private_features(row, scratch.features, 0)
                    for j in range(public.shape[0]):
                        scratch.hidden[j] = public[j]
                    add_features(net.first, declaration, scratch.features, k, scratch.hidden)
                    finish(net, row, scratch)
                    out[number, world, group] += policy.log_probability(
                        scratch.out, legal, rank, temperature, floor
                    )
                    out[number, world, 2 + group] -= np.log(count(legal))
            rules.play(row, rank)


@compiled
def rollouts(
    first: int,
    last: int,
    net: Net,
    games: tuple,
    seeds: np.ndarray,
    temperature: float,
    asked: np.ndarray,
    out: np.ndarray,
) -> None:
    """Kernel of `batch.rollouts`."""
    hands, declaration, _, _, ply = games
    scratch, row = new_scratch(net), np.zeros(rules.SIZE, np.int64)
    after = np.zeros_like(row)
    for number in range(first, last):
        if ply[number] == 28:
            continue
        _replay(row, games, number, ply[number])
        legal, me = rules.legal_tiles(row), rules.mover(row)
        for slot in range(7):
            rank = rules.RANKS[declaration[number], hands[number, me, slot]]
            if asked[number, slot] and legal >> rank & 1:
                after[:] = row
                seed = seeds[number : number + 1].copy()
                rules.play(after, rank)
                policy.follow(net, after, scratch, temperature, seed)
                out[number, slot] = after[_POINTS + (me & 1)]
