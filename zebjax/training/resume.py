"""Which settings may change when a saved run resumes."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from zebjax.training.config import Experiment, to_json

# Settings that may not change when a run resumes, with the reason for the message.
_FIXED = {
    "seed": "all random draws so far came from it",
    "start.belief_head": "the weights have moved on from there",
    "start.step": "the weights have moved on from there",
    "start.total_games": "the weights have moved on from there",
    "teacher.folder": "the saved ring was filled from there",
    "selfplay.lanes": "the saved lanes would not fit",
    "selfplay.games_per_cycle": "the saved games would not fit",
    "replay.capacity_examples": "the saved ring would not fit",
    "eval_aux.capacity_examples": "the saved ring would not fit",
    "learner.optimizer": "the saved optimiser state would not fit",
}


class CannotContinue(ValueError):
    """The run was saved with settings that the present experiment cannot continue."""


def check_can_continue(saved: Any, experiment: Experiment) -> None:
    """Check that no setting has changed that may not change.

    Args:
        saved: the saved experiment, as read from JSON.
        experiment: the present experiment.

    Raises:
        CannotContinue: naming the field, both values, the reason and what to do.
        ValueError: if `saved` is not an experiment.
    """
    sections = ("network", "start", "selfplay", "replay", "learner")
    if not isinstance(saved, dict) or not all(
        isinstance(saved.get(name), dict) for name in sections
    ):
        raise ValueError(f"{experiment.folder}: the saved experiment.json is not an experiment")
    now = json.loads(to_json(experiment))

    def refuse(name: str, before: Any, after: Any, reason: str) -> None:
        raise CannotContinue(
            f"{experiment.folder}: this run was made with {name} = {before!r} and cannot continue "
            f"with {after!r}: {reason}; give it another --name or put the old value back"
        )

    for field, after in sorted(experiment.network.parameter_fields().items()):
        before = saved["network"].get(field, after)  # absent in a run from before the field existed
        if before != after:
            refuse(f"network.{field}", before, after, "it is another network")
    clip, clip_now = saved["learner"].get("clip_norm"), experiment.learner.clip_norm
    if bool(clip) != bool(clip_now):
        reason = "switching clipping on or off changes the optimiser's state"
        refuse("learner.clip_norm", clip, clip_now, reason)
    before, after = _defaults() | _flat(saved), _flat(now)
    for name, reason in _FIXED.items():
        old = before[name]
        if old != after[name]:
            refuse(name, old, after[name], reason)


def changes(saved: Any, experiment: Experiment) -> list[str]:
    """Return the settings that differ from the saved ones, as `field: before -> now`.

    A field that did not exist when the run was saved counts as its default. `cycles`, `name` and
    `runs` are left out.
    """
    before, now = _defaults() | _flat(saved), _flat(json.loads(to_json(experiment)))
    return [
        f"{name}: {before.get(name)} -> {value}"
        for name, value in now.items()
        if before.get(name) != value and name not in ("cycles", "name", "runs")
    ]


def _defaults() -> dict[str, Any]:
    """The value of each field in a run that is older than the field."""
    return _flat(json.loads(to_json(Experiment(name="defaults"))))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted name."""
    flat: dict[str, Any] = {}
    for name, leaf in tree.items():
        if isinstance(leaf, dict):
            flat |= _flat(leaf, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = leaf
    return flat


def check_updates(settings: Experiment, phase: str, updates_in_cycle: int) -> None:
    """Check that the remaining updates of the cycle are a whole number of chunks.

    Raises:
        CannotContinue: naming the fields to change back.
    """
    config = settings.learner
    left = config.updates_per_cycle - updates_in_cycle
    if phase == "train" and (left < 0 or left % config.chunk):
        raise CannotContinue(
            f"{settings.folder}: this run was saved after {updates_in_cycle} updates of a cycle "
            f"and cannot resume with updates_per_cycle = {config.updates_per_cycle} in calls of "
            f"{config.chunk}; put learner.updates_per_cycle and updates_per_call back for one cycle"
        )


def keep_start(settings: Experiment, before: str | None, note: Callable[[str], None]) -> Experiment:
    """Return the settings with the start checkpoint that the run began with.

    The checkpoint has no effect on a resumed run, and its file may have moved. So another value is
    no error; it is ignored with a note.
    """
    now = settings.start
    if now.checkpoint == before:
        return settings
    note(
        f"start.checkpoint = {now.checkpoint!r} is not read: this run began with {before!r} and "
        "resumes from its own state; to begin with another checkpoint, give another --name"
    )
    return dataclasses.replace(settings, start=dataclasses.replace(now, checkpoint=before))
