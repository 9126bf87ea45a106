"""First half of a decision: bring the memory up to date with what was observed."""

import dataclasses
import re

from zebjax.operations.rented import ranking
from zebjax.operations.rented.model import DOCTOR_FAILED, ROLES, Instance, Worker
from zebjax.operations.rented.step import Step

_LISTED_AFTER_S = 120.0
"""A rental that the provider does not list after this many seconds was never made."""
_SPEED_SHARE = 0.1
"""Share of a new measurement in a remembered speed."""
_MEASURED_S = 300.0
"""A worker's speed counts after this many seconds: before, it is compilation for the most part."""


def follow(step: Step) -> None:
    """Follow costs, refusals, rentals and heartbeats."""
    _count_cost(step)
    if step.seen.beats is None or not step.seen.has_weights:
        _stop_clocks(step)
    for name, why in step.seen.refusals.items():
        if worker := step.workers.get(name):
            _refused(step, worker, why)
    if step.seen.instances is not None:
        _follow_instances(step, {i.name: i for i in step.seen.instances})
    _follow_beats(step)


def _since(step: Step, time_s: float | None) -> float:
    return 0.0 if time_s is None else max(0.0, step.now - time_s)


def _count_cost(step: Step) -> None:
    """Add the price of all rentals since the last decision, also of those that just ended. A price
    that rose is counted since the last time that it was known: the fleet never costs more than is
    counted.
    """
    now = {i.name: i.usd_per_hour for i in step.seen.instances or ()}
    for worker in step.workers.values():
        rise = max(0.0, now.get(worker.name, 0.0) - worker.usd_per_hour)
        usd_s = worker.usd_per_hour * _since(step, step.before.decided_s)
        step.spent_usd += (usd_s + rise * _since(step, step.before.priced_s)) / 3600


def _stop_clocks(step: Step) -> None:
    """Without the store nobody can tell who is alive, and without weights nobody can play: that
    time counts against no worker.
    """
    elapsed = _since(step, step.before.decided_s)

    def later(time_s: float | None) -> float | None:
        return None if time_s is None else time_s + elapsed

    for worker in list(step.workers.values()):
        times = {
            name: later(getattr(worker, name)) for name in ("beat_s", "first_beat_s", "progress_s")
        }
        if worker.first_beat_s is None:
            times["rented_s"] = worker.rented_s + elapsed
        step.update(worker, **times)


def _refused(step: Step, worker: Worker, why: str) -> None:
    step.note("refused", worker, why)
    step.strike(worker, f"refused: {why}", 2, step.rules.short_strike_s)
    step.miss(worker)
    step.forget(worker)


# ---- rentals


def _follow_instances(step: Step, listed: dict[str, Instance]) -> None:
    for name, instance in listed.items():
        if name not in step.workers and instance.state != "ended":
            _adopt(step, instance)
    for worker in list(step.workers.values()):
        found = listed.get(worker.name)
        if found is None:
            _not_listed(step, worker)
        elif found.state == "ended":
            _ended(step, _with_facts(step, worker, found), found)
        else:  # also while it ends: whose fault that is can be seen when it is over
            _with_facts(step, worker, found)


def _adopt(step: Step, instance: Instance) -> None:
    """Take over a rental of this fleet that the memory lacks."""
    role = instance.role if instance.role in ROLES else ROLES[0]
    number = re.search(r"-(\d+)$", instance.name)
    step.serial = max(step.serial, int(number[1]) if number else 0)
    worker = Worker(
        instance.name,
        role,
        instance.offer,
        instance.gpu,
        instance.usd_per_hour,
        step.now,
        was_listed=True,
        host=instance.host,
    )
    step.workers[worker.name] = worker
    step.note("adopted", worker, "the provider lists it, the memory did not")


def _with_facts(step: Step, worker: Worker, found: Instance) -> Worker:
    facts = {
        "was_listed": True,
        "offer": found.offer or worker.offer,
        "gpu": found.gpu or worker.gpu,
        "usd_per_hour": found.usd_per_hour or worker.usd_per_hour,
        "host": found.host or worker.host,
    }
    new = dataclasses.replace(worker, **facts)  # type: ignore[arg-type]
    step.workers[worker.name] = new
    return new


def _not_listed(step: Step, worker: Worker) -> None:
    if worker.was_listed:
        _lost(step, worker, "the provider lists it no more")
    elif step.now - worker.rented_s > _LISTED_AFTER_S:
        step.note("ended", worker, "the provider never listed it")
        step.forget(worker)


def _lost(step: Step, worker: Worker, why: str) -> None:
    if worker.ending_s is None:
        step.note("lost", worker, why)
        step.strike(worker, why, 1, step.rules.strike_s)
        step.miss(worker)
    else:
        step.note("ended", worker, why)
    step.forget(worker)


def _ended(step: Step, worker: Worker, found: Instance) -> None:
    """The rental is over: find out whose fault that is."""
    rules, why = step.rules, found.detail or found.reason
    if worker.ending_s is not None or found.reason == "stopped":
        step.note("ended", worker, why)
        step.forget(worker)
        return
    match found.reason:
        case "capacity":
            _refused(step, worker, why)
            return
        case "outbid":
            step.note("outbid", worker, why)
            step.strike(worker, "outbid", 2, rules.short_strike_s)
        case "exit" if found.exit_status == DOCTOR_FAILED:
            step.note("doctor_failed", worker, why)
            step.strike(worker, "doctor failed", 1, rules.strike_s)
            step.fail(worker, "doctor")
            step.miss(worker)
        case "exit":
            status = f"exit status {found.exit_status}"
            step.note("crashed", worker, f"{status}: {why}" if why else status)
            step.strike(worker, f"its program ended, {status}", 1, rules.strike_s)
            step.fail(worker, "crash")
            step.miss(worker)
        case _ if worker.first_beat_s is None:
            step.note("not_started", worker, why)
            step.strike(worker, f"did not start: {why}", 2, rules.strike_s)
            step.miss(worker)
        case _:
            _lost(step, worker, why)
            return
    step.forget(worker)


# ---- heartbeats


def _follow_beats(step: Step) -> None:
    for worker in list(step.workers.values()):
        beat = (step.seen.beats or {}).get(worker.name)
        if beat is None or beat.tag == worker.beat:
            continue
        changes: dict[str, object] = {"beat": beat.tag, "beat_s": step.now}
        if worker.first_beat_s is None:
            changes["first_beat_s"] = step.now
            seconds = step.now - worker.rented_s
            step.note("started", worker, f"first heartbeat after {seconds:.0f} s")
        if beat.games > worker.games:
            changes |= {"progress_s": step.now, "games": beat.games}
            if worker.progress_s is None:
                step.note("producing", worker, f"{beat.games:,.0f} games")
        changes |= {"games_per_s": beat.games_per_s, "host": worker.host or beat.host}
        changes["machine"] = beat.machine
        worker = step.update(worker, **changes)
        _learn_speed(step, worker)
    for role in ROLES:
        producing = step.producing(role)
        if producing:  # the program works, so earlier ends were the hosts' fault
            step.failures = [f for f in step.failures if f.role != role]
        if len(producing) >= step.config.wanted.targets.get(role, 0):
            step.misses.pop(role, None)


def _learn_speed(step: Step, worker: Worker) -> None:
    begun = worker.first_beat_s
    if begun is None or step.now - begun < _MEASURED_S or worker.games_per_s <= 0:
        return
    name = ranking.speed_name(worker.role, worker.gpu)
    known = step.speeds.get(name, worker.games_per_s)
    step.speeds[name] = known + _SPEED_SHARE * (worker.games_per_s - known)
