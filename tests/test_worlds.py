"""Worlds: counts, samples and marginals agree with brute force at every ply."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.brute_force import (
    count_by_classes,
    every_split,
    holders,
    is_world,
    pick,
    replay,
)
from zebjax import game, worlds

N_GAMES = 1000


def repeat(state, n):
    return jax.tree.map(lambda x: np.broadcast_to(x, (n, *x.shape)), state)


def random_positions(key):
    """The 29 positions of one random game of legal moves."""
    deal_key, play_key = jax.random.split(key)

    def step(state, wish):
        return game.play(state, jnp.argmax(jnp.where(game.legal_slots(state), wish, -1))), state

    last, states = jax.lax.scan(step, game.deal(deal_key), jax.random.uniform(play_key, (28, 7)))
    return jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), states, last)


@functools.cache
def compiled(function, n=None):
    """`function` of worlds.py over many positions; a thousand at a time where they may be
    101,500."""
    one = {
        worlds.sample: lambda key, state: worlds.sample(key, state, n),
        worlds.sample_or_all: lambda key, state: worlds.sample_or_all(key, state, n),
        worlds.enumerate: lambda state: worlds.enumerate(state, n),
    }.get(function, function)
    if n in (None, 1):
        many = jax.jit(lambda args: jax.lax.map(lambda x: one(*x), args, batch_size=N_GAMES))
    else:
        many = jax.jit(lambda args: jax.vmap(one)(*args))
    return lambda *args: jax.tree.map(np.asarray, many(args))


replayed = jax.jit(game.replay)


def played(hands, declaration, leader, slots):
    """The position after these slots; legality is not checked."""
    return replayed(
        hands, declaration, leader, np.array(slots + [0] * (28 - len(slots))), len(slots)
    )


@pytest.fixture(scope="module", params=[N_GAMES, pytest.param(3500, marks=pytest.mark.slow)])
def positions(request):
    """29,000 or 101,500 random positions in NumPy: row 29 * g + p is game g after p plies."""
    n_games = request.param
    states = jax.jit(jax.vmap(random_positions))(jax.random.split(jax.random.key(3), n_games))
    states = jax.tree.map(lambda x: np.asarray(x).reshape(n_games * 29, *x.shape[2:]), states)
    assert set(states.declaration) == set(range(10)) and set(states.leader) == set(range(4))
    assert set(states.ply) == set(range(29))
    return states


@pytest.fixture(scope="module")
def counts(positions):
    return compiled(worlds.count)(positions)


@pytest.fixture(scope="module")
def sampled(positions):
    return compiled(worlds.sample, 1)(
        jax.random.split(jax.random.key(4), len(positions.ply)), positions
    )[:, 0]


@pytest.fixture(scope="module")
def beliefs(positions):
    return compiled(worlds.marginals)(positions)


@pytest.fixture(scope="module")
def late(positions):
    """Rows of 160 positions: of the plies 13 to 28 in 10 games, one for each declaration."""
    games = [int(np.flatnonzero(positions.declaration[::29] == d)[0]) for d in range(10)]
    return np.array([29 * g + p for g in games for p in range(13, 29)])


@pytest.fixture(scope="module")
def listed(positions, counts, late):
    """All worlds of each of those, one array a position."""
    hands, valid = compiled(worlds.enumerate, int(counts[late].max()))(pick(positions, late))
    return [one[rows] for one, rows in zip(hands, valid, strict=True)]


@pytest.fixture(scope="module")
def shuffled(positions):
    """The true hands with the tiles that the mover has not seen permuted among their places, voids
    ignored."""
    me = replay(*positions[:3], positions.history, positions.ply)[1]
    hidden = ~positions.played
    hidden[np.arange(len(positions.ply)), me] = False
    hidden = hidden.reshape(-1, 28)
    # Two orders of the same places: as they stand, and at random; those that are not hidden come
    # last in both.
    places = np.argsort(~hidden, axis=1, kind="stable")
    mixed = np.argsort(
        np.where(hidden, np.random.default_rng(0).random(hidden.shape), 2), axis=1, kind="stable"
    )
    hands = np.empty_like(positions.hands).reshape(-1, 28)
    np.put_along_axis(
        hands, places, np.take_along_axis(positions.hands.reshape(-1, 28), mixed, axis=1), axis=1
    )
    return hands.reshape(-1, 4, 7)


def rows_as_set(hands):
    return {row.tobytes() for row in np.asarray(hands, np.int8)}


def test_count_at_both_ends(positions, counts):
    assert (
        set(counts[positions.ply == 0])
        == {399_072_960}
        == {math.factorial(21) // math.factorial(7) ** 3}
    )
    assert set(counts[positions.ply == 28]) == {1}
    assert counts.dtype == np.int32


def test_count_equals_a_sum_over_classes_at_every_ply(positions, counts):
    """Twenty whole games, two for each declaration."""
    games = np.concatenate(
        [np.flatnonzero(positions.declaration[::29] == d)[:2] for d in range(10)]
    )
    rows = (29 * games[:, None] + np.arange(29)).ravel()
    expected = [count_by_classes(*known) for known in holders(pick(positions, rows))]
    np.testing.assert_array_equal(counts[rows], expected)


def test_enumeration_and_count_equal_brute_force(positions, counts, late, listed):
    n_candidates = 0
    for row, hands in zip(late, listed, strict=True):
        candidates = every_split(pick(positions, row))
        expected = candidates[is_world(candidates, repeat(pick(positions, row), len(candidates)))]
        assert counts[row] == len(expected) == len(hands)
        assert rows_as_set(hands) == rows_as_set(expected)
        n_candidates += len(candidates)
    assert sum(map(len, listed)) < 0.7 * n_candidates  # voids mattered


def test_never_an_inconsistent_world_at_any_position(positions, sampled, shuffled):
    assert sampled.dtype == np.int8
    assert is_world(sampled, positions).all()
    # The checker has teeth: it refuses many of the deals that know nothing of voids, and one
    # swapped known tile.
    assert is_world(positions.hands, positions).all()
    middle = (positions.ply > 3) & (positions.ply < 25)
    assert 0.3 < is_world(shuffled, positions)[middle].mean() < 0.9
    swapped = sampled.copy()
    swapped[:, [0, 1], 0] = swapped[:, [1, 0], 0]
    fixed = positions.played[:, :2, 0].any(1)
    assert not is_world(swapped, positions)[fixed].any()


def test_the_true_hidden_hands_are_never_read(positions, counts, sampled, beliefs, shuffled):
    """Another deal of the tiles that the mover cannot see, the same key: the same worlds, counts
    and beliefs."""
    rows = np.arange(0, len(positions.ply), 10)
    other, positions = pick(positions._replace(hands=shuffled), rows), pick(positions, rows)
    assert (other.hands != positions.hands).any((1, 2))[positions.ply < 20].mean() > 0.99
    keys = jax.random.split(jax.random.key(4), len(counts))[rows]
    np.testing.assert_array_equal(compiled(worlds.sample, 1)(keys, other)[:, 0], sampled[rows])
    np.testing.assert_array_equal(compiled(worlds.count)(other), counts[rows])
    np.testing.assert_array_equal(compiled(worlds.marginals)(other), beliefs[rows])


def test_the_true_deal_is_among_the_worlds(positions, counts, beliefs, late, listed):
    assert (counts >= 1).all()
    for row, hands in zip(late, listed, strict=True):
        assert (holder_of(hands) == holder_of(positions.hands[row])).all(1).sum() == 1
    me = replay(*positions[:3], positions.history, positions.ply)[1]
    opponent = (holder_of(positions.hands) - me[:, None]) % 4 - 1
    held = np.take_along_axis(beliefs, np.maximum(opponent, 0)[..., None], axis=2)[..., 0]
    assert (held[beliefs.any(2)] > 0).all()


def holder_of(hands):
    """The seat that each tile was dealt to, [N, 28]."""
    return np.argsort(hands.reshape(-1, 28), axis=1) // 7


def chi_square_z(observed, expected):
    """How many standard deviations the chi-square statistic is off its mean."""
    degrees = len(observed) - 1
    return (((observed - expected) ** 2 / expected).sum() - degrees) / math.sqrt(2 * degrees)


N_DRAWS = 100_000


@pytest.fixture(scope="module")
def draws(positions, counts):
    """Rows of a start and of 12 positions of one hundred to a few thousand worlds, most in
    mid-trick; draws at each."""
    fits = np.flatnonzero((counts > 100) & (counts < 3000) & (positions.ply < 20))
    rows = np.append(0, fits[:: len(fits) // 12][:12])
    assert len(set(positions.ply[rows] % 4)) > 2
    keys = jax.random.split(jax.random.key(5), len(rows))
    return rows, compiled(worlds.sample, N_DRAWS)(keys, pick(positions, rows))


def test_samples_are_uniform(counts, draws):
    """Every world as often as every other."""
    for row, hands in list(zip(*draws, strict=True))[1:]:
        _, observed = np.unique(
            np.ascontiguousarray(hands).reshape(N_DRAWS, 28).view("V28"), return_counts=True
        )
        assert len(observed) == counts[row]
        assert abs(chi_square_z(observed, N_DRAWS / counts[row])) < 4


def test_first_samples_are_uniform(positions, draws):
    """Before the first play: who holds four given tiles, against the hypergeometric odds of all 81
    answers."""
    me = int(positions.leader[0])
    opponent = (holder_of(draws[1][0]) - me) % 4 - 1
    mine = {int(t) for t in positions.hands[0, me]}
    given = [t for t in range(28) if t not in mine][::6][:4]
    observed = np.bincount(opponent[:, given] @ [27, 9, 3, 1], minlength=81)
    odds = [
        math.prod(math.perm(7, answer.count(o)) for o in range(3)) / math.perm(21, 4)
        for answer in itertools.product(range(3), repeat=4)
    ]
    assert sum(odds) == pytest.approx(1)
    assert abs(chi_square_z(observed, N_DRAWS * np.array(odds))) < 4


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 65_537, 17_153_136, 399_072_960])
def test_uniform_numbers_are_the_top_of_a_64_bit_product(count):
    key, n = jax.random.key(7), 100_000
    numbers = np.asarray(worlds._uniform(key, n, jnp.int32(count)))
    bits = np.asarray(jax.random.bits(key, (n, 2), jnp.uint32)).tolist()
    assert numbers.tolist() == [((high << 32) + low) * count >> 64 for high, low in bits]
    # A remainder of 32 bits would favour the numbers below 2^32 mod count.
    split = 2**32 % count
    assert (numbers < split).mean() == pytest.approx(split / count, abs=4 * 0.5 / math.sqrt(n))


def test_marginals_are_the_frequencies_of_the_enumeration(positions, beliefs, late, listed):
    me = replay(*pick(positions, late)[:3], positions.history[late], positions.ply[late])[1]
    for i, (row, hands) in enumerate(zip(late, listed, strict=True)):
        opponent = (holder_of(hands) - me[i]) % 4
        hidden = (opponent[0] > 0) & ~np.isin(np.arange(28), positions.history[row])
        expected = np.stack([(opponent == o).mean(0) for o in (1, 2, 3)], 1) * hidden[:, None]
        np.testing.assert_allclose(beliefs[row], expected, rtol=3e-7, atol=0)


def test_marginals_equal_a_sum_over_classes_at_every_ply(positions, beliefs):
    """Each probability as worlds where the holder is given, over all worlds; one game for each
    declaration."""
    games = [int(np.flatnonzero(positions.declaration[::29] == d)[-1]) for d in range(10)]
    rows = np.array([29 * g + p for i, g in enumerate(games) for p in range(i % 3, 29, 3)])
    for belief, (possible, sizes) in zip(
        beliefs[rows], holders(pick(positions, rows)), strict=True
    ):
        expected = np.zeros((28, 3))
        for tile, seats in possible.items():
            for seat in seats:
                expected[tile, seat - 1] = count_by_classes({**possible, tile: {seat}}, sizes)
        np.testing.assert_allclose(
            belief, expected / count_by_classes(possible, sizes), rtol=3e-7, atol=0
        )


def test_marginals_sum_to_tiles_and_hands(positions, beliefs):
    assert beliefs.dtype == np.float32 and beliefs.min() >= 0 and beliefs.max() <= 1
    n = np.arange(len(positions.ply))
    me = replay(
        positions.hands, positions.declaration, positions.leader, positions.history, positions.ply
    )[1]
    visible = positions.played.copy()
    visible[n, me] = True
    visible_tile = np.zeros((len(positions.ply), 28), bool)
    visible_tile[n[:, None], positions.hands.reshape(-1, 28)] = visible.reshape(-1, 28)
    assert (beliefs[visible_tile] == 0).all()
    np.testing.assert_allclose(beliefs[~visible_tile].sum(1), 1, rtol=3e-7)
    n_left = (~positions.played).sum(2)
    for i in range(3):
        np.testing.assert_allclose(
            beliefs[:, :, i].sum(1), n_left[n, (me + 1 + i) % 4], rtol=1e-6, atol=1e-6
        )


def test_voids_are_the_suits_not_followed():
    """Seat 1 holds no tile of the led suit (sixes) and throws a double: void in 6, not in the suit
    it threw."""
    hands = np.array(
        [
            [27, 26, 25, 24, 23, 22, 21],
            [0, 1, 3, 6, 10, 2, 4],
            [5, 7, 8, 9, 11, 12, 13],
            [14, 15, 16, 17, 18, 19, 20],
        ]
    )
    voids = jax.jit(worlds.voids)
    np.testing.assert_array_equal(np.argwhere(voids(played(hands, 9, 0, [0, 0]))), [[1, 6]])
    assert not voids(played(hands, 9, 0, [])).any()


def test_enumeration_cut_short_and_sample_or_all(positions, counts):
    rows = np.arange(29 * 20)
    states, many = pick(positions, rows), counts[rows] > 60
    keys = jax.random.split(jax.random.key(8), len(rows))
    listed, valid = compiled(worlds.enumerate, 60)(states)
    np.testing.assert_array_equal(valid.sum(1), np.minimum(counts[rows], 60))
    either, counted = compiled(worlds.sample_or_all, 60)(keys, states)
    np.testing.assert_array_equal(counted, valid)
    np.testing.assert_array_equal(either[~many], listed[~many])
    assert (either[many] != listed[many]).any((1, 2, 3)).all()
    for hands in (either, listed):
        each = pick(states, np.repeat(np.flatnonzero(many), 60))
        assert is_world(hands[many].reshape(-1, 4, 7), each).all()
    assert all(len(rows_as_set(listed[i])) == 60 for i in np.flatnonzero(many))
    # Past the last world the rows repeat it, so that no caller meets a hand that is none.
    assert all(
        (listed[i][~valid[i]] == listed[i][valid[i]][-1]).all() for i in np.flatnonzero(~many)
    )


def test_one_game_alone_and_a_finished_one(positions, sampled):
    """What `vmap` gives is what one game gives; when the game is over, that is the true deal."""
    state = jax.tree.map(jnp.asarray, pick(positions, 14))
    key = jax.random.split(jax.random.key(4), len(positions.ply))[14]
    np.testing.assert_array_equal(
        jax.jit(worlds.sample, static_argnums=2)(key, state, 1), sampled[14:15]
    )
    np.testing.assert_array_equal(sampled[28::29], positions.hands[28::29])


def test_a_position_of_no_deal_is_refused():
    state = jax.tree.map(np.asarray, played(np.arange(28).reshape(4, 7), 9, 0, []))
    for change, message in (
        (
            {"hands": np.zeros((4, 7), np.int8)},
            "hands: expected seat 0's tiles and what the others played",
        ),
        ({"declaration": np.int8(99)}, r"declaration: expected 0\.\.9, got 99"),
        ({"leader": np.int8(4)}, r"leader: expected 0\.\.3, got 4"),
    ):
        bad = state._replace(**change)
        for use in (
            worlds.count,
            worlds.marginals,
            lambda s: worlds.sample(jax.random.key(0), s, 2),
        ):
            with pytest.raises(ValueError, match=message):
                use(bad)
    hands = np.where(
        np.arange(4)[:, None] == 0, state.hands, -1
    )  # hands that the mover does not see may be anything
    assert worlds.count(state._replace(hands=hands)) == worlds.count(state)


def test_a_position_that_no_hands_fit():
    """Seat 0 is to move after seats 1, 2 and 3 all refused sixes, while it holds two of the seven
    itself."""
    hands = np.array(
        [
            [21, 22, 0, 1, 2, 3, 4],
            [23, 24, 5, 6, 7, 8, 9],
            [25, 26, 10, 11, 12, 13, 14],
            [27, 15, 16, 17, 18, 19, 20],
        ]
    )
    state = played(hands, 9, 0, [0, 2, 2, 1])  # 6-0 led; nobody follows, though each could
    assert game.current_player(state) == 0 and worlds.count(state) == 0
    with pytest.raises(
        ValueError, match="no hidden hands fit the first 4 plays as seat 0 has seen them"
    ):
        worlds.sample(jax.random.key(0), state, 2)
    traced = jax.jit(
        lambda key, s: (worlds.sample(key, s, 1), worlds.enumerate(s, 1), worlds.marginals(s))
    )
    drawn, (_, valid), belief = traced(jax.random.key(0), state)
    known = np.asarray(state.played) | (np.arange(4) == 0)[:, None]
    np.testing.assert_array_equal(drawn[0], np.where(known, hands, -1))
    assert not valid.any() and (belief == 0).all()
