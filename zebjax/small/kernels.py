"""The compiled loops of `batch`. Each works on the games first .. last - 1 of a batch."""

import numpy as np

from zebjax.small import features, policy, rules
from zebjax.small.network import Net, Scratch, add_features, finish, new_scratch
from zebjax.solver.bounds import count
from zebjax.solver.cached_code import compiled

_HANDS, _LED, _FOLLOWED = rules.HANDS, rules.LED, rules.FOLLOWED
_DECLARATION, _POINTS = rules.DECLARATION, rules.POINTS
_SLIP = 0.01
"""Floor of the plays in the opening of a player of the mover's kind. It always plays the best tile,
but scores may differ in the last bits."""


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
def values(first: int, last: int, net: Net, games: tuple, out: np.ndarray) -> None:
    """Kernel of `batch.values`."""
    hands, declaration, _, _, ply = games
    scratch, row = new_scratch(net), np.zeros(rules.SIZE, np.int64)
    for number in range(first, last):
        if ply[number] == 28:
            continue
        _replay(row, games, number, ply[number])
        policy.evaluate(net, row, scratch)
        legal = rules.legal_tiles(row)
        for slot in range(7):
            rank = rules.RANKS[declaration[number], hands[number, rules.mover(row), slot]]
            if legal >> rank & 1:
                out[number, slot, 0] = scratch.out[rank]
                out[number, slot, 1] = scratch.out[28 + rank]


@compiled
def _distinct(worlds: np.ndarray, declaration: int, seat: int, place: np.ndarray) -> np.ndarray:
    """Return the different dealt hands of a seat, masks over ranks.

    Args:
        worlds: int8 `[n, 4, 7]`, hands.
        declaration: gives the ranks.
        seat: whose hands.
        place: int64 `[n]`, set to the index of the hand of each world in the result.
    """
    hands = np.zeros(place.shape[0], np.int64)
    for world in range(hands.shape[0]):
        for slot in range(7):
            hands[world] |= 1 << rules.RANKS[declaration, worlds[world, seat, slot]]
    order, found = np.argsort(hands), 0
    made = np.zeros_like(hands)
    for index in range(hands.shape[0]):
        hand = hands[order[index]]
        if index == 0 or hand != made[found - 1]:
            made[found] = hand
            found += 1
        place[order[index]] = found - 1
    return made[:found]


@compiled
def log_likelihoods(
    first: int,
    last: int,
    nets: tuple,
    is_one: bool,
    games: tuple,
    worlds: np.ndarray,
    counts: np.ndarray,
    manner: policy.Manner,
    out: np.ndarray,
) -> None:
    """Kernel of `batch.log_likelihoods`."""
    for number in range(first, last):
        n, place = counts[number], np.zeros(counts[number], np.int64)
        row = np.zeros(rules.SIZE, np.int64)
        _replay(row, games, number, games[4][number])
        me = rules.mover(row)
        for other in range(3):
            if not manner.seats >> other & 1:
                continue
            # What a seat's plays tell depends on its own hand alone, and after some tricks many
            # worlds share it.
            seat = (me + 1 + other) & 3
            hands = _distinct(worlds[number, :n], games[1][number], seat, place)
            group = other & 1 ^ 1  # 0 the partner, 1 an opponent
            opening_plies = 0 if group else manner.opening_plies
            logs = _of_seat((*nets, is_one), games, number, (seat, opening_plies), hands, manner)
            if opening_plies > 0:
                by_model, as_mover = np.log1p(-manner.p_alike), np.log(manner.p_alike)
                logs[:, 0] = np.logaddexp(by_model + logs[:, 0], as_mover + logs[:, 2])
            for world in range(n):
                out[number, world, group] += logs[place[world], 0]
                out[number, world, 2 + group] += logs[place[world], 1]


@compiled
def _of_seat(
    nets: tuple, games: tuple, number: int, who: tuple, hands: np.ndarray, manner: policy.Manner
) -> np.ndarray:
    """Return the log-likelihoods of a seat's past plays, `[n, 3]`.

    By the model, at random, and by a player of the mover's kind: that is the model, except in the
    opening, where it plays the best tile of another network, which may be the same.

    Args:
        nets: the model; the network of the opening; True if they are one.
        games: see `batch.Games`.
        number: which of the games.
        who: the seat whose plays are judged, and how many plies of the opening there are.
        hands: int64 `[n]`, dealt hands, masks over ranks.
        manner: how the seat plays by the model.
    """
    (net, opening, is_one), (seat, opening_plies) = nets, who
    out, logs = np.zeros((hands.shape[0], 3)), np.zeros((hands.shape[0], 2))
    declaration, row = games[1][number], np.zeros(rules.SIZE, np.int64)
    scratches = new_scratch(net), new_scratch(opening)
    _replay(row, games, number, 0)
    for ply in range(games[4][number]):
        rank = rules.RANKS[declaration, games[3][number, ply]]
        if rules.mover(row) == seat:
            _judge_play(net, scratches[0], row, hands, rank, manner, logs)
            out[:, 0] += logs[:, 0]
            if ply < opening_plies:
                if not is_one:
                    _judge_play(opening, scratches[1], row, hands, rank, manner, logs)
                out[:, 2] += logs[:, 1]
            else:
                out[:, 2] += logs[:, 0]
            for index in range(hands.shape[0]):
                row[_HANDS + seat] = hands[index] & ~(row[_LED + seat] | row[_FOLLOWED + seat])
                out[index, 1] -= np.log(count(rules.legal_tiles(row)))
        rules.play(row, rank)
    return out


@compiled
def _judge_play(
    net: Net,
    scratch: Scratch,
    row: np.ndarray,
    hands: np.ndarray,
    rank: int,
    manner: policy.Manner,
    logs: np.ndarray,
) -> None:
    """Write to `logs[n]` how likely the seat to move plays `rank` with each dealt hand.

    The first column is for a seat that plays by the network, see `Manner`, the second for one that
    always plays the best tile. The seat's hand in `row` is overwritten.
    """
    seat, declaration = rules.mover(row), row[_DECLARATION]
    gone = row[_LED + seat] | row[_FOLLOWED + seat]
    # All hands share the public features, so their rows are added once.
    public = np.zeros_like(scratch.hidden)
    k = features.public_features(row, scratch.features, 0)
    public[:] = net.first_bias
    add_features(net.first, declaration, scratch.features, k, public)
    for index in range(hands.shape[0]):
        row[_HANDS + seat] = hands[index] & ~gone
        legal = rules.legal_tiles(row)
        logs[index] = 0
        if legal & (legal - 1) == 0:
            continue
        k = features.private_features(row, scratch.features, 0)
        for j in range(public.shape[0]):
            scratch.hidden[j] = public[j]
        add_features(net.first, declaration, scratch.features, k, scratch.hidden)
        finish(net, row, scratch)
        logs[index, 0] = policy.log_probability(
            scratch.out, legal, rank, manner.temperature, manner.floor
        )
        logs[index, 1] = policy.log_probability(scratch.out, legal, rank, 0.0, _SLIP)


@compiled
def rollouts(
    first: int,
    last: int,
    policies: policy.Policies,
    games: tuple,
    seeds: np.ndarray,
    temperature: float,
    asked: np.ndarray,
    out: np.ndarray,
) -> None:
    """Kernel of `batch.rollouts`."""
    hands, declaration, _, _, ply = games
    scratches, row = policy.new_scratches(policies), np.zeros(rules.SIZE, np.int64)
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
                policy.follow(policies, after, scratches, me & 1, temperature, seed)
                out[number, slot] = after[_POINTS + (me & 1)]
