"""Analysis: values over worlds, beliefs, principal lines, and the lines of `zebjax analyse`."""

import dataclasses
import io
import json
import random
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import hostile, played
from zebjax import (
    analyse,
    network,
    notation,
    players,
    position_arrays,
    position_json,
    solver,
    tiles,
)
from zebjax.players import exact
from zebjax.position import Bid
from zebjax.study import analysis, queries

N = 5  # as other tests, which compile the same program
LATE = [played.random_game(random.Random(seed), 13 + seed % 12) for seed in range(6)]
SETTINGS = queries.Settings(worlds=N, most_worlds=N)


@pytest.fixture(scope="module")
def results():
    return analysis.analyse(LATE, range(6), N, players=[players.make("heuristic")])


def test_values_are_those_of_eq(results):
    states = position_arrays.to_states(LATE)
    values = exact.eq_values(states, analysis.raw_keys(range(6)), N)
    chosen = players.make("heuristic").choose(states, analysis.raw_keys(range(6)))
    for row, (result, made) in enumerate(zip(results, LATE, strict=True)):
        hand = made.hands[made.mover]
        assert sorted(move.tile for move in result.moves) == sorted(made.legal)
        assert result.moves[0].p_win == np.nanmax(values.p_win[row])
        for move in result.moves:
            slot = hand.index(move.tile)
            assert move.p_win == values.p_win[row, slot]
            assert move.points == values.mean_points[row, slot]
        assert result.n_worlds == min(N, result.all_worlds)
        assert result.choices == {"heuristic": hand[chosen[row]]}


def test_only_what_the_mover_knows_is_used(results):
    views = [made.seen_by(made.mover) for made in LATE]
    again = analysis.analyse(views, range(6), N, players=[players.make("heuristic")])
    assert [dataclasses.replace(one, position=None) for one in again] == [
        dataclasses.replace(one, position=None) for one in results
    ]


def test_holders_are_the_hidden_tiles_and_shares_are_probabilities(results):
    for result, made in zip(results, LATE, strict=True):
        assert tuple(holder.tile for holder in result.holders) == made.seen_by(made.mover).hidden
        for holder in result.holders:
            assert sum(holder.marginal) == pytest.approx(1, abs=1e-5)
            truly = next(seat for seat in range(4) if holder.tile in made.hands[seat])
            assert holder.marginal[(truly - made.mover) % 4 - 1] > 0


def test_with_a_bid_the_contract_decides():
    """P(make) for the bidder's team, P(set) for the other, over the same worlds."""
    bidder = [dataclasses.replace(made, bid=Bid(made.leader, 35)) for made in LATE]
    values = exact.eq_values(position_arrays.to_states(LATE), analysis.raw_keys(range(6)), N)
    shares = analysis.win_shares(values, bidder)
    for row, made in enumerate(bidder):
        enough = 35 if made.mover % 2 == made.leader % 2 else 8
        for slot in range(7):
            wins = values.counts[row, slot, enough:].sum()
            expected = wins / values.n_worlds[row] if values.legal[row, slot] else np.nan
            np.testing.assert_equal(shares[row, slot], expected)


def test_a_line_ends_with_the_value_of_its_first_move():
    for made in LATE[:2]:
        best = np.nanmax(solver.solve(position_arrays.to_states([made]))[0])
        slot = int(np.nanargmax(solver.solve(position_arrays.to_states([made]))[0]))
        plays = analysis.line(made, made.hands[made.mover][slot])
        end = dataclasses.replace(made, plays=(*made.plays, *plays))
        team = made.mover % 2
        assert end.is_over and end.points[team] == made.points[team] + best


def query(made, **more):
    return json.dumps({"id": "q", "position": position_json.write(made), **more}).encode()


def answers(*lines):
    return [json.loads(line) for line in queries.answer(lines, SETTINGS)]


def test_a_query_is_answered_in_the_shape_of_katago(results):
    view = LATE[0].seen_by(LATE[0].mover)
    [reply] = answers(query(view, includeLine=True, seed=0))
    assert reply["id"] == "q" and reply["turnNumber"] == len(view.plays)
    moves, root = reply["moveInfos"], reply["rootInfo"]
    assert [move["order"] for move in moves] == list(range(len(view.legal)))
    assert root["currentPlayer"] == view.mover and root["points"] == list(view.points)
    assert (root["winrate"], root["scoreMean"]) == (moves[0]["winrate"], moves[0]["scoreMean"])
    assert moves[0]["winrate"] == pytest.approx(results[0].moves[0].p_win, abs=1e-6)
    assert [each["tile"] for each in reply["belief"]] == position_json.names(view.hidden)
    assert all(each["network"] is None for each in reply["belief"])
    line = reply["line"]
    assert not line["isTrueDeal"] and line["plays"][0] == moves[0]["move"]
    world = position_json.read(position_json.write(view) | {"hands": line["hands"]})
    end = dataclasses.replace(
        world, plays=(*world.plays, *map(tiles.TILE_NAMES.index, line["plays"]))
    )
    assert line["points"] == list(end.points) and end.is_over


def test_turns_of_a_game_are_answered_in_order_and_text_is_a_position():
    turns = [25, 21, 24]
    [*replies, other] = answers(
        json.dumps({"id": 1, "text": notation.write(LATE[5].before(18))}).encode(),
        query(played.random_game(random.Random(9)), analyzeTurns=turns, includeBelief=False),
    )
    assert replies[0]["id"] == 1 and replies[0]["turnNumber"] == 18
    assert [reply["turnNumber"] for reply in [*replies[1:], other]] == turns
    assert "belief" not in other and "belief" in replies[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"maxWorlds": N + 1}, "maxWorlds: expected an integer 1..5, got 6"),
        ({"maxWorlds": 0}, "maxWorlds: expected an integer 1..5, got 0"),
        ({"seed": -1}, "seed: expected an integer 0..4294967295, got -1"),
        ({"analyzeTurns": [28]}, "analyzeTurns: expected plies 0..13, got 28"),
        ({"analyzeTurns": []}, "analyzeTurns: expected a list of 1 to 28 plies, got []"),
        ({"includeLine": 1}, "includeLine: expected true or false, got 1"),
        ({"text": "x"}, "position: expected either position or text"),
        ({"maxVisits": 3}, "'maxVisits': unknown key; did you mean 'maxWorlds'?"),
        ({"id": [1]}, "id: expected a text of at most 200 characters or an integer, got [1]"),
    ],
)
def test_a_wrong_query_gets_one_sentence(more, message):
    [reply] = answers(query(LATE[0], **more))
    assert reply == {"id": None if "id" in more else "q", "error": message}


def test_a_position_that_cannot_be_analysed_is_said():
    over, other = played.random_game(random.Random(1)), LATE[0].seen_by((LATE[0].mover + 1) % 4)
    errors = [reply["error"] for reply in answers(query(over), query(other))]
    assert errors[0] == "position: the game is over; expected one with a move to play"
    assert errors[1].endswith("is to play; expected its hand, which is not known")


def test_a_thousand_hostile_lines_get_errors_and_the_program_answers_on(monkeypatch, capsys):
    lines = hostile.lines(
        [query(made.seen_by(made.mover), maxWorlds=N, seed=1) for made in LATE], 1000
    )
    stream = io.BytesIO(b"\n".join([*lines, query(LATE[5])]) + b"\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    assert analyse.main(["--network", "none", "--n", str(N), "--max-worlds", str(N)]) == 0
    replies = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(replies) == 1001
    for reply in replies[:-1]:
        assert set(reply) == {"id", "error"}, reply
        assert "\n" not in reply["error"] and 0 < len(reply["error"]) < 400
    assert replies[-1]["moveInfos"]


def test_a_position_by_hand_is_a_table(tmp_path, capsys):
    path = tmp_path / "position.txt"
    path.write_text(notation.write(LATE[0].seen_by(LATE[0].mover)))
    options = ["--network", "none", "--n", str(N), "--player", "heuristic"]
    assert analyse.main(["--position", str(path), *options]) == 0
    out = capsys.readouterr().out
    assert "P(win)" in out and "heuristic plays" in out and "exact counting" in out
    assert max(map(len, out.splitlines())) <= 80
    assert analyse.main(["--position", str(path), "--ply", "20", *options]) == 2
    assert "--ply: this game has 13 plays, got 20" in capsys.readouterr().err


@pytest.mark.slow  # compiles a network; tests of network cover its outputs
def test_a_network_gives_policy_and_beliefs():
    by = analysis.load("bundled")
    for result in analysis.analyse(LATE, range(6), N, by):
        assert sum(move.policy for move in result.moves) == pytest.approx(1, abs=1e-4)
        for holder in result.holders:
            assert sum(holder.network) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow  # compiles a network
def test_a_belief_head_that_says_nothing_is_exact_counting():
    config = network.ZebConfig(
        embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, belief_prior="marginal"
    )
    params = network.init(config, jax.random.key(0))
    params["belief_out"] = jax.tree.map(jnp.zeros_like, params["belief_out"])
    by = analysis.Network(config, params)
    for result in analysis.analyse(LATE, range(6), N, by):
        for holder in result.holders:
            np.testing.assert_allclose(holder.network, holder.marginal, atol=1e-5)
