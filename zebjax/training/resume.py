"""Which settings may change when a saved run resumes.

Those that may are recorded, see `changes`. The arrays of the run are fitted to them, see `resize`.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from zebjax.network.config import ZebConfig
from zebjax.training import changes, kept_games
from zebjax.training.config import Experiment, to_json

# Settings that may not change when a run resumes, with the reason for the message.
_FIXED = {
    "seed": "all random draws so far came from it",
    "start.belief_head": "the weights have moved on from there",
    "start.step": "the weights have moved on from there",
    "start.total_games": "the weights have moved on from there",
    "teacher.folder": "the saved ring was filled from there",
    "selfplay.method": "a run learns from games of one method",
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
    before, after = changes.defaults() | changes.flat(saved), changes.flat(now)
    same_method = before["selfplay.method"] == after["selfplay.method"]

    def refuse(name: str, before: Any, after: Any, reason: str, new_network: bool = False) -> None:
        raise CannotContinue(
            f"{experiment.folder}: this run was made with {name} = {before!r} and cannot continue "
            f"with {after!r}: {reason}; give it another --name or put the old value back"
            f"{_how_to_carry_over(experiment, not new_network, same_method)}"
        )

    # A field is absent in a run from before it existed, which had its default.
    network = ZebConfig().parameter_fields() | saved["network"]
    for field, new in sorted(experiment.network.parameter_fields().items()):
        old = network[field]
        if old != new:
            refuse(f"network.{field}", old, new, "it is another network", True)
    for name, reason in (
        ("clip_norm", "switching clipping on or off changes the optimiser's state"),
        ("ema", "switching the average on or off changes the saved state"),
    ):
        # Absent in a run from before the field existed.
        old, new = saved["learner"].get(name), getattr(experiment.learner, name)
        if bool(old) != bool(new):
            refuse(f"learner.{name}", old, new, reason)
    for name, reason in _FIXED.items():
        old = before[name]
        if old != after[name]:
            refuse(name, old, after[name], reason)


def _how_to_carry_over(experiment: Experiment, weights_fit: bool, games_fit: bool) -> str:
    """Say which options begin another run with what fits it of this one."""
    options = {"weights": f"--start.checkpoint {experiment.folder}"} if weights_fit else {}
    if games_fit and (folder := kept_games.folder_of(experiment)).is_dir():
        options["games"] = f"--replay.seed-folder {folder}"
    if not options:
        return ""
    return (
        f". Another run begins with the {' and '.join(options)} of this one by "
        f"{' '.join(options.values())}"
    )


_SIZES = (
    ("selfplay", "lanes"),
    ("selfplay", "games_per_cycle"),
    ("replay", "capacity_examples"),
    ("eval_aux", "capacity_examples"),
)
"""The settings that decide the shapes of a run's arrays, besides those that may not change."""


def with_saved_sizes(saved: Any, experiment: Experiment) -> Experiment:
    """Return an experiment whose arrays have the shapes of the saved ones.

    Args:
        saved: the saved experiment, as read from JSON; see `check_can_continue`.
        experiment: the present experiment.

    Raises:
        ValueError: if a saved size is not possible.
    """
    # The present `min_buffer` may be too large for the saved ring.
    made = dataclasses.replace(
        experiment, replay=dataclasses.replace(experiment.replay, min_buffer=0)
    )
    before = changes.defaults() | changes.flat(saved)
    for section, name in _SIZES:
        size = before[f"{section}.{name}"]
        if type(size) is not int:
            raise ValueError(
                f"{experiment.folder}: {section}.{name} in the saved experiment.json: expected an "
                f"integer, got {size!r}"
            )
        part = dataclasses.replace(getattr(made, section), **{name: size})
        made = dataclasses.replace(made, **{section: part})
    return made


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


def keep_start(settings: Experiment, saved: Any, note: Callable[[str], None]) -> Experiment:
    """Return the settings with the checkpoint and the seed games that the run began with.

    They have no effect on a resumed run, and their files may have moved. So another value is no
    error; it is ignored with a note.

    Args:
        settings: the present experiment.
        saved: the saved experiment, as read from JSON.
        note: called with one sentence for each other value.
    """
    start, replay = settings.start, settings.replay
    checkpoint, folder = saved["start"].get("checkpoint"), saved["replay"].get("seed_folder")
    for name, now, before in (
        ("start.checkpoint", start.checkpoint, checkpoint),
        ("replay.seed_folder", replay.seed_folder, folder),
    ):
        if now != before:
            note(
                f"{name} = {now!r} is not read: this run began with {before!r} and resumes from "
                "its own state; to begin with another one, give another --name"
            )
    return dataclasses.replace(
        settings,
        start=dataclasses.replace(start, checkpoint=checkpoint),
        replay=dataclasses.replace(replay, seed_folder=folder),
    )
