"""Changes of settings are recorded, one JSON object a line."""

import json

import pytest

from zebjax.training import changes
from zebjax.training.changes import Change
from zebjax.training.config import Experiment, to_json


def test_the_changes_between_two_experiments_are_those_of_their_settings():
    before = json.loads(to_json(Experiment(name="a")))
    after = json.loads(to_json(Experiment(name="a", seed=1)))
    after["replay"]["capacity_examples"] = 1000
    del before["learner"]["clip_norm"]  # of an older zebjax
    assert changes.between(before, after, 7, 2.0) == [
        Change(7, 2.0, "seed", 0, 1),
        Change(7, 2.0, "replay.capacity_examples", 500_000, 1000),
    ]


def test_what_was_appended_is_read_in_order(tmp_path):
    first, second = Change(3, None, "seed", 0, 1), Change(5, 9.5, "start.checkpoint", None, "x")
    assert changes.read(tmp_path) == []
    changes.append(tmp_path, [first])
    changes.append(tmp_path, [second, first])
    assert changes.read(tmp_path) == [first, second, first]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"cycle": 3}',
        '{"cycle": "3", "time_s": null, "name": "seed", "before": 0, "after": 1}',
        '{"cycle": 3, "time_s": Infinity, "name": "seed", "before": 0, "after": 1}',
        '{"cycle": 3, "time_s": null, "name": ["seed"], "before": 0, "after": 1}',
    ],
)
def test_a_line_that_is_no_change_is_skipped(tmp_path, line):
    changes.append(tmp_path, [Change(3, None, "seed", 0, 1)])
    with open(tmp_path / changes.FILE, "a") as file:
        file.write(line + "\n")
    assert len(changes.read(tmp_path)) == 1
