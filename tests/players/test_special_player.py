"""The player of nello and sevens: its worlds, its choices, and bids at a table that allows them."""

import collections
import dataclasses
import itertools
import random

import numpy as np
import pytest

from tests.support import special_games
from tests.support.special_games import ids
from zebjax import bidding, special, tiles
from zebjax.bidding import PASS, Bidding, Seen
from zebjax.common import bids
from zebjax.players import special as player
from zebjax.players import special_bids
from zebjax.players.special_bids import SpecialBidder
from zebjax.position import Impossible, Position, four

LOW = ids("0-0 1-0 2-0 3-1 4-0 2-1 3-0")
NEAR = ids("6-1 5-2 4-3 6-0 5-1 6-2 5-3")
SPECIALS = ("nello", "plunge", "splash", "sevens")


def undecided(rng, declaration, plies):
    while True:
        game = special_games.random_game(rng, declaration, plies)
        if bidding.winner(game) is None and not game.is_over:
            return game


@pytest.mark.parametrize("declaration", special_games.DECLARATIONS)
def test_each_world_fits_what_was_seen_and_the_hidden_hands_are_not_read(declaration):
    rng = random.Random(declaration)
    for plies in range(0, 20, 3):
        game = undecided(rng, declaration, plies)
        worlds = player.sample(game, 4, np.random.default_rng(1))
        for world in worlds:
            hands = four(tuple(map(int, hand)) for hand in world)
            Position(hands, declaration, game.leader, game.plays, game.bid)
        seen = game.seen_by(game.mover)
        np.testing.assert_array_equal(player.sample(seen, 4, np.random.default_rng(1)), worlds)
        assert player.choose(seen, 5, 4) == player.choose(game, 5, 4) and seen.legal


def test_worlds_are_uniform_over_all_that_fit():
    # The last trick but one, so that all deals of the hidden tiles can be tried.
    game = special_games.random_game(random.Random(4), special.NELLO, 18)
    seen, others = game.seen_by(game.mover), [at for at in range(4) if at != game.mover]
    room = {seat: 7 - len(game.played_by(seat)) for seat in others}
    fitting = set()
    for chosen in itertools.product(others, repeat=len(seen.hidden)):
        if any(chosen.count(seat) != room[seat] for seat in others):
            continue
        held = {seat: game.played_by(seat) for seat in others}
        held[game.mover] = seen.hands[game.mover]
        for tile, seat in zip(seen.hidden, chosen, strict=True):
            held[seat] = (*held[seat], tile)
        try:
            dataclasses.replace(game, hands=four(held[at] for at in range(4)))
        except Impossible:
            continue
        fitting.add(chosen)
    n = 200 * len(fitting)
    worlds = player.sample(seen, n, np.random.default_rng(0))
    where = [np.isin(worlds, tile).any(2).argmax(1) for tile in seen.hidden]
    counted = collections.Counter(zip(*(each.tolist() for each in where), strict=True))
    assert set(counted) == fitting and len(fitting) > 3
    assert max(abs(count - 200) for count in counted.values()) < 5 * 200**0.5
    n_deals, shares = player.beliefs(game)
    around = [(game.mover + step) % 4 for step in (1, 2, 3)]
    assert n_deals == len(fitting)
    for place, each in enumerate(shares):
        held = collections.Counter(chosen[place] for chosen in fitting)
        np.testing.assert_allclose(each, [held[seat] / n_deals for seat in around])


def test_p_make_knows_a_sure_hand_and_a_hopeless_one():
    assert player.p_make(LOW, special.NELLO, 0, 20) > 0.8
    assert player.p_make(ids("6-6 6-5 5-5 6-4 4-4 5-4 3-3"), special.NELLO, 0, 20) < 0.1
    assert player.p_make(NEAR, special.SEVENS, 0, 20) == 1


def test_a_bidder_without_hope_still_keeps_out_of_the_trick():
    hands = four(
        map(
            ids,
            (
                "6-6 5-5 4-4 3-3 6-5 6-1 4-0",
                "2-0 1-1 2-1 2-2 3-1 3-2 4-1",
                "0-0 1-0 4-2 4-3 5-1 5-2 5-3",
                "5-0 3-0 5-4 6-0 6-2 6-3 6-4",
            ),
        )
    )
    start = Position(hands, special.NELLO, 0, (), bidding.Bid(0, 42))
    assert max(player.values(start, 0, 20).p_win) == 0
    assert player.choose(start, 0, 20) == ids("4-0")[0]
    second = dataclasses.replace(start, plays=ids("4-0 4-1 6-4 6-3"))
    assert second.mover == 0 and set(second.legal) == set(ids("6-6 6-5 6-1"))
    assert player.choose(second, 0, 20) == ids("6-1")[0]


def played(declaration, seed, by_player):
    """True if a contract is made when one side plays by the player, the other at random."""
    rng, hands = random.Random(seed), special_games.deal(random.Random(seed))
    bidder = max(range(4), key=lambda seat: -sum(sum(special_games.PIPS[t]) for t in hands[seat]))
    game = Position(hands, declaration, bidder, (), bidding.Bid(bidder, 42))
    while bidding.winner(game) is None:
        if (game.mover % 2 == bidder % 2) == by_player:
            tile = player.choose(game.seen_by(game.mover), seed, 10)
        else:
            tile = rng.choice(game.legal)
        game = game.play(tile)
    return bidding.winner(game) == bidder % 2


def test_the_player_makes_and_sets_nello_more_often_than_random_play():
    seeds = range(14)
    bidder = sum(played(special.NELLO, seed, True) for seed in seeds)
    opponents = sum(played(special.NELLO, seed, False) for seed in seeds)
    assert bidder >= opponents + 3


def test_offers_are_what_the_hand_and_the_table_allow():
    seen = Seen(LOW, Bidding(3, (), SPECIALS))
    found = {each.name: each for each in special_bids.offers(seen, 0, 4)}
    assert set(found) == {"nello", "sevens"} and found["nello"].call == (42, 1)
    three = Seen(ids("6-6 5-5 4-4 3-1 2-0 2-1 3-0"), Bidding(3, ((42, 2),), SPECIALS))
    assert [each.name for each in special_bids.offers(three, 0, 1)] == ["splash", "nello", "sevens"]
    assert special_bids.offers(three, 0, 1)[0].call == (42, 3, "splash")
    highest = Seen(LOW, Bidding(3, ((42, 4, "plunge"), (42, 5), (42, 6)), ("nello", "plunge")))
    assert special_bids.offers(highest, 0, 1)[0].call == (42, 7)
    assert special_bids.offers(Seen(LOW, Bidding(3)), 0, 1) == []


def test_the_bidder_names_nello_and_sevens_and_passes_with_neither():
    bidder = SpecialBidder(0.7, worlds=4)
    after = Bidding(3, ((41, 1),), SPECIALS)
    assert bidder.call(Seen(LOW, after), 0) == (42, 1)
    assert bidder.call(Seen(LOW, Bidding(3, ((41, 1),))), 0) is PASS
    won = Bidding(3, ((42, 1), PASS, PASS, PASS), SPECIALS)
    assert bidder.declare(Seen(LOW, won), 0) == special.NELLO
    assert bidder.declare(Seen(NEAR, won), 0) == special.SEVENS
    middling = ids("6-6 6-5 5-5 6-4 3-1 2-1 3-0")
    patient = SpecialBidder(0.7, worlds=20)  # of four deals three may be made with trumps
    assert patient.call(Seen(middling, after), 0) is PASS


def test_after_a_plunge_the_partner_names_its_suit():
    plunged = Bidding(3, ((42, 4, "plunge"), PASS, PASS, PASS), bids.OPTIONS)
    sixes = ids("6-5 6-4 6-3 6-2 6-1 6-0 2-1")
    bidder = SpecialBidder(0.5, worlds=4)
    assert bidder.declare(Seen(sixes, plunged), 0) == 6
    doubles = tuple(tiles.tile_id(pip, pip) for pip in range(7))
    with pytest.raises(ValueError, match="no partner of this hand has the doubles of a plunge"):
        bidder.declare(Seen(doubles, plunged), 0)
