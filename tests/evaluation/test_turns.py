"""How players are asked in matches of many games."""

import jax
import numpy as np
import pytest

from tests.support.playouts import positions
from zebjax.evaluation import turns
from zebjax.players import base
from zebjax.players.exact import legal_slots


@pytest.mark.parametrize(
    ("pads_one", "n_games", "rows", "asked"),
    [
        (True, 3, [1], 2),
        (True, 3, [0, 2], 2),
        (True, 1, [0], 1),
        (False, 3, [1], 1),
        (False, 3, [0, 2], 2),
    ],
)
def test_one_game_of_many_is_asked_for_as_two_if_the_player_pads(pads_one, n_games, rows, asked):
    """So that a network compiles no program for one game in a match, and no other player works
    twice."""
    states = jax.tree.map(np.asarray, positions(n_games, [4], 0))
    keys = np.arange(2 * n_games, dtype=np.uint32).reshape(-1, 2)
    legal = base.in_chunks(legal_slots, states, keys)
    seen = []

    def choose(states, keys):
        seen.append(keys)
        return base.in_chunks(legal_slots, states, keys).argmax(-1)

    turn = turns.Turn(states, legal, base.movers(states), keys)
    player, watched = base.watch(base.Player("first", choose, pads_one=pads_one))
    slots = turns.ask(player, turn, np.array(rows))
    np.testing.assert_array_equal(slots, legal[rows].argmax(-1))
    assert len(seen[0]) == asked and (seen[0] == keys[rows]).all()
    ((states, watched_keys, watched_slots),) = watched  # each decision once
    np.testing.assert_array_equal(watched_keys, keys[rows])
    np.testing.assert_array_equal(watched_slots, slots)
    assert states.ply.tolist() == [4] * len(rows)
