"""The guard's decisions: a pure function of settings, memory, observation and time."""

import collections

from zebjax.operations.rented import ranking
from zebjax.operations.rented.follow import follow
from zebjax.operations.rented.model import ROLES, Decision, Memory, Observation, Worker
from zebjax.operations.rented.settings import Config
from zebjax.operations.rented.step import Step

_BEATS_MISSED = 4
"""A worker that has missed this many heartbeats is silent, if that is longer than `silent_s`."""


def decide(config: Config, memory: Memory, seen: Observation, now: float) -> Decision:
    """Return what to do now.

    The rules, in this order:

    1. A rental that ended, was refused or was lost counts against its offer; a program that ended
       by itself also against its role, unless another worker of the role produces.
    2. A worker without a heartbeat in time, with none for a while, or without new games is ended;
       so is the second one on a machine.
    3. If everything shall go down, or the budget does not last for more than the end, all rentals
       are ended, again and again, until the provider lists none.
    4. A role with more workers than wanted loses those that do not produce, then the worst.
    5. A role with fewer gets the best offers, once there are weights to play with; after failures
       some more at once.

    The last producing self-play worker is ended only by rule 3.

    Args:
        config: settings and what the user wants.
        memory: of the last decision.
        seen: what was observed.
        now: seconds since the epoch.
    """
    step = Step(config, memory, seen, now)
    step.say("store_unreachable", "no heartbeats are known" if seen.beats is None else "")
    no_weights = "" if seen.has_weights else "the learner has published none yet: nothing is rented"
    step.say("no_weights", no_weights)
    step.say("provider_unreachable", "no rentals are known" if seen.instances is None else "")
    follow(step)
    _judge(step)
    _resume_or_go_down(step)
    if step.going_down:
        for worker in list(step.workers.values()):
            step.end(worker, "ending", step.going_down)
        return step.decision()
    _end_again(step)
    _stop_crashing_roles(step)
    for role in ROLES:
        _replace(step, role)
        _drop_surplus(step, role)
    # Without the list of rentals a new one could be a double; without weights it would wait.
    if seen.instances is not None and seen.has_weights:
        _rent(step)
    return step.decision()


# ---- judging workers


def _judge(step: Step) -> None:
    """End workers that do not work, and mark those that should be replaced."""
    rules = step.rules
    step.replacing = set(_doubles(step))
    for worker in list(step.workers.values()):
        if worker.ending_s is not None:
            continue
        if verdict := _verdict(step, worker):
            event, why, points = verdict
            step.strike(worker, why, points, rules.strike_s)
            step.miss(worker)
            step.end(worker, event, why)
        elif worker.usd_per_hour > rules.max_price or worker.name in step.config.wanted.cull:
            step.replacing.add(worker.name)


def _doubles(step: Step) -> dict[str, Worker]:
    """Worker -> another worker that stays on the same machine: of one offer, or of two offers
    whose workers report one machine.
    """
    found: dict[str, Worker] = {}
    for same in (lambda w: w.offer, lambda w: w.machine):
        groups = collections.defaultdict(list)
        for worker in step.workers.values():
            if worker.is_one_machine and worker.ending_s is None and same(worker):
                groups[same(worker)].append(worker)
        for group in groups.values():
            first = min(group, key=lambda w: (w.progress_s is None, w.rented_s, w.name))
            found |= {worker.name: first for worker in group if worker is not first}
    return found


def _verdict(step: Step, worker: Worker) -> tuple[str, str, int] | None:
    """The event, the reason and the strike's weight of a worker that must end; None if it may
    stay.
    """
    rules, now = step.rules, step.now
    if worker.first_beat_s is None or worker.beat_s is None:
        # One that the provider does not list was perhaps never rented: that is not the offer's.
        if now - worker.rented_s < rules.deadline_s or not worker.was_listed:
            return None
        return "not_started", f"no heartbeat within {rules.deadline_s:.0f} s", 2
    beat = (step.seen.beats or {}).get(worker.name)
    silent_s = max(rules.silent_s, _BEATS_MISSED * (beat.every_s if beat else 0.0))
    if now - worker.beat_s >= silent_s:
        return "silent", f"no heartbeat for {now - worker.beat_s:.0f} s", 1
    idle_s = now - max(worker.first_beat_s, worker.progress_s or 0.0)
    if idle_s >= rules.idle_s:
        return "idle", f"alive, but no new games for {idle_s:.0f} s", 2
    return None


# ---- the end


def _resume_or_go_down(step: Step) -> None:
    if step.config.wanted.resume > step.resumed and not step.config.wanted.down:
        step.going_down = ""
        step.resumed = step.config.wanted.resume
        step.stopped_roles.clear()
        step.failures.clear()
    if step.going_down:
        return
    if step.config.wanted.down:
        step.going_down = "the fleet goes down"
        step.note("down", detail="asked for")
        return
    rate = sum(worker.usd_per_hour for worker in step.workers.values())
    left = step.rules.budget_usd - step.spent_usd
    if left <= rate * step.rules.wind_down_s / 3600:
        step.going_down = "the budget is spent"
        step.note("budget", detail=f"{step.spent_usd:.3f} of {step.rules.budget_usd:g} USD spent")


def _end_again(step: Step) -> None:
    for worker in list(step.workers.values()):
        if worker.ending_s is not None:
            step.end(worker, "ending", "asked again")


# ---- the number of workers


def _stop_crashing_roles(step: Step) -> None:
    """Stop a role whose program does not work anywhere, when its last try is over."""
    rules = step.rules
    for role in ROLES:
        if role not in step.stopped_roles and _is_suspended(step, role) and not step.live(role):
            reason = f"{_crashes(step, role)} programs ended within {rules.crash_window_s:.0f} s"
            step.stopped_roles[role] = reason
            step.say(f"role_stopped/{role}", reason, role)
    for role in ROLES:
        if role not in step.stopped_roles:
            step.say(f"role_stopped/{role}", "")


def _crashes(step: Step, role: str) -> int:
    """Crashes of a role. A host that fails doctor is to blame itself, but when it is half a dozen
    hosts it is the program.
    """
    own = [failure for failure in step.failures if failure.role == role]
    crashes = sum(failure.kind == "crash" for failure in own)
    hosts = {failure.offer for failure in own if failure.kind == "doctor"}
    return crashes + len(hosts) // 2


def _is_suspended(step: Step, role: str) -> bool:
    return _crashes(step, role) >= step.rules.crash_budget and not step.producing(role)


def _may_end(step: Step, worker: Worker) -> bool:
    """False for the last producing self-play worker."""
    if worker.role != "selfplay":
        return True
    return any(other.name != worker.name for other in step.producing("selfplay")) or (
        worker.progress_s is None
    )


def _replace(step: Step, role: str) -> None:
    """End workers that should go, if that leaves a producer."""
    doubles = _doubles(step)
    for worker in step.live(role):
        if worker.name not in step.replacing or not _may_end(step, worker):
            continue
        first = doubles.get(worker.name)
        why = f"{first.name} runs on the same machine" if first else ""
        if worker.usd_per_hour > step.rules.max_price:
            why = f"costs more than {step.rules.max_price:g} USD per hour"
        if worker.name in step.config.wanted.cull:
            why = "asked for"
        elif first is None or first.offer != worker.offer:  # or it would be rented again
            step.strike(worker, why, 2, step.rules.strike_s)
        step.end(worker, "culled", why)


def _counted(step: Step, role: str) -> list[Worker]:
    """Live workers that are to stay."""
    return [w for w in step.live(role) if w.name not in step.replacing]


def _drop_surplus(step: Step, role: str) -> None:
    """Once enough workers produce, end all others of the role."""
    target = step.config.wanted.targets.get(role, 0)
    staying = {worker.name for worker in _counted(step, role)}
    best = [worker for worker in step.producing(role) if worker.name in staying][:target]
    if len(best) < target:
        return
    for worker in _counted(step, role):
        if worker not in best and _may_end(step, worker):
            step.end(worker, "culled", f"{target} producing workers of this role are enough")


def _rent(step: Step) -> None:
    """Rent for all roles in turn, the role without a producer first."""
    short = {role: _missing(step, role) for role in ROLES}
    while any(short.values()):
        order = sorted(
            (role for role in ROLES if short[role]),
            key=lambda role: (len(step.live(role)), ROLES.index(role)),
        )
        role = order[0]
        short[role] = short[role] - 1 if _rent_one(step, role) else 0


def _missing(step: Step, role: str) -> int:
    """How many offers to rent for a role now."""
    if role in step.stopped_roles or _is_suspended(step, role):
        return 0
    target = step.config.wanted.targets.get(role, 0)
    counted = _counted(step, role)
    started = sum(worker.first_beat_s is not None for worker in counted)
    missing = target - started
    if missing <= 0:
        return 0
    # Offers that never start are often the cheapest: after failures try several at once.
    extra = min(step.rules.extra, missing * step.misses.get(role, 0))
    return max(0, missing + extra - (len(counted) - started))


def _rent_one(step: Step, role: str) -> bool:
    """Rent the best offer for a role; False if there is none or no money for it."""
    rules, offers = step.rules, step.seen.offers.get(role)
    if offers is None:
        return False
    good = ranking.ranked(step.config, step.memory(), role, offers, step.now)
    condition = "" if good or step.live(role) else f"none of {len(offers)} offers may be rented"
    step.say(f"no_offer/{role}", condition, role)
    if not good:
        return False
    best = good[0]
    rate = best.usd_per_hour + sum(worker.usd_per_hour for worker in step.workers.values())
    needed = rate * (rules.deadline_s + rules.wind_down_s) / 3600
    left = rules.budget_usd - step.spent_usd
    poor = f"{left:.3f} USD are left, {needed:.3f} needed to start one more worker"
    step.say(f"no_money/{role}", poor if needed > left else "", role)
    if needed > left:
        return False
    step.rent(role, best)
    return True
