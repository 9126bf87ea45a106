"""E[Q] agrees with enumeration by the rules, and does not depend on hidden hands."""

import itertools

import jax
import numpy as np
import pytest

from tests.support.contracts import contracts_of
from tests.support.playouts import positions, raw_keys
from zebjax import contract, game, players, solver, tiles
from zebjax.observe import hidden_tiles
from zebjax.players import base, exact


def one(states, row):
    return jax.tree.map(lambda leaf: leaf[row], states)


# The slow path: rules from the tables of `tiles`, worlds by trying every arrangement.


def may_play(declaration, lead, hand):
    can = [
        tile
        for tile in hand
        if tiles.CAN_FOLLOW[declaration, tiles.LED_SUIT[declaration, lead], tile]
    ]
    return can or list(hand)


def finish(declaration, hands, leader, trick, points):
    """Best final points of team 0, all hands known. `hands` four tuples, `trick` the tiles on the
    table."""
    if len(trick) == 4:
        ranks = tiles.TRICK_RANK[declaration, tiles.LED_SUIT[declaration, trick[0]], list(trick)]
        leader = (leader + int(ranks.argmax())) % 4
        gain = 1 + int(tiles.POINTS[list(trick)].sum())
        return finish(declaration, hands, leader, (), points + gain * (leader % 2 == 0))
    seat = (leader + len(trick)) % 4
    if not hands[seat]:
        return points
    moves = may_play(declaration, trick[0], hands[seat]) if trick else hands[seat]
    after = [
        finish(declaration, without(hands, seat, tile), leader, (*trick, tile), points)
        for tile in moves
    ]
    return max(after) if seat % 2 == 0 else min(after)


def without(hands, seat, tile):
    return tuple(
        tuple(t for t in hand if t != tile) if s == seat else hand for s, hand in enumerate(hands)
    )


def fits(state, hands):
    """Whether every play so far was legal had these been the unplayed tiles."""
    played = [
        (int((state.trick_leaders[p // 4] + p % 4) % 4), int(state.history[p]))
        for p in range(state.ply)
    ]
    for p, (seat, tile) in enumerate(played):
        held = [*hands[seat], *(t for s, t in played[p:] if s == seat)]
        if p % 4 and tile not in may_play(int(state.declaration), played[p - p % 4][1], held):
            return False
    return True


def every_world(state, me):
    hidden = sorted(set(range(28)) - set(state.history.tolist()) - set(state.hands[me].tolist()))
    sizes = [0 if seat == me else int((~state.played[seat]).sum()) for seat in range(4)]
    mine = tuple(state.hands[me][~state.played[me]].tolist())
    for a in itertools.combinations(hidden, sizes[(me + 1) % 4]):
        rest = [tile for tile in hidden if tile not in a]
        for b in itertools.combinations(rest, sizes[(me + 2) % 4]):
            c = tuple(tile for tile in rest if tile not in b)
            hands = tuple(
                x
                for _, x in sorted(
                    zip([(me + i) % 4 for i in range(4)], (mine, a, b, c), strict=True)
                )
            )
            if fits(state, hands):
                yield hands


def slow_counts(state):
    me = int((state.trick_leaders[state.ply // 4] + state.ply % 4) % 4)
    trick = tuple(state.history[state.ply - state.ply % 4 : state.ply].tolist())
    counts, n_worlds = np.zeros((7, 43), int), 0
    for hands in every_world(state, me):
        n_worlds += 1
        for tile in may_play(int(state.declaration), trick[0], hands[me]) if trick else hands[me]:
            slot = state.hands[me].tolist().index(tile)
            args = (
                without(hands, me, tile),
                int(state.trick_leaders[state.ply // 4]),
                (*trick, tile),
            )
            team_0 = finish(int(state.declaration), *args, int(state.points[0]))
            counts[slot, team_0 if me % 2 == 0 else 42 - team_0] += 1
    return counts, n_worlds


@pytest.fixture(scope="module")
def endings():
    return positions(40, np.arange(19, 28))


@pytest.fixture(scope="module")
def middles():
    return positions(90, np.arange(5, 28), seed=3)


def test_allworlds_of_endings_equal_plain_enumeration(endings):
    values = exact.eq_values(endings, raw_keys(40), n=2_000)
    for row in range(40):
        counts, n_worlds = slow_counts(one(endings, row))
        assert values.n_worlds[row] == n_worlds
        np.testing.assert_array_equal(values.counts[row], counts)
    assert values.n_worlds.max() > 50 and values.counts.any(-1).sum(-1).max() > 1
    other = exact.eq_values(endings, raw_keys(40, seed=9), n=2_000)
    np.testing.assert_array_equal(other.counts, values.counts)  # exact, so the key does not matter


def test_the_figures_follow_from_the_counts(endings):
    values = exact.eq_values(endings, raw_keys(40), n=2_000)
    for row, slot in np.argwhere(values.legal):
        points = np.repeat(np.arange(43), values.counts[row, slot])
        assert len(points) == values.n_worlds[row]
        assert values.mean_points[row, slot] == pytest.approx(points.mean())
        assert values.p_win[row, slot] == pytest.approx((points > 42 - points).mean())
        assert values.value[row, slot] == pytest.approx(np.sign(points - 21.0).mean())
    assert np.isnan(values.mean_points[~values.legal]).all()
    np.testing.assert_array_equal(exact.count_wins(endings, raw_keys(40), n=2_000), values.wins)
    finished = exact.eq_values(positions(2, [28, 27]), raw_keys(2), n=3)
    assert finished.n_worlds.tolist() == [0, 1] and not finished.counts[0].any()


def test_players_choose_as_documented(middles):
    keys = raw_keys(90)
    values = exact.eq_values(middles, keys, n=5)
    late = middles.ply >= exact.TIES_FROM_PLY
    for row in range(90):

        def key(slot, row=row):
            return values.points[row, slot], values.wins[row, slot], -slot

        def win_key(slot, row=row):
            return values.wins[row, slot], late[row] * values.points[row, slot], -slot

        legal = np.flatnonzero(values.legal[row])
        assert exact.player(5, "points").choose(
            one_batch(middles, row), keys[row : row + 1]
        ) == max(legal, key=key)
        assert exact.player(5, "win").choose(one_batch(middles, row), keys[row : row + 1]) == max(
            legal, key=win_key
        )
    slots = exact.player(5, "points").choose(middles, keys)
    np.testing.assert_array_equal(slots, values.best_slots())
    assert (slots != exact.player(5, "win").choose(middles, keys)).any()


def test_p_win_is_the_share_of_the_worlds(middles):
    keys = raw_keys(90)
    expected = exact.eq_values(middles, keys, n=5).p_win
    np.testing.assert_array_equal(exact.player(5).p_win(middles, keys), expected)
    nothing = base.gather(middles, np.zeros(0, int))
    assert exact.player(5).p_win(nothing, keys[:0]).shape == (0, 7)
    assert exact.player(5, "points").p_win is exact.player(5, "make").p_win is None


def one_batch(states, row):
    return base.gather(states, np.array([row]))


def test_hidden_hands_change_neither_move_nor_values(middles):
    """Permuted without regard to the plays, so that many are impossible: nobody may even notice."""
    rng = np.random.default_rng(0)
    hidden = np.asarray(jax.jit(jax.vmap(hidden_tiles))(middles))
    hands = middles.hands.copy()
    for row in range(90):
        places = hidden[row][hands[row]]
        hands[row][places] = rng.permutation(hands[row][places])
    other, keys = middles._replace(hands=hands), raw_keys(90)
    assert (hands != middles.hands).any((1, 2)).mean() > 0.7
    np.testing.assert_array_equal(
        exact.eq_values(other, keys, 5).counts, exact.eq_values(middles, keys, 5).counts
    )
    for criterion in ("win", "points"):
        chosen = exact.player(5, criterion).choose
        np.testing.assert_array_equal(chosen(other, keys), chosen(middles, keys))
    chosen, contracts = exact.player(5, "make").choose_in_contract, contracts_of(middles, 31)
    np.testing.assert_array_equal(chosen(other, contracts, keys), chosen(middles, contracts, keys))


def test_wins_at_any_number_of_points_and_the_moves_that_make_or_set(middles):
    keys = raw_keys(90)
    values = exact.eq_values(middles, keys, 5)
    contracts = contracts_of(middles, 31)._replace(bid=np.resize(np.arange(30, 43), 90))
    needs = contract.needs(contracts, base.movers(middles))
    assert len(set(needs.tolist())) > 20  # of 13 bids, and of 13 numbers that set them
    wins = np.array([values.counts[row, :, needs[row] :].sum(-1) for row in range(90)])
    np.testing.assert_array_equal(exact.count_wins(middles, keys, 5, need=needs), wins)
    slots = exact.player(5, "make").choose_in_contract(middles, contracts, keys)
    rows = np.arange(90)
    np.testing.assert_array_equal(wins[rows, slots], wins.max(1))
    # At 22 points the contract is the present game without its ties.
    easy = contracts._replace(bid=np.full(90, 22))
    ours = base.movers(middles) % 2 == contracts.bidder % 2
    slots = exact.player(5, "make").choose_in_contract(middles, easy, keys)
    np.testing.assert_array_equal(slots[ours], exact.player(5).choose(middles, keys)[ours])


def test_make_needs_a_contract(middles):
    with pytest.raises(ValueError, match="'eq:criterion=make': criterion=make plays games with"):
        players.make("eq:criterion=make").choose(middles, raw_keys(90))


def test_values_belong_to_the_key_wherever_the_game_stands():
    """Over several blocks of the sampler, too."""
    n = exact._MAX_DECISIONS + 30
    states, keys = positions(n, np.arange(12, 27)), raw_keys(n)
    values = exact.eq_values(states, keys, n=5)
    rows = np.random.default_rng(0).permutation(n)[:50]
    again = exact.eq_values(base.gather(states, rows), keys[rows], n=5, threads=1)
    np.testing.assert_array_equal(again.counts, values.counts[rows])
    np.testing.assert_array_equal(again.n_worlds, values.n_worlds[rows])
    assert (exact.eq_values(states, raw_keys(n, seed=2), n=5).counts != values.counts).any()


def test_fewer_worlds_in_the_first_trick():
    states = positions(6, [0, 3, 4, 8, 12, 3])
    values = exact.eq_values(states, raw_keys(6), n=5, n_trick1=2)
    assert values.n_worlds.tolist() == [2, 2, 5, 5, 5, 2]
    early = exact.eq_values(states, raw_keys(6), n=2)
    np.testing.assert_array_equal(values.counts[:2], early.counts[:2])
    assert (exact.count_wins(states, raw_keys(6), 5, 2) == values.wins).all()


def test_a_forced_move_asks_nothing(middles, monkeypatch):
    legal = np.asarray(jax.jit(jax.vmap(game.legal_slots))(middles))
    forced = np.flatnonzero(legal.sum(1) == 1)
    monkeypatch.setattr(exact, "worlds_of", None)
    slots = exact.player().choose(base.gather(middles, forced), raw_keys(len(forced)))
    np.testing.assert_array_equal(slots, legal[forced].argmax(1))


def test_cheat_plays_the_solvers_best(middles):
    slots = players.make("cheat").choose(middles, raw_keys(90))
    np.testing.assert_array_equal(slots, np.nan_to_num(solver.solve(middles), nan=-1).argmax(1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("eq:n=0", "n: expected a whole number from 1 to 100000, got '0'"),
        ("eq:n=ten", "n: expected a whole number from 1 to 100000, got 'ten'"),
        ("eq:criterion=mean", "criterion: expected win, points or make, got 'mean'"),
        ("eq:worlds=3", "unknown key 'worlds'; expected one of n, "),
        ("eq:100", "expected key=value as in eq"),
        ("cheat:1", "expected 'cheat' and nothing more"),
    ],
)
def test_a_bad_spec_is_answered_in_one_sentence(spec, message):
    with pytest.raises(ValueError, match=message):
        players.make(spec)


def test_bad_arguments_are_refused(middles):
    for call in (
        lambda: exact.player(n=0),
        lambda: exact.eq_values(middles, raw_keys(90), n=10, n_trick1=-1),
        lambda: exact.player(criterion="mean"),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    assert (
        players.make("eq").spec == "eq"
        and exact.player(7, n_trick1=3).spec == "eq:n=7,criterion=win,n_trick1=3"
    )


@pytest.mark.parametrize("criterion", ["win", "points"])
def test_a_position_that_no_hands_fit_is_refused(criterion):
    """Seat 0 is to move after all others refused sixes, while it holds two of the seven itself."""
    hands = np.array(
        [
            [21, 22, 0, 1, 2, 3, 4],
            [23, 24, 5, 6, 7, 8, 9],
            [25, 26, 10, 11, 12, 13, 14],
            [27, 15, 16, 17, 18, 19, 20],
        ]
    )
    state = game.new_game(hands, 9, 0)
    for slot in (0, 2, 2, 1):
        state = game.play(state, slot)
    states = jax.tree.map(
        lambda *leaves: np.stack(leaves), *(one(positions(1, [5], seed=0), 0), state)
    )
    with pytest.raises(ValueError, match="decision 1: no hands fit what its mover has seen"):
        exact.player(2, criterion).choose(states, raw_keys(2))
