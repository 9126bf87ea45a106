"""Programs as players: real processes that play, look for hidden hands, and break the protocol."""

import dataclasses
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support import played
from zebjax import players, position_arrays, tiles
from zebjax.players import base, external
from zebjax.position import Bid, four

TOY = f"{sys.executable} {Path(__file__).parents[1] / 'support' / 'toy_player.py'}"
GAMES = [played.random_game(random.Random(seed), seed % 28) for seed in range(60)]
HELLO = 'print(\'{"id": 1, "version": 1}\', flush=True); '


def choose(player, games):
    return player.choose(position_arrays.to_states(games), np.zeros((len(games), 2), np.uint32))


def program(code):
    """A program that reads the greeting, answers it and runs `code`."""
    return f'{sys.executable} -c "import sys, time; i = sys.stdin; i.readline(); {code}"'


def replying(line):
    """A program that answers everything with a line."""
    hello = r"print('{\"id\": 1, \"version\": 1}', flush=True)"
    return program(f"{hello}; [print('{line}', flush=True) for _ in i]")


def test_a_program_that_knows_only_the_description_agrees_on_all_rules():
    """Each reply has the trick's leader and the points, and its tile must be legal."""
    player = players.make(f"ext:{TOY}")
    slots = choose(player, GAMES)
    for game, slot in zip(GAMES, slots, strict=True):
        assert game.hands[game.mover][slot] == game.legal[0]
    assert player.summary() == "" and player.identity == "" and player.spec == f"ext:{TOY}"


def test_a_program_never_gets_a_hidden_hand(tmp_path):
    """What is sent is the same, byte for byte, when the hidden hands are others."""
    sent = []
    for name in ("a", "b"):
        log = tmp_path / name
        player = players.make(f"ext:sh -c 'tee {log} | {TOY}',timeout=60")
        choose(player, GAMES if name == "a" else [permuted(game) for game in GAMES])
        end = time.monotonic() + 30
        while log.read_bytes().count(b"\n") < 61 and time.monotonic() < end:
            time.sleep(0.01)  # `tee` may write its file after the program has answered
        sent.append(log.read_bytes())
    assert sent[0] == sent[1] and sent[0].count(b"\n") == 61


def test_a_program_is_told_the_contract(tmp_path):
    log = tmp_path / "sent"
    player = players.make(f"ext:sh -c 'tee {log} | {TOY}',timeout=60")
    rng, bids = random.Random(4), [Bid(0, 30), Bid(3, 42, 2), Bid(1, 35)]
    games = []
    for bid in bids:
        game = played.random_game(rng, 9)
        while game.leader != bid.seat:
            game = played.random_game(rng, 9)
        games.append(dataclasses.replace(game, bid=bid))
    contracts = position_arrays.contracts(games)
    assert position_arrays.bids(contracts) == bids
    keys = np.zeros((len(games), 2), np.uint32)
    slots = player.slots(position_arrays.to_states(games), contracts, keys)
    _, *requests = map(json.loads, log.read_text().splitlines())
    for game, slot, request in zip(games, slots, requests, strict=True):
        assert game.hands[game.mover][slot] == game.legal[0]
        assert request["position"]["bid"] == game.bid._asdict()
        assert request["position"]["declaration"] == tiles.DECLARATION_NAMES[game.declaration]
        assert [bool(hand) for hand in request["position"]["hands"]].count(True) == 1


def permuted(game):
    """A game in which the tiles that only others have seen have changed hands.

    It may be one that cannot be: a player that looks is also found by its failing.
    """
    rng, hidden = random.Random(1), []
    for seat in {0, 1, 2, 3} - {game.mover}:
        hidden += [tile for tile in game.hands[seat] if tile not in game.plays]
    rng.shuffle(hidden)
    hands = four(
        hand
        if seat == game.mover
        else tuple(tile if tile in game.plays else hidden.pop() for tile in hand)
        for seat, hand in enumerate(game.hands)
    )
    changed = object.__new__(type(game))  # without the check of hands that cannot be
    object.__setattr__(changed, "__dict__", {})
    for field in ("declaration", "leader", "plays", "bid", "players"):
        object.__setattr__(changed, field, getattr(game, field))
    object.__setattr__(changed, "hands", hands)
    return changed


@pytest.mark.parametrize(
    ("command", "summary"),
    [
        (replying("{}"), "2 games forfeited (2 failed) in 2 decisions"),
        (program(HELLO.replace('"', r"\"")), "2 games forfeited (2 failed) in 2 decisions"),
        (replying("x" * 70000), "2 games forfeited (2 failed) in 2 decisions"),
    ],
)
def test_a_wrong_reply_forfeits_and_is_counted(command, summary, capfd):
    player = players.make(f"ext:{command}")
    assert choose(player, GAMES[:2]).tolist() == [base.FORFEIT] * 2
    assert player.summary() == summary
    assert capfd.readouterr().err.count("forfeits a game:") == 2


def test_an_illegal_tile_forfeits_and_the_program_goes_on(tmp_path, capfd):
    path = tmp_path / "cheats.py"
    source = Path(TOY.split()[1]).read_text()
    path.write_text(source.replace('"move": legal[0]', '"move": "6-6"'))
    player = players.make(f"ext:{sys.executable} {path}")
    slots = choose(player, GAMES)
    lawful = [27 in game.legal for game in GAMES]
    assert [slot != base.FORFEIT for slot in slots] == lawful
    n = lawful.count(False)
    assert player.summary() == f"{n} games forfeited ({n} illegal) in 60 decisions"
    assert capfd.readouterr().err.count("move: expected a legal tile") == 3  # then only counted


def test_a_late_reply_forfeits_and_the_program_is_killed(capfd):
    late = external.Program(program(HELLO.replace('"', r"\"") + "time.sleep(600)"), 0.05)
    view = GAMES[0].seen_by(GAMES[0].mover)
    process = late._process
    assert late.ask(view, 0) is None
    assert process.poll() is not None
    assert late.summary() == "1 game forfeited (1 late) in 1 decision"
    assert "forfeits a game: no reply in 0.05 s" in capfd.readouterr().err
    late.close()


def test_a_program_that_fails_again_and_again_is_given_up(capfd):
    player = players.make(f"ext:{replying('{}')}")
    with pytest.raises(ValueError, match="it has failed 5 times in a row, at last: id: expected"):
        choose(player, GAMES[:6])
    assert capfd.readouterr().err.count("\n") == 3


def test_a_program_ends_with_its_player():
    made = external.Program(f"sh -c 'sleep 600 & exec {TOY}'", 10)
    process = made._process
    made.close()
    assert process.poll() is not None
    deadline = time.monotonic() + 60
    while _group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _group_lives(process.pid)


def _group_lives(group):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            found.append(path)
    return bool(found)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ext", r"expected ext:COMMAND\[,timeout=10\]"),
        ("ext:", r"expected ext:COMMAND\[,timeout=10\]"),
        ("ext: ", "expected a command as in ext:python3 player.py, got an empty one"),
        ("ext:no-such-program x", "no-such-program: there is no such file or folder"),
        ("ext:sh -c 'x", "No closing quotation"),
        ("ext:true", "it does not answer the greeting: it has ended"),
        (f"ext:{TOY},timeout=0", "timeout: expected a number from 0.01 to 3600, got '0'"),
    ],
)
def test_a_program_that_cannot_be_used_is_one_sentence(spec, message):
    with pytest.raises(ValueError, match=message) as error:
        players.make(spec)
    assert str(error.value).startswith("player ") and "\n" not in str(error.value)


def test_a_command_may_have_commas():
    code = "import sys; a, b = 1, 2; exec(open(sys.argv[1]).read())"
    toy = TOY.split()[1]
    player = players.make(f"ext:{sys.executable} -c '{code}' {toy},timeout=20")
    assert choose(player, GAMES[:1]) != base.FORFEIT
