"""The guard against machines that misbehave, on a simulator of a provider."""

import dataclasses
import itertools
import json

import pytest

from tests.support.rented_play import GOOD, NEVER_BEAT, POLL_S, RULES, SPEEDS, Play, machine
from tests.support.rented_world import FAULTS, LATER_S, Machine, World
from zebjax.operations.rented import guard as guards
from zebjax.operations.rented import ranking
from zebjax.operations.rented.model import Offer
from zebjax.operations.rented.settings import Config, Wanted


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_survived(tmp_path, fault):
    """The cheapest offers have the fault. The target holds again after it, and nothing is left."""
    bad = [machine(i, fault, usd=0.05 + i / 1000) for i in range(2)]
    play = Play(tmp_path, World(bad + GOOD), {"selfplay": 2, "evalaux": 1})
    first = play.until(play.is_met, 2 * RULES.deadline_s + RULES.idle_s * (fault == "idle"))
    assert first < 2 * RULES.deadline_s or fault == "idle"
    while play.world.now < LATER_S + 300 + RULES.idle_s:
        play.step()
    play.until(play.is_met, 2 * RULES.deadline_s)
    held = [r for r in play.world.alive() if r.machine.fault != "good"]
    assert not held or fault in ("late", "sticky"), play.report()
    play.go_down()
    assert play.world.most_on_one_machine == 1
    assert all(
        play.world.n_rented[offer.id] <= 3 for offer, *_ in bad if offer.id in play.world.n_rented
    )


def test_twenty_faults_at_once_and_one_kill_after_another(tmp_path):
    """Every fault, most of them on offers cheaper than any good one; the guard is killed often."""
    bad = [machine(i, fault, usd=0.05 + i / 1000) for i, fault in enumerate((*FAULTS, *FAULTS[:8]))]
    assert len(bad) >= 20
    play = Play(tmp_path, World(bad + GOOD), {"selfplay": 2, "evalaux": 1})
    while play.world.now < 3 * 3600:
        play.step()
        if play.world.now % 600 == 0:
            play.start()
    play.until(play.is_met, 2 * RULES.deadline_s)
    # More than two: it worked first, or was the surplus before it was found out.
    assert max(play.world.n_rented.values()) <= 5
    for rental in play.world.alive():  # one that never starts may be tried, not kept
        is_new = play.world.now - rental.rented_s <= RULES.deadline_s + POLL_S
        assert is_new or rental.machine.fault not in NEVER_BEAT, play.report()
    play.go_down()
    assert play.world.most_on_one_machine == 1
    assert len(set(play.names("quarantined"))) >= 10


def test_a_program_that_always_crashes_is_not_rented_for_ever(tmp_path):
    machines = [machine(i, usd=0.05) for i in range(30)]
    play = Play(tmp_path, World(machines, program_crashes=True), {"selfplay": 2})
    while play.world.now < 4 * 3600:
        play.step()
    assert sum(play.world.n_rented.values()) <= RULES.crash_budget + RULES.extra + 2
    assert [e["role"] for e in play.events() if e["event"] == "role_stopped"] == ["selfplay"]
    play.world.program_crashes = False
    play.want(resume=1)
    play.until(play.is_met, RULES.deadline_s)
    play.go_down()


def test_doctor_failing_everywhere_stops_the_role_too(tmp_path):
    machines = [machine(i, "doctor", usd=0.05) for i in range(40)]
    play = Play(tmp_path, World(machines), {"selfplay": 1})
    while play.world.now < 4 * 3600:
        play.step()
    assert sum(play.world.n_rented.values()) <= 2 * RULES.crash_budget + RULES.extra + 2
    assert "role_stopped" in {e["event"] for e in play.events()}


def test_a_host_that_fails_doctor_once_may_be_tried_again_and_twice_not(tmp_path):
    play = Play(tmp_path, World([machine(1, "doctor")]), {"selfplay": 1})
    while play.world.now < 3600:
        play.step()
    assert play.world.n_rented == {"1": 2}
    assert len(play.names("quarantined")) == 1


def test_the_budget_ends_everything_and_is_not_overspent(tmp_path):
    rules = dataclasses.replace(RULES, budget_usd=0.2)
    world = World([machine(1, "sticky"), *GOOD])
    play = Play(tmp_path, world, {"selfplay": 2, "evalaux": 1}, rules)
    play.until(play.guard.is_over, 3 * 3600)
    assert not world.alive() and 0.1 < world.usd <= 0.2
    for _ in range(100):  # and it stays down
        play.step()
    assert not world.alive()
    play.config = dataclasses.replace(play.config, rules=RULES)
    play.want(resume=1)
    play.until(play.is_met, 1200)


def test_without_the_store_nobody_is_judged(tmp_path):
    play = Play(tmp_path, World(GOOD), {"selfplay": 2, "evalaux": 1})
    play.until(play.is_met, 600)
    before = {r.name for r in play.world.alive()}
    play.world.store_down = True
    for _ in range(300):
        play.step()
    play.world.store_down = False
    for _ in range(20):
        play.step()
    assert {r.name for r in play.world.alive()} == before
    assert len([e for e in play.events() if e["event"] == "store_unreachable"]) == 1


def test_before_the_learner_has_published_nothing_is_rented_and_nobody_judged(tmp_path):
    play = Play(tmp_path, World(GOOD), {"selfplay": 2})
    play.has_weights = False
    for _ in range(10):
        play.step()
    assert not play.world.rentals
    assert [e["event"] for e in play.events()] == ["no_weights"]
    play.has_weights = True
    play.until(play.is_met, 600)
    before = {r.name for r in play.world.alive()}
    play.has_weights = False  # another store, perhaps: workers wait, and make no games
    play.world.machines.clear()
    for rental in play.world.alive():
        rental.machine = rental.machine._replace(fault="tires")
    for _ in range(200):
        play.step()
    assert {r.name for r in play.world.alive()} == before


def test_two_offers_of_one_machine_do_not_stay_rented(tmp_path):
    twins = [machine(i, usd=0.05)._replace(hardware="one") for i in (1, 2)]
    play = Play(tmp_path, World([*twins, *GOOD]), {"selfplay": 2, "evalaux": 1})
    while play.world.now < 2 * 3600:
        play.step()
    on = [r.machine.hardware or r.machine.offer.id for r in play.world.alive()]
    assert len(set(on)) == len(on) == 3 and "one" in on
    assert sum(play.world.n_rented.get(number, 0) for number in "12") == 2
    (told,) = [e for e in play.events() if e["event"] == "culled"]
    assert told["detail"] == "f-selfplay-1 runs on the same machine"
    play.go_down()


def test_a_strike_expires_and_the_next_one_lasts_longer(tmp_path):
    play = Play(tmp_path, World([machine(1, "loading", usd=0.05)]), {"selfplay": 1})
    times = []
    while play.world.now < 24 * 3600:
        if play.world.n_rented.get("1", 0) > len(times):
            times.append(play.world.now)
        play.step()
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 3  # at once, after 6 h, and 12 h later
    assert all(a > RULES.strike_s * 2**i for i, a in enumerate(waits))


def test_a_guard_without_its_memory_takes_over_what_the_provider_lists(tmp_path):
    play = Play(tmp_path, World(GOOD), {"selfplay": 2})
    play.until(play.is_met, 600)
    before = {r.name for r in play.world.alive()}
    (tmp_path / guards.MEMORY).unlink()
    play.start()
    for _ in range(100):
        play.step()
    assert {r.name for r in play.world.alive()} == before
    assert set(play.names("adopted")) == before
    play.go_down()


@pytest.mark.parametrize("n_actions", range(6))
def test_a_guard_may_be_killed_after_each_action(tmp_path, n_actions):
    world = World(GOOD)
    play = Play(tmp_path, world, {"selfplay": 2, "evalaux": 1})
    rent, left = world.rent, [n_actions]

    def killed(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        rent(*args)

    world.rent = killed
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            play.step()
            if n_actions >= 3:
                raise KeyboardInterrupt
    world.rent = rent
    play.start()
    play.until(play.is_met, 2 * RULES.deadline_s)
    play.until(lambda: len(world.alive()) == 3, 1800)
    play.go_down()


def test_self_play_ranks_by_games_and_eval_aux_by_cores_for_the_money(tmp_path):
    fast = Machine(Offer("fast", "RTX 4070 Ti", 0.09, cpus=4))
    slow = Machine(Offer("slow", "RTX3070Ti", 0.06, cpus=4))
    cores = Machine(Offer("cores", "RTX3070Ti", 0.09, cpus=64))
    offers = [m.offer for m in (cores, slow, fast)]
    config = Config("f", RULES, Wanted({}), SPEEDS)
    memory = guards.Memory()
    order = [o.id for o in ranking.ranked(config, memory, "selfplay", offers, 0)]
    assert order == ["fast", "slow", "cores"]
    order = [o.id for o in ranking.ranked(config, memory, "evalaux", offers, 0)]
    assert order[0] == "cores"
    # A measured speed counts more than a known one.
    measured = dataclasses.replace(memory, speeds={"selfplay/rtx3070ti": 50.0})
    order = [o.id for o in ranking.ranked(config, measured, "selfplay", offers, 0)]
    assert order == ["slow", "cores", "fast"]


def test_what_the_fleet_has_measured_decides_its_next_rental(tmp_path):
    """No speed is known at first, so the cheapest is rented; later the best games/s per USD."""
    now = [machine(1, usd=0.06, gpu="RTX3070Ti"), machine(2, usd=0.08)]
    later = [machine(3, usd=0.06, gpu="RTX3070Ti", from_s=1000), machine(4, usd=0.08, from_s=1000)]
    play = Play(tmp_path, World([*now, *later]), {"selfplay": 2})
    play.config = dataclasses.replace(play.config, speeds={})
    while play.world.now < 1200:
        play.step()
    speeds = play.guard.memory.speeds
    assert speeds["selfplay/rtx4070ti"] > speeds["selfplay/rtx3070ti"] * 1.4
    play.want(targets={"selfplay": 3})
    play.until(play.is_met, 600)
    assert set(play.world.n_rented) == {"1", "2", "4"}


def test_the_cap_and_the_allow_list_hold(tmp_path):
    config = Config("f", dataclasses.replace(RULES, allow=("1", "2")), Wanted({}), SPEEDS)
    offers = [machine(1, usd=0.05).offer, machine(2, usd=0.11).offer, machine(3, usd=0.05).offer]
    no_gpu = machine(1).offer._replace(gpus=0)
    assert ranking.ranked(config, guards.Memory(), "selfplay", [*offers, no_gpu], 0) == offers[:1]


def test_scaling_down_keeps_the_best_and_culling_brings_another(tmp_path):
    machines = [machine(1, gpu="RTX3070Ti"), machine(2), machine(3, gpu="RTX3070Ti"), machine(4)]
    play = Play(tmp_path, World(machines), {"selfplay": 3})
    play.until(play.is_met, 600)
    play.want(targets={"selfplay": 1})
    play.until(lambda: len(play.world.alive()) == 1, 600)
    (kept,) = play.world.alive()
    assert kept.machine.offer.gpu == "RTX4070Ti"
    play.want(cull=(kept.name,))
    while kept.name in {r.name for r in play.world.alive()}:
        assert play.world.producing("selfplay")  # never without a producer
        play.step()
    assert play.world.producing("selfplay") and kept.name in play.names("culled")
    play.go_down()


def test_the_memory_survives_its_file(tmp_path):
    play = Play(
        tmp_path,
        World([machine(1, "doctor"), machine(2, "gone", usd=0.01), *GOOD]),
        {"selfplay": 2},
    )
    play.until(play.is_met, 1800)
    assert guards.load_memory(tmp_path) == play.guard.memory
    assert play.guard.memory.strikes and play.guard.memory.workers
    (tmp_path / guards.MEMORY).write_text("[]")
    with pytest.raises(ValueError, match=r"memory\.json: not the memory of a guard"):
        play.start()


def test_a_dry_run_changes_nothing(tmp_path):
    play = Play(tmp_path, World(GOOD), {"selfplay": 2})
    actions = play.guard.step(0.0, dry_run=True)
    assert [guards.describe(a) for a in actions if isinstance(a, guards.Rent)] == [
        "rent 900 (RTX4070Ti, 0.09 USD/h) as f-selfplay-1",
        "rent 901 (RTX4070Ti, 0.09 USD/h) as f-selfplay-2",
    ]
    assert not play.world.rentals and not list(tmp_path.iterdir())


def test_events_have_the_agreed_fields(tmp_path):
    play = Play(tmp_path, World(GOOD), {"selfplay": 1})
    play.until(play.is_met, 600)
    with open(tmp_path / guards.EVENTS, "a") as file:
        file.write('{"torn": ')
    play.want(targets={"selfplay": 2})
    play.until(play.is_met, 600)
    lines = (tmp_path / guards.EVENTS).read_text().splitlines()
    events = [json.loads(line) for line in lines if "torn" not in line]
    assert len(events) == len(lines) - 1
    fields = {"time_s", "role", "name", "event", "host", "gpu", "price_usd_per_hour", "detail"}
    assert all(set(event) == fields for event in events)
    assert [e["event"] for e in events[:3]] == ["rented", "started", "producing"]
    assert events[1]["price_usd_per_hour"] == 0.09 and events[1]["gpu"] == "RTX4070Ti"
