"""Two processes with one worker id are both warned; a restart after a kill does not wait."""

import dataclasses
import itertools
import json
import threading
import time

import pytest

from tests.support.tiny import Quiet
from tests.support.workers import learn, names, settings_in
from zebjax.distributed import claims, heartbeat, open, spool, worker, worker_link
from zebjax.distributed.store import Refused, Unreachable
from zebjax.training import memory
from zebjax.training.session import Stopped

ME = claims.Owner("here", "a" * 32, "1" * 32)
OTHER = claims.Owner("elsewhere", "b" * 32, "2" * 32)
_COUNT = itertools.count()


@pytest.fixture
def place(tmp_path):
    return open.open_store(str(tmp_path / "store"))


@pytest.fixture
def fast(monkeypatch):
    """Heartbeats so frequent that a test need not wait long for one."""
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.1)


def beat(place, claim, every_s=0.1, **facts):
    told = {"host": claim.owner.host} | claim.facts() | facts
    data = heartbeat.to_bytes("selfplay", "w", f"{claim.owner.nonce}-{next(_COUNT)}", every_s, told)
    place.put({}, {spool.status_name("w"): data})


class Beating(threading.Thread):
    """A process elsewhere that lives."""

    def __init__(self, place, claim):
        super().__init__(daemon=True)
        self.place, self.claim, self.ended = place, claim, threading.Event()

    def run(self):
        while not self.ended.wait(0.02):
            beat(self.place, self.claim)

    def __enter__(self):
        beat(self.place, self.claim)
        self.start()

    def __exit__(self, *arguments):
        self.ended.set()
        self.join()


def wait(place, owner=ME, stop=lambda: False):
    notes = []
    claims.wait_for_others(place, "w", owner, notes.append, stop)
    return notes


def test_who_lives_elsewhere_keeps_a_second_process_out(place, fast):
    with (
        Beating(place, claims.acquire(place, "w", OTHER)),
        pytest.raises(claims.TakenOver, match="another process on elsewhere works as w; give each"),
    ):
        wait(place)


def test_who_died_elsewhere_is_waited_for_and_then_replaced(place, fast):
    beat(place, claims.acquire(place, "w", OTHER))
    began = time.monotonic()
    (note,) = wait(place)
    assert "recent heartbeat from elsewhere" in note and 0.2 < time.monotonic() - began < 5
    assert claims.acquire(place, "w", ME).number == 2


def test_a_restart_in_the_same_folder_waits_for_nobody(place):
    beat(place, claims.acquire(place, "w", ME), every_s=60)
    assert wait(place, ME._replace(nonce="3" * 32)) == []
    copied_to_another_machine = ME._replace(host="there", nonce="3" * 32)
    with pytest.raises(Stopped):
        wait(place, copied_to_another_machine, stop=lambda: True)


def test_who_said_that_it_stops_or_is_long_silent_is_not_waited_for(place):
    claim = claims.acquire(place, "w", OTHER)
    beat(place, claim, every_s=60, state=heartbeat.STOPPED)
    assert wait(place) == []
    beat(place, claim, every_s=5, time_s=time.time() - 100_000)
    assert wait(place) == []
    place.delete([spool.status_name("w")])
    assert wait(place) == []


def test_of_many_that_start_at_once_no_two_have_one_claim(place):
    taken, refused, barrier = [], [], threading.Barrier(8)

    def start(number):
        owner = claims.Owner("host", f"{number}" * 32, f"{number}" * 32)
        barrier.wait()
        try:
            taken.append(claims.acquire(place, "w", owner))
        except claims.TakenOver as error:
            refused.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken and len(taken) + len(refused) == 8
    assert len({claim.number for claim in taken}) == len(taken)
    # Of those that have one, all but the newest find out by their heartbeats.
    newest = max(taken, key=lambda claim: claim.number)
    beat(place, newest)
    for claim in taken:
        if claim is newest:
            claims.check(place, claim)
        else:
            with pytest.raises(claims.TakenOver):
                claims.check(place, claim)


def test_a_listing_from_before_others_claims_gives_no_number_twice(place):
    """Their claims delete the early ones, so a name that was taken can be created again."""
    list_now, listings = place.entries, [list(place.entries("examples/w/claims"))]
    for _ in range(4):
        claims.acquire(place, "w", OTHER)
    place.entries = lambda prefix: listings.pop() if listings else list_now(prefix)
    with pytest.raises(claims.TakenOver, match="works as w"):
        claims.acquire(place, "w", ME)
    place.entries = list_now
    assert claims.acquire(place, "w", ME).number == 5


def test_a_claim_whose_answer_was_lost_is_ones_own(place):
    put = place.put

    def put_twice(new, replace={}):  # noqa: B006
        put(new, replace)
        return put(new, replace)

    place.put = put_twice
    assert claims.acquire(place, "w", ME).number == 1


def test_an_earlier_claim_is_no_reason_to_stop(place):
    earlier, mine = claims.acquire(place, "w", OTHER), claims.acquire(place, "w", ME)
    claims.check(place, mine)  # nobody gives heartbeats yet
    beat(place, earlier)
    claims.check(place, mine)
    beat(place, claims.acquire(place, "w", OTHER), state=heartbeat.STOPPED)
    with pytest.raises(claims.TakenOver):
        claims.check(place, mine)  # that one has used the numbers of this one's next files


def test_the_folder_has_a_name_of_its_own_and_each_process_another(tmp_path):
    first, second = (claims.owner_of(tmp_path / "w") for _ in range(2))
    assert first.folder == second.folder and first.nonce != second.nonce
    (tmp_path / "w" / "identity.json").write_text("nonsense")
    assert claims.owner_of(tmp_path / "w").folder != first.folder


def test_a_number_that_is_no_workers_is_named(place):
    place.put({"examples/w/claims/999999999.json": b"{}"})
    with pytest.raises(
        ValueError, match=r"claims/999999999\.json was not written by a worker; delete it"
    ):
        claims.acquire(place, "w", ME)


def test_old_claims_of_ones_own_go_and_no_number_is_given_twice(place, monkeypatch):
    claims.acquire(place, "other", OTHER)
    assert [claims.acquire(place, "w", ME).number for _ in range(5)] == [1, 2, 3, 4, 5]
    assert [entry.name for entry in place.entries("examples")] == [
        "examples/other/claims/000000001.json",
        "examples/w/claims/000000004.json",
        "examples/w/claims/000000005.json",
    ]

    def refuse(names):
        raise Refused("may not delete")

    monkeypatch.setattr(place, "delete", refuse)
    assert claims.acquire(place, "w", ME).number == 6


# ---- a whole worker


@pytest.fixture
def settings(tmp_path):
    made = settings_in(tmp_path, cycles=1)
    learn(made, stop_after=1)
    return made


def work(settings, report, games=8):
    worker.work(settings, worker_link.Job("selfplay", "w", games), report, lambda: False)


def test_a_worker_does_not_start_beside_another_of_its_name(settings, fast):
    place = open.open_store(settings.namespace)
    with (
        Beating(place, claims.acquire(place, "w", OTHER)),
        pytest.raises(claims.TakenOver, match="works as w"),
    ):
        work(settings, Quiet())
    assert names(settings) == []


def test_a_worker_that_was_presumed_dead_stops_and_keeps_its_games(settings, fast):
    """It is cut off from the store, another one takes its name, and then the line comes back."""
    place = open.open_store(settings.namespace)

    class CutOff(Quiet):
        def working(self, what, done, total):
            if not self.cycles:
                self.cycles.append(claims.acquire(place, "w", OTHER))
            # Again and again, as a process does: this worker may just have overwritten it.
            beat(place, self.cycles[0], batches=99)
            time.sleep(0.05)

    report = CutOff()
    with pytest.raises(claims.TakenOver, match="another process on elsewhere works as w"):
        work(settings, report, games=10**6)
    status = json.loads(place.get(spool.status_name("w"), 10**6))
    assert status["nonce"] == OTHER.nonce and status["batches"] == 99
    assert any("another process has this worker id" in note for note in report.notes)


def test_a_killed_worker_starts_again_at_once_in_its_folder(settings, monkeypatch):
    monkeypatch.setattr(heartbeat, "STOPPED", "running")  # as after a kill: it never says it stops
    work(settings, Quiet())
    again = Quiet()
    work(settings, again)
    assert len(names(settings)) == 2
    assert not any("recent heartbeat" in note for note in again.notes)


def test_memory_is_estimated_once_at_a_workers_start(settings, monkeypatch):
    estimate, calls = memory.estimate, []

    def count(*arguments):
        calls.append(arguments)
        return estimate(*arguments)

    monkeypatch.setattr(memory, "estimate", count)
    work(settings, Quiet())
    assert len(calls) == 1 and len(names(settings)) == 1


def test_another_device_than_the_experiments_is_refused(settings):
    with pytest.raises(ValueError, match="device: expected a GPU"):
        work(dataclasses.replace(settings, device="gpu"), Quiet())


def test_a_store_that_is_away_is_not_another_process(place):
    claim = claims.acquire(place, "w", ME)

    def fail(*arguments):
        raise Unreachable("away")

    place.get_if_changed = fail
    with pytest.raises(Unreachable):
        claims.check(place, claim)
