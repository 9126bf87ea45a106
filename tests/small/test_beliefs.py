"""Beliefs of hidden tiles and the features of a move by them, against plain Python over tiles."""

import math

import numpy as np
import pytest

from tests.small.test_relations import Seen, row_of
from tests.support.playouts import positions
from zebjax import tiles
from zebjax.small import batch, beliefs, chances, rules, view

N = 300


@pytest.fixture(scope="module")
def games():
    return batch.read(positions(N, range(24), seed=6))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.3, (10, beliefs.N_PLAYS, 28)).astype(np.float32)


def plays_of(seen, games, number):
    """(seat, manner, tile) of each play, from tiles alone."""
    played = games.history[number, : games.ply[number]].tolist()
    leader = int(games.leader[number])
    for first in range(0, len(played), 4):
        trick = played[first : first + 4]
        led = seen.suit(trick[0])
        strength = [seen.strength(tile, led) for tile in trick]
        for at, tile in enumerate(trick):
            before = max(range(at), key=strength.__getitem__) if at else None
            if before is None:
                open_tiles = set(range(28)) - set(played[:first])
                manner = int(not seen.higher(tile) & open_tiles)
            else:
                manner = 2 + (strength[at] > strength[before])
                manner += 2 * bool(tiles.CAN_FOLLOW[seen.declaration, led, tile])
                manner += 4 * (at >= 2 and before == at - 2) + 8 * (at == 3)
            yield (leader + at) % 4, manner, tile
        if len(trick) == 4:
            leader = (leader + max(range(4), key=strength.__getitem__)) % 4


def believed(table, seen, games, number):
    """P(seat holds tile) for each other seat, dicts by tile."""
    ranks, plays = rules.RANKS[seen.declaration], list(plays_of(seen, games, number))
    odds, needs = [], []
    for other in range(3):
        seat = (seen.me + 1 + other) % 4
        rows = [manner * 28 + ranks[tile] for who, manner, tile in plays if who == seat]
        logs = table[seen.declaration, rows].astype(float).sum(0)
        roots = np.clip(1 + logs / 64, 0.5, 2)
        odds.append({tile: roots[ranks[tile]] ** 64 for tile in seen.may_hold(seat)})
        needs.append(7 - sum(who == seat for who, _, _ in plays))
    scales = [1.0, 1.0, 1.0]
    for step in range(3):
        likely = [{}, {}, {}]
        for tile in seen.unseen:
            parts = [scale * own.get(tile, 0) for scale, own in zip(scales, odds, strict=True)]
            for own, part in zip(likely, parts, strict=True):
                own[tile] = part / sum(parts)
        if step < 2:
            for other, own in enumerate(likely):
                scales[other] *= needs[other] / (sum(own.values()) + 1e-9)
    return likely


@pytest.mark.parametrize("times", [1, 100])  # with 100 odds reach their limits
def test_beliefs_are_what_the_plays_tell(games, table, times):
    table = table * np.float32(times)
    likely = np.zeros((3, 28), np.float32)
    for number in range(N):
        row, seen = row_of(games, number), Seen(games, number)
        beliefs.believe(table, row, view.view_of(row), likely)
        expected, ranks = np.zeros((3, 28)), rules.RANKS[seen.declaration]
        for other, own in enumerate(believed(table, seen, games, number)):
            for tile, p in own.items():
                expected[other, ranks[tile]] = p
        # A 64th power in float32 has an error of some 1e-5.
        np.testing.assert_allclose(likely, expected, atol=3e-4)


def test_a_table_of_zeros_gives_voids_and_sizes_of_hands_alone(games, table):
    likely = np.zeros((3, 28), np.float32)
    for number in range(N):
        row, seen = row_of(games, number), Seen(games, number)
        beliefs.believe(np.zeros_like(table), row, view.view_of(row), likely)
        n = len(seen.unseen)
        np.testing.assert_allclose(likely.sum(), n, rtol=1e-5)
        if not any(seen.voids.values()):
            held = [np.bitwise_count(row[rules.HANDS + (seen.me + 1 + k) % 4]) for k in range(3)]
            for other in range(3):
                of_unseen = likely[other][likely[other] > 0]
                np.testing.assert_allclose(of_unseen, held[other] / n, rtol=1e-3)


def test_the_gradient_lowers_the_loss(games, table):
    """A step against the gradient finds what the plays of these games tell."""
    table, losses = np.zeros_like(table), []
    for _ in range(30):
        grad, total, likely = np.zeros_like(table), 0.0, np.zeros((3, 28), np.float32)
        for number in range(N):
            row = row_of(games, number)
            beliefs.believe(table, row, view.view_of(row), likely)
            expected = -np.mean(
                [
                    math.log(likely[other, rank] + 1e-6)
                    for other in range(3)
                    for rank in range(28)
                    if row[rules.HANDS + ((rules.mover(row) + 1 + other) & 3)] >> rank & 1
                ]
            )
            loss = beliefs.add_gradient(table, row, likely, grad[games.declaration[number]])
            assert loss == pytest.approx(expected, rel=1e-4)
            total += loss
        table -= 0.2 * grad
        losses.append(total / N)
    assert losses[-1] < 0.8 * losses[0]


def none_of(own, some):
    return math.prod(1 - own.get(tile, 0) for tile in some)


def expected_chances(seen, move, likely, taker):
    """(first feature of the group and kind, number of ranges, probability) of each feature."""
    trick, d = [*seen.trick, move], seen.declaration
    led = seen.suit(trick[0])
    best = max(range(len(trick)), key=lambda at: seen.strength(trick[at], led))
    winner = 0 if best == len(trick) - 1 else 1 + (best != len(trick) - 3)
    top, leads = seen.strength(trick[best], led), int(len(trick) == 1)
    suit = {tile for tile in seen.unseen if tiles.CAN_FOLLOW[d, led, tile]}
    beaters = {tile for tile in seen.unseen if seen.strength(tile, led) > top}

    def beats(own):
        return (
            1
            - none_of(own, beaters & suit)
            + none_of(own, suit) * (1 - none_of(own, beaters - suit))
        )

    found = []
    if len(trick) < 4:
        p = beats(likely[0])
        if leads:
            p = 1 - (1 - p) * (1 - beats(likely[2]))
        found.append((chances._OPPONENTS_BEAT + 16 * (2 * winner + leads), 16, p))
    if len(trick) < 3:
        found.append((chances._PARTNER_BEATS + 16 * (2 * winner + leads), 16, beats(likely[1])))
    ranks = rules.RANKS[d]
    by_rank = sorted(np.flatnonzero(tiles.POINTS), key=lambda tile: int(tile))
    for index, tile in enumerate(by_rank):
        if tile in seen.unseen:
            first = chances._PARTNER_HAS + 8 * (3 * index + taker)
            found.append((first, 8, likely[1].get(int(tile), 0)))
    for tile in seen.hand - {move}:
        own_suit = seen.suit(tile)
        above = {
            other
            for other in seen.unseen
            if tiles.CAN_FOLLOW[d, own_suit, other] and ranks[other] > ranks[tile]
        }
        p = math.prod(likely[1].get(other, 0) for other in above)
        is_trump = tiles.CALLED[d, tile] and d not in (8, 9)
        kind = 2 * (int(tiles.POINTS[tile]) // 5) + bool(is_trump)
        found.append((chances._KEPT + 8 * kind, 8, p))
    return found


def test_a_probability_at_a_border_is_in_the_upper_range():
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert chances._range(below, 8) == chances._range(np.float32(0.5), 8) == 4
    assert chances._range(np.float32(0.49), 8) == 3 and chances._range(np.float32(1), 8) == 7


def test_chances_are_what_their_names_say(games, table):
    out, as_array, n_moves = np.zeros(100, np.int64), np.zeros((3, 28), np.float32), 0
    for number in range(N):
        row, seen = row_of(games, number), Seen(games, number)
        sees, ranks = view.view_of(row), rules.RANKS[seen.declaration]
        beliefs.believe(table, row, sees, as_array)
        likely = [
            {tile: float(as_array[other, ranks[tile]]) for tile in seen.unseen}
            for other in range(3)
        ]
        for move in seen.hand:
            rank = int(ranks[move])
            if not sees.legal >> rank & 1:
                continue
            outcome = view.outcome_of(row, sees, rank)
            n = chances.add_chances(row, sees, (rank, outcome, 0), as_array, out, 0)
            expected = expected_chances(seen, move, likely, seen.taker(move))
            assert n == len(expected) <= chances.MAX_ACTIVE
            # At the border of two ranges, rounding decides.
            ends = [
                sorted(first + min(int(size * p + shift), size - 1) for first, size, p in expected)
                for shift in (0, 2e-4)
            ]
            assert sorted(out[:n].tolist()) in ends, (number, move)
            n_moves += 1
    assert n_moves > 500
