"""Where two players differ, what that costs, and takeover."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from zebjax import compare, game, players, solver
from zebjax.evaluation import divergence, matches
from zebjax.players import Player, base
from zebjax.players.takeover import takeover

HEURISTIC, RANDOM, CHEAT = (players.make(kind) for kind in ("heuristic", "random", "cheat"))


def test_a_player_does_not_differ_from_itself():
    result = divergence.measure(RANDOM, RANDOM, 6, jax.random.key(3), 5)
    assert result.all.differ == 0 and result.all.in_deal is None
    assert result.all.decisions > 50
    assert sum(one.decisions for one in result.by_trick.values()) == result.all.decisions


@pytest.mark.slow  # solves two matches; the test of gains compares with the solver
def test_perfect_play_never_loses_in_the_true_deal():
    seen = []
    result = divergence.measure(CHEAT, HEURISTIC, 6, jax.random.key(3), 5, seen.append)
    assert seen == [1.0] and result.n == 5
    assert 0 < result.all.differ < result.all.decisions
    assert result.all.in_deal > 0 and result.all.in_deal_ci95[0] > 0
    for one in result.by_trick.values():
        assert one.differ == 0 or one.in_deal >= 0
    # Seen from the other side the same moves lose.
    swapped = divergence.measure(HEURISTIC, CHEAT, 6, jax.random.key(3), 5)
    assert swapped.all.in_deal < 0


def test_gains_are_differences_of_the_solvers_values():
    states, keys = positions(20, np.arange(9, 25)), raw_keys(20)
    legal = np.asarray(jax.jit(jax.vmap(game.legal_slots))(states))
    slots = np.array([np.flatnonzero(row)[-1] for row in legal])
    first = Player("first", lambda states, keys: legal.argmax(1))
    numbers = {hands.tobytes(): row for row, hands in enumerate(states.hands)}
    found = divergence._compare(states, keys, slots, first, 5, numbers)
    values = solver.solve(states)
    rows = np.arange(20)
    expected = values[rows, slots] - values[rows, legal.argmax(1)]
    np.testing.assert_array_equal(found.in_deal, expected)
    np.testing.assert_array_equal(found.differ, slots != legal.argmax(1))
    assert found.differ.any() and found.deal.tolist() == rows.tolist()
    np.testing.assert_array_equal(found.trick, states.ply // 4)
    assert (found.by_eq[~found.differ] == 0).all() and np.isfinite(found.by_eq).all()
    one = divergence.difference(found)
    assert one.differ == found.differ.sum() and one.decisions == 20
    assert one.in_deal == pytest.approx(expected[found.differ].mean())


def test_a_takeover_begins_at_its_trick():
    states, keys = positions(40, np.arange(28)), raw_keys(40)
    for trick in (1, 3, 7):
        slots = takeover(CHEAT, RANDOM, trick).choose(states, keys)
        late = states.ply >= 4 * (trick - 1)
        for player, rows in ((CHEAT, late), (RANDOM, ~late)):
            if rows.any():
                expected = player.choose(base.gather(states, np.flatnonzero(rows)), keys[rows])
                np.testing.assert_array_equal(slots[rows], expected)
    assert takeover(CHEAT, RANDOM, 3).identity == "cheat from trick 3 of random"
    assert takeover(CHEAT, dataclasses.replace(RANDOM, identity=""), 3).identity == ""
    with pytest.raises(ValueError, match="trick: expected 1 to 7, got 8"):
        takeover(CHEAT, RANDOM, 8)
    # In the last trick every move is forced.
    margins = matches.play_deals(takeover(CHEAT, RANDOM, 7), RANDOM, jax.random.key(3), 0, 6)
    np.testing.assert_array_equal(margins[:, 0], -margins[:, 1])


@pytest.mark.slow  # plays matches; the tests above cover what it prints
def test_the_command_prints_both(capsys):
    words = ["cheat", "random", "--deals", "6", "--n", "5"]
    assert compare.main([*words, "--takeover", "6"]) == 0
    shown = capsys.readouterr().out
    for text in ("A = cheat, B = random", "trick 6", "wins from it on", "E[Q], N = 5"):
        assert text in shown
    assert compare.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["takeover"] == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["random"], "expected PLAYER; see zebjax compare --help"),
        (["random", "heuristc"], "did you mean 'heuristic'?"),
        (["random", "random", "--deals", "1"], "--deals: expected a whole number from 2"),
    ],
)
def test_the_command_refuses_in_one_sentence(words, message, capsys):
    try:
        status = compare.main(words)
    except SystemExit as stop:
        status = stop.code
    out, error = capsys.readouterr()
    assert (status, out) == (2, "") and message in error and error.count("\n") == 1
