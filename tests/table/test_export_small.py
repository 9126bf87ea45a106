"""The exported page's small network, bids, deals and hints, in node; none sees a hidden hand."""

import contextlib
import dataclasses
import json
import random

import jax
import numpy as np
import pytest

from tests.support import in_node
from tests.support.played import random_game
from tests.support.small import likely_in_python, net_of_seed, outputs_in_python
from zebjax import bidding
from zebjax import network as networks
from zebjax.bidding import Bidding
from zebjax.players import auction
from zebjax.position import Position
from zebjax.small import batch, moves, network, rules, storage, view
from zebjax.table import export as pages
from zebjax.table import state, views

BIG = networks.ZebConfig(embed_dim=16, n_heads=2, n_layers=1, ff_dim=16)
NAMES = ("a", "b", "c", "d")
EIGHT = {"hidden": 8, "second": 8, "move": 8, "move_second": 8}  # the least that the page computes


def positions(n, seed):
    rng = random.Random(seed)
    return [random_game(rng, ply % 28) for ply in range(n)]


def as_batch(games):
    history = np.full((len(games), 28), -1, np.int8)
    for row, each in enumerate(games):
        history[row, : len(each.plays)] = each.plays
    return batch.Games(
        np.array([each.hands for each in games], np.int8),
        np.array([each.declaration for each in games], np.int8),
        np.array([each.leader for each in games], np.int8),
        history,
        np.array([len(each.plays) for each in games], np.int8),
    )


def row_of(here):
    """The row of a position, and the ranks of its legal tiles."""
    row, ranks = np.zeros(rules.SIZE, np.int64), rules.RANKS[here.declaration]
    rules.start(row, np.array(here.hands, np.int8), here.declaration, here.leader)
    for tile in here.plays:
        rules.play(row, ranks[tile])
    return row, ranks[list(here.legal)]


def scores(net, here):
    """The score of each legal tile by the mover's view, in NumPy."""
    row, legal = row_of(here)
    return outputs_in_python(net, row)[legal]


def features_of_moves(net, games):
    """The features that are active in some legal move of some position."""
    seen, out = set(), np.zeros(moves.MAX_ACTIVE, np.int64)
    for here in games:
        row, legal = row_of(here)
        seen_by_me, likely = view.view_of(row), likely_in_python(net, row).astype(np.float32)
        for rank in legal:
            n = moves.move_features(row, seen_by_me, rank, likely, out)
            seen.update(out[:n].tolist())
    return seen


def compare(net, games, rolled):
    """The page's scores, beliefs, best tiles and rollouts with ours; returns how many positions
    have a choice."""
    asked = {"games": [in_node.game_of(each) for each in games], "small": pages.small_data(net)}
    said = in_node.run("small_network.js", asked | {"rollouts": rolled})
    read, seeds = pages.small_as_read(net), np.zeros(len(games), np.uint64)
    slots = batch.choose(read, as_batch(games), seeds, 0)
    for at, (here, found) in enumerate(zip(games, said, strict=True)):
        np.testing.assert_allclose(found["scores"], scores(read, here), atol=1e-9)
        likely = likely_in_python(read, row_of(here)[0])
        np.testing.assert_allclose(np.reshape(found["likely"], (3, 28)), likely, atol=1e-12)
        assert found["best"] == here.hands[here.mover][slots[at]]
    if rolled:
        points = batch.rollouts(batch.Policies(read, read), as_batch(games), seeds, 0)
        for row, (here, found) in enumerate(zip(games, said, strict=True)):
            hand = here.hands[here.mover]
            assert found["points"] == [points[row, hand.index(tile)] for tile in here.legal]
    return sum(len(each.legal) > 1 for each in games)


def test_the_small_network_of_the_page_is_ours():
    net = network.scorer(storage.load("small"))
    assert compare(net, positions(300, 2), rolled=False) > 150


@pytest.mark.parametrize("name", ["small", "random"])
def test_what_the_file_of_the_page_loses_is_half_a_step_in_each_row(name):
    net = storage.load(name) if name == "small" else net_of_seed(6, **EIGHT)
    net = network.scorer(net)
    read = pages.small_as_read(net)
    for name, most in (("first", 31), ("moves", 127), ("beliefs", 127)):
        table = getattr(net, name)
        error = np.abs(getattr(read, name) - table)
        # And the rounding of the step.
        bound = (0.5 / most + 2.0**-11) * np.abs(table).max(-1, keepdims=True)
        # Rows of features that no game has are nearly 0; there the step's float16 is subnormal.
        assert (error <= bound + most * 2.0**-25).all()


def test_the_layers_of_moves_of_the_page_are_ours_in_all_tricks():
    games = positions(5600, 4)
    net = network.scorer(net_of_seed(1, **EIGHT | {"move": 16}))
    # Of 430, from the third trick on of 2,649, and of 360 by beliefs. Most of the others cannot be
    # active, such as an opponent's better tile at the lead, or are rare, such as a certain score
    # and points left.
    seen = np.array(list(features_of_moves(net, games)))
    ends = [0, moves.N_ALWAYS, moves.N_RELATED, moves.N_MOVE_FEATURES]
    assert (np.histogram(seen, ends)[0] > [340, 1450, 260]).all()
    assert compare(net, games, rolled=False) > 3000


@pytest.mark.parametrize("move", [0, 8])
def test_the_rollouts_of_the_page_are_ours(move):
    widths = {"hidden": 16, "second": 8, "move": move, "move_second": move}
    net = network.scorer(net_of_seed(3, spread=3, **widths))
    assert compare(net, positions(280, 3), rolled=True) > 150


@pytest.mark.parametrize("field", ["hidden", "second", "move", "move_second"])
def test_widths_that_the_page_cannot_compute_are_refused(field):
    net = network.scorer(net_of_seed(0, **EIGHT | {field: 12}))
    with pytest.raises(ValueError, match=f"^{field}: expected a multiple of 8, got 12"):
        pages.small_data(net)


def tables(n, seed):
    """Tables with bids after some random decisions, and those as the page gets them."""
    rng = random.Random(seed)
    found = []
    for number in range(n):
        deal = dataclasses.replace(random_game(rng, 0), players=NAMES)
        won = (rng.randrange(7), rng.randrange(7))
        first = state.Table(
            rng.randrange(4), 0, deal, 3, won, bidding=Bidding(rng.randrange(4)), games=(1, 2)
        )
        found.append(walked(first, rng, rng.choice((number % 6, 5 + number % 29))))
    return found


def walked(first, rng, steps):
    """A table after so many random decisions or at its end, and the decisions."""
    table, made, seats = first, [], []
    for _ in range(steps):
        seats.append(table.turn)
        if table.phase == "bid":
            call = rng.choice(table.seen_bids.allowed[:3] + table.seen_bids.allowed[-1:])
            table = state.call(table, call)
            made.append(bidding.name(call))
        elif not table.is_over:
            choices = bidding.DECLARATIONS if table.phase == "declare" else table.game.legal
            made.append(rng.choice(choices))
            act = state.declare if table.phase == "declare" else state.play
            table = act(table, made[-1])
    return table, for_page(first, made) | {"seats": seats[: len(made)]}


def for_page(first, made):
    game = in_node.game_of(first.game) | {"declaration": None}
    return {
        "seat": first.seat,
        "players": NAMES,
        "number": first.number,
        "won": first.won,
        "games": first.games,
        "undone": 0,
        "seed": 77,
        "game": game,
        "auction": {"dealer": first.bidding.dealer, "calls": []},
        "made": made,
    }


def test_bids_contracts_and_marks_of_the_page_are_those_of_the_table():
    ours = tables(120, 5)
    said = in_node.run("tables_and_bids.js", {"tables": [page for _, page in ours]})
    phases = set()
    for (table, page), found in zip(ours, said, strict=True):
        expected = json.loads(json.dumps(views.view(table) | {"seed": None}))
        if expected["auction"]["bid"]:
            expected["auction"]["bid"] = dict(expected["auction"]["bid"])
        # The page's own rule for it is below.
        assert found["view"] == expected | {"can_undo": table.seat in page["seats"]}
        phases |= {table.phase, expected["auction"]["result"], table.game_winner}
    assert phases == {"bid", "declare", "play", "over", "made", "set", None, 0, 1}


def test_undo_takes_back_the_last_call_declaration_or_tile_of_the_person():
    pages_ = [page for table, page in tables(60, 5) if table.seat in page["seats"]]
    earlier = []
    for page in pages_:
        last = max(at for at, seat in enumerate(page["seats"]) if seat == page["seat"])
        earlier.append(page | {"made": page["made"][:last]})
    said = in_node.run("tables_and_bids.js", {"tables": pages_})
    expected = in_node.run("tables_and_bids.js", {"tables": earlier})
    for found, there in zip(said, expected, strict=True):
        assert found["undone"] == there["view"] | {"undone": 1}
    assert {there["view"]["phase"] for there in expected} == {"bid", "declare", "play"}


def swapped(table, page, rng):
    """The same table after the hidden tiles were dealt again, as the plays allow it."""
    game, me = table.game, table.turn
    hidden = [tile for tile in range(28) if tile not in game.plays and tile not in game.hands[me]]
    for _ in range(1000):
        change = dict(zip(hidden, rng.sample(hidden, len(hidden)), strict=True))
        hands = tuple(tuple(change.get(tile, tile) for tile in hand) for hand in game.hands)
        with contextlib.suppress(ValueError):  # a seat would have had to follow
            dataclasses.replace(game, hands=hands)
            return page | {"game": page["game"] | {"hands": hands}}
    raise AssertionError("no other deal found")


def any_networks():
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), networks.abstract_params(BIG)
    )
    return {
        "small": pages.small_data(network.scorer(net_of_seed(4, **EIGHT))),
        "big": pages.network_data("big", BIG, params),
    }


def test_with_a_bid_the_page_plays_what_makes_or_sets_it_and_on_a_slow_machine_for_points():
    pages_ = [page for table, page in tables(80, 6) if table.phase == "play"]
    asked = any_networks() | {"tables": pages_}
    by_bid = in_node.run("tables_and_bids.js", asked)
    by_points = in_node.run("tables_and_bids.js", asked | {"fewest": 5})  # 4 worlds are too few
    differ = 0
    for ours, theirs in zip(by_bid, by_points, strict=True):
        tiles = ours["hint"]["tiles"]
        assert ours["chosen"][0] in [each["tile"] for each in tiles if each["best"]]
        assert theirs["chosen"][0] == max(tiles, key=lambda each: each["share"])["tile"]
        differ += ours["chosen"][0] != theirs["chosen"][0]
    assert differ > 3


def test_no_decision_and_no_hint_of_the_page_depends_on_hidden_hands():
    rng = random.Random(8)
    open_ = [each for each in tables(40, 6) if not each[0].is_over][:14]
    assert {table.phase for table, _ in open_} == {"bid", "declare", "play"}
    pages_ = [page for _, page in open_]
    others = [swapped(table, page, rng) for table, page in open_]
    asked = any_networks()
    pairs = zip(pages_, others, strict=True)
    moved = [one["game"]["hands"] != two["game"]["hands"] for one, two in pairs]
    assert sum(moved) > 10
    before = in_node.run("tables_and_bids.js", asked | {"tables": pages_})
    after = in_node.run("tables_and_bids.js", asked | {"tables": others})
    for ours, theirs in zip(before, after, strict=True):
        for each in ("asked", "chosen", "hint"):
            assert ours[each] == theirs[each]
        if ours["view"]["phase"] == "declare":
            hint = ours["hint"]
            assert (
                hint["advice"] is None and hint["stands"] == ours["view"]["auction"]["bid"]["name"]
            )
            assert hint["must"]["p_make"] == hint["rows"][0]["p_make"][hint["lowest"]]
        seen = ours["asked"]["game"]["hands"]
        assert [bool(hand) for hand in seen] == [each == ours["asked"]["seat"] for each in range(4)]


def test_chances_deals_and_values_of_the_page_are_right():
    rng = random.Random(1)
    here = random_game(rng, 9)
    last = [random_game(rng, 28) for _ in range(20)]
    hand, n_deals = [27, 26, 25, 20, 14, 3, 0], 1000
    said = in_node.run(
        "chances.js",
        {
            "small": pages.small_data(network.scorer(net_of_seed(4, **EIGHT))),
            "hand": hand,
            "game": in_node.game_of(here),
            "deals": n_deals,
            "last": [in_node.game_of(each.before(26)) for each in last],
        },
    )
    rows = said["chances"]["rows"]
    ours = auction.Chances(
        tuple(row["declaration"] for row in rows), np.array([row["leads"] for row in rows])
    )
    assert ours.declarations == bidding.DECLARATIONS and ours.n_worlds == 20
    assert (ours.counts.sum(-1) == 20).all()
    for bid, found in zip(auction.BIDS, said["best"], strict=True):
        assert found["pMake"] == pytest.approx(ours.best(bid)[2])
    hint = said["hint"]
    assert hint["bids"] == list(auction.BIDS) and hint["lowest"] == 1
    for row in hint["rows"]:
        at = ours.declarations.index(row["declaration"])
        np.testing.assert_allclose(row["p_make"], ours.p_make[at])
        assert row["points"] == pytest.approx(ours.mean_points[at])
    highest = auction.highest_bid(ours, 0.5)
    allowed = highest and highest[0] >= auction.BIDS[hint["lowest"]] and highest[0]
    assert (hint["advice"] and hint["advice"]["bid"]) == (allowed or None)

    marginals = said["marginals"]
    holds = np.zeros((len(marginals["hidden"]), 3))
    for deal in said["deals"]:
        Position(tuple(map(tuple, deal)), here.declaration, here.leader, here.plays)  # possible
        for at, tile in enumerate(marginals["hidden"]):
            seat = next(seat for seat, dealt in enumerate(deal) if tile in dealt)
            holds[at, (seat - here.mover - 1) % 4] += 1 / n_deals
    np.testing.assert_allclose(holds, marginals["shares"], atol=4.5 * 0.5 / n_deals**0.5)

    # Before the last two plays all is known.
    for each, found in zip(last, said["values"], strict=True):
        (only,) = found["tiles"]
        points = each.points[each.movers[26] % 2]
        assert (only["tile"], only["p"], only["points"]) == (each.plays[26], points > 21, points)
