"""The line protocol: what is sent and understood, and what is refused."""

import json
import random

import pytest

from tests.support import played
from zebjax import position_json, protocol, tiles
from zebjax.protocol import Request

GAME = played.random_game(random.Random(5), 9)
VIEW = GAME.seen_by(GAME.mover)
REQUEST = Request("a", protocol.PLAY, VIEW, 7)


def reply(**changes):
    good = json.loads(protocol.write_play(REQUEST, VIEW.legal[0]))
    return json.dumps(good | changes).encode()


def test_requests_make_the_round_trip():
    for request in (REQUEST, Request(3, protocol.HELLO)):
        line = protocol.write_request(request).encode()
        assert protocol.read_request(position_json.parse(line)) == request


def test_a_reply_has_the_tile_the_leader_and_the_points():
    data = json.loads(reply())
    assert data == {
        "id": "a",
        "move": tiles.TILE_NAMES[VIEW.legal[0]],
        "leader": GAME.tricks[2].leader,
        "points": list(GAME.points),
    }
    assert protocol.read_reply(reply(), REQUEST) == VIEW.legal[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (reply(move="7-7"), r'move: expected a legal tile \(.*\), got "7-7"'),
        (reply(move=tiles.TILE_NAMES[VIEW.plays[0]]), "move: expected a legal tile"),
        (reply(move=["6-6"]), "move: expected a legal tile"),
        (reply(leader=(VIEW.trick_leader + 1) % 4), f"leader: expected {VIEW.trick_leader}, got"),
        (reply(points=[0, 0, 0]), r"points: expected \[.*\], got \[0, 0, 0\]"),
        (reply(id="b"), 'id: expected "a", got "b"'),
        (b'{"id": "a", "error": "no"}', 'its answer is an error: "no"'),
        (b"hello", "line: expected one object of JSON"),
        (b"[" * 70000, "line: expected at most 65,536 bytes"),
        (b"[" * 60000, "line: expected one object of JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_wrong_reply_is_refused(line, message):
    with pytest.raises(ValueError, match=message):
        protocol.read_reply(line, REQUEST)


def test_a_request_with_a_hidden_hand_is_neither_sent_nor_answered():
    with pytest.raises(ValueError, match=r"hands\[\d\]: expected null: it is hidden"):
        protocol.write_request(Request(1, protocol.PLAY, GAME))
    data = json.loads(protocol.write_request(REQUEST))
    with pytest.raises(ValueError, match="expected null: it is hidden"):
        protocol.read_request(data | {"position": position_json.write(GAME)})
    with pytest.raises(ValueError, match="expected the seven tiles of the seat to play"):
        other = GAME.seen_by((GAME.mover + 1) % 4)
        protocol.read_request(data | {"position": position_json.write(other)})
