"""P(make): worlds, counts, the best declaration, and the command `bid`."""

import json

import numpy as np
import pytest

from tests.support.small import net_of_seed
from zebjax import bid, contract, solver, suits, tiles
from zebjax.players import auction
from zebjax.small import batch, network

HAND = np.array(bid.read_hand(["6-6", "6-5", "6-4", "5-5", "3-2", "1-0", "4-4"]))
ALL_SIXES = np.array([tiles.tile_id(6, low) for low in range(7)])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_worlds_are_uniform_deals_of_the_hidden_tiles():
    worlds = auction.sample_worlds(auction.check_hands(np.array([HAND, ALL_SIXES])), 2_000, rng())
    assert worlds.shape == (2, 2_000, 4, 7) and worlds.dtype == np.int8
    for row, hand in enumerate((HAND, ALL_SIXES)):
        assert (worlds[row, :, 0] == hand).all()
        assert (np.sort(worlds[row].reshape(-1, 28)) == np.arange(28)).all()
        for tile in set(range(28)) - set(hand.tolist()):
            shares = (worlds[row, :, 1:] == tile).any(-1).mean(0)
            np.testing.assert_allclose(shares, 1 / 3, atol=0.05)  # 5 standard errors


def test_counts_are_those_of_the_solver_and_both_ways_agree():
    declarations = (6, 7, 9)
    chances = auction.chances(HAND, 6, rng(), None, declarations, threads=1)
    worlds = auction.sample_worlds(HAND[None].astype(np.int8), 6, rng())[0]
    for row, declaration in enumerate(declarations):
        states = auction.starts(worlds, np.full(6, declaration))
        points = solver.solve(states)
        for slot in range(7):
            found = np.repeat(np.arange(43), chances.counts[row, slot])
            np.testing.assert_array_equal(found, np.sort(points[:, slot]))
    assert chances.n_worlds == 6
    for points in (30, 36, 42):
        made = auction.count_makes(HAND[None], np.array([points]), 6, rng(), None, declarations)
        np.testing.assert_allclose(made[0] / 6, chances.by_lead[..., points - 30])
    # Hands of one call have their own bids.
    both = auction.count_makes(
        np.array([ALL_SIXES, HAND]), np.array([42, 30]), 3, rng(1), None, (6,)
    )
    assert (both[0] == 3).all() and both.shape == (2, 1, 7)


def test_counts_by_a_network_are_those_of_its_games():
    policy = network.scorer(net_of_seed(3))
    made = auction.count_makes(HAND[None], np.array([30]), 6, rng(), policy, (6, 9))[0]
    source = rng()
    worlds = auction.sample_worlds(HAND[None].astype(np.int8), 6, source)[0]
    states = auction.starts(np.tile(worlds, (2, 1, 1)), np.repeat([6, 9], 6))
    seeds = source.integers(2**64, size=12, dtype=np.uint64)
    points = batch.rollouts(batch.Policies(policy, policy), batch.read(states), seeds, 0.02)
    np.testing.assert_array_equal(made, (points >= 30).reshape(2, 6, 7).sum(1))
    assert 0 < made.sum() < made.size * 6
    chances = auction.chances(HAND, 6, rng(), policy, (6,))
    np.testing.assert_array_equal(
        chances.counts[0, :, 30:].sum(-1), made[0]
    )  # the first declaration has the same worlds and seeds


@pytest.mark.parametrize("policy", [None, auction.policy_of("small")])
def test_a_hand_of_all_trumps_makes_everything(policy):
    chances = auction.chances(ALL_SIXES, 3, rng(), policy)
    row = chances.declarations.index(6)
    assert (chances.p_make[row] == 1).all() and chances.mean_points[row] == 42
    assert auction.highest_bid(chances, 1.0) == (42, 6, 1.0)
    declared, p_make = auction.declare(ALL_SIXES[None], np.array([42]), 3, rng(), policy)
    assert declared.tolist() == [6] and p_make.tolist() == [1.0]


def test_the_highest_bid_falls_with_theta():
    counts = np.zeros((2, 7, 43), int)
    counts[:, :, 0] = 10
    counts[1, 3, [0, 30, 35, 42]] = 1, 2, 3, 4
    counts[0, 2, [0, 31]] = 2, 8
    chances = auction.Chances((4, 9), counts)
    np.testing.assert_allclose(chances.p_make[1, [0, 1, 5, 6, 12]], [0.9, 0.7, 0.7, 0.4, 0.4])
    assert chances.best(30) == (9, 3, 0.9)
    assert chances.best(31) == (4, 2, 0.8)
    assert auction.highest_bid(chances, 0.95) is None
    assert auction.highest_bid(chances, 0.8) == (31, 4, 0.8)
    assert auction.highest_bid(chances, 0.5) == (35, 9, 0.7)
    assert auction.highest_bid(chances, 0.4) == (42, 9, 0.4)
    made = np.array([[[5, 9, 0, 0, 0, 0, 0], [9, 1, 1, 1, 1, 1, 1], [8] * 7]])
    assert auction.best_rows(made, 10).tolist() == [1]


@pytest.mark.parametrize(
    ("hand", "message"),
    [
        ([0, 1, 2, 3, 4, 5], r"hands: expected integers of shape \(H, 7\)"),
        ([0, 1, 2, 3, 4, 5, 5], "hand: expected 7 different tile ids 0..27"),
        ([0, 1, 2, 3, 4, 5, 28], "hand: expected 7 different tile ids 0..27"),
    ],
)
def test_a_hand_that_does_not_exist_is_refused(hand, message):
    with pytest.raises(ValueError, match=message):
        auction.chances(np.array(hand), 2, rng(), None)
    with pytest.raises(ValueError, match="n: expected 1 to 100,000 worlds, got 0"):
        auction.chances(HAND, 0, rng(), None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected seven tiles or --calibrate N"),
        (["6-6"], "hand: expected 7 tiles, got 1"),
        (["6-6,65,6-6"], "hand: expected different tiles, got 6-6 twice"),
        (["6-7"], "hand: expected tiles as in 6-5, from 0-0 to 6-6, got '6-7'"),
        (["six"], "hand: expected tiles as in 6-5"),
        (["6-6", "--calibrate", "3"], "--calibrate: expected no hand with it, got '6-6'"),
        (["--calibrate", "3", "--special", "nello"], "--special: expected a hand with it"),
        (["6-6", "--special", "low"], "--special: expected some of nello,"),
        (["6-6", "--keep", "a"], "--keep: expected --calibrate with it"),
        (["6-6", "--bid", "30"], "--bid: expected --calibrate with it"),
        (["--calibrate", "3", "--bid", "29"], "--bid: expected a whole number from 30 to 42"),
        (
            [*["66", "65", "64", "55", "32", "10", "44"], "--by", "/no/such"],
            "/no/such: cannot be read",
        ),
        (["6-6", "--theta", "2"], "--theta: expected a number from 0 to 1"),
    ],
)
def test_the_command_refuses_in_one_sentence(words, message, capsys):
    try:
        status = bid.main(words)
    except SystemExit as stop:
        status = stop.code
    out, error = capsys.readouterr()
    assert (status, out) == (2, "") and message in error and error.count("\n") == 1


def test_the_command_prints_a_table_of_80_columns_and_json(capsys, tmp_path):
    words = ["66", "5-6", "64", "5-5,3-2", "1-0", "4-4", "--n", "3", "--doubles-suit"]
    assert bid.main(words) == 0
    shown = capsys.readouterr().out
    assert max(map(len, (line.rstrip() for line in shown.splitlines()))) <= 80
    rows = [line for line in shown.splitlines() if line[1:].startswith(suits.NAMES)]
    assert len(rows) == 10 and "bid up to" in shown
    assert "2 marks (84) and more need all 42 points: their P(make) is that of 42" in shown
    picture = tmp_path / "bid.png"
    assert bid.main([*words, "--json", "--theta", "1", "--plot", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["value"] == "make/set" and found["worlds"] == 3
    chances = auction.chances(HAND, 3, rng(), auction.policy_of("small"), [*range(9), 9])
    assert found["p_make"]["trump 6"] == chances.p_make[6].tolist()
    assert list(found["p_make"])[-2:] == ["doubles suit", "no trump"]
    assert bid.main([*words, "--json", "--by", "exact"]) == 0
    exact = auction.chances(HAND, 3, rng(), None, [*range(9), 9])
    found = json.loads(capsys.readouterr().out)
    assert found["p_make"]["trump 6"] == exact.p_make[6].tolist() and found["by"] == "exact"
    assert picture.read_bytes().startswith(b"\x89PNG")
    special = ["--special", "nello,plunge,splash,sevens"]
    assert bid.main([*words, *special, "--theta", "0"]) == 0
    shown = capsys.readouterr().out
    assert "splash for 2 marks: P(make)" in shown and "nello for 42: P(make)" in shown
    assert "plunge" not in shown  # three doubles are too few
    assert bid.main([*words, *special, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["special"]] == ["splash", "nello", "sevens"]
    assert contract.DECLARATIONS == (0, 1, 2, 3, 4, 5, 6, 7, 9)
