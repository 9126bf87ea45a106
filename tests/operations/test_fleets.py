"""A fleet is found from what the user types; its files say what it is and what happened."""

import json

import pytest

from zebjax.operations import events, fleets


def make(root, name="tiny", kind="local", namespace=None):
    run = root / "runs" / name
    fleet = fleets.Fleet(
        folder=run / "fleet",
        kind=kind,
        name=name,
        run=run,
        namespace=namespace or str(root / "runs" / "store" / name),
        command=f"zebjax fleet local {name}",
        facts={"more": [1]},
    )
    fleets.write(fleet)
    return fleets.read(fleet.folder)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "word",
    [
        "runs/a-b",
        "runs/a-b/",
        "runs/a-b/fleet",
        "a-b",
        "a_b",
        "runs/store/a-b",
        "file://{}/runs/store/a-b",
    ],
)
def test_a_fleet_is_found_by_its_run_its_store_and_its_name(here, word):
    fleet = make(here, "a-b")
    make(here, "other")
    (here / "runs" / "store" / "a-b").mkdir(parents=True)
    assert fleets.find(word.format(here)) == fleet
    assert fleet.facts["more"] == [1] and fleet.typed == "runs/a-b"


def test_a_fleet_with_a_store_elsewhere_is_found_by_its_url(here):
    fleet = make(here, namespace="s3://bucket/zeb/tiny")
    assert fleets.find("s3://bucket/zeb/tiny/") == fleet
    with pytest.raises(ValueError, match="did you mean runs/tiny"):
        fleets.find("s3://bucket/other/tiny")


def test_it_is_found_from_another_folder_by_its_store(here, monkeypatch):
    fleet = make(here)
    (here / "runs" / "store" / "tiny").mkdir(parents=True)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert fleets.find("../runs/store/tiny") == fleet and fleet.typed == str(here / "runs/tiny")


def test_what_is_no_fleet_gets_a_sentence(here):
    with pytest.raises(ValueError, match=r"^runs/tiny: there is no fleet; expected"):
        fleets.find("runs/tiny")
    make(here, "one", namespace="s3://bucket/same")
    make(here, "two", namespace="s3://bucket/same")
    with pytest.raises(ValueError, match=r"more than one such fleet.* of runs/one, runs/two"):
        fleets.find("s3://bucket/same")
    odd = make(here, "odd", kind="rocket")
    with pytest.raises(ValueError, match=r"kind: expected local.*, got 'rocket'"):
        fleets.actions(odd)
    (odd.folder / fleets.FILE).write_text('{"kind": "local"}')
    with pytest.raises(ValueError, match=r"fleet.json: expected an object with the texts kind"):
        fleets.find("runs/odd")
    assert fleets.find("one").name == "one"  # a damaged one is in nobody's way


def test_every_kind_has_all_actions(here):
    for kind in fleets.KINDS:
        module = fleets.actions(make(here, kind=kind))
        for name in ("status", "logs", "stop", "restart"):
            assert callable(getattr(module, name))


def test_events_are_kept_in_order_and_a_broken_line_is_skipped(tmp_path):
    assert events.read(tmp_path) == []
    first = events.row("selfplay", "play-1", "started", gpu="H100", price_usd_per_hour=0.5)
    events.append(tmp_path, first, events.row("supervisor", "supervisor", "started"))
    with open(tmp_path / events.FILE, "a") as file:
        file.write('{"time_s": 3}\nnonsense\n[]\n')
    last = events.row("selfplay", "play-1", "fatal", 'a "quoted"\nline')
    events.append(tmp_path, last)
    with open(tmp_path / events.FILE, "a") as file:
        file.write('{"time_s": 1, "role": "sel')  # a kill in the middle of a line
    assert [row["event"] for row in events.read(tmp_path)] == ["started", "started", "fatal"]
    assert events.read(tmp_path)[0] == first
    assert events.since_start(events.read(tmp_path)) == [last]
    assert events.since_start([first]) == [first]
    fields = [*first]
    assert list(json.loads((tmp_path / events.FILE).read_text().splitlines()[0])) == fields
    with pytest.raises(
        ValueError, match=r"event: expected started, exited, .* or stopped, got 'began'"
    ):
        events.row("learner", "learner", "began")
