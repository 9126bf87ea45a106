"""What of a saved run may change when it resumes, and what an older run is taken to have had."""

import dataclasses
import json

import pytest

from zebjax.network.config import PRESETS
from zebjax.training import resume
from zebjax.training.config import (
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SelfPlayConfig,
    StartConfig,
    to_json,
)
from zebjax.training.workers_config import EvalAuxConfig

RUN = Experiment(name="run", network=PRESETS["small"])


def saved(**changes):
    return json.loads(to_json(dataclasses.replace(RUN, **changes)))


@pytest.mark.parametrize(
    ("field", "now"),
    [
        ("seed", dataclasses.replace(RUN, seed=1)),
        ("network.embed_dim", dataclasses.replace(RUN, network=PRESETS["medium"])),
        ("selfplay.lanes", dataclasses.replace(RUN, selfplay=SelfPlayConfig(lanes=8))),
        ("learner.optimizer", dataclasses.replace(RUN, learner=LearnerConfig(optimizer="muon"))),
        ("learner.clip_norm", dataclasses.replace(RUN, learner=LearnerConfig(clip_norm=1.0))),
        (
            "replay.capacity_examples",
            dataclasses.replace(RUN, replay=ReplayConfig(capacity_examples=28)),
        ),
    ],
)
def test_what_the_saved_arrays_follow_from_cannot_change(field, now):
    resume.check_can_continue(saved(), RUN)
    with pytest.raises(resume.CannotContinue, match=f"{field} = .* give it another --name"):
        resume.check_can_continue(saved(), now)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("learner.optimizer", {"learner": LearnerConfig(optimizer="muon")}),
        ("replay.capacity_examples", {"replay": ReplayConfig(capacity_examples=28)}),
        ("eval_aux.capacity_examples", {"eval_aux": EvalAuxConfig(capacity_examples=28)}),
        ("teacher.folder", {"teacher": None}),
    ],
)
def test_a_run_older_than_a_field_had_its_default(field, other):
    section, name = field.split(".")
    before = saved()
    del before[section][name]
    resume.check_can_continue(before, RUN)
    if section == "teacher":
        del before[section]  # older than the whole section
        resume.check_can_continue(before, RUN)
        return
    with pytest.raises(resume.CannotContinue, match=f"made with {field} = "):
        resume.check_can_continue(before, dataclasses.replace(RUN, **other))


def test_what_is_no_experiment_is_said():
    for nonsense in (None, [], {}, {"network": 1}):
        with pytest.raises(ValueError, match=r"experiment\.json is not an experiment"):
            resume.check_can_continue(nonsense, RUN)


def test_changes_are_named_without_the_length_the_name_and_the_place():
    now = dataclasses.replace(RUN, cycles=7, name="b", runs="c", learner=LearnerConfig(lr=0.5))
    assert resume.changes(saved(), now) == ["learner.lr: 0.0001 -> 0.5"]
    assert resume.changes(saved(), RUN) == []


def test_calls_must_end_where_the_cycle_ends():
    settings = dataclasses.replace(
        RUN, learner=LearnerConfig(updates_per_cycle=20, updates_per_call=5)
    )
    for phase, done in (("train", 15), ("train", 20), ("play", 3)):
        resume.check_updates(settings, phase, done)
    for done in (3, 25):
        with pytest.raises(resume.CannotContinue, match=f"saved after {done} updates"):
            resume.check_updates(settings, "train", done)


def test_the_start_that_a_run_began_with_stays():
    notes = []
    now = dataclasses.replace(RUN, start=StartConfig(checkpoint="b"))
    assert resume.keep_start(now, "b", notes.append) is now and not notes
    assert resume.keep_start(now, "a", notes.append).start.checkpoint == "a"
    assert len(notes) == 1 and "'b' is not read: this run began with 'a'" in notes[0]
