"""Alarms of a run: when the step stands for too long, and a sentence for each alarm."""

from collections.abc import Mapping
from typing import Any

from zebjax.common.console import duration

STEP_STANDS, NOT_RUNNING = "step_stands", "not_running"
_LEAST_S = 300.0
"""No step stands too long before this many seconds."""
_UNKNOWN_S = 1800.0
"""The limit before the first cycle is complete: the buffer fills, and programs compile."""
_CYCLES, _LONGEST = 5.0, 2.0
_MAX_S = 1e9

TEXTS = {
    "learner_down": "the learner gives no heartbeat",
    "no_selfplay": "no self-play worker is alive",
    "no_evalaux": "no eval-aux worker is alive",
    "selfplay_not_producing": "self-play workers are alive but send no games",
    "evalaux_not_producing": "eval-aux workers are alive but send no games",
    NOT_RUNNING: "no process works on this run; the command that started it resumes it",
}


def limit_s(cycle_s: float | None, longest_s: float | None) -> float:
    """Return the age in seconds at which a step is an alarm.

    It is five times the usual cycle, twice the longest recent one (a cycle with an evaluation takes
    longer), and at least five minutes; half an hour as long as no cycle is known.

    Args:
        cycle_s: the usual duration of a cycle in seconds; None if it is not known.
        longest_s: the longest of the recent cycles.
    """
    if cycle_s is None:
        return _UNKNOWN_S
    return max(_LEAST_S, _CYCLES * cycle_s, _LONGEST * (longest_s or 0.0))


def step_stands(learner: Mapping[str, Any]) -> str | None:
    """Return a sentence if the step stands for too long; None if it does not, or has no age.

    Args:
        learner: `step`, `step_age_s`, `cycle_s`, `longest_cycle_s` and `waits_for`, if known.
    """
    age_s, cycle_s = learner.get("step_age_s"), learner.get("cycle_s")
    if age_s is None or age_s < limit_s(cycle_s, learner.get("longest_cycle_s")):
        return None
    usual = "" if cycle_s is None else f"; a cycle takes {duration(min(cycle_s, _MAX_S))}"
    why = f"; it waits: {learner['waits_for']}" if learner.get("waits_for") else ""
    step = str(learner.get("step", "?"))[:20]
    return f"stands at step {step} for {duration(min(age_s, _MAX_S))}{usual}{why}"
