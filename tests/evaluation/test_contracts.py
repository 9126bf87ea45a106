"""Matches with contracts: mirrored deals, make and set, McNemar, the cache, and what is refused."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest

from zebjax import arena, contract, game, players
from zebjax.common import jax_settings
from zebjax.evaluation import contracts, intervals
from zebjax.evaluation.contracts import Terms
from zebjax.evaluation.ladder import Cache, Rules
from zebjax.players import Player, base

N = 6
PIPS = Terms(declare="pips")
KEY = functools.cache(lambda: jax_settings.key(3))


@jax.jit
def _first_legal(states, keys):
    return jax.vmap(game.legal_slots)(states).argmax(1)


@functools.cache
def lowest():
    """Plays its first legal slot; in a contract it does the same and keeps what it is told."""
    told = []

    def choose(states, keys):
        return base.in_chunks(_first_legal, states, keys)

    def choose_in_contract(states, given, keys):
        told.append((states, given))
        return choose(states, keys)

    return Player("lowest", choose, "lowest", choose_in_contract=choose_in_contract), told


def test_a_deal_is_played_twice_with_the_same_contract():
    states, _, made = contracts.deals(KEY(), 0, N, Terms(bid=32, declare="pips"))
    contract.check(made)
    contract.check_game(made, states.declaration, states.leader)
    for field in (*made, states.hands):
        field = np.asarray(field)
        np.testing.assert_array_equal(field[:N], field[N:])
    assert set(made.bid.tolist()) == {32} and len(set(made.bidder.tolist())) > 1
    hands = np.asarray(states.hands)[np.arange(N), made.bidder[:N]]
    assert made.declaration[:N].tolist() == [contract.declare_by_pips(hand) for hand in hands]
    # The other deals do not change a deal: its worlds follow from its number.
    terms = Terms(worlds=2)
    whole = contracts.deals(KEY(), 0, N, terms)[2].declaration[:N]
    later = contracts.deals(KEY(), 2, N, terms)[2].declaration[:N]
    np.testing.assert_array_equal(whole[2:], later[:-2])


def test_margins_are_of_the_bidders_game_first_and_swap_with_the_players():
    a, told = lowest()
    b = players.make("random")
    margins = contracts.play_deals(a, b, KEY(), 0, N, PIPS)
    swapped = contracts.play_deals(b, a, KEY(), 0, N, PIPS)
    np.testing.assert_array_equal(swapped, -margins[:, ::-1])
    # A was told the contracts of its own games, as bidder and as the other team.
    states, given = told[0]
    assert set((np.asarray(given.bidder) % 2).tolist()) == {0, 1}
    np.testing.assert_array_equal(given.declaration, states.declaration)
    made = contracts.makes(margins, 30)
    np.testing.assert_array_equal(made[:, 0], (42 + margins[:, 0]) / 2 >= 30)
    np.testing.assert_array_equal(made[:, 1], (42 - margins[:, 1]) / 2 >= 30)


def test_a_forfeited_game_loses_its_contract():
    """Whoever bids: the player that gives up makes nothing, and the other makes or sets all."""

    def give_up(states, keys):
        return np.full(len(keys), base.FORFEIT)

    quitter = Player("quitter", give_up, may_forfeit=True)
    margins = contracts.play_deals(quitter, lowest()[0], KEY(), 0, N, PIPS)
    assert (margins == -42).all()
    assert contracts.makes(margins, 30).tolist() == [[False, True]] * N


def test_a_result_counts_makes_and_sets():
    # A makes and B does not; both make; neither; B makes and A does not; exactly the bid.
    margins = np.array([[42, 42], [20, -20], [0, 0], [-42, -42], [18, -16]])
    result = contracts.summarise("a", "b", margins, Terms(bid=30))
    assert (result.makes, result.other_makes) == (3 / 5, 2 / 5)
    assert (result.only_a_makes, result.only_b_makes) == (2, 1)
    assert result.win_rate == pytest.approx((1 + 0.5 + 0.5 + 0 + 1) / 5)
    assert result.value == result.to_dict()["value"] == "make/set"
    assert result.mcnemar_p == 1.0
    higher = contracts.summarise("a", "b", margins, Terms(bid=31))
    assert (higher.makes, higher.other_makes) == (2 / 5, 2 / 5)


def test_mcnemar_is_the_sign_test():
    assert intervals.mcnemar(0, 0) == intervals.mcnemar(4, 4) == 1.0
    for b, c in ((0, 8), (3, 10), (40, 61)):
        n, fewer = b + c, min(b, c)
        exact = 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
        assert intervals.mcnemar(b, c) == intervals.mcnemar(c, b) == pytest.approx(exact)
    assert 0.04 < intervals.mcnemar(50_000, 50_640) < 0.05  # 2.02 standard errors; no overflow
    with pytest.raises(ValueError, match="pairs: expected 0 or more, got -1 and 2"):
        intervals.mcnemar(-1, 2)


def test_a_finished_match_is_cached_apart_from_other_terms(tmp_path):
    a, b, cache = lowest()[0], players.make("random"), Cache(tmp_path)
    # 2 * N games in each batch: programs that the tests above compile.
    first, _, cached = contracts.play(a, b, N, PIPS, Rules(3), cache)
    assert not cached
    again, _, cached = contracts.play(a, b, N, PIPS, Rules(3), cache)
    assert cached and again == first
    other, _, cached = contracts.play(b, a, N, PIPS, Rules(3), cache)
    assert cached and (other.makes, other.other_makes) == (first.other_makes, first.makes)
    assert other.only_a_makes == first.only_b_makes
    assert other.win_rate == pytest.approx(1 - first.win_rate)
    harder = dataclasses.replace(PIPS, bid=42)
    result, _, cached = contracts.play(a, b, N, harder, Rules(3), cache)
    assert not cached and result.makes <= first.makes


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"bid": 29}, "bid: expected an integer 30..42, got 29"),
        ({"bid": 30, "marks": 2}, "bid: expected 42 points for 2 marks"),
        ({"declare": "best"}, "declare: expected make or pips, got 'best'"),
        ({"worlds": 0}, "terms.worlds: expected at least 1, got 0"),
    ],
)
def test_bad_terms_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        Terms(**terms)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--contract", "29"], "--contract: expected points from 30 to 42 or marks as in 2m"),
        (["--contract", "30", "--until", "0.1"], "--until: not allowed with --contract"),
        (["--contract", "30", "--plot", "a.png"], "--plot: not allowed with --contract"),
        (["--declare", "pips"], "--declare: expected --contract with it"),
        (["--declare", "make", "--marks", "1"], "--declare: expected --contract with it"),
        (["--contract", "30", "--declare", "luck"], "--declare: expected make or pips, got 'luck'"),
    ],
)
def test_the_command_refuses_in_one_sentence(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        arena.main(["random", "vs", "heuristic", *words])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1


def test_the_command_names_value_and_test(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["random", "vs", "heuristic", "--contract", "31", "--declare", "pips"]
    assert arena.main([*words, "--deals", str(N)]) == 0
    shown = capsys.readouterr().out
    for text in ("contract 31", "make/set", "McNemar's exact test", "longest suit", "B makes"):
        assert text in shown
    assert "points per game" not in shown
    assert arena.main([*words, "--deals", str(N), "--json"]) == 0
    assert '"value": "make/set"' in capsys.readouterr().out
