"""How far a run is, as it is saved and read."""

import dataclasses
import json

import pytest

from zebjax.training.run import seconds_left
from zebjax.training.session import Progress

SAVED = Progress(
    first_cycle=3, cycle=5, total_games=40, phase="train", updates_in_cycle=2, row={"cycle": 5}
)


def write(tmp_path, **changes):
    file = tmp_path / "progress.json"
    file.write_text(json.dumps(dataclasses.asdict(SAVED) | changes))
    return file


def test_what_was_saved_is_read(tmp_path):
    assert Progress.read(write(tmp_path)) == SAVED


def test_the_time_left_is_unknown_until_a_cycle_was_measured_that_did_not_compile():
    assert seconds_left([], 32) is None and seconds_left([160.0], 31) is None
    assert seconds_left([160.0, 20.0], 30) == 600.0
    assert seconds_left([160.0, *[90.0] * 5, *[10.0] * 20], 3) == 30.0  # of the last 20
    assert seconds_left([160.0], 0) == 0.0


def test_a_run_older_than_a_field_had_its_default(tmp_path):
    (tmp_path / "old.json").write_text('{"first_cycle": 0, "cycle": 1, "total_games": 9}')
    assert Progress.read(tmp_path / "old.json") == Progress(0, 1, 9)


@pytest.mark.parametrize(
    "changes",
    [
        {"cycle": -1},
        {"cycle": 1.5},
        {"total_games": True},
        {"updates_in_cycle": None},
        {"phase": "sleep"},
        {"play_s": "long"},
        {"row": []},
        {"unknown": 1},
    ],
)
def test_what_is_no_progress_is_refused_by_the_files_name(tmp_path, changes):
    with pytest.raises(ValueError, match=r"progress\.json: not the progress of a run"):
        Progress.read(write(tmp_path, **changes))


@pytest.mark.parametrize("text", ["[]", "null", "3", '{"cycle": 1}', "{"])
def test_what_is_no_object_of_all_fields_is_refused(tmp_path, text):
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(ValueError, match=r"progress\.json: not "):
        Progress.read(tmp_path / "progress.json")


def test_a_new_cycle_counts_from_nothing():
    progress = dataclasses.replace(SAVED, games_in_cycle=4, wall_s=2.0, ingest={"games": 1.0})
    progress.begin_cycle()
    assert progress == dataclasses.replace(SAVED, phase="play", updates_in_cycle=0)
