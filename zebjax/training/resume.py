"""Whether a saved run can be continued with the settings given now."""

import json
from typing import Any

from zebjax.training.config import Experiment, to_json

# A saved run cannot go on when one of these changes: what it would mean for what was saved is in
# the message.
_FIXED = {
    "seed": "all that was drawn so far followed from it",
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


_NEUTRAL_NETWORK_FIELDS = ("dropout", "compute_dtype")


class CannotContinue(ValueError):
    """A saved run that the experiment as it is now cannot continue."""


def check_can_continue(saved: Any, experiment: Experiment) -> None:
    """Refuse to continue a run whose saved experiment (from JSON) differs in what cannot change.

    Raises:
        CannotContinue: naming the field, both values, the reason and the way out.
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
            f"with {after!r}: "
            f"{reason}; give it another --name or put the old value back"
        )

    for field, before in saved["network"].items():
        after = now["network"].get(field)
        if before != after and field not in _NEUTRAL_NETWORK_FIELDS:
            refuse(f"network.{field}", before, after, "it is another network")
    before, after = saved["learner"].get("clip_norm"), experiment.learner.clip_norm
    if bool(before) != bool(after):
        refuse(
            "learner.clip_norm",
            before,
            after,
            "switching clipping on or off changes the optimiser's state",
        )
    for name, reason in _FIXED.items():
        before, after = saved, now
        for part in name.split("."):
            before, after = (
                (before or {}).get(part),
                after[part],
            )  # a run older than the field had its default, None
        if before != after:
            refuse(name, before, after, reason)


def changes(saved: Any, experiment: Experiment) -> list[str]:
    """What a run is continued with that is not as it was saved, as `field: before -> now`; fields
    unknown then too.

    Not its length, and not where it lies.
    """

    def flat(tree: Any, name: str) -> dict[str, Any]:
        if not isinstance(tree, dict):
            return {name: tree}
        return {
            k: v
            for key, leaf in tree.items()
            for k, v in flat(leaf, f"{name}.{key}" if name else key).items()
        }

    before, now = flat(saved, ""), flat(json.loads(to_json(experiment)), "")
    return [
        f"{name}: {before.get(name, 'unknown')} -> {value}"
        for name, value in now.items()
        if before.get(name, "unknown") != value and name not in ("cycles", "name", "runs")
    ]
