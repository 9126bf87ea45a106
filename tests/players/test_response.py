"""The best response to random players agrees with plain recursion over the rules."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from zebjax import tiles
from zebjax.players import base, exact, response
from zebjax.small import batch
from zebjax.solver.ranks import RANK_OF_TILE
from zebjax.solver.response import _MARKS

N = 60
ROOT = Path(__file__).parents[2]


def finished(declaration, leader, trick):
    """The winner of a trick of four tiles, and its points."""
    return (leader + finished_by(declaration, trick)) % 4, 1 + int(tiles.POINTS[list(trick)].sum())


def finished_by(declaration, trick):
    """Which tile wins, counted from the lead."""
    ranks = tiles.TRICK_RANK[declaration, tiles.LED_SUIT[declaration, trick[0]], list(trick)]
    return int(ranks.argmax())


def may_play(declaration, trick, hand):
    if trick:
        suit = tiles.LED_SUIT[declaration, trick[0]]
        can = [tile for tile in hand if tiles.CAN_FOLLOW[declaration, suit, tile]]
        hand = can or hand
    return sorted(hand, key=lambda tile: RANK_OF_TILE[declaration, tile])


def uniform_of(record, seed):
    """The random number of a record in a world, with Python's integers."""
    x = record ^ seed
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    x ^= x >> 31
    return (x >> 40) / 2**24


def won(declaration, viewer, leader, trick, points, record, ply, worlds):
    """In how many worlds the viewer's team wins; `worlds` are pairs of four sets and a seed."""
    if len(trick) == 4:
        leader, gain = finished(declaration, leader, trick)
        points = list(points)
        points[leader % 2] += gain
        return won(declaration, viewer, leader, (), points, record, ply, worlds)
    if ply == 28:
        return len(worlds) if points[viewer % 2] > points[1 - viewer % 2] else 0
    seat = (leader + len(trick)) % 4

    def after(tile, some):
        left = [(tuple(hand - {tile} for hand in hands), seed) for hands, seed in some]
        marked = record ^ int(_MARKS[ply, RANK_OF_TILE[declaration, tile]])
        return won(declaration, viewer, leader, (*trick, tile), points, marked, ply + 1, left)

    moves = [may_play(declaration, trick, list(hands[seat])) for hands, _ in worlds]
    if seat == viewer:
        return max(after(tile, worlds) for tile in moves[0])
    chosen = [
        move[int(uniform_of(record, seed) * len(move))]
        for move, (_, seed) in zip(moves, worlds, strict=True)
    ]
    return sum(
        after(tile, [world for world, other in zip(worlds, chosen, strict=True) if other == tile])
        for tile in set(chosen)
    )


def of_slots(state, keys, fused=False):
    """The worlds that each legal slot wins, by recursion over the rules; `fused`: if the viewer
    knew the world after this play."""
    ((_, found),) = exact.worlds_of(state, keys, N)
    places = np.arange(N) * len(found.hands) // N
    ply, declaration = int(state.ply[0]), int(state.declaration[0])
    seeds = batch.split(np.repeat(batch.seeds_of(keys, response._PLAY), N), np.arange(N))
    played = set(map(int, state.history[0, :ply]))
    worlds = [
        (tuple(set(map(int, hand)) - played for hand in hands), int(seed))
        for hands, seed in zip(found.hands[places], seeds, strict=True)
    ]
    viewer = int(base.movers(state)[0])
    first = ply - ply % 4
    trick = tuple(map(int, state.history[0, first:ply]))
    record = 0
    for place, tile in enumerate(trick):
        record ^= int(_MARKS[first + place, RANK_OF_TILE[declaration, tile]])
    leader, points = int(state.trick_leaders[0, ply // 4]), list(map(int, state.points[0]))
    out = {}
    for tile in may_play(declaration, trick, list(worlds[0][0][viewer])):
        slot = list(map(int, state.hands[0, viewer])).index(tile)
        mark = record ^ int(_MARKS[ply, RANK_OF_TILE[declaration, tile]])
        left = [(tuple(hand - {tile} for hand in hands), seed) for hands, seed in worlds]
        out[slot] = sum(
            won(declaration, viewer, leader, (*trick, tile), points, mark, ply + 1, part)
            for part in ([[world] for world in left] if fused else [left])
        )
    return out


@pytest.mark.parametrize("seed", [0, 2])
def test_counts_are_those_of_plain_recursion(seed):
    states, n_open, n_fused = positions(27, range(15, 24), seed), 0, 0
    for row in range(27):
        state, keys = base.gather(states, np.array([row])), raw_keys(1, seed=row)
        expected = of_slots(state, keys)
        asked = np.zeros((1, 7), bool)
        asked[0, list(expected)] = True
        best = response.worlds_won(state, keys, asked, N)[0]
        for slot, count in expected.items():  # alone it is the best
            alone = np.arange(7)[None] == slot
            assert response.worlds_won(state, keys, alone, N)[0, slot] == count
        most = max(expected.values())
        assert set(np.flatnonzero(best == most)) == {
            slot for slot, count in expected.items() if count == most
        }
        assert best.max() == most
        assert (best[~asked[0]] == -1).all()
        n_open += 0 < most < N
        n_fused += of_slots(state, keys, fused=True) != expected
    assert n_open >= 5 and n_fused >= 2  # else any answer would do, or that of fused strategies


def test_arguments_of_a_wrong_shape_are_refused():
    state, keys = positions(2, [20], 0), raw_keys(2)
    asked = np.ones((2, 7), bool)
    for wrong in ((keys[:1], asked, 5), (keys, asked[:, :6], 5), (keys, asked, 0)):
        with pytest.raises(ValueError, match="expected"):
            response.worlds_won(state, *wrong)


@pytest.mark.slow  # compiles
def test_a_second_process_loads_the_compiled_search(tmp_path):
    """numba's cached code crashes if a function calls itself with another type (issue 6061)."""
    code = (
        "from tests.support.playouts import positions, raw_keys\n"
        "from zebjax import players\n"
        "chosen = players.make('br:n=50').choose(positions(8, [9, 14]), raw_keys(8))\n"
        "print(chosen.tolist())"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    shown = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr[-2000:]
        shown.append(done.stdout)
        assert ("compiling the best response" in done.stderr) == (len(shown) == 1)
    assert shown[0] == shown[1]
