"""The state of a run as plain data, from the heartbeats in its store.

Every value comes from another machine. Names, types and lengths are checked here, so that whoever
shows the state need not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from zebjax.distributed import heartbeat, weights
from zebjax.distributed.heartbeat import Seen, Watch
from zebjax.distributed.learner_facts import WARNING, shown
from zebjax.distributed.store import Missing
from zebjax.operations.watching import alarms

State = dict[str, Any]
"""`run` and `where`: texts. `alarms`: names, and `alarm_texts`: name -> sentence. `warnings`: name
-> sentence of each warning about the metrics that holds now, see `training.warnings`.
`last_warnings`: the last one of each role. `weights`: the newest publication. `learner`, `metrics`:
what the learner reports. `games_per_s`: `all` and by role. `processes`: one object each."""

_NUMBERS = (
    *("step", "last_step", "total_games", "step_age_s", "phase_age_s", "cycle_s"),
    *("longest_cycle_s", "have", "needed", "buffer", "capacity"),
)
_TEXTS = ("phase", "waits_for", "wandb_url")
_REPORTED = (
    *("role", "name", "host", "state", "step", "games", "games_per_s", "last_batch_s"),
    *("spooled_files", "dropped_games", "batches", "sent_bytes", "total_games", "phase"),
    *("phase_age_s", "device", "price_usd_per_hour", "warning", "warning_age_s"),
)
_MAX_WARNINGS, _MAX_NAME = 10, 60
COMPLETE = "complete"
"""The phase of a run that is complete, whose last report was that it goes on to play."""
MAX_S = 1e9
"""Maximum of every age; more means that it is unknown."""


def number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a number of a heartbeat; None if it has none of this name."""
    value = values.get(name)
    return value if heartbeat.is_number(value) and type(value) is not bool else None


def _texts_and_numbers(
    values: Mapping[str, Any], texts: Sequence[str], numbers: Sequence[str]
) -> dict[str, Any]:
    found = {name: values[name] for name in texts if type(values.get(name)) is str}
    return found | {name: values[name] for name in numbers if number(values, name) is not None}


def poll(watch: Watch) -> State:
    """Read the store once and return the state.

    Raises:
        StoreError: if the store cannot be read.
    """
    watch.poll()
    try:
        found = weights.newest(watch.store)
    except (Missing, weights.BadWeights):
        found = None
    return of_store(watch, found[0] if found else None)


def of_store(watch: Watch, newest: weights.Manifest | None) -> State:
    """Return the state of a run with a store.

    Args:
        watch: after a poll.
        newest: the newest publication of weights.
    """
    seen = watch.learner
    status = seen.status if seen else {}
    learner = _learner(seen)
    names, texts = watch.all_alarms(), dict(alarms.TEXTS)
    if seen is not None and seen.is_alive() and (stands := alarms.step_stands(learner)):
        names.append(alarms.STEP_STANDS)
        texts[alarms.STEP_STANDS] = stands
    processes = [_process(each, status.get("step")) for each in watch.processes()]
    quarantined = status.get("quarantined")
    return {
        "run": status.get("experiment", status.get("name", "?")),
        "where": watch.store.where,
        "alarms": names,
        "alarm_texts": {name: texts[name] for name in names},
        "warnings": _warnings(status),
        "last_warnings": last_warnings(processes),
        "weights": None
        if newest is None
        else {
            "generation": newest.generation,
            "epoch": newest.epoch,
            "step": newest.step,
            "total_games": newest.total_games,
            "created_at": newest.created_at,
        },
        "quarantined": quarantined if type(quarantined) is int else None,
        "learner": learner,
        "metrics": _texts_and_numbers(status, (), [*shown(status)]),
        "games_per_s": games_per_s(processes),
        "usd_per_hour": usd_per_hour(processes),
        "processes": processes,
    }


def _warnings(status: Mapping[str, Any]) -> dict[str, str]:
    """The warnings about the metrics in a learner's heartbeat, name -> sentence."""
    found = {
        heartbeat.printable(name.removeprefix(WARNING), _MAX_NAME): text
        for name, text in status.items()
        if name.startswith(WARNING) and isinstance(text, str)
    }
    return dict(list(found.items())[:_MAX_WARNINGS])


def _learner(seen: Seen | None) -> dict[str, Any]:
    if seen is None:
        return {}
    facts = _texts_and_numbers(seen.status, _TEXTS, _NUMBERS)
    for name in ("step_age_s", "phase_age_s"):
        if name in facts:
            facts[name] = _age_s(facts[name], seen)
    facts |= {"alive": seen.is_alive(), "stopped": seen.has_stopped()}
    # A key of its own only then: it also tells a run in one process, see `render`.
    return facts | ({"complete": True, "phase": COMPLETE} if seen.is_complete() else {})


def _age_s(reported_s: float, seen: Seen) -> float:
    """An age of the last heartbeat, now."""
    quiet_s = seen.quiet_s() if seen.is_alive() else 0.0
    return round(min(max(reported_s, 0.0) + quiet_s, MAX_S), 1)


def _process(seen: Seen, learner_step: Any) -> dict[str, Any]:
    facts = {name: seen.status[name] for name in _REPORTED if name in seen.status}
    facts |= {"alive": seen.is_alive(), "last_seen_s": round(min(seen.quiet_s(), MAX_S), 1)}
    if seen.is_complete():
        facts["phase"] = COMPLETE
    for name in ("phase_age_s", "warning_age_s"):
        if number(facts, name) is not None:
            facts[name] = _age_s(facts[name], seen)
    if (
        facts.get("role") != "learner"
        and type(learner_step) is int
        and type(facts.get("step")) is int
    ):
        facts["lag"] = max(0, learner_step - facts["step"])
    return facts


def games_per_s(processes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the games per second of the living processes: `all`, and by role."""
    found: dict[str, float] = {}
    for process in processes:
        speed, role = number(process, "games_per_s"), process.get("role")
        if process["alive"] and speed is not None and isinstance(role, str):
            found[role] = found.get(role, 0.0) + speed
    return {"all": sum(found.values()), **found}


def usd_per_hour(processes: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the sum of the known prices of living processes; None if none is known."""
    prices = [number(process, "price_usd_per_hour") for process in processes if process["alive"]]
    known = [price for price in prices if price is not None]
    return sum(known) if known else None


def last_warnings(processes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest warning of each role: `role`, `name`, `age_s`, `text`."""
    newest: dict[str, dict[str, Any]] = {}
    for process in processes:
        text, role = process.get("warning"), process.get("role")
        if not isinstance(text, str) or not isinstance(role, str):
            continue
        age_s = number(process, "warning_age_s")
        # What a process reported last before it went silent is older by that silence.
        silence_s = 0.0 if process["alive"] else process["last_seen_s"]
        age_s = MAX_S if age_s is None else min(age_s + silence_s, MAX_S)
        if role not in newest or age_s < newest[role]["age_s"]:
            name = process.get("name")
            newest[role] = {"role": role, "name": name, "age_s": age_s, "text": text}
    return list(newest.values())
