"""Matches of nello: the bidder, both games of a deal, forfeits, who may play, the command."""

import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from zebjax import arena, bidding, players, special
from zebjax.common import bids, jax_settings
from zebjax.evaluation import contracts, specials
from zebjax.evaluation.contracts import Terms
from zebjax.evaluation.ladder import Cache, Rules
from zebjax.players import Player, base
from zebjax.players import special as exact

N = 4
WHAT = specials.Nello(special.NELLO, worlds=1)
TOY = Path(__file__).parents[1] / "support" / "toy_player.py"
KEY = functools.cache(lambda: jax_settings.key(3))


def no_states(states, keys):
    raise AssertionError("nello has no GameState")


def of(name, choose):
    return Player(name, no_states, name, choose_special=choose)


FIRST = of("first", lambda seen, seed: seen.legal[0])
LAST = of("last", lambda seen, seed: seen.legal[-1])


def test_the_seat_of_the_highest_p_make_bids_and_a_deal_is_the_same_in_every_batch():
    margins = specials.play_deals((FIRST, LAST), KEY(), 0, N, WHAT)
    later = specials.play_deals((FIRST, LAST), KEY(), 2, N, WHAT)
    np.testing.assert_array_equal(margins[2:], later[:-2])
    assert set(np.unique(margins)) <= {-42, 42}
    hands = np.arange(28).reshape(4, 7)[::-1]
    start = specials.deal(hands, [1, 2], dataclasses.replace(WHAT, marks=2))
    number = specials.number_of([1, 2], 28)
    chances = [exact.p_make(hand, special.NELLO, number, 1) for hand in start.hands]
    assert start.bid == (3, 42, 2) and start.leader == 3 and np.argmax(chances) == 3


def test_margins_are_of_the_bidders_game_first_and_swap_with_the_players():
    seen = []

    def watch(position, seed):
        assert sum(map(bool, position.hands)) == 1  # the others' hands are not told
        seen.append((position, seed))
        return position.legal[0]

    margins = specials.play_deals((of("watch", watch), LAST), KEY(), 0, N, WHAT)
    swapped = specials.play_deals((LAST, FIRST), KEY(), 0, N, WHAT)
    np.testing.assert_array_equal(swapped, -margins[:, ::-1])
    first = [position for position, _ in seen if not position.plays]
    assert len(first) == N and {each.mover for each in first} == {each.leader for each in first}
    sides = {position.mover == position.bid.seat for position, _ in seen}
    assert sides == {True, False}
    assert all((each.mover - each.leader) % 4 != 2 for each, _ in seen)  # its partner plays none
    assert len({seed for _, seed in seen}) > len(seen) / 2


def test_the_result_is_that_of_the_rules():
    start = specials.deal(np.arange(28).reshape(4, 7), [0], WHAT)
    game = start
    while bidding.winner(game) is None:
        game = game.play(game.legal[0])
    made = bidding.result(game) == "made"
    assert specials.is_made(start, (FIRST, FIRST), [0]) == made
    gives_up = of("gives up", lambda seen, seed: base.FORFEIT)
    assert not specials.is_made(start, (gives_up, FIRST), [0])
    assert specials.is_made(start, (LAST, gives_up), [0])
    assert not specials.is_made(start, (FIRST, gives_up), [0])  # set before it is asked
    with pytest.raises(ValueError, match="player 'wrong' has chosen no legal tile"):
        specials.is_made(start, (of("wrong", lambda seen, seed: 99), FIRST), [0])


def test_players_of_nello_are_random_eq_and_programs():
    terms = Terms(42, special="nello", worlds=1)
    with pytest.raises(ValueError, match=r"^player 'heuristic' does not play nello; expected ran"):
        contracts.play(players.make("heuristic"), FIRST, 2, terms, Rules(3), Cache(None))
    start = specials.deal(np.arange(28).reshape(4, 7), [0], WHAT)
    for spec in ("random", "eq:n=3", f"ext:{sys.executable} {TOY}"):
        choose = players.make(spec).choose_special
        chosen = {choose(start.seen_by(start.mover), seed) for seed in range(6)}
        assert chosen <= set(start.legal) and (len(chosen) > 1 or spec != "random")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"special": "sevens"}, "special: expected nello or nello-doubles, got 'sevens'"),
        ({"special": "nello"}, "nello has a bid of 42"),
        ({"special": "nello", "bid": 42, "declare": "pips"}, "and no declaration"),
    ],
)
def test_bad_terms_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        Terms(**terms)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sevens", "sevens is not played by itself: no choice there changes a trick"),
        ("plunge", "plunge is not played by itself: it is a bid"),
        ("29", "expected points from 30 to 42 or marks .*, or nello or nello-doubles, got '29'"),
    ],
)
def test_other_contracts_are_refused_in_one_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        bids.parse_contract(text)
    assert bids.parse_contract("2m") == (42, 2, "")


def test_the_command_plays_nello_and_keeps_it_apart_from_a_contract_of_42(capsys, tmp_path):
    words = ["random", "vs", "random", "--deals", "3", "--cache", str(tmp_path)]
    assert arena.main([*words, "--contract", "nello"]) == 0
    shown = capsys.readouterr().out
    for text in ("contract nello", "make/set", "the seat of the highest P(make)", "only A makes"):
        assert text in shown
    kept = len(list(tmp_path.iterdir()))
    assert arena.main([*words, "--contract", "nello-doubles", "--json"]) == 0
    assert '"special": "nello-doubles"' in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == kept + 1
    assert arena.main(["heuristic", *words[1:], "--contract", "nello"]) == 2
    error = capsys.readouterr().err
    assert "player 'heuristic' does not play nello" in error and error.count("\n") == 1
