"""Example files of the original's PyTorch workers: each game once, bad files refused."""

import dataclasses
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support import faulty
from tests.support.batches_made import changed, file_bytes
from tests.support.workers import learn, play, settings_in
from zebjax.distributed import ingest, open, store
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat.pickle import Call, Name


@pytest.fixture
def place(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def torch_name(seconds, identity="0123abcd", worker="torch-0"):
    """As the original names its files, in the folder that it was told to write to."""
    return f"examples/{worker}/{worker}_{seconds}_{identity}.pt"


def drain(ingestor):
    """Poll until two polls bring nothing: a file that looks damaged is looked at twice."""
    taken, empty = [], 0
    while empty < 2:
        try:
            ingestor.poll()
        except store.Unreachable:
            taken += ingestor.pop_arrived()
            continue
        new = ingestor.pop_arrived()
        taken += new
        empty = 0 if new else empty + 1
    return taken


def test_torch_files_come_with_ours_each_in_its_order(tmp_path, games, mine, batch, place):
    ours = faulty.file_bytes(jax.tree.map(lambda leaf: np.asarray(leaf[:2]), games))
    our_name = faulty.object_name(ours)
    # By their seconds, whatever the rest of the name is; a name without comes first.
    order = ["examples/torch-0/z.pt", torch_name(999_999_999), torch_name(1_770_000_000, "ff")]
    order += [torch_name(1_770_000_001, "00")]
    for index in (2, 0, 3, 1):
        place.put({order[index]: file_bytes(batch, index, index + 1, model_step=index)})
    place.put({our_name: ours, "examples/torch-0/status.json": b"{}", "examples/x.pt": b"no"})
    taken = drain(ingest.Ingest(place, tmp_path, {}))
    assert [one.name for one in taken] == [our_name, *order]
    for index, one in enumerate(taken[1:]):
        wanted = jax.tree.map(lambda leaf, index=index: leaf[index : index + 1], mine)
        wanted = wanted._replace(
            step_start=np.full(1, index, np.int32), step_end=np.full(1, index, np.int32)
        )
        jax.tree.map(np.testing.assert_array_equal, one.records, wanted)
        assert (one.worker, one.metadata.worker) == ("torch-0", "torch-0")
        assert (one.metadata.source, one.metadata.model_step) == ("selfplay-mcts", index)


def test_a_crash_between_any_two_files_loses_and_repeats_nothing(tmp_path, batch, place):
    """Whatever was saved; and files that appear later with an earlier name."""
    sent = [torch_name(1_770_000_000 + index, f"{9 - index}") for index in range(4)]
    for index, name in enumerate(sent):
        place.put({name: file_bytes(batch, index, index + 1)})
    all_taken = drain(ingest.Ingest(place, tmp_path, {}))
    for saved in range(5):
        cursor = {one.cursor_key: one.name for one in all_taken[:saved]}
        again = drain(ingest.Ingest(place, tmp_path, cursor))
        assert [one.name for one in again] == sent[saved:]
    early = torch_name(1_600_000_000)
    place.put({early: file_bytes(batch, 5, 6)})
    cursor = {one.cursor_key: one.name for one in all_taken}
    assert [one.name for one in drain(ingest.Ingest(place, tmp_path, cursor))] == [early]


def test_a_bad_line_loses_and_repeats_nothing(tmp_path, batch, place):
    sent = [torch_name(1_770_000_000 + index) for index in range(12)]
    for index, name in enumerate(sent):
        place.put({name: file_bytes(batch, index, index + 1)})
    bad = faulty.FaultyStore(place, fails=0.3, truncates=0.2)
    taken = drain(ingest.Ingest(bad, tmp_path, {}))
    assert sorted(one.name for one in taken) == sent and bad.failed > 3
    assert all(one.records is not None for one in taken)


def test_a_file_that_is_still_being_copied_is_waited_for(tmp_path, batch, place):
    data, name = file_bytes(batch, 0, 3), torch_name(1_770_000_000)
    file = Path(tmp_path / "store" / name)
    file.parent.mkdir(parents=True)
    ingestor = ingest.Ingest(place, tmp_path, {})
    for size in (0, 1000, len(data) // 2):
        file.write_bytes(data[:size])
        ingestor.poll()
        assert ingestor.pop_arrived() == []
    file.write_bytes(data)
    (one,) = drain(ingestor)
    assert len(one.records.slots) == 3 and not (tmp_path / "quarantine").exists()


def test_a_file_that_paused_while_it_was_copied_is_taken_when_it_has_grown(tmp_path, batch, place):
    data, name = file_bytes(batch, 0, 3), torch_name(1_770_000_000)
    file = Path(tmp_path / "store" / name)
    file.parent.mkdir(parents=True)
    ingestor = ingest.Ingest(place, tmp_path, {})
    for size in (1000, len(data) // 2):
        file.write_bytes(data[:size])
        (one,) = drain(ingestor)  # two polls found it unchanged
        assert one.records is None
        # And is told once, also after a start.
        ingestor = ingest.Ingest(place, tmp_path, {})
        assert drain(ingestor) == []
    file.write_bytes(data)
    (one,) = drain(ingestor)
    assert len(one.records.slots) == 3 and drain(ingestor) == []
    cursor = {one.cursor_key: one.name}
    assert drain(ingest.Ingest(place, tmp_path, cursor)) == []


def test_long_names_do_not_collide_in_quarantine(tmp_path):
    quarantine = ingest.Quarantine(tmp_path)
    names = [f"examples/w/{'x' * 240}_{seconds}_ab.pt" for seconds in range(10**9, 10**9 + 3)]
    for index, name in enumerate(names):
        assert ingest.torch_worker(name) and 250 < len(name) <= 300
        assert not quarantine.holds(name, 5)
        quarantine.put(name, 5, b"bytes", f"reason {index}")
        assert quarantine.holds(name, 5) and not quarantine.holds(name, 6)
    assert len(list(tmp_path.glob("*.reason.txt"))) == 3


def test_what_is_hostile_or_wrong_is_quarantined_once_with_its_reason(tmp_path, batch, place):
    good = file_bytes(batch, 0, 12)
    proof = tmp_path / "proof"
    evil = Call(Name("posix", "system"), (f"touch {proof}",))

    def wrong(column):
        column[5, 3] = -column[5, 3] + 0.5

    files = {
        torch_name(1, "a1", "w1"): (good[:-100], "damaged or truncated"),
        torch_name(2, "a2", "w1"): (b"", "the file is empty"),
        torch_name(3, "a3", "w1"): (pickle.dumps({"a": 1}, protocol=2), "a bare pickle"),
        torch_name(4, "a4", "w1"): (
            torch_archive.serialise({**batch, "metadata": evil}, "x"),
            "asks for 'posix.system'",
        ),
        torch_name(5, "a5", "w1"): (
            torch_archive.serialise(changed(batch, "value_targets", wrong), "x"),
            "game 3, ply 5: value_targets differs from the replay",
        ),
        torch_name(6, "a6", "w1"): (
            torch_archive.serialise({"model_state_dict": {}}, "x"),
            "is missing; expected observations",
        ),
    }
    for name, (data, _) in files.items():
        place.put({name: data})
    place.put({torch_name(7, "a7", "w1"): good})
    taken = {one.name: one for one in drain(ingest.Ingest(place, tmp_path, {}))}
    assert not proof.exists() and len(taken) == 7
    for name, (_, reason) in files.items():
        assert taken[name].records is None and reason in taken[name].reason
        kept_as = f"{name.replace('/', '~')}.{len(files[name][0])}.reason.txt"
        kept = tmp_path / "quarantine" / kept_as
        assert reason in kept.read_text()
    assert len(taken[torch_name(7, "a7", "w1")].records.slots) == 12
    cursor = {torch_name(7, "a7", "w1"): torch_name(7, "a7", "w1")}
    assert drain(ingest.Ingest(place, tmp_path, cursor)) == []


def test_a_file_that_is_too_large_is_quarantined(tmp_path, batch, place, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_FILE_BYTES", 1000)
    place.put({torch_name(1): file_bytes(batch, 0, 1)})
    (one,) = drain(ingest.Ingest(place, tmp_path, {}))
    assert one.records is None and "1,000" in one.reason


def test_old_files_are_those_that_were_taken(batch):
    names = [torch_name(1_770_000_000 + index, f"{9 - index}") for index in range(6)]
    others = ["examples/w/000000001-" + "0" * 64 + ".safetensors", "examples/w/status.json"]
    cursor = {name: name for name in names[:3] + names[4:]}
    assert ingest.old_torch_files([*names[::-1], *others], cursor, 2) == names[:3]
    assert ingest.old_torch_files(names, {}, 2) == []


# --- in a run ---


def put_torch(settings, batch, first, n, seconds=1_770_000_000):
    """`n` files of one game each, as a PyTorch worker beside ours leaves them."""
    folder = Path(settings.namespace) / "examples" / "torch-0"
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + n):
        data = file_bytes(batch, index, index + 1, model_step=0)
        temporary = folder / f"torch-0_{seconds + index}_{index:08x}.tmp"
        temporary.write_bytes(data)
        temporary.rename(temporary.with_suffix(".pt"))


@pytest.mark.slow  # test_workers does this with files of ours
def test_a_learner_that_is_stopped_at_many_moments_counts_each_game_once(tmp_path, batch):
    settings = settings_in(tmp_path, cycles=2)
    settings = dataclasses.replace(
        settings, store=dataclasses.replace(settings.store, publish_torch=True)
    )
    learn(settings, stop_after=1)
    play(settings, "selfplay", 16)
    play(settings, "evalaux", 4)
    put_torch(settings, batch, 0, 6)
    looks = np.random.default_rng(0)
    for attempt in range(100):
        run = learn(settings, stop_after=int(looks.integers(1, 120)))
        if attempt == 1:
            put_torch(settings, batch, 6, 3, seconds=1_600_000_000)  # earlier than those before
        if run.session.progress.cycle == 2 and run.session.progress.phase == "play" and attempt > 1:
            break
    # All of them, after the last one was seen.
    run = learn(dataclasses.replace(settings, cycles=4))
    assert (
        run.session.progress.total_games,
        int(run.session.state.ring.size),
        int(run.session.state.aux.size),
    ) == (
        16 + 9 + 4,
        16 + 9,
        4,
    )
    assert run.session.progress.quarantined == 0


@pytest.mark.slow  # test_workers does this with files of ours
def test_taken_torch_files_leave_the_store_and_then_the_cursor(tmp_path, batch):
    settings = settings_in(tmp_path, cycles=2)
    learn(settings, stop_after=1)
    play(settings, "selfplay", 16)
    play(settings, "evalaux", 4)
    put_torch(settings, batch, 0, 6)
    for cycles in (2, 4, 6):
        run = learn(dataclasses.replace(settings, cycles=cycles))
    folder = Path(settings.namespace) / "examples" / "torch-0"
    there = {f"examples/torch-0/{file.name}" for file in folder.glob("*.pt")}
    assert 0 < len(there) < 6
    assert there <= {name for name in run.session.progress.cursor if name.endswith(".pt")}
    assert run.session.progress.total_games == 16 + 6 + 4
