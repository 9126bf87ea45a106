"""`zebjax engine`: requests answered together, hostile lines answered with errors."""

import dataclasses
import io
import json
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support import hostile, played
from zebjax import engine, game, protocol, tiles
from zebjax.players import Player, base
from zebjax.position import Bid
from zebjax.protocol import Request
from zebjax.study import answering

GAMES = [played.random_game(random.Random(seed), seed % 28) for seed in range(40)]
REQUESTS = [
    Request(number, protocol.PLAY, made.seen_by(made.mover), number)
    for number, made in enumerate(GAMES)
]
LINES = [protocol.write_request(request).encode() for request in REQUESTS]


def last_tile(states, keys):
    """The legal slot with the highest number, without JAX; the seed must be that of the request."""
    slots = []
    for row in range(len(keys)):
        state = base.one(states, row)
        number = int(keys[row, 1])
        assert int(state.ply) == len(GAMES[number].plays)
        mover = GAMES[number].mover
        slots.append(list(state.hands[mover]).index(GAMES[number].legal[-1]))
    return np.array(slots)


def test_requests_are_answered_in_order_and_the_replies_are_right():
    hello = protocol.write_request(Request("hi", protocol.HELLO)).encode()
    replies = list(answering.answer([*LINES, b"", hello], Player("last", last_tile)))
    assert json.loads(replies.pop()) == {"id": "hi", "name": "zebjax last", "version": 1}
    for request, line in zip(REQUESTS, replies, strict=True):
        assert protocol.read_reply(line.encode(), request) == GAMES[request.id].legal[-1]


def test_a_player_that_chooses_no_legal_tile_is_an_error():
    wrong = Player("wrong", lambda states, keys: np.full(len(keys), base.FORFEIT))
    [line] = answering.answer(LINES[:1], wrong)
    assert json.loads(line) == {"id": 0, "error": "the player has chosen no legal tile"}


def test_a_player_that_looks_cannot_answer(capsys):
    assert engine.main(["cheat"]) == 2
    assert "player 'cheat' sees all hands; expected one that uses" in capsys.readouterr().err


def test_a_thousand_hostile_lines_get_errors_and_the_program_answers_on(monkeypatch, capsys):
    lines = hostile.lines(LINES, 1000)
    stream = io.BytesIO(b"\n".join([*lines, LINES[5]]) + b"\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    assert engine.main(["heuristic"]) == 0
    replies = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(replies) == 1001
    for reply in replies[:-1]:
        assert set(reply) == {"id", "error"}, reply
        assert "\n" not in reply["error"] and 0 < len(reply["error"]) < 400
    assert protocol.read_reply(json.dumps(replies[-1]).encode(), REQUESTS[5]) in GAMES[5].legal


@pytest.mark.slow  # two processes that import jax; the parts are tested above and in test_external
def test_an_engine_of_ours_plays_as_the_player_itself():
    from zebjax import players

    states = answering.position_arrays.to_states([made.seen_by(made.mover) for made in GAMES])
    keys = np.arange(len(GAMES), dtype=np.uint32)[:, None] * np.array([0, 1], np.uint32)
    spec = f"ext:{sys.executable} -m zebjax engine heuristic,timeout=300"
    there = players.make(spec).choose(states, keys)
    np.testing.assert_array_equal(there, players.make("heuristic").choose(states, keys))
    assert game.N_PLIES == tiles.N_TILES


def test_games_with_and_without_a_contract_are_answered_in_one_batch():
    """A player is told the contract, and one that needs it says so where there is none."""
    told = []

    def without(states, keys):
        raise ValueError("this player needs a contract")

    def within(states, contracts, keys):
        told.extend(zip(contracts.bidder.tolist(), contracts.bid.tolist(), strict=True))
        return last_tile(states, keys)

    bid = Bid(GAMES[3].leader, 33)
    with_bid = dataclasses.replace(GAMES[3], bid=bid)
    request = Request(3, protocol.PLAY, with_bid.seen_by(with_bid.mover), 3)
    line = protocol.write_request(request).encode()
    player = Player("needs", without, choose_in_contract=within)
    first, second, third = answering.answer([LINES[2], line, LINES[4]], player)
    for number, reply in ((2, first), (4, third)):
        assert json.loads(reply) == {"id": number, "error": "this player needs a contract"}
    assert protocol.read_reply(second.encode(), request) == GAMES[3].legal[-1]
    assert told == [(bid.seat, 33)]
