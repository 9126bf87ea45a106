"""The guard in random worlds of machines that misbehave."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import pytest

from tests.support.rented_play import NEVER_BEAT, RULES, Play, machine
from tests.support.rented_world import FAULTS, GAMES_PER_S, World
from zebjax.operations.rented import guard as guards

worlds = st.lists(
    st.tuples(st.sampled_from(FAULTS), st.floats(0.03, 0.12), st.sampled_from(sorted(GAMES_PER_S))),
    max_size=8,
)


any_world = hypothesis.given(
    faults=worlds,
    n_good=st.integers(3, 5),
    good_from_s=st.sampled_from([0.0, 700.0, 3000.0]),
    kills=st.sets(st.integers(0, 200), max_size=5),
    provider_down=st.integers(0, 150),
    store_down=st.integers(0, 150),
)


@any_world
@hypothesis.settings(max_examples=5, deadline=None, derandomize=True)
def test_any_world_ends_well(tmp_path_factory, **world):
    ends_well(tmp_path_factory.mktemp("fleet"), **world)


@pytest.mark.slow
@any_world
@hypothesis.settings(max_examples=150, deadline=None, phases=[hypothesis.Phase.generate])
def test_many_worlds_end_well(tmp_path_factory, **world):
    ends_well(tmp_path_factory.mktemp("fleet"), **world)


def ends_well(folder, faults, n_good, good_from_s, kills, provider_down, store_down):
    """No double, no machine over the cap at its rental, spending as counted, nothing left."""
    machines = [machine(i, fault, usd, gpu) for i, (fault, usd, gpu) in enumerate(faults)]
    machines += [machine(500 + i, usd=0.09, from_s=good_from_s) for i in range(n_good)]
    world = World(machines)
    play = Play(folder, world, {"selfplay": 2, "evalaux": 1})
    for number in range(200):
        world.provider_down = provider_down <= number < provider_down + 10
        world.store_down = store_down <= number < store_down + 20
        had = set(world.producing("selfplay"))
        actions = play.step()
        ended = {action.name for action in actions if isinstance(action, guards.End)}
        # Its own rules never take the last self-play worker that makes games.
        healthy = {r.name for r in world.alive() if r.machine.fault == "good"}
        assert not had or not had & healthy or had - ended, play.report()
        for action in actions:
            if isinstance(action, guards.Rent):
                assert action.offer.usd_per_hour <= RULES.max_price
        if number in kills:
            play.start()
        assert play.guard.memory.spent_usd >= world.usd - 0.02 or world.provider_down
    world.provider_down = world.store_down = False
    play.go_down()
    assert world.most_on_one_machine <= 1


@hypothesis.given(
    faults=st.lists(st.sampled_from(NEVER_BEAT), max_size=6), good_from_s=st.sampled_from([0, 1000])
)
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_the_target_is_met_within_two_deadlines_of_the_first_good_offer(
    tmp_path_factory, faults, good_from_s
):
    """With as many cheaper bad offers as are tried at once after failures."""
    machines = [machine(i, fault, usd=0.05) for i, fault in enumerate(faults)]
    machines += [machine(500 + i, usd=0.09, from_s=good_from_s) for i in range(2)]
    rules = dataclasses.replace(RULES, crash_budget=7)
    play = Play(tmp_path_factory.mktemp("fleet"), World(machines), {"selfplay": 2}, rules)
    while play.world.now < good_from_s:
        play.step()
    assert play.until(play.is_met, 2 * RULES.deadline_s) <= 2 * RULES.deadline_s
    play.go_down()
