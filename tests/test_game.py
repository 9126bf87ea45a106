"""The rules: golden parity with 3,000 games, and invariants of every game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zebjax import game, tiles


@pytest.fixture(scope="module")
def rules(reference):
    return reference("rules.npz")


def test_tables_equal_the_reference(rules):
    np.testing.assert_array_equal(tiles.HIGH, rules["high"])
    np.testing.assert_array_equal(tiles.LOW, rules["low"])
    np.testing.assert_array_equal(tiles.POINTS, rules["points"])
    np.testing.assert_array_equal(tiles.CALLED, rules["table_called"])
    np.testing.assert_array_equal(tiles.LED_SUIT, rules["table_led_suit"])
    np.testing.assert_array_equal(tiles.CAN_FOLLOW, rules["table_can_follow"])
    np.testing.assert_array_equal(tiles.TRICK_RANK, rules["table_trick_rank"])


def trace(hands, declaration, leader, slots):
    """Every ply of one game: the final state, and before each ply (legal, mover, led suit,
    points)."""

    def step(state, slot):
        before = (
            game.legal_slots(state),
            game.current_player(state),
            game.led_suit(state),
            game.points(state),
        )
        return game.play(state, slot), before

    return jax.lax.scan(step, game.new_game(hands, declaration, leader), slots)


def test_3000_games_equal_the_reference(rules):
    final, (legal, player, suit, points) = jax.jit(jax.vmap(trace))(
        *(jnp.asarray(rules[name]) for name in ("hands", "decl", "leader", "actions"))
    )
    np.testing.assert_array_equal(legal, rules["legal"])
    np.testing.assert_array_equal(player, rules["player"])
    np.testing.assert_array_equal(suit[:, 1::4], rules["led_suit"])
    np.testing.assert_array_equal(points, rules["scores"][:, :28])
    np.testing.assert_array_equal(final.points, rules["scores"][:, 28])
    np.testing.assert_array_equal(np.diff(rules["scores"][:, ::4].sum(-1)), rules["trick_points"])
    np.testing.assert_array_equal(final.history, rules["domino"])
    np.testing.assert_array_equal(final.trick_leaders[:, 1:], rules["trick_winner"][:, :6])
    np.testing.assert_array_equal(jax.vmap(game.players_to_move)(final), rules["player"])


def random_game(key):
    """One random deal played to the end by uniform legal moves: final state, slots, legal masks,
    movers."""
    deal_key, play_key = jax.random.split(key)

    def step(state, key):
        legal = game.legal_slots(state)
        slot = jax.random.categorical(key, jnp.where(legal, 0.0, -jnp.inf))
        return game.play(state, slot), (slot, legal, game.current_player(state))

    return jax.lax.scan(step, game.deal(deal_key), jax.random.split(play_key, game.N_PLIES))


play_random_game = jax.jit(random_game)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants_of_any_game(seed):
    final, (slots, legal, movers) = play_random_game(jax.random.key(seed))
    assert int(game.points(final).sum()) == tiles.TOTAL_POINTS
    assert sorted(np.asarray(final.history).tolist()) == list(range(28))
    assert sorted(np.asarray(final.hands).ravel().tolist()) == list(range(28))
    assert bool(game.is_over(final))
    assert not np.asarray(game.legal_slots(final)).any()
    assert np.asarray(legal).any(axis=1).all()
    np.testing.assert_array_equal(np.bincount(movers), [7, 7, 7, 7])
    # Each slot of each seat exactly once, and the history says the same.
    np.testing.assert_array_equal(np.asarray(final.hands)[movers, slots], final.history)
    # Outcome is zero-sum between teams and equal within one.
    outcomes = [float(game.outcome(final, seat)) for seat in range(4)]
    assert outcomes[0] == outcomes[2] == -outcomes[1] == -outcomes[3]
    # A follower who can follow, must: an independent reading of the rule.
    hands, history = np.asarray(final.hands), np.asarray(final.history)
    for ply in range(28):
        if ply % 4 == 0:
            continue
        suit = tiles.LED_SUIT[int(final.declaration), history[ply // 4 * 4]]
        in_hand = [t for t in hands[movers[ply]] if t not in history[:ply]]
        able = [t for t in in_hand if tiles.CAN_FOLLOW[int(final.declaration), suit, t]]
        assert {hands[movers[ply]][s] for s in np.flatnonzero(legal[ply])} == set(able or in_hand)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_plies=st.integers(0, 28))
def test_replay_stops_where_asked(seed, n_plies):
    final, (slots, _, _) = play_random_game(jax.random.key(seed))
    state = jax.jit(game.replay)(final.hands, final.declaration, final.leader, slots, n_plies)
    assert int(state.ply) == n_plies
    np.testing.assert_array_equal(state.history[:n_plies], final.history[:n_plies])
    assert (np.asarray(state.history[n_plies:]) == -1).all()


def test_play_past_the_end_changes_nothing():
    final, _ = play_random_game(jax.random.key(3))
    jax.tree.map(np.testing.assert_array_equal, game.play(final, jnp.int32(2)), final)


def test_states_of_numpy_arrays_are_played_like_those_of_the_device():
    state = game.deal(jax.random.key(5))
    host = jax.tree.map(np.asarray, state)
    slot = int(np.flatnonzero(game.legal_slots(host))[0])
    jax.tree.map(np.testing.assert_array_equal, game.play(host, slot), game.play(state, slot))
    assert int(game.current_player(host)) == int(state.leader)
    np.testing.assert_array_equal(game.points(host), [0, 0])


@given(st.lists(st.booleans(), min_size=7, max_size=7))
def test_a_slot_is_forced_where_it_is_the_only_one(legal):
    expected = legal.index(True) if sum(legal) == 1 else -1
    assert int(game.forced_slot(np.array(legal))) == expected
    assert int(game.forced_slot(jnp.array([legal, legal]))[1]) == expected


def test_the_deals_of_the_published_ladder_stay():
    state = game.deal(jax.random.key(7))
    assert np.asarray(state.hands).ravel().tolist() == [
        *(1, 2, 25, 27, 7, 13, 12, 10, 17, 4, 9, 16, 24, 22),
        *(18, 14, 23, 20, 21, 15, 6, 11, 8, 26, 19, 3, 0, 5),
    ]
    assert (int(state.declaration), int(state.leader)) == (8, 0)


@pytest.mark.parametrize("deal", [game.deal, game.fast_deal])
def test_deals_are_uniform(deal):
    states = jax.jit(jax.vmap(deal))(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose(
        np.bincount(states.declaration, minlength=10) / 20_000, 0.1, atol=0.01
    )
    np.testing.assert_allclose(np.bincount(states.leader, minlength=4) / 20_000, 0.25, atol=0.015)
    first_tile = np.bincount(np.asarray(states.hands)[:, 2, 3], minlength=28)
    np.testing.assert_allclose(first_tile / 20_000, 1 / 28, atol=0.006)
    # Declaration, leader and the place of a tile are independent (the original's seeds coupled
    # them).
    holder = np.argmax((np.asarray(states.hands) == 27).any(-1), axis=1)
    table = np.histogram2d(states.declaration, holder, bins=(10, 4))[0] / 20_000
    np.testing.assert_allclose(table, 0.025, atol=0.005)
    places = np.asarray(states.hands).reshape(-1, 28).argsort(1)
    np.testing.assert_array_equal(
        np.sort(np.asarray(states.hands).reshape(-1, 28)), [range(28)] * 20_000
    )
    # Chi-square: each tile in each place, 27^2 degrees of freedom as rows and columns are fixed;
    # the places of two tiles, which are independent but for being different.
    each = np.stack([np.bincount(column, minlength=28) for column in places.T])
    two = np.histogram2d(places[:, 3], places[:, 17], bins=range(29))[0][~np.eye(28, dtype=bool)]
    for counts, scale, freedom in ((each, 27 / 28, 27 * 27), (two, 1, 28 * 27 - 1)):
        chi_square = scale * ((counts - counts.mean()) ** 2).sum() / counts.mean()
        assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


def test_random_play_is_uniform_over_the_legal_slots():
    start = game.new_game(ORDERED, 3, 1)
    keys = jax.random.split(jax.random.key(2), 7_000)
    final, slots = jax.jit(jax.vmap(lambda key: game.play_randomly(key, start, 3)))(keys)
    assert (np.asarray(final.ply) == 3).all()
    first = np.bincount(slots[:, 0], minlength=7)
    assert ((first - 1000) ** 2 / 1000).sum() < 22.5  # 6 degrees of freedom, one in a thousand
    led = np.asarray(slots[:, 0])
    for slot in range(7):
        suit = tiles.LED_SUIT[3, ORDERED[1, slot]]
        legal = tiles.CAN_FOLLOW[3, suit, ORDERED[2]]
        legal = legal if legal.any() else np.ones(7, bool)
        second = np.bincount(np.asarray(slots)[led == slot, 1], minlength=7)
        assert (second[~legal] == 0).all()
        expected = second.sum() / legal.sum()
        assert ((second[legal] - expected) ** 2 / expected).sum() < 22.5
    # The third mover's slot is of the state after two plies, so its tile is in the history.
    np.testing.assert_array_equal(final.history[:, 2], ORDERED[3, slots[:, 2]])


ORDERED = np.arange(28).reshape(4, 7)


def with_duplicate():
    hands = ORDERED.copy()
    hands[3, 6] = 0
    return hands


@pytest.mark.parametrize(
    ("hands", "declaration", "leader", "message"),
    [
        (ORDERED[:3], 0, 0, r"hands: expected integers of shape \(4, 7\)"),
        (ORDERED.astype(float), 0, 0, "hands: expected integers"),
        (with_duplicate(), 0, 0, "0-0 twice"),
        (ORDERED + 1, 0, 0, "hands: expected tile ids 0..27, got 28"),
        (ORDERED - 1, 0, 0, "hands: expected tile ids 0..27, got -1"),
        (ORDERED, 10, 0, "declaration: expected an integer 0..9, got 10"),
        (ORDERED, -1, 0, "declaration: expected"),
        (ORDERED, 0, 4, "leader: expected an integer 0..3, got 4"),
        (ORDERED, 0, 1.0, "leader: expected an integer"),
    ],
)
def test_impossible_deals_are_refused(hands, declaration, leader, message):
    with pytest.raises(ValueError, match=message):
        game.new_game(hands, declaration, leader)


def test_tile_ids_and_names():
    assert tiles.tile_id(6, 6) == 27
    assert tiles.tile_id(3, 5) == tiles.tile_id(5, 3) == 18
    assert tiles.TILE_NAMES[18] == "5-3"
    assert tiles.POINTS.sum() == 35
