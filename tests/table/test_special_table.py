"""A table with special contracts: bids, who declares and leads, silent partners, marks, files."""

import dataclasses
import json
import random

import pytest

from tests.support.special_games import ids
from tests.support.tables import swapped
from zebjax import bidding, notation, play, players, protocol, special, tiles
from zebjax.bidding import PASS
from zebjax.common import bids
from zebjax.players import special as player
from zebjax.players.special_bids import SpecialBidder
from zebjax.position import four
from zebjax.study import answering
from zebjax.table import bots, host, saving, state, text, views

NAMES = ("a", "b", "c")
RANDOM = players.make("random")
EVERYONE = dict.fromkeys((*NAMES, state.YOU), RANDOM)
LOW = "0-0 1-0 2-0 3-1 4-0 2-1 3-0"
DOUBLES = "6-6 5-5 4-4 3-3 6-5 6-4 6-3"


def start(hand=LOW, seat=1, options=bids.OPTIONS):
    """A table at which the person bids first and holds `hand`."""
    table = state.new(seat, NAMES, 3, True, options)
    said = dataclasses.replace(table.bidding, dealer=(seat - 1) % 4)
    rest = [tile for tile in range(28) if tile not in ids(hand)]
    random.Random(1).shuffle(rest)
    others = iter((rest[:7], rest[7:14], rest[14:]))
    hands = four(ids(hand) if at == seat else tuple(next(others)) for at in range(4))
    return dataclasses.replace(
        table, game=dataclasses.replace(table.game, hands=hands), bidding=said
    )


def won(table, call, declaration):
    for said in (call, PASS, PASS, PASS):
        table = state.call(table, said)
    return state.declare(table, declaration)


def first_legal(table):
    while not table.is_over:
        table = state.play(table, table.game.legal[0])
    return table


def test_nello_is_played_by_three_and_counts_its_marks(tmp_path):
    table = won(start(), (42, 2), special.NELLO)
    view = views.view(table)
    assert view["silent"] == 3 and view["auction"]["special"] == "nello"
    assert "takes no part" in text.board(view)
    assert text.head(view).splitlines()[1] == (
        "2 marks by you, nello: take no trick   tricks: us 0, they 0"
    )
    over = first_legal(table)
    assert 3 not in over.game.movers
    result = bidding.result(over.game)
    assert over.score == ((0, 2) if result == "made" else (2, 0))
    shown = views.view(over)
    json.dumps(shown)
    assert f": {result}, 2 marks for " in text.outcome(shown) and "in nello" in text.outcome(shown)
    assert not state.undo(over).is_over
    path = saving.save(over, tmp_path)
    assert notation.read(path.read_text()) == over.game
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    path.with_suffix(".safetensors").touch()  # as of trump, before the declaration was taken back
    assert saving.save(over, tmp_path, path) == path and list(tmp_path.iterdir()) == [path]


def test_after_a_plunge_the_partner_names_trump_and_leads(tmp_path):
    table = start(DOUBLES)
    for said in ((42, 4, "plunge"), PASS, PASS, PASS):
        table = state.call(table, said)
    assert (table.phase, table.turn) == ("declare", 3)
    assert table.bidding.winner.seat == 1
    assert "you bid plunge 4 marks: partner names trump" in text.board(views.view(table))
    partner = dataclasses.replace(table, seat=3)
    hint = host.Host({}, None, worlds=4, bidder=SpecialBidder()).hint(partner)
    assert hint["worlds"] == 4 and hint["bids"][hint["lowest"]] == 42 and hint["special"] == []
    table = state.declare(table, 6)
    assert table.turn == 3 and table.game.bid == (3, 42, 4)
    view = views.view(table)
    assert text.contract(view).startswith(
        "plunge 4 marks by you, trumps: sixes   points: us 0 of 42"
    )
    over = first_legal(table)
    team = bidding.winner(over.game)
    assert over.score == ((4, 0), (0, 4))[team]
    path = saving.save(over, tmp_path)
    assert "dealer 0\ncalls  plunge 4 marks, pass, pass, pass\nmarks 0 0\n" in path.read_text()
    assert notation.read(path.read_text()) == over.game
    assert path.with_suffix(".safetensors").exists()


def test_undo_takes_back_nello_and_what_a_partner_named_after_a_plunge():
    table = start()
    mine = state.undo(won(table, (42, 2), special.NELLO))
    assert mine.phase == "declare" and mine.is_turn and views.view(mine)["silent"] == -1
    assert state.declare(mine, special.SEVENS).game.declaration == special.SEVENS
    silent = dataclasses.replace(won(table, (42, 2), special.NELLO), seat=3)
    back = state.undo(silent)  # it has passed, and takes no part in nello
    assert (back.phase, back.bidding.calls) == ("bid", ((42, 2), PASS))
    plunged = won(start(DOUBLES), (42, 4, "plunge"), 6)
    partner = state.undo(dataclasses.replace(plunged, seat=3))
    assert partner.phase == "declare" and partner.is_turn
    bidder = state.undo(plunged)
    assert (bidder.phase, bidder.bidding.calls) == ("bid", ())


def test_a_call_without_the_doubles_or_the_option_is_refused():
    table = start()
    assert "plunge 4 marks" not in views.view(table)["auction"]["allowed"]
    with pytest.raises(ValueError, match="plunge needs 4 doubles in hand, this one has 1"):
        state.call(table, (42, 4, "plunge"))
    # What is expected instead has none of the two, for which this hand lacks doubles.
    with pytest.raises(ValueError, match=r"a bid from 30 to 2 marks, got 3 marks$"):
        state.call(table, (42, 3))
    with pytest.raises(ValueError, match=r"expected one of blanks, aces, .*follow me$"):
        won(start(options=()), (42, 1), special.NELLO)
    with pytest.raises(ValueError, match=r"one of blanks, .*doubles a suit, follow me$"):
        won(start(), (41, 1), special.SEVENS)
    names = [each["name"] for each in views.view(_declaring(start()))["auction"]["declarations"]]
    assert names[-3:] == ["nello", "nello, doubles a suit", "sevens"]


def _declaring(table):
    for said in ((42, 1), PASS, PASS, PASS):
        table = state.call(table, said)
    return table


@pytest.mark.parametrize("declaration", [special.NELLO, special.SEVENS])
def test_others_play_from_their_own_hand_and_the_record_alone(declaration):
    table = won(start(), (42, 1), declaration)
    table = state.play(table, table.game.legal[0])
    here = dataclasses.replace(table, seat=table.turn)  # so that the others' hands are swapped
    other = swapped(here)
    assert other.game.hands != table.game.hands
    line = protocol.write_request(state.request(table))
    assert line == protocol.write_request(state.request(other))
    assert (
        bots.step(table, EVERYONE).game.plays
        == bots.step(dataclasses.replace(other, seat=table.seat), EVERYONE).game.plays
    )
    (reply,) = answering.answer([line.encode()], RANDOM)
    assert json.loads(reply)["leader"] == 1


def test_a_hint_in_nello_says_how_often_each_tile_makes_it():
    made = host.Host({}, None, worlds=20, bidder=SpecialBidder(), options=bids.OPTIONS)
    table = won(start(), (42, 1), special.NELLO)
    found = made.hint(table)
    assert {row["tile"] for row in found["tiles"]} == set(ids(LOW)) and found["value"] == "make"
    assert found["tiles"][0]["p_win"] > 0.5
    assert "open hands" in text.hint(found) and "with all hands open" in text.hint(found)
    # The chance that the hint at the bid names, from which the shares differ.
    p_make = player.p_make(table.game.hands[1], special.NELLO, state.request(table).seed, 20)
    assert found["is_open"] and f"makes it in {100 * p_make:.0f} %" in found["caption"]
    assert made.hint(swapped(table)) == found
    beliefs = made.beliefs(table)
    assert beliefs["worlds"] == 399_072_960 and len(beliefs["tiles"]) == 21
    assert made.beliefs(swapped(table)) == beliefs and "right" in text.beliefs(
        views.view(table), beliefs
    )
    assert "in nello and sevens all others play by E[Q] of 100 worlds" in made.notice


def test_a_review_says_which_move_has_lost_the_contract():
    made = host.Host({}, None, worlds=20, bidder=SpecialBidder())
    table = won(start(), (42, 1), special.NELLO)
    for tile in ids("0-0"):  # the highest of its suit: it takes its own trick
        table = state.play(table, tile)
    over = first_legal(table)
    assert bidding.result(over.game) == "set"
    found = made.review(over)
    first = found["moves"][0]
    assert (first["tile"], first["seat"], first["deal_loss"]) == (0, 1, 1)
    assert first["p_win_loss"] > 0.5 and first["deal_best"] != 0 and not found["has_points"]
    assert "the hand" in text.review(views.view(over), found)
    json.dumps(found)


def test_the_options_of_a_table_go_on_to_the_next_hand_and_to_the_players():
    table = first_legal(won(start(), (42, 1), special.SEVENS))
    assert state.next_hand(table, 4).bidding.options == bids.OPTIONS
    request = state.request(state.next_hand(table, 4))
    data = json.loads(protocol.write_request(request))
    assert data["auction"]["options"] == list(bids.OPTIONS)
    assert protocol.read_request(data) == request
    for wrong, said in (
        (["low"], "auction: options: expected some of"),
        (3, "auction.options: ex"),
    ):
        with pytest.raises(ValueError, match=said):
            protocol.read_request(data | {"auction": data["auction"] | {"options": wrong}})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--special", "nello"], "--special: expected --bid with it"),
        (["--doubles-suit"], "--doubles-suit: expected --bid with it"),
    ],
)
def test_options_without_bids_get_one_sentence(words, said):
    from zebjax.table import options

    with pytest.raises(ValueError, match=said):
        options.open_host(play.parser().parse(words), [])


def test_the_command_reads_special_contracts(capsys):
    assert play.parser().parse(["--bid", "--special", "sevens,nello"]).special == (
        "nello",
        "sevens",
    )
    with pytest.raises(SystemExit):
        play.parser().parse(["--bid", "--special", "low"])
    assert "expected some of nello,nello-doubles,plunge" in capsys.readouterr().err


def test_the_tiles_of_sevens_are_offered_alone():
    table = won(start("6-6 0-0 6-1 5-2 6-5 1-1 2-1"), (42, 1), special.SEVENS)
    legal = [held["tile"] for held in views.view(table)["hand"] if held["legal"]]
    assert [tiles.TILE_NAMES[tile] for tile in legal] == ["6-1", "5-2"]
