"""Self-play: reproducible, no bias towards short games, one compilation."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support import tiny
from zebjax import game, network, record
from zebjax.record import TargetKind
from zebjax.training import selfplay
from zebjax.training.config import SelfPlayConfig

TINY, CONFIG = tiny.TINY.network, tiny.TINY.selfplay  # programs that other tests compile too


@pytest.fixture(scope="module")
def params():
    return network.init(TINY, jax.random.key(0))


def play(params, n_takes, max_moves, seed=0):
    """The records of `n_takes` cycles, and the actor after them."""
    actor, taken = selfplay.init(CONFIG, jax.random.key(seed), 0), []
    for step in range(n_takes):
        while int(actor.n_finished) < CONFIG.games_per_cycle:
            actor = selfplay.advance(CONFIG, TINY, params, actor, step, max_moves)
        actor, records = selfplay.pop_finished(CONFIG, actor)
        taken.append(records)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *taken), jax.tree.map(
        np.asarray, actor._replace(key=0)
    )


def test_games_are_valid_and_reproducible(params):
    records, actor = play(params, 2, max_moves=64)
    record.validate(records)
    again, actor_again = play(params, 2, max_moves=64)
    jax.tree.map(np.testing.assert_array_equal, (records, actor), (again, actor_again))
    other, _ = play(params, 2, max_moves=64, seed=1)
    assert (records.hands != other.hands).any()


def test_the_division_into_calls_does_not_matter(params):
    one_call, actor = play(params, 2, max_moves=1000)
    many_calls, actor_many = play(params, 2, max_moves=1)
    jax.tree.map(np.testing.assert_array_equal, (one_call, actor), (many_calls, actor_many))


def test_one_compilation_for_a_whole_run(params):
    play(params, 1, max_moves=7)
    compiled = selfplay.advance._cache_size(), selfplay.pop_finished._cache_size()
    play(params, 3, max_moves=9)
    assert (selfplay.advance._cache_size(), selfplay.pop_finished._cache_size()) == compiled


def test_every_game_begun_is_handed_over_or_still_on_its_lane(params):
    """No lane is dropped: the deals begun, drawn here from the keys, are those taken, waiting and
    on the lanes."""
    actor = selfplay.init(CONFIG, jax.random.key(0), 0)
    deal = jax.jit(lambda key: jax.vmap(game.fast_deal)(jax.random.split(key, CONFIG.lanes)).hands)
    begun = list(np.asarray(actor.states.hands))
    taken = []
    for _ in range(60):
        plies, key = np.asarray(actor.states.ply), jax.random.clone(actor.key)
        actor = selfplay.advance(CONFIG, TINY, params, actor, 0, 1)
        fresh = deal(jax.random.split(key, 3)[1])
        begun += [fresh[lane] for lane in np.flatnonzero(np.asarray(actor.states.ply) < plies)]
        if int(actor.n_finished) >= CONFIG.games_per_cycle:
            actor, records = selfplay.pop_finished(CONFIG, actor)
            taken += list(np.asarray(records.hands))
    waiting = list(np.asarray(actor.finished.hands)[: int(actor.n_finished)])
    found = taken + waiting + list(np.asarray(actor.states.hands))
    assert len(taken) >= 20
    assert sorted(hands.tobytes() for hands in map(np.asarray, begun)) == sorted(
        hands.tobytes() for hands in found
    )


def test_forced_plies_are_not_searched(params):
    records, _ = play(params, 4, max_moves=1000)
    forced = records.kind == TargetKind.FORCED
    assert 0.25 < forced.mean() < 0.55  # 39 % in random play
    assert forced[:, 24:].all()  # the last trick always is
    assert set(np.unique(records.policy[forced])) == {0, 1}
    assert (records.value[forced] == 0).all()
    assert (records.weight == 1).all()


def test_decisions_of_the_last_two_tricks_are_marked_exact(params):
    for plain in (False, True):
        config = dataclasses.replace(CONFIG, search=dataclasses.replace(CONFIG.search, plain=plain))
        actor = selfplay.init(config, jax.random.key(3), 0)
        while actor.n_finished < config.games_per_cycle:
            actor = selfplay.advance(config, TINY, params, actor, 0, 1000)
        kinds = np.asarray(selfplay.pop_finished(config, actor)[1].kind)
        assert TargetKind.SEARCH in kinds[:, :20] and TargetKind.EXACT not in kinds[:, :20]
        late = set(np.unique(kinds[:, 20:]))
        assert late == {TargetKind.FORCED, TargetKind.SEARCH if plain else TargetKind.EXACT}


def test_every_search_is_a_decision(params):
    """`k` calls of the search on every lane write `k * lanes` searched plies: none goes to a forced
    move."""
    actor = selfplay.init(CONFIG, jax.random.key(5), 0)
    actor = jax.tree.map(
        np.asarray, selfplay.advance(CONFIG, TINY, params, actor, 0, 17)._replace(key=0)
    )
    assert 0 < actor.n_finished < CONFIG.games_per_cycle  # it was not stopped early
    written = np.arange(28) < actor.states.ply[:, None]
    searched = (actor.records.kind[written] != TargetKind.FORCED).sum()
    searched += (actor.finished.kind[: actor.n_finished] != TargetKind.FORCED).sum()
    assert searched == 17 * CONFIG.lanes


def test_steps_are_stamped(params):
    records, _ = play(params, 3, max_moves=1000)
    assert (records.step_start <= records.step_end).all()
    assert records.step_start[0] == 0
    assert records.step_end[-1] == 2
    assert (records.step_start < records.step_end).any()  # games that a change of weights overtook


def test_leader_and_declaration_are_uniform(params):
    records, _ = play(params, 80, max_moves=1000, seed=3)
    for counts, cells in (
        (np.bincount(records.declaration, minlength=10), 10),
        (np.bincount(records.leader, minlength=4), 4),
    ):
        expected = 800 / cells
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert chi_square < {10: 27.9, 4: 16.3}[cells]  # the 99.9 % points


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match=r"selfplay\.lanes: expected auto or 1 to 1,000,000"):
        SelfPlayConfig(lanes=0)


@pytest.mark.parametrize("worlds", [pytest.param(2, marks=pytest.mark.slow), "true"])
def test_only_an_honest_search_has_targets_that_hidden_hands_do_not_change(params, worlds):
    config = dataclasses.replace(CONFIG, search=dataclasses.replace(CONFIG.search, worlds=worlds))
    actor = selfplay.init(config, jax.random.key(0), 0)
    hands = np.array(actor.states.hands)
    for lane, leader in enumerate(
        np.asarray(actor.states.leader)
    ):  # nobody has played: all other hands are hidden
        others = [seat for seat in range(4) if seat != leader]
        hands[lane, others] = (
            np.random.default_rng(lane).permutation(hands[lane, others].ravel()).reshape(3, 7)
        )
    elsewhere = actor._replace(
        states=actor.states._replace(hands=jax.numpy.asarray(hands)), key=actor.key
    )
    targets = [
        np.asarray(
            selfplay.advance(
                config, TINY, params, jax.tree.map(jax.numpy.copy, start), 0, 1
            ).records.policy
        )
        for start in (actor, elsewhere)
    ]
    # The leader's decision; after it the next seat may have a forced play, which is another one in
    # another hand.
    targets = [target[:, 0] for target in targets]
    assert targets[0].any() and (targets[0] == targets[1]).all() == (worlds != "true")
    actor = selfplay.advance(config, TINY, params, actor, 0, 10**4)
    record.validate(jax.tree.map(np.asarray, selfplay.pop_finished(config, actor)[1]))
