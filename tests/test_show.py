"""`zebjax show`: text, pictures and record files of games."""

import dataclasses
import random

import pytest

from tests.support import played
from zebjax import bidding, contract_record, dominoes, notation, position_arrays, record, show
from zebjax.position import Auction, Bid

GAMES = [played.random_game(random.Random(seed)) for seed in range(2)]


@pytest.fixture
def game_path(tmp_path):
    path = tmp_path / "game.txt"
    path.write_text(notation.write(GAMES[0]))
    return path


def test_a_position_is_shown_within_80_columns(game_path, capsys):
    assert show.main([str(game_path), "--ply", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].endswith(f"seat {GAMES[0].before(9).mover} to play")
    assert sum(line.startswith("> ") for line in lines) == 1


def test_text_of_a_seat_hides_the_other_hands(game_path, capsys):
    assert show.main([str(game_path), "--ply", "9", "--seat", "2", "--text"]) == 0
    assert notation.read(capsys.readouterr().out) == GAMES[0].before(9).seen_by(2)


def test_a_game_of_a_record_file(tmp_path, capsys):
    path = tmp_path / "games.safetensors"
    # 24 as in test_record, which compiles the same program.
    games = position_arrays.to_record(GAMES * 12)
    record.write(path, games, record.Metadata("teacher-eq", "w", 0, {}))
    assert show.main([str(path), "--game", "2", "--text"]) == 0
    assert notation.read(capsys.readouterr().out) == GAMES[1]
    assert show.main([str(path)]) == 2
    assert "it has 24 games; choose one with --game" in capsys.readouterr().err


def test_a_splash_is_by_the_seat_that_bid_it_not_by_the_one_that_leads():
    over = played.random_game(random.Random(3), bid=Bid(0, 42, 2))
    caller = (over.leader + 2) % 4
    calls = tuple("splash 2 marks" if seat == caller else "pass" for seat in range(4))
    over = dataclasses.replace(over, auction=Auction(3, calls, None))
    line = dominoes.describe(over)
    assert f"splash 2 marks by seat {caller}, led by seat {over.leader}: " in line
    assert "bid 2 marks" not in line


def test_a_hand_with_a_bid_says_who_bid_what_and_if_it_is_made(tmp_path, capsys):
    """Also the record of a table, which tells it in its metadata."""
    over = played.random_game(random.Random(3), bid=Bid(0, 30))
    dealer, seat = (over.leader + 2) % 4, over.leader
    said = Auction(dealer, ("pass", "30", "pass", "pass"), (3, 2))
    over = dataclasses.replace(over, auction=said, players=("you", "a", "b", "a"))
    text, table = tmp_path / "a.txt", tmp_path / "a.safetensors"
    text.write_text(notation.write(over))
    facts = {"players": list(over.players), "dealer": dealer, "calls": said.calls, "marks": (3, 2)}
    made = position_arrays.to_record([over] * 24), position_arrays.contracts([over] * 24)
    contract_record.write(table, *made, record.Metadata("table-play", "w", 0, facts))
    for words in ([str(text)], [str(table), "--game", "1"]):
        assert show.main(words) == 0
        first, bids, marks, *_ = capsys.readouterr().out.splitlines()
        assert f"bid 30 by seat {seat}: {bidding.result(over)}, points" in first
        assert first.endswith("the hand is over") and first.startswith("trumps: ")
        assert bids.startswith(f"bids: seat {(dealer + 1) % 4} pass, seat {seat} 30, ")
        assert marks == "marks before this hand: 3 to 2"
    assert show.main([str(table), "--game", "1", "--text"]) == 0
    assert capsys.readouterr().out.strip() == notation.write(over).strip()
    del facts["marks"]  # a hand saved by a version that did not keep them
    contract_record.write(table, *made, record.Metadata("table-play", "w", 0, facts))
    for more in ([], ["--text"]):
        assert show.main([str(table), "--game", "1", *more]) == 0
        assert "marks" not in capsys.readouterr().out
    for wrong, message in (
        ({"calls": ["pass"]}, "calls: expected those of all"),
        ({"marks": [9, -3]}, "marks: expected marks from 0 to 6 of each team, got [9, -3]"),
        ({"marks": [1, True]}, "marks: expected marks from 0 to 6 of each team, got [1, True]"),
        ({"marks": [1]}, "marks: expected marks from 0 to 6 of each team, got [1]"),
        ({"marks": 3}, "marks: expected marks from 0 to 6 of each team"),
    ):
        facts_ = record.Metadata("table-play", "w", 0, facts | wrong)
        contract_record.write(table, *made, facts_)
        assert show.main([str(table)]) == 2
        assert f"a.safetensors: metadata: {message}" in capsys.readouterr().err


def test_a_picture_is_written(game_path, tmp_path):
    assert show.main([str(game_path), "--svg", str(tmp_path / "game.svg")]) == 0
    assert (tmp_path / "game.svg").read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("hand 0 6-7", [], "game.txt: line 1, column 8: expected a tile as in 6-4, got '6-7'"),
        ("", [], "game.txt: expected a game or position, the text has none"),
        ("declaration trump 1\nleader 0", ["--ply", "3"], "--ply: this game has 0 plays, got 3"),
        ("declaration trump 1\nleader 0", ["--game", "2"], "--game: expected 1..1, got 2"),
        (b"\xff", [], "game.txt: expected text in UTF-8"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, capsys, text, options, message):
    path = tmp_path / "game.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert show.main([str(path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
