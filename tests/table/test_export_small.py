"""The exported page's small network, deals and bids against ours, in node."""

import jax
import numpy as np

from tests.support import in_node, playouts
from tests.support.small import net_of_seed
from zebjax.small import batch, features, network, rules, storage
from zebjax.table import export as pages


def scores(net, row):
    """The scores of all ranks, in NumPy."""
    active = np.zeros(features.MAX_ACTIVE, np.int64)
    n = features.public_features(row, active, 0)
    n = features.private_features(row, active, n)
    hidden = net.first_bias + net.first[row[rules.DECLARATION], active[:n]].sum(0)
    second = net.second_bias + np.maximum(hidden, 0) @ net.second
    return net.last_bias + np.maximum(second, 0) @ net.last


def row_of(game):
    row = np.zeros(rules.SIZE, np.int64)
    hands = np.array(game["hands"], np.int8)
    rules.start(row, hands, game["declaration"], game["leader"])
    for tile in game["plays"]:
        rules.play(row, rules.RANKS[game["declaration"], tile])
    return row


def compare(net, states, rolled):
    """The page's scores, best tiles and rollouts; the number of positions with a choice."""
    games = in_node.games_of(states)
    data = pages.small_data(net)
    said = in_node.run("small_network.js", {"games": games, "small": data, "rollouts": rolled})
    read = pages.small_as_read(net)
    played = batch.read(jax.tree.map(np.asarray, states))
    seeds = np.zeros(len(games), np.uint64)
    slots = batch.choose(read, played, seeds, 0)
    points = batch.rollouts(read, played, seeds, 0) if rolled else None
    choices = 0
    for at, (game, found) in enumerate(zip(games, said, strict=True)):
        row, ranks = row_of(game), rules.RANKS[game["declaration"]]
        mask = rules.legal_tiles(row)
        hand = game["hands"][rules.mover(row)]
        legal = [slot for slot, tile in enumerate(hand) if mask >> ranks[tile] & 1]
        expected = scores(read, row)
        np.testing.assert_allclose(
            found["scores"], [expected[ranks[hand[slot]]] for slot in legal], atol=1e-3
        )
        assert found["best"] == ranks[hand[slots[at]]]
        if rolled:
            assert found["points"] == points[at, legal].tolist()
        choices += len(legal) > 1
    return choices


def test_the_small_network_of_the_page_is_ours():
    states = playouts.positions(300, range(28), seed=2)
    net = network.scorer(storage.load("small"))
    assert compare(net, states, rolled=False) > 150
    # What the page's file loses: hundredths of the score, in which a point is about 0.02.
    error = np.abs(pages.small_as_read(net).first - net.first)
    steps = np.abs(net.first).max(-1, keepdims=True) / 31
    assert (error <= 0.51 * steps + 1e-3).all()


def test_the_rollouts_of_the_page_are_ours():
    net = network.scorer(net_of_seed(3, spread=3))
    assert compare(net, playouts.positions(280, range(28), seed=3), rolled=True) > 150
