"""The exact solver agrees with slow, simple solvers, and with itself on full deals."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numba import njit

from zebjax import game, solver, tiles
from zebjax.solver import batch, cached_code, positions, ranks, root, search

LED_SUIT, CAN_FOLLOW, TRICK_RANK, POINTS = (
    tiles.LED_SUIT,
    tiles.CAN_FOLLOW,
    tiles.TRICK_RANK,
    tiles.POINTS,
)
N_GAMES = 250


def random_game(key, declaration):
    """The 29 states of a deal played by uniform legal moves."""
    deal_key, play_key = jax.random.split(key)
    start = game.deal(deal_key)._replace(declaration=declaration)

    def step(state, key):
        slot = jax.random.categorical(key, jnp.where(game.legal_slots(state), 0.0, -jnp.inf))
        return game.play(state, slot), state

    last, states = jax.lax.scan(step, start, jax.random.split(play_key, 28))
    return jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), states, last)


@pytest.fixture(scope="module")
def games():
    """States `[N_GAMES, 29, ...]`, all declarations equally often, as NumPy."""
    keys = jax.random.split(jax.random.key(42), N_GAMES)
    states = jax.jit(jax.vmap(random_game))(keys, jnp.arange(N_GAMES, dtype=jnp.int8) % 10)
    return jax.tree.map(np.asarray, states)


def legal_slots(states):
    return np.asarray(jax.jit(jax.vmap(game.legal_slots))(states))


def take(states, index):
    return jax.tree.map(lambda x: x[index], states)


def flat(states):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), states)


# The slow solver: seat by seat over tile ids and the tables of `tiles`, sharing nothing with the
# fast one.


@njit
def plain(hands, declaration, leader, trick, n, low, high, prune):
    """Points of seats 0 and 2 from this trick on. `hands[4, 7]` holds tile ids, -1 played;
    `trick[n]` lies."""
    if n == 4:
        suit = LED_SUIT[declaration, trick[0]]
        best, gain = 0, 1
        for i in range(4):
            gain += POINTS[trick[i]]
            if TRICK_RANK[declaration, suit, trick[i]] > TRICK_RANK[declaration, suit, trick[best]]:
                best = i
        winner = (leader + best) % 4
        gain = gain if winner % 2 == 0 else 0
        laid = trick.copy()  # the callee overwrites it
        value = gain + plain(hands, declaration, winner, laid, 0, low - gain, high - gain, prune)
        return value
    seat = (leader + n) % 4
    hand = hands[seat]
    if n == 0 and (hand < 0).all():
        return 0
    must = False
    if n > 0:
        suit = LED_SUIT[declaration, trick[0]]
        for slot in range(7):
            must = must or (hand[slot] >= 0 and CAN_FOLLOW[declaration, suit, hand[slot]])
    value = -1 if seat % 2 == 0 else 99
    for slot in range(7):
        tile = hand[slot]
        if tile < 0 or (must and not CAN_FOLLOW[declaration, suit, tile]):
            continue
        hand[slot] = -1
        trick[n] = tile
        after = plain(hands, declaration, leader, trick, n + 1, low, high, prune)
        hand[slot] = tile
        if seat % 2 == 0:
            value = max(value, after)
            low = max(low, value)
        else:
            value = min(value, after)
            high = min(high, value)
        if prune and low >= high:
            break
    return value


def plain_solve(state, legal, prune=False):
    """As `solver.solve` for one state and its legal slots."""
    hands = np.where(state.played, -1, state.hands).astype(np.int64)
    n, leader = state.ply % 4, int(state.trick_leaders[state.ply // 4])
    trick = np.zeros(4, np.int64)
    trick[:n] = state.history[state.ply - n : state.ply]
    seat = (leader + n) % 4
    left = 42 - int(state.points.sum())
    values = np.full(7, np.nan)
    for slot in np.flatnonzero(legal):
        after, laid = hands.copy(), trick.copy()
        laid[n], after[seat, slot] = after[seat, slot], -1
        value = plain(after, int(state.declaration), leader, laid, n + 1, -1, 99, prune)
        values[slot] = value if seat % 2 == 0 else left - value
    return values


def test_ranks_order_every_suit_as_the_rules_do():
    for declaration in range(10):
        rank = ranks.RANK_OF_TILE[declaration]
        assert sorted(rank) == list(range(28))
        for lead in range(28):
            strength = tiles.TRICK_RANK[declaration, tiles.LED_SUIT[declaration, lead]]
            assert ((ranks.WINS[declaration, rank[lead]] >> rank & 1) == (strength > 0)).all()
            in_play = np.flatnonzero(strength)
            assert (np.argsort(strength[in_play]) == np.argsort(rank[in_play])).all()


def test_endings_equal_brute_force(games):
    # 2,000 positions of up to four tricks, mid-trick ones too.
    endings = flat(take(games, np.s_[::2, 12:28]))
    legal = legal_slots(endings)
    values = solver.solve(endings)
    np.testing.assert_array_equal(np.isfinite(values), legal)
    expected = np.array([plain_solve(take(endings, i), legal[i]) for i in range(len(values))])
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(solver.value(endings), np.nanmax(expected, 1))
    taken = mover_points(endings)
    for threshold in (15, 22, 30):
        reached = np.nan_to_num(expected, nan=-99) + taken[:, None] >= threshold
        np.testing.assert_array_equal(solver.at_least(endings, threshold), reached)


@pytest.mark.parametrize("ply, n", [(8, 40), (10, 40), (6, 10)])
def test_longer_endings_equal_plain_alpha_beta(games, ply, n):
    states = take(games, np.s_[-n:, ply])
    legal = legal_slots(states)
    expected = [plain_solve(take(states, i), legal[i], prune=True) for i in range(n)]
    np.testing.assert_array_equal(solver.solve(states), expected)


def movers(states):
    trick = np.minimum(states.ply // 4, 6)
    return (np.asarray(states.trick_leaders)[np.arange(len(trick)), trick] + states.ply % 4) % 4


def mover_points(states):
    """What the mover's team has taken so far, int `[N]`."""
    team = movers(states) % 2
    return np.asarray(states.points, int)[np.arange(len(team)), team]


def team_0_total(states):
    """What team 0 ends with under perfect play, `[N]`."""
    mover = np.asarray(movers(states))
    total = mover_points(states) + solver.value(states)
    return np.where(mover % 2 == 0, total, 42 - total)


@pytest.fixture(scope="module")
def whole_games(games):
    """Every ply of 20 games, `[560]`, and their values."""
    states = flat(take(games, np.s_[:20, :28]))
    return states, solver.solve(states)


def test_best_move_is_worth_the_position(whole_games):
    states, values = whole_games
    np.testing.assert_array_equal(np.nanmax(values, 1), solver.value(states))


def test_every_move_is_worth_the_position_after_it(whole_games):
    states, values = whole_games
    mover = np.asarray(movers(states))
    play = jax.jit(jax.vmap(game.play))
    for slot in range(7):
        legal = np.flatnonzero(np.isfinite(values[:, slot]))
        before = take(states, legal)
        team_0_after = team_0_total(play(before, np.full(len(legal), slot)))
        total = mover_points(before) + values[legal, slot]  # what one team gets, the other does not
        np.testing.assert_array_equal(
            team_0_after, np.where(mover[legal] % 2 == 0, total, 42 - total)
        )


def test_both_teams_values_sum_to_42(games):
    deals = take(games, np.s_[:60, 0])
    ours = solver.value(deals)
    # The other team's best answer to each lead, by positions in which it is the one to move.
    theirs = np.full((60, 7), np.nan)
    play = jax.jit(jax.vmap(game.play))
    for slot in range(7):
        theirs[:, slot] = solver.value(play(deals, np.full(60, slot)))
    np.testing.assert_array_equal(ours + theirs.min(1), 42)


def test_threshold_agrees_with_values(whole_games):
    states, values = whole_games
    taken = mover_points(states)
    thresholds = np.random.default_rng(0).integers(0, 44, len(values))
    expected = np.nan_to_num(values, nan=-99) + taken[:, None] >= thresholds[:, None]
    np.testing.assert_array_equal(solver.at_least(states, thresholds), expected)
    np.testing.assert_array_equal(solver.at_least(states, 0), np.isfinite(values))
    assert not solver.at_least(states, 43).any()
    asked = np.random.default_rng(1).random((len(values), 7)) < 0.4
    some = solver.at_least(states, thresholds, asked=asked)
    np.testing.assert_array_equal(some, expected & asked)
    part = solver.solve(states, asked=asked)
    np.testing.assert_array_equal(part, np.where(asked, values, np.nan))


def test_seats_slots_order_and_threads_do_not_matter(whole_games):
    states, values = whole_games
    shuffled = np.random.default_rng(1).permutation(
        len(values)
    )  # no two neighbours share a table now
    np.testing.assert_array_equal(solver.solve(take(states, shuffled), threads=3), values[shuffled])
    np.testing.assert_array_equal(
        solver.solve(jax.tree.map(jnp.asarray, states), threads=1), values
    )
    turned = states._replace(
        hands=np.roll(states.hands, 1, 1)[:, :, ::-1],
        played=np.roll(states.played, 1, 1)[:, :, ::-1],
        leader=(states.leader + 1) % 4,
        trick_leaders=np.where(states.trick_leaders < 0, -1, (states.trick_leaders + 1) % 4),
        points=states.points[:, ::-1],
    )
    np.testing.assert_array_equal(solver.solve(turned)[:, ::-1], values)


def test_a_finished_game_and_no_games(games):
    over = take(games, np.s_[:5, 28])
    assert np.isnan(solver.solve(over)).all()
    assert not solver.at_least(over, 0).any()
    np.testing.assert_array_equal(solver.value(over), 0)
    none = take(over, np.s_[:0])
    assert solver.solve(none).shape == (0, 7)
    assert solver.value(none).shape == (0,)


@pytest.mark.parametrize("index, ply", [(3, 0), (4, 13), (5, 28)])
def test_principal_line_keeps_its_promise(games, index, ply):
    start = state = jax.tree.map(jnp.asarray, take(games, np.s_[index, ply]))
    promised = int(team_0_total(jax.tree.map(lambda x: x[None], start))[0])
    line = solver.principal_line(start)
    assert len(line) == 28 - ply
    for play in line:
        assert game.legal_slots(state)[play.slot]
        assert (play.seat, play.tile) == (
            game.current_player(state),
            state.hands[play.seat, play.slot],
        )
        assert play.points + state.points[play.seat % 2] == (
            promised if play.seat % 2 == 0 else 42 - promised
        )
        state = game.play(state, play.slot)
    assert game.is_over(state)
    assert state.points[0] == promised
    lines = solver.show_line(start).splitlines()
    assert len(lines) == 7 - ply // 4
    assert not lines or lines[-1].endswith(f"{promised:2d} - {42 - promised:2d}")


def test_old_generations_are_forgotten():
    job, table = search.new_memory()
    hands = np.array([127 << 7 * seat for seat in range(4)])
    job[search.GENERATION], job[search.DECLARATION] = search.MAX_GENERATION, 3
    table[:] = 5
    search.begin(job, table, hands, 4)
    assert job[search.GENERATION] == 1
    assert not table.any()
    search.begin(job, table, hands & ~(1 << 7), 4)
    assert job[search.GENERATION] == 1  # the same deal later on: what is known stays true
    search.begin(job, table, np.roll(hands, 1), 4)
    assert job[search.GENERATION] == 2


def corrupt(states, name, value):
    """The batch with `value` (an index and what to put there) written into one field of state 1."""
    field = np.array(getattr(states, name))
    index, new = value
    field[(1, *index)] = new
    return states._replace(**{name: field})


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("hands", ((0, 0), 28), "each of the tiles"),
        ("hands", ((0,), [0, 0, 0, 0, 0, 0, 0]), "each of the tiles"),
        ("declaration", ((), 10), "declaration must be 0..9"),
        ("leader", ((), 4), "leader must be"),
        ("ply", ((), 29), "ply must be 0..28"),
        ("ply", ((), 9), "history must be -1"),
        ("ply", ((), 11), "history holds a tile at ply 10"),
        ("trick_leaders", ((1,), 5), "trick_leaders does not follow from history at ply 4"),
        ("trick_leaders", ((2,), -1), "trick_leaders does not follow from history at ply 8"),
        ("points", ((0,), 41), "points do not agree"),
        ("played", ((slice(None),), False), "played does not agree"),
    ],
)
def test_impossible_positions_are_refused(games, name, value, message):
    states = take(games, np.s_[:3, 10])
    with pytest.raises(ValueError, match=f"state 1 is impossible: .*{message}"):
        solver.solve(corrupt(states, name, value))


def test_a_revoke_is_refused(games):
    states = take(games, np.s_[:, 1])
    legal = legal_slots(states)
    unlawful = np.flatnonzero(~legal.all(1))
    states, slots = take(states, unlawful), np.argmin(legal[unlawful], 1)
    with pytest.raises(ValueError, match="ply 1 that the seat to move could not play"):
        solver.value(jax.jit(jax.vmap(game.play))(states, slots))


def test_bad_arguments_are_refused(games):
    one, two = take(games, np.s_[0, 20]), take(games, np.s_[:2, 20])
    with pytest.raises(ValueError, match=r"states\.hands: expected a batch of shape \(N, 4, 7\)"):
        solver.solve(one)
    with pytest.raises(ValueError, match=r"states\.points: expected integers"):
        solver.solve(two._replace(points=two.points / 2))
    with pytest.raises(ValueError, match="threshold"):
        solver.at_least(two, [22, 22, 22])
    with pytest.raises(ValueError, match="threads"):
        solver.value(two, threads=0)


@pytest.mark.slow  # test_cached_code has a small function for this
def test_what_numba_cached_can_be_loaded(games):
    solver.solve(take(games, np.s_[:1, 20]))  # compiled and cached by now
    code = """
import jax, numpy as np
from zebjax import game, solver
states = jax.tree.map(lambda x: np.asarray(x)[None], game.deal(jax.random.key(5)))
print(np.nanmax(solver.solve(states)) == solver.value(states)[0], solver.at_least(states, 0).all())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_code_older_than_any_source_is_forgotten(tmp_path):
    newest = max(source.stat().st_mtime for source in cached_code.SOURCES)
    assert {"ranks.py", "bounds.py", "search.py", "tiles.py"} <= {
        source.name for source in cached_code.SOURCES
    }
    for name, age in (("root.values-1.py311.nbi", 1), ("root.values-9.py311.nbi", -1)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (newest - age, newest - age))
    cached_code.forget_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["root.values-9.py311.nbi"]


def test_first_use_says_that_it_compiles(games, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cached_code, "folder_of", lambda kernel: tmp_path)
    rows, compiled = positions.read(take(games, np.s_[:1, 27])), []

    class Kernel:
        signatures, py_func = (), root.values.py_func

        def __call__(self, *args):
            compiled.append(args[1:3])

    batch._compile(Kernel(), rows, ())
    code = root.values.py_func.__code__
    (tmp_path / f"root.values-{code.co_firstlineno}.py311.nbi").touch()
    batch._compile(Kernel(), rows, ())
    assert compiled == [(0, 0), (0, 0)]
    assert (
        capsys.readouterr().err
        == f"zebjax.solver: compiling values, which takes about 10 s; then cached in {tmp_path}\n"
    )
    monkeypatch.setattr(cached_code, "folder_of", lambda kernel: None)
    batch._compile(Kernel(), rows, ())
    assert "values, which takes about 10 s; no cache folder can be" in capsys.readouterr().err


def test_pieces_cover_everything_once():
    ply = np.random.default_rng(2).integers(0, 29, 5000)
    pieces = batch._pieces(ply)
    assert [first for first, _ in pieces] == [0, *(last for _, last in pieces[:-1])]
    assert pieces[-1][1] == 5000
    assert all(last > first for first, last in pieces)
    assert batch._pieces(np.zeros(4)) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert positions.ROW_SIZE == 17
