"""A table with bids: whole hands by the state machine, what is told, marks, advice, files."""

import dataclasses
import json

import numpy as np
import pytest

from tests.support.tables import swapped
from zebjax import (
    bidding,
    contract_record,
    notation,
    players,
    position_arrays,
    protocol,
    suits,
    tiles,
)
from zebjax.bidding import PASS, Bidding, Seen
from zebjax.players import Player, auction
from zebjax.players.auction import Bidder
from zebjax.players.special_bids import Offer
from zebjax.study import answering, reading
from zebjax.table import advice, bots, host, saving, state, text, views

NAMES = ("a", "b", "c")
RANDOM = players.make("random")


def start(seed=3, seat=0):
    return state.new(seat, NAMES, seed, bids=True)


def bid(table, *calls, declaration=6):
    for call in calls:
        table = state.call(table, call)
    return state.declare(table, declaration)


def first_legal(table):
    """Play the first legal tiles until the hand is over."""
    while not table.is_over:
        table = state.play(table, table.game.legal[0])
    return table


def test_a_hand_goes_from_bids_to_a_declaration_to_play_and_ends_when_it_is_decided():
    table = start()
    dealer = table.bidding.dealer
    assert (table.phase, table.turn) == ("bid", (dealer + 1) % 4)
    for early in (lambda: state.play(table, 0), lambda: state.declare(table, 6)):
        with pytest.raises(ValueError, match=r"bids come first|nothing to declare"):
            early()
    seen = views.view(table)
    assert seen["declaration"] is None and seen["declaration_name"] is None
    table = state.call(state.call(state.call(table, PASS), (31, 1)), PASS)
    with pytest.raises(ValueError, match="expected pass or a bid from 32 to 2 marks, got 31"):
        state.call(table, (31, 1))
    table = state.call(table, PASS)
    bidder = (dealer + 2) % 4
    assert (table.phase, table.turn) == ("declare", bidder)
    with pytest.raises(ValueError, match=r"expected one of blanks, .*, doubles, follow me"):
        state.declare(table, tiles.DECLARATION_NAMES.index("doubles suit"))
    table = state.declare(table, 2)
    assert (table.phase, table.turn) == ("play", bidder)
    assert table.game.bid == (bidder, 31, 1) and table.game.declaration == 2
    with pytest.raises(ValueError, match="there are no bids now"):
        state.call(table, PASS)
    over = first_legal(table)
    last = over.game.before(len(over.game.plays) - 1)
    assert bidding.winner(last) is None and bidding.result(over.game) in ("made", "set")
    team = bidding.winner(over.game)
    assert over.score[team] == 1 and over.score[1 - team] == 0 and over.turn == -1
    assert state.undo(over).phase == "play"
    json.dumps(views.view(over))


def everything(table):
    """A table without the count of what was taken back."""
    return dataclasses.replace(table, undone=0)


@pytest.mark.parametrize("seat", range(4))
def test_undo_takes_back_the_play_the_declaration_and_the_call_of_the_person(seat):
    table = start(seat=seat)
    said = [(30, 1), (31, 1), PASS, (32, 1)]
    before = [table]
    for call in said:
        before.append(state.call(before[-1], call))
    place = (seat - table.bidding.dealer - 1) % 4
    declared = state.declare(before[-1], 4)
    played = declared
    while len(played.game.plays) < 6:
        played = state.play(played, played.game.legal[0])
    back = played
    for _ in range(played.game.movers.count(seat)):
        back = state.undo(back)
        assert back.phase == "play" and back.turn == seat
    if place == 3:  # the highest bidder, which declares
        back = state.undo(back)
        assert back.phase == "declare" and everything(back) == everything(before[-1])
    for later in (back, before[-1], before[place + 1]):
        taken = state.undo(later)
        assert everything(taken) == everything(before[place])
        assert taken.undone == later.undone + 1 and taken.turn == seat
    again = taken
    for call in said[place:]:
        again = state.call(again, call)
    assert everything(again) == everything(before[-1])
    assert not before[place].can_undo and not taken.can_undo and before[place + 1].can_undo
    with pytest.raises(ValueError, match=r"^undo: you have not bid in this hand"):
        state.undo(taken)


def test_the_others_bid_the_same_again_after_undo():
    bidder = Bidder(0.5, worlds=1)
    everyone = dict.fromkeys(NAMES, RANDOM)
    table = bots.advance(start(seat=0), everyone, bidder)
    after = bots.advance(state.call(table, (42, 1)), everyone, bidder)
    back = state.undo(after)
    while back.phase in ("declare", "play"):  # a trump or a tile was to be taken back first
        back = state.undo(back)
    assert everything(back) == everything(table)
    again = bots.advance(state.call(back, (42, 1)), everyone, bidder)
    assert everything(again) == everything(after)


def test_marks_are_counted_to_seven_and_the_deal_moves_to_the_left():
    table, dealers = start(), []
    while table.game_winner is None:
        dealers.append(table.bidding.dealer)
        table = first_legal(bid(table, (42, 2), PASS, PASS, PASS))
        assert sum(table.score) == 2 * table.number
        before = table
        if table.game_winner is None:
            table = state.next_hand(table, table.number)
    assert dealers == [(dealers[0] + n) % 4 for n in range(len(dealers))]
    winner = before.game_winner
    assert before.score[winner] >= 7 > before.score[1 - winner]
    after = state.next_hand(before, 0)
    assert after.score == (0, 0) and after.games[winner] == 1 and sum(after.games) == 1


def test_a_game_without_bids_has_none():
    table = state.new(0, NAMES, 3)
    assert table.phase == "play" and views.view(table)["auction"] is None
    assert table.game_winner is None
    with pytest.raises(ValueError, match="there are no bids now"):
        state.call(table, (30, 1))


def test_what_is_told_at_the_bid_has_the_own_hand_alone():
    table = start(seat=2)
    while not table.is_turn:
        table = state.call(table, PASS)
    other = swapped(dataclasses.replace(table, game=table.game))
    assert other.game.hands != table.game.hands
    assert views.view(table) == views.view(other)
    line = protocol.write_request(state.request(table))
    assert line == protocol.write_request(state.request(other))
    data = json.loads(line)
    assert set(data) == {"id", "request", "version", "auction", "seed"}
    assert data["auction"] == {
        "hand": [tiles.TILE_NAMES[tile] for tile in table.game.hands[2]],
        "dealer": table.bidding.dealer,
        "calls": ["pass"] * len(table.bidding.calls),
    }


ALL_SIXES = tuple(tiles.tile_id(6, low) for low in range(7))
WEAK = tuple(map(tiles.TILE_NAMES.index, ("1-0", "2-0", "3-1", "4-2", "4-0", "5-3", "2-1")))


def test_the_bidder_raises_by_one_passes_and_is_forced():
    bidder = Bidder(0.9, worlds=1)
    assert bidder.call(Seen(ALL_SIXES, Bidding(0)), 0) == (30, 1)
    assert bidder.call(Seen(ALL_SIXES, Bidding(0, ((36, 1),))), 0) == (37, 1)
    for high in ((42, 1), (42, 2)):
        assert bidder.call(Seen(ALL_SIXES, Bidding(0, (high,))), 0) is PASS
    assert bidder.call(Seen(ALL_SIXES, Bidding(0, ((36, 1), PASS))), 0) is PASS  # the partner's
    assert bidder.call(Seen(ALL_SIXES, Bidding(0, ((36, 1), (37, 1)))), 0) == (38, 1)
    # In one deal of the others a weak hand may make 41.
    assert Bidder(0.9, worlds=20).call(Seen(WEAK, Bidding(0, ((40, 1),))), 0) is PASS
    assert bidder.call(Seen(WEAK, Bidding(0, (PASS,) * 3)), 0) == (30, 1)
    assert bidder.declare(Seen(ALL_SIXES, Bidding(0, ((30, 1), PASS, PASS, PASS))), 0) == 6


def test_the_bots_bid_declare_and_play_with_the_contract():
    seen = []

    def choose_in_contract(states, contracts, keys):
        seen.append(contracts)
        return RANDOM.choose(states, keys)

    knows = Player("knows", RANDOM.choose, choose_in_contract=choose_in_contract)
    everyone = dict.fromkeys((*NAMES, state.YOU), knows)
    table, bidder = start(seed=5), Bidder(0.5, worlds=1)
    while not table.is_over:
        table = bots.step(dataclasses.replace(table, seat=(table.turn + 1) % 4), everyone, bidder)
    assert len(table.bidding.calls) == 4 and table.game.declaration in bidding.DECLARATIONS
    for contracts in seen:
        assert contracts.bidder == table.game.bid.seat and contracts.bid == table.game.bid.points
    assert seen and bots.about_contracts(everyone) == ""
    said = bots.about_contracts({"random": RANDOM, "knows": knows})
    assert said.startswith("random plays for points and not to make or set the bid; ")


def test_a_player_that_needs_a_contract_says_so_without_one():
    table = state.new(0, NAMES, 3)
    makes = players.make("eq:n=1,criterion=make")
    with pytest.raises(ValueError, match="criterion=make plays games with a contract"):
        bots.choose(makes, state.request(table))


def test_the_hint_at_the_bid_is_that_of_zebjax_bid():
    made = host.Host({}, None, worlds=2, bidder=Bidder(0.5))
    table = start(seat=1)
    while not table.is_turn:
        table = state.call(table, (30, 1) if table.bidding.high is None else PASS)
    found = made.hint(table)
    request = state.request(table)
    rng = np.random.default_rng(request.seed)
    chances = auction.chances(np.array(table.game.hands[1]), 2, rng, auction.policy_of(auction.BY))
    by_name = {row["declaration"]: row for row in found["rows"]}
    for declaration, p_make in zip(chances.declarations, chances.p_make, strict=True):
        np.testing.assert_allclose(by_name[declaration]["p_make"], p_make)
    lowest = bidding.LOWEST[0] + (table.bidding.high is not None)
    assert found["bids"][found["lowest"]] == lowest and found["worlds"] == 2
    assert made.hint(swapped(table)) == found
    with pytest.raises(ValueError, match="nobody has played"):
        made.beliefs(table)


@pytest.mark.parametrize("calls", [((42, 2), PASS, PASS, PASS), (PASS, (30, 1), (31, 1), PASS)])
def test_a_hand_is_saved_with_its_contract_and_comes_back(tmp_path, calls):
    table = first_legal(bid(start(), *calls, declaration=9))
    text = saving.save(table, tmp_path)
    assert notation.read(text.read_text()) == table.game
    path = text.with_suffix(".safetensors")
    records, contracts, facts = contract_record.read(path)
    assert position_arrays.bids(contracts) == [table.game.bid]
    assert facts.search["calls"] == [bidding.name(call) for call in calls]
    assert facts.search["played"] == len(table.game.plays)
    (back,) = reading.read(str(path))
    assert back == table.game and back.auction.calls == tuple(map(bidding.name, calls))
    (whole,) = position_arrays.of_record(records, position_arrays.bids(contracts))
    assert bidding.result(whole) == bidding.result(table.game)
    with pytest.raises(ValueError, match="expected a finished game"):
        saving.save(state.undo(table), tmp_path)


def test_the_hint_advises_no_bid_that_others_have_passed_and_names_a_special_contract():
    def hint(theta, *calls):
        seen = Seen(WEAK, Bidding(0, calls))
        return advice.bid_hint(protocol.Request(1, protocol.BID, seed=5, auction=seen), theta, 10)

    first = hint(0.0)["rows"][0]["p_make"]
    theta = (first[0] + first[-1]) / 2
    free, late = hint(theta), hint(theta, (41, 1))
    assert free["rows"] and 30 <= free["advice"]["bid"] < 42
    assert late["lowest"] == 12 and late["advice"] is None
    assert hint(theta, (42, 1))["advice"] is None  # only marks are left
    assert text.bid_hint(late).splitlines()[0].endswith(f"of {100 * theta:.0f} % or more")
    made = advice.offer(Offer("splash", (42, 2, "splash"), 0.9))
    said = text.bid_hint(late | {"special": [made], "best_special": made}).splitlines()
    assert said[:2] == [
        "splash for 2 marks: the best of these",
        "P(make) of splash for 2 marks 90 %",
    ]
    said = text.bid_hint(free | {"special": [made] * 4})
    assert said.startswith(f"up to {free['advice']['bid']} with")
    # A terminal of 24 lines shows six, and the best declarations are among them.
    assert free["rows"][0]["name"] in "\n".join(said.splitlines()[:6])


def test_the_hint_to_who_must_bid_or_name_trump_says_the_best_declaration():
    def hint(kind, *calls):
        seen = Seen(WEAK, Bidding(0, calls))
        return advice.bid_hint(protocol.Request(1, kind, seed=5, auction=seen), 1.0, 10)

    forced = hint(protocol.BID, PASS, PASS, PASS)
    best = forced["rows"][0]
    share = f"{100 * best['p_make'][0]:.0f} %"
    assert forced["advice"] is None and best["p_make"][0] < 1
    assert text.bid_hint(forced).startswith(f"30 with {best['name']}: P(make) {share}")
    for bid, column, place in (((33, 1), "33", 3), ((42, 2), "2 marks", 12)):
        stands = hint(protocol.DECLARE, bid, PASS, PASS, PASS)
        best, (said, _, head, *rows) = stands["rows"][0], text.bid_hint(stands).splitlines()
        share = f"{100 * best['p_make'][place]:.0f}"
        assert said == f"{suits.phrase(best['declaration'])}, made in {share} %"
        assert head.split() == [*column.split(), "pts"]  # only the bid that stands
        assert rows[0].split()[-3:-1] == [best["name"].split()[-1], share]
    assert hint(protocol.BID, (30, 1))["must"] is hint(protocol.BID)["must"] is None


def test_the_line_at_the_bid_says_or_more_only_if_there_is_more():
    def said(*allowed):
        auction = {"allowed": ["pass", *allowed], "calls": [], "dealer": 0}
        view = {"phase": "bid", "seat": 1, "turn": 1, "auction": auction}
        return text._said_of_bids(view)

    assert said("30", "31") == "your bid: 30 or more, or pass"
    assert said("2 marks") == "your bid: 2 marks, or pass"
    assert said("splash 3 marks") == "your bid: splash 3 marks, or pass"


def test_a_special_contract_is_advised_if_it_promises_more_marks_than_the_lowest_bid():
    nello, splash = Offer("nello", (42, 1), 0.6), Offer("splash", (42, 2, "splash"), 0.58)
    assert advice.best_special([nello, splash], 0.5, None) == splash  # 0.32 marks beside 0.2
    assert advice.best_special([nello, splash], 0.59, 0.3) == nello
    assert advice.best_special([nello], 0.5, 0.7) is None  # a bid of 30 is made more often
    assert advice.best_special([nello], 0.5, 0.55, marks=2) is None
    assert advice.best_special([nello], 0.7, None) is advice.best_special([], 0.0, None) is None


def test_requests_of_bids_are_answered_and_hostile_ones_refused():
    request = protocol.Request(1, protocol.BID, seed=4, auction=Seen(ALL_SIXES, Bidding(3)))
    good = json.loads(protocol.write_request(request))
    assert protocol.read_request(good) == request
    (line,) = answering.answer([json.dumps(good).encode()], RANDOM, Bidder(0.5, 1))
    assert protocol.read_bid(line.encode(), request) == (30, 1)
    held = good["auction"]
    for change, said in (
        ({"request": "declare"}, "auction: expected four calls for declare, got 0"),
        ({"auction": None}, "auction: expected an object with hand, dealer and calls"),
        ({"auction": held | {"hand": held["hand"][:6]}}, "auction: hand: expected seven different"),
        ({"auction": held | {"hand": ["6-6"] * 7}}, "auction: hand: expected seven different"),
        ({"auction": held | {"dealer": 4}}, r"auction: dealer: expected an integer 0\.\.3"),
        ({"auction": held | {"calls": [31]}}, "auction.calls: expected a list of bids"),
        ({"auction": held | {"calls": ["3" * 999]}}, "auction.calls: expected a list of bids"),
        ({"auction": held | {"calls": ["31", "30"]}}, "auction: bid: expected pass or a bid from"),
        ({"auction": held | {"calls": ["pass"] * 5}}, "auction.calls: expected at most four"),
        ({"auction": held | {"calls": ["29"]}}, "auction: expected points from 30 to 42"),
        ({"auction": held | {"hands": []}}, "unknown key"),
    ):
        with pytest.raises(ValueError, match=said):
            protocol.read_request(good | change)
    for reply in ({"bid": "29"}, {"bid": 31}, {"bid": None}, {"error": "no"}, {"bid": ["31"]}):
        said = r"bid: expected one of pass, 30|its answer is an error"
        with pytest.raises(ValueError, match=said):
            protocol.read_bid(json.dumps({"id": 1, **reply}).encode(), request)
