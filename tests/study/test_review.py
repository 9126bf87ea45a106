"""Review: costs of decisions by what the seat could know and by the true deal; text and page."""

import dataclasses
import json
import random

import numpy as np
import pytest

from tests.support import pages, played
from zebjax import notation, position_arrays, review, solver
from zebjax.position import Bid
from zebjax.study import page
from zebjax.study.review import review as review_of
from zebjax.study.review import totals

N = 5  # as other tests, which compile the same program
NAME = "<b>you</b>"
GAME = dataclasses.replace(played.random_game(random.Random(8)), players=(NAME, "b", "", "d"))


@pytest.fixture(scope="module")
def decisions():
    return review_of(GAME, N)


def test_every_play_with_a_choice_is_judged(decisions):
    plies = [ply for ply in range(28) if len(GAME.before(ply).legal) > 1]
    assert [decision.ply for decision in decisions] == plies
    for decision in decisions:
        assert decision.played.tile == GAME.plays[decision.ply]
        assert {option.tile for option in decision.options} == set(GAME.before(decision.ply).legal)
        assert decision.p_win_lost >= 0 and decision.deal_lost >= 0
        assert (decision.p_win_lost == 0) or decision.best is not decision.played


def test_the_cost_in_the_deal_is_that_of_exact_play(decisions):
    states = position_arrays.to_states([decision.before for decision in decisions])
    for decision, values in zip(decisions, solver.solve(states), strict=True):
        slot = GAME.hands[decision.seat].index(decision.played.tile)
        assert decision.deal_lost == np.nanmax(values) - values[slot]


def test_a_hand_that_is_not_known_is_not_judged(decisions):
    some = review_of(GAME.seen_by(1), N)
    own = [decision for decision in decisions if decision.seat == 1]
    assert [decision.ply for decision in some] == [decision.ply for decision in own]
    # The same by what the seat knows; nothing by the deal.
    assert [decision.p_win_lost for decision in some] == [decision.p_win_lost for decision in own]
    assert all(decision.deal_lost is None and not decision.turned for decision in some)
    assert totals(some)[0].deal_lost is None
    assert review_of(GAME.before(0), N) == []


def test_a_turned_decision_has_lost_what_was_won(decisions):
    for decision in decisions:
        best, played = decision.deal_best.deal_points, decision.played.deal_points
        assert decision.turned == (played < 22 <= best)


def test_totals_add_up(decisions):
    sums = totals(decisions)
    assert sum(total.decisions for total in sums) == len(decisions)
    assert sum(total.deal_lost for total in sums) == sum(d.deal_lost for d in decisions)


def test_the_command_prints_a_table_and_writes_a_page(tmp_path, capsys):
    path = tmp_path / "game.txt"
    path.write_text(notation.write(GAME))
    html = tmp_path / "review.html"
    assert review.main([str(path), "--n", str(N), "--html", str(html)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert NAME in out and "lost in the deal" in out
    assert "game: review" in pages.Page(html.read_text()).text
    assert review.main([str(path), "--n", str(N), "--seat", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {decision["seat"] for decision in result["decisions"]} == {1}


def test_the_page_is_complete_and_escaped(decisions):
    text = page.render(GAME, decisions, N, "a & <b>")
    made = pages.Page(text)
    assert "script" not in made.tags and NAME in made.text and "a & <b>: review" in made.text
    assert made.tags.count("article") == len(decisions)
    assert not [url for url in (*made.values("href"), *made.values("src")) if url != "data:,"]
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert len(set(made.values("id"))) == len(made.values("id"))


def test_a_contract_is_judged_by_make_or_set(decisions):
    game = dataclasses.replace(GAME, bid=Bid(GAME.leader, 36))
    for decision in review_of(game.before(4), N):
        enough = 36 if decision.seat % 2 == GAME.leader % 2 else 7
        best, played = decision.deal_best.deal_points, decision.played.deal_points
        assert decision.turned == (played < enough <= best)
    assert "P(make) or P(set)" in page.render(game, [], N, "x")
