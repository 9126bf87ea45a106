"""The spool sends games in order and once, across restarts and store outages."""

import contextlib
import errno
import threading

import jax
import pytest

from tests.support.faulty import FaultyStore, full_disk
from zebjax import record
from zebjax.distributed import open, spool, store


def some(games, start, stop):
    return jax.tree.map(lambda leaf: leaf[start:stop], games)


def metadata(step=0):
    return record.Metadata("selfplay-mcts", "w0", step, {})


def ship_all(box, place):
    return box.ship(place, {}, 100)


@pytest.fixture
def place(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def names(place):
    return [entry.name for entry in place.entries("examples")]


def test_files_arrive_in_order_and_leave_the_spool(tmp_path, games, place):
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    assert box.begin(place) == 1
    for i in range(3):
        box.add(some(games, i, i + 2), metadata(i))
    assert ship_all(box, place) == 3
    assert box.files() == []
    parsed = [spool.parse_name(name) for name in names(place)]
    assert [(name.worker, name.sequence) for name in parsed] == [("w0", 1), ("w0", 2), ("w0", 3)]
    assert box.sent_bytes == sum(entry.size for entry in place.entries("examples"))


@pytest.mark.parametrize("lost", ["nothing", "the spool's folder", "the store's files"])
def test_no_number_is_used_twice(tmp_path, games, place, lost):
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    box.add(some(games, 0, 2), metadata())
    ship_all(box, place)
    box.add(some(games, 2, 4), metadata())
    if lost == "the spool's folder":
        ship_all(box, place)
    elif lost == "the store's files":
        place.delete(names(place))
    folder = tmp_path / ("other" if lost == "the spool's folder" else "spool")
    again = spool.Spool(folder, "w0", 1 << 30)
    assert again.begin(place) == 3


def test_a_line_that_loses_answers_sends_each_file_once(tmp_path, games, place):
    bad = FaultyStore(place, fails=0.5)
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    for i in range(20):
        box.add(some(games, i, i + 1), metadata(i))
        for _ in range(2):
            with contextlib.suppress(store.Unreachable):
                box.ship(bad, {}, 1)
    while box.files():
        with contextlib.suppress(store.Unreachable):
            box.ship(bad, {}, 1)
    assert bad.failed > 5
    assert [spool.parse_name(name).sequence for name in names(place)] == list(range(1, 21))


def test_a_full_spool_drops_the_oldest_and_counts_them(tmp_path, games, place):
    box = spool.Spool(tmp_path / "spool", "w0", 1)
    box.begin(place)
    for i in range(3):
        box.add(some(games, i, i + 2), metadata(i))
    assert [file.name[:9] for file in box.files()] == ["000000003"]  # the newest always stays
    assert box.dropped_games == 4


def test_what_a_killed_worker_left_half_written_is_removed(tmp_path, place):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / ".tmp-games").write_bytes(b"half")
    assert spool.Spool(tmp_path / "spool", "w0", 1).begin(place) == 1
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "examples/w0/1-" + 64 * "0" + ".safetensors",
        "examples/w0/000000001-" + 63 * "0" + ".safetensors",
        "examples/../000000001-" + 64 * "0" + ".safetensors",
        "examples/w0/000000001-" + 64 * "0" + ".safetensors.exe",
        "examples/w0/x/000000001-" + 64 * "0" + ".safetensors",
        "examples/w0/status.json",
    ],
)
def test_other_names_are_not_example_files(name):
    assert spool.parse_name(name) is None


def test_games_that_cannot_be_written_cost_no_others(tmp_path, games, place):
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    for i in range(2):
        assert box.add(some(games, i, i + 2), metadata(i))
    with full_disk():
        assert not box.add(some(games, 5, 8), metadata())
    assert len(box.files()) == 2 and box.dropped_games == 3 and "cannot be written" in box.trouble
    assert box.add(some(games, 0, 2), metadata()) and box.trouble == ""
    assert ship_all(box, place) == 3 and [
        spool.parse_name(name).sequence for name in names(place)
    ] == [1, 2, 3]


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_disk_costs_the_oldest_games(tmp_path, games, place, monkeypatch, room):
    """There is room again for `room` files more once one is deleted."""
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    for i in range(3):
        box.add(some(games, i, i + 2), metadata(i))
    write = record.write

    def on_a_full_disk(path, *arguments):
        if len(box.files()) > 2 + room - 1:
            raise OSError(errno.ENOSPC, f"{path}: cannot be written (No space left on device)")
        write(path, *arguments)

    monkeypatch.setattr(record, "write", on_a_full_disk)
    assert box.add(some(games, 5, 8), metadata()) == bool(room)
    assert [file.name[:9] for file in box.files()] == ["000000002", "000000003", "000000004"][
        : 2 + room
    ]
    assert box.dropped_games == (2 if room else 5)


def test_files_that_went_just_before_a_kill_are_not_sent_again(tmp_path, games, place):
    """Sent and not yet deleted here; the learner may have taken and pruned the first of them
    since."""
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    for i in range(3):
        box.add(some(games, i, i + 2), metadata(i))
    place.put({f"examples/w0/{file.name}": file.read_bytes() for file in box.files()[:2]})
    place.delete(names(place)[:1])
    again = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    assert again.begin(place) == 4 and [file.name[:9] for file in again.files()] == ["000000003"]


def test_unsent_games_stay_where_another_process_has_used_their_numbers(tmp_path, games, place):
    """A has written 4, 5 and 6 and sent none; B takes the id over and sends its own 4 and 5."""
    box = spool.Spool(tmp_path / "a", "w0", 1 << 30)
    box.begin(place)
    for i in range(6):
        box.add(some(games, i, i + 2), metadata(i))
        if i == 2:
            ship_all(box, place)
    other = spool.Spool(tmp_path / "b", "w0", 1 << 30)
    assert other.begin(place) == 4
    for i in range(2):
        other.add(some(games, 10 + i, 12 + i), metadata(i))
    ship_all(other, place)
    hashes = [file.name[9:] for file in box.files()]
    again = spool.Spool(tmp_path / "a", "w0", 1 << 30)
    assert again.begin(place) == 10
    assert [file.name for file in again.files()] == [
        f"{number:09d}{rest}" for number, rest in zip((7, 8, 9), hashes, strict=True)
    ]
    assert ship_all(again, place) == 3 and len(names(place)) == 8


def test_what_waits_gets_numbers_after_a_strangers(tmp_path, games, place):
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    box.add(some(games, 0, 2), metadata())
    place.put({f"examples/w0/000001000-{64 * 'a'}.safetensors": b"x"})
    again = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    assert again.begin(place) == 1002
    assert [file.name[:9] for file in again.files()] == ["000001001"]  # 1 would be refused
    place.put({f"examples/w0/999999999-{64 * 'a'}.safetensors": b"x"})
    with pytest.raises(
        ValueError, match="examples/w0 holds a file with the highest possible number"
    ):
        again.begin(place)
    assert len(again.files()) == 1


def test_what_is_dropped_and_what_is_sent_at_once_adds_up(tmp_path, games, place):
    """One thread adds to a spool that is too small while another one sends: all is sent or counted
    as dropped."""
    box = spool.Spool(tmp_path / "spool", "w0", 4000)
    box.begin(place)
    ended = threading.Event()
    failures = []

    def ship():
        while not ended.is_set() or box.files():
            try:
                box.ship(place, {}, 16)
            except Exception as error:
                failures.append(error)
                return

    sender = threading.Thread(target=ship)
    sender.start()
    for i in range(150):
        box.add(some(games, i % 20, i % 20 + 2), metadata())
    ended.set()
    sender.join()
    assert not failures
    assert 2 * box.sent_files + box.dropped_games == 2 * 150
    assert box.sent_files == len(names(place)) and box.sent_files > 1


def test_a_damaged_file_is_dropped_like_any_other(tmp_path, games, place):
    box = spool.Spool(tmp_path / "spool", "w0", 1)
    box.begin(place)
    (tmp_path / "spool" / f"000000000-{64 * '0'}.safetensors").write_bytes(b"damaged")
    box.add(some(games, 0, 2), metadata())
    assert len(box.files()) == 1 and box.dropped_games == 0


def test_what_goes_at_once_is_one_call_of_the_store(tmp_path, games, place):
    box = spool.Spool(tmp_path / "spool", "w0", 1 << 30)
    box.begin(place)
    for i in range(40):
        box.add(some(games, i % 20, i % 20 + 1), metadata())
    calls = FaultyStore(place, fails=0)
    assert box.ship(calls, {spool.status_name("w0"): b"{}"}, 30) == 30 and calls.calls == 1
    assert len(box.files()) == 10 and len(names(place)) == 31


def test_what_is_not_ours_in_the_spool_is_left_alone(tmp_path, games):
    folder = tmp_path / "spool"
    (folder / f"000000001-{'a' * 64}.safetensors").mkdir(parents=True)
    (folder / ".tmp-x").mkdir()
    (folder / "abcdefghi-x.safetensors").write_bytes(b"x")
    place = open.open_store(str(tmp_path / "store"))
    waiting = spool.Spool(folder, "w", 1 << 30)
    assert waiting.files() == [] and waiting.begin(place) == 1
    (folder / "sequence.json").write_text("nonsense")
    with pytest.raises(
        ValueError, match=r"sequence\.json: expected the number of the newest file; delete it"
    ):
        waiting.begin(place)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file: expected a folder for unsent games"):
        spool.Spool(tmp_path / "file", "w", 1 << 30)


def test_a_last_number_in_the_store_is_named(tmp_path):
    place = open.open_store(str(tmp_path / "store"))
    place.put({spool.object_name("w", 999_999_999, b"x"): b"x"})
    with pytest.raises(
        ValueError, match="examples/w holds a file with the highest possible number"
    ):
        spool.Spool(tmp_path / "spool", "w", 1 << 30).begin(place)
