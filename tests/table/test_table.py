"""One table: what a seat sees, what a player is told, undo, advice, review, files."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest

from tests.support.tables import swapped
from zebjax import notation, players, position_arrays, protocol, record, tiles
from zebjax.table import advice, bots, saving, state, views

FIRST = "heuristic"


@pytest.fixture(scope="module")
def made():
    return bots.load(["random", FIRST])


def start(seed=3, seat=0):
    return state.new(seat, ("random", FIRST, "random"), seed)


def played(made, plies, seed=3, seat=0):
    """A table after at least so many plays, at the person's turn or the end."""
    table = bots.advance(start(seed, seat), made)
    while len(table.game.plays) < plies:
        table = state.play(table, table.game.legal[0])
        table = bots.advance(table, made)
    return table


def test_seats_are_left_partner_right_of_the_person():
    table = state.new(2, ("a", "b", "c"), 0)
    assert table.game.players == ("b", "c", state.YOU, "a")
    with pytest.raises(ValueError, match=r"^seat: expected 0\.\.3, got 4"):
        state.new(4, ("a", "b", "c"), 0)
    with pytest.raises(ValueError, match="expected three"):
        state.new(0, ("a",), 0)


def test_a_hand_is_played_to_its_end_and_the_view_counts_its_points(made):
    table = played(made, 28)
    seen = views.view(table)
    assert seen["phase"] == "over" and seen["turn"] is None and sum(seen["points"]) == 42
    assert [trick["winner"] for trick in seen["tricks"][:-1]] == [
        trick["leader"] for trick in seen["tricks"][1:]
    ]
    by_team = [0, 0]
    for trick in seen["tricks"]:
        by_team[trick["winner"] % 2] += trick["points"]
    assert by_team == seen["points"] and seen["seed"] == 3
    assert json.loads(json.dumps(seen)) == seen
    after = state.next_hand(table, 4)
    assert after.number == 2 and sum(after.won) <= 1 and after.game.hands != table.game.hands
    with pytest.raises(ValueError, match="not over"):
        state.next_hand(after, 5)


@pytest.mark.parametrize("seat", range(4))
def test_the_view_is_the_same_whatever_the_hidden_hands_are(made, seat):
    for plies in (0, 9, 18):
        table = played(made, plies, seed=7 + seat, seat=seat)
        seen = views.view(table)
        assert seen == views.view(swapped(table))
        assert seen["hands"] is None and seen["seed"] is None
        shown = {each["tile"] for each in seen["hand"]}
        shown |= {tile for trick in seen["tricks"] for tile in trick["tiles"]}
        assert shown == {*table.game.hands[seat], *table.game.plays}


@pytest.mark.parametrize("spec", ["random", "heuristic", "eq:n=2", "zeb"])
def test_a_player_chooses_the_same_whatever_the_hidden_hands_are(made, spec, zeb_player):
    player = zeb_player if spec == "zeb" else players.make(spec)
    chosen = set()
    for seed in range(3):
        table = played(made, 14, seed=seed)
        other = swapped(table)
        line = protocol.write_request(state.request(table))
        assert line == protocol.write_request(state.request(other))
        for tile in table.game.seen_by(table.seat).hidden:
            assert f'"{tiles.TILE_NAMES[tile]}"' not in line
        tile = bots.choose(player, state.request(table))
        assert tile == bots.choose(player, state.request(other))
        assert tile in table.game.legal
        chosen.add(tile)
    assert len(chosen) > 1  # the seed and the hand matter


@pytest.fixture(scope="module")
def zeb_player():
    return players.make("zeb:bundled")


def test_what_a_player_is_told_does_not_tell_the_deal(made):
    """Neither the seed of the hand nor its key is part of a request, and each decision has its own
    seed."""
    table = played(made, 9)
    data = json.loads(protocol.write_request(state.request(table)))
    assert set(data) == {"id", "request", "version", "position", "seed"}
    key = np.asarray(jax.random.key_data(jax.random.fold_in(jax.random.key(table.seed), 0)))
    seeds = [state.decision_seed(table, ply) for ply in range(28)]
    assert len(set(seeds)) == 28 and {*key.tolist(), table.seed}.isdisjoint(seeds)


def test_undo_takes_back_the_own_play_and_the_same_play_leads_to_the_same(made):
    table = played(made, 13)
    back = state.undo(table)
    assert back.undone == 1 and back.is_turn
    again = bots.advance(state.play(back, table.game.plays[len(back.game.plays)]), made)
    assert again.game == table.game
    fresh = bots.advance(start(), made)
    with pytest.raises(ValueError, match="you have not played"):
        state.undo(fresh)


def test_a_tile_that_may_not_be_played_is_refused(made):
    table = played(made, 9)
    for tile in (-1, 28, table.game.plays[0], table.game.hands[1][0]):
        if tile not in table.game.legal:
            with pytest.raises(ValueError, match=r"^that tile may not be played now; expe"):
                state.play(table, tile)


def test_a_hint_has_a_value_for_each_legal_tile_and_ignores_hidden_hands(made):
    table = played(made, 16)
    shown = advice.hint(state.request(table), 2)
    assert [row["tile"] for row in shown["tiles"]] == list(table.game.legal)
    assert all(0 <= row["p_win"] <= 1 and 0 <= row["points"] <= 42 for row in shown["tiles"])
    assert any(row["best"] for row in shown["tiles"]) and 1 <= shown["worlds"] <= 2
    assert advice.hint(state.request(swapped(table)), 2) == shown


def test_beliefs_are_those_of_counting_and_of_a_network(made):
    table = played(made, 16)
    by = advice.believer("bundled")
    shown = advice.beliefs(state.request(table), by, 2)
    held = set(table.game.seen_by(0).hidden)
    assert {row["tile"] for row in shown["tiles"]} == held and shown["seats"] == [1, 2, 3]
    for row in shown["tiles"]:
        assert sum(row["exact"]) == pytest.approx(1, abs=1e-3)
        assert sum(row["network"]) == pytest.approx(1, abs=1e-3)
    assert advice.beliefs(state.request(swapped(table)), by, 2) == shown
    assert advice.beliefs(state.request(table), None, 2)["tiles"][0]["network"] is None


def test_a_review_finds_the_loss_of_a_bad_move(made):
    table = played(made, 28, seed=2)
    found = advice.review(table, 2)
    plies = [move["ply"] for move in found["moves"]]
    assert plies == sorted(set(plies)) and found["worlds"] == 2
    for move in found["moves"]:
        assert move["tile"] == table.game.plays[move["ply"]]
        assert move["deal_loss"] >= 0 and move["p_win_loss"] >= 0
        assert (move["deal_loss"] == 0) == (move["deal_best"] == move["tile"])
    assert max(move["deal_loss"] for move in found["moves"]) > 0
    with pytest.raises(ValueError, match="not over"):
        advice.review(start(), 2)


def test_a_finished_hand_is_a_record_that_is_legal_and_a_text(made, tmp_path):
    table = played(made, 28)
    text = saving.save(table, tmp_path / "new")
    records, facts = record.read(text.with_suffix(".safetensors"))
    assert facts.source == record.TABLE and facts.search["seed"] == table.seed
    (back,) = position_arrays.of_record(records)
    assert dataclasses.replace(back, players=table.game.players) == table.game
    assert notation.read(text.read_text()) == table.game
    second = saving.save(table, tmp_path / "new")
    assert second != text and len(list((tmp_path / "new").iterdir())) == 4
    again = dataclasses.replace(table, undone=1)
    assert saving.save(again, tmp_path / "new", text) == text  # of the hand played again
    assert len(list((tmp_path / "new").iterdir())) == 4
    assert record.read(text.with_suffix(".safetensors"))[1].search["undone"] == 1
    with pytest.raises(ValueError, match="expected a finished game"):
        saving.save(start(), tmp_path / "none")


def test_a_player_that_sees_all_hands_has_no_seat():
    with pytest.raises(ValueError, match="'cheat' sees all hands"):
        bots.load(["random", "cheat"])


def test_a_player_compiles_what_few_decisions_need_before_a_person_plays():
    seen = []
    one = dataclasses.replace(players.make(FIRST), prepare=lambda: seen.append("prepared"))
    bots.warm_up({FIRST: one}, lambda spec, done, plies: seen.append(done))
    assert seen[-3:] == [27, "prepared", 28]


def test_each_player_is_warmed_up_with_progress(made):
    seen = []
    bots.warm_up(made, lambda *what: seen.append(what))
    assert seen[0] == ("random", 0, 28) and seen[-1] == (FIRST, 28, 28)
    assert [spec for spec, _ in itertools.groupby(seen, lambda each: each[0])] == ["random", FIRST]
