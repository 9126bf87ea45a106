"""The text of a game: exact round trip, and errors that name line and column."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import played
from zebjax import bidding, notation, tiles
from zebjax.notation import NotationError
from zebjax.position import Auction, Bid, Position, four

GAME = """\
player 0  you
hand 0  6-6 6-5 6-4 5-0 3-2 3-1 0-0
declaration trump 6
leader 0
bid 31 by 0
trick 1  by 0  6-6 6-1 6-2 6-3  won by 0 with 1
trick 2  by 0  6-5  # a comment
"""


@given(played.games(), st.lists(played.NAMES, min_size=4, max_size=4))
@settings(max_examples=40)
def test_games_make_the_round_trip(made, names):
    made = Position(made.hands, made.declaration, made.leader, made.plays, made.bid, four(names))
    assert notation.read(notation.write(made)) == made


@given(st.lists(played.seen(), max_size=3))
@settings(max_examples=20)
def test_positions_with_unknown_hands_make_the_round_trip(made):
    text = notation.write_all(made)
    assert notation.read_all(text) == made
    assert notation.write_all(notation.read_all(text)) == text


def test_what_may_be_left_out():
    """Hands, players, `by`, `won by` and the tiles that a seat has played."""
    made = notation.read(GAME)
    assert made.bid == Bid(0, 31) and made.players == ("you", "", "", "")
    short = "hand 0 0-0 4-6 0-5 2-3 1-3\ndeclaration trump 6\nleader 0\n"
    short += "trick 1 6-6 1-6 6-2 6-3\n\n  trick 2 6-5"
    other = notation.read(short)
    assert (other.plays, other.leader, other.points) == (made.plays, 0, (1, 0))
    assert [tiles.TILE_NAMES[tile] for tile in other.hands[0]][-2:] == ["6-6", "6-5"]
    assert other.legal == () and other.mover == 1


def test_marks():
    text = GAME.replace("31 by", "2 marks by")
    assert notation.read(text).bid == Bid(0, 42, 2)
    assert "bid 2 marks by 0\n" in notation.write(notation.read(text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("6-5 6-4", "6-7 6-4", "line 2, column 13: expected a tile as in 6-4, got '6-7'"),
        ("3-2 3-1", "3-2 3-2", "line 2, column 29: 3-2 is twice in hand 0"),
        ("0-0\n", "0-0 1-1\n", "line 2, column 37: a hand has 7 tiles; this is one more"),
        ("hand 0  6", "hand 4  6", "line 2, column 6: expected a seat 0..3, got '4'"),
        ("trump 6", "trumps 7", "line 3, column 13: 'trumps 7' is not a declaration; did you "),
        ("leader 0", "leader", "line 4, column 7: the line ends here; expected a seat 0..3"),
        ("leader 0", "leader 0 1", "line 4, column 10: expected the end of the line, got '1'"),
        ("leader 0", "leader 0\nleader 0", "line 5, column 8: the leader is given twice; the fir"),
        ("leader 0\n", "", "line 7, column 1: the game ends here, without a line `leader`"),
        ("31 by 0", "31 by 1", "line 5, column 5: bid: the bidder leads the first trick"),
        ("31 by 0", "29 by 0", "line 5, column 5: bid: expected points from 30 to 42 or marks"),
        ("31 by 0", "31", "line 5, column 7: the line ends here; expected `by SEAT`"),
        ("1  by 0", "1  by 2", "line 6, column 13: seat 0 leads this trick, not 2"),
        ("won by 0", "won by 1", "line 6, column 40: seat 0 wins this trick, not 1"),
        ("with 1", "with 2", "line 6, column 47: this trick has 1 points, not 2"),
        ("6-3  won", "won", "line 7, column 7: trick 1 has fewer than 4 tiles"),
        ("trick 2", "trick 3", "line 7, column 7: expected the number 2, since tricks stand in"),
        ("6-5  #", "6-5 5-5 4-4 6-0 1-1 #", "line 7, column 32: a trick has 4 tiles; this is on"),
        ("  6-5  #", "  6-5 6-0 6-4 #", "line 7, column 24: seat 2 plays 6-4, which is in the "),
        ("  6-5  #", "  6-3  #", "line 7, column 16: 6-3 has been played before"),
        ("trick 2", "trik 2", "line 7, column 1: a line begins with player, hand, .*'trick'"),
        ("player 0", "---\nplayer 0\n---", "line 1, column 1: the game ends|line 3"),
    ],
)
def test_an_error_names_line_and_column(old, new, message):
    assert GAME.count(old) == 1
    with pytest.raises(NotationError, match=message):
        notation.read(GAME.replace(old, new))


def test_a_text_without_a_game_is_refused():
    with pytest.raises(NotationError, match="expected one game, got 0"):
        notation.read("# nothing\n")
    with pytest.raises(NotationError, match="at most 1,048,576 characters"):
        notation.read_all(" " * (1 << 20) + "x")


@given(st.text(st.characters() | st.sampled_from("0123456-? \n#"), max_size=200))
@settings(max_examples=100)
def test_any_text_is_a_position_or_an_error(text):
    for whole in (text, GAME + text, GAME.replace("trick 1", text)):
        try:
            notation.read_all(whole)
        except NotationError as error:
            assert str(error).startswith("line ")


BID = """\
dealer 2
calls  pass, 31, pass, pass
marks 3 6
"""


def test_the_round_of_bids_the_marks_and_the_result_make_the_round_trip():
    text = GAME.replace("declaration", f"{BID}declaration")
    made = notation.read(text)
    assert made.auction == Auction(2, ("pass", "31", "pass", "pass"), (3, 6))
    assert BID in notation.write(made) and notation.read(notation.write(made)) == made
    assert "result" not in notation.write(made)
    assert notation.read(text.replace(BID, "")).auction is None  # a file from before
    unknown = notation.read(text.replace("marks 3 6\n", ""))
    assert unknown.auction.marks is None and "marks" not in notation.write(unknown)
    assert notation.read(text.replace("31 by", "84 by").replace("31", "84")).bid == Bid(0, 42, 2)
    with pytest.raises(NotationError, match="no bid is made or set by these tricks, not made"):
        notation.read(f"{text}result made\n")
    over = played.random_game(random.Random(3), bid=Bid(0, 30))
    result, other = bidding.result(over), {"made": "set", "set": "made"}[bidding.result(over)]
    assert notation.write(over).endswith(f"result {result}\n")
    for word, said in ((other, f"the bid is {result}, not {other}"), ("x", "expected made or set")):
        with pytest.raises(NotationError, match=said):
            notation.read(notation.write(over).replace(f"result {result}", f"result {word}"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("calls  pass, 31, pass, pass\n", "", "line 3, column 8: dealer: expected a line `calls`"),
        ("dealer 2\n", "", "line 3, column 8: calls: expected a line `dealer` with it"),
        ("31, pass, pass", "31, pass", "line 4, column 8: calls: expected those of all four seats"),
        ("pass, 31, pass", "31, pass, pass", "calls: 31 by seat 3 is not the bid of this game"),
        ("31, pass", "31, 30", "bid: expected pass or a bid from 32"),
        ("31, pass", "31, what", "expected points from 30 to 42 or marks"),
        ("3 6", "3 7", "line 5, column 9: expected marks from 0 to 6 of each team"),
    ],
)
def test_a_wrong_round_of_bids_is_refused(old, new, message):
    text = GAME.replace("declaration", f"{BID}declaration")
    assert text.count(old) == 1
    with pytest.raises(NotationError, match=message):
        notation.read(text.replace(old, new))
