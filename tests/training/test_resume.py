"""What of a saved run may change when it resumes, and what an older run is taken to have had."""

import dataclasses
import json

import pytest

from zebjax.network.config import PRESETS
from zebjax.training import resume
from zebjax.training.config import (
    Experiment,
    ReplayConfig,
    StartConfig,
    to_json,
)
from zebjax.training.learner_config import LearnerConfig

RUN = Experiment(name="run", network=PRESETS["small"])


def saved(**changes):
    return json.loads(to_json(dataclasses.replace(RUN, **changes)))


@pytest.mark.parametrize(
    ("field", "now"),
    [
        ("seed", dataclasses.replace(RUN, seed=1)),
        ("network.embed_dim", dataclasses.replace(RUN, network=PRESETS["medium"])),
        ("learner.optimizer", dataclasses.replace(RUN, learner=LearnerConfig(optimizer="muon"))),
        ("learner.clip_norm", dataclasses.replace(RUN, learner=LearnerConfig(clip_norm=1.0))),
        ("learner.ema", dataclasses.replace(RUN, learner=LearnerConfig(ema=0.999))),
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
        ("teacher.folder", {"teacher": None}),
        ("network.move_values", {"network": dataclasses.replace(RUN.network, move_values=True)}),
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
    b, a = (saved(start=StartConfig(checkpoint=name)) for name in "ba")
    assert resume.keep_start(now, b, notes.append) == now and not notes
    assert resume.keep_start(now, a, notes.append).start.checkpoint == "a"
    assert len(notes) == 1 and "'b' is not read: this run began with 'a'" in notes[0]
    now = dataclasses.replace(RUN, replay=ReplayConfig(seed_folder="games"))
    assert resume.keep_start(now, saved(), notes.append) == RUN
    assert "replay.seed_folder = 'games' is not read" in notes[1]
