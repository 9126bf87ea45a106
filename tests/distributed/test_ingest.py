"""Ingest: each game once through faults and crashes, bad files refused, staleness and mixing."""

import contextlib
import random

import jax
import numpy as np
import pytest

from tests.support.faulty import FaultyStore, file_bytes, full_disk, object_name, with_arrays
from zebjax.distributed import ingest, open, store


def some(games, start, stop):
    return jax.tree.map(lambda leaf: np.asarray(leaf[start:stop]), games)


@pytest.fixture
def place(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def send(place, games, n, worker="w0", first=1):
    """`n` files of two games each, in order; their names."""
    sent = []
    for i in range(n):
        data = file_bytes(some(games, i % 20, i % 20 + 2), worker, step=i)
        sent.append(object_name(data, worker, first + i))
        place.put({sent[-1]: data})
    return sent


def drain(ingestor, tries=1000):
    """Poll until a poll brings nothing more."""
    taken = []
    for _ in range(tries):
        try:
            ingestor.poll()
        except store.Unreachable:
            taken += ingestor.pop_arrived()
            continue
        new = ingestor.pop_arrived()
        if not new:
            return taken
        taken += new
    raise AssertionError("it never ended")


def test_what_is_new_comes_once_and_in_order(tmp_path, games, place):
    first, other = send(place, games, 3), send(place, games, 2, "w1")
    ingestor = ingest.Ingest(place, tmp_path, {})
    assert [one.name for one in drain(ingestor)] == [*first, *other]
    assert drain(ingestor) == []
    more = send(place, games, 2, first=4)
    assert [one.name for one in drain(ingestor)] == more


def test_a_crash_between_any_two_files_loses_and_repeats_nothing(tmp_path, games, place):
    sent = send(place, games, 6)
    for saved in range(7):
        cursor = {"w0": sent[saved - 1]} if saved else {}
        assert [one.name for one in drain(ingest.Ingest(place, tmp_path, cursor))] == sent[saved:]


def test_a_bad_line_loses_and_repeats_nothing(tmp_path, games, place):
    sent = send(place, games, 40)
    bad = FaultyStore(place, fails=0.3)
    assert [one.name for one in drain(ingest.Ingest(bad, tmp_path, {}))] == sent
    assert bad.failed > 10


def test_a_listing_that_misses_an_earlier_file_loses_nothing(tmp_path, games, place):
    """A folder that is listed while files are created may show a file and not the one created
    before it."""
    sent = send(place, games, 3)
    ingestor = ingest.Ingest(place, tmp_path, {})
    drain(ingestor)
    sent += send(place, games, 3, first=4)
    whole, listings = place.entries, []

    def blurred(folder, after=""):
        listings.append(folder)
        found = whole(folder, after)
        return (
            found if len(listings) % 2 == 0 else [entry for entry in found if entry.name != sent[4]]
        )

    place.entries = blurred
    assert [one.name for one in drain(ingestor)] == sent[3:]


def test_a_file_that_is_not_listed_for_a_moment_is_no_second_workers(
    tmp_path, games, place, monkeypatch
):
    send(place, games, 3)
    whole = place.entries
    ingestor = ingest.Ingest(place, tmp_path, {})
    drain(ingestor)
    monkeypatch.setattr(place, "entries", lambda folder, after="": [])
    assert drain(ingestor) == []
    monkeypatch.setattr(place, "entries", whole)
    assert drain(ingestor) == []


def test_half_a_file_is_fetched_again(tmp_path, games, place):
    sent = send(place, games, 20)
    taken = drain(ingest.Ingest(FaultyStore(place, fails=0, truncates=0.4), tmp_path, {}))
    assert [one.name for one in taken] == sent
    assert all(one.records is not None for one in taken)


def test_two_workers_of_one_name_are_told(tmp_path, games, place):
    send(place, games, 1)
    ingestor = ingest.Ingest(place, tmp_path, {})
    drain(ingestor)
    data = file_bytes(some(games, 9, 11))
    place.put({object_name(data, "w0", 1): data})
    (refused,) = drain(ingestor)
    assert refused.records is None and "two workers have the id w0" in refused.reason
    assert drain(ingestor) == []


def test_a_file_that_may_not_be_read_is_waited_for_and_does_not_end_the_learner(
    tmp_path, games, place, monkeypatch
):
    """As an object in cold storage: listed, and refused; or listed and not there, on a replica that
    lags."""
    sent, get = send(place, games, 3), place.get
    for refusal in (store.Refused("no access"), store.Missing("not there")):

        def refuse(name, most, refusal=refusal):
            if name == sent[1]:
                raise refusal
            return get(name, most)

        monkeypatch.setattr(place, "get", refuse)
        ingestor = ingest.Ingest(place, tmp_path, {})
        with pytest.raises(store.Unreachable):
            ingestor.poll()
        assert [one.name for one in ingestor.pop_arrived()] == sent[:1]
        monkeypatch.setattr(place, "get", get)
        assert [one.name for one in drain(ingestor)] == sent[1:]


def test_a_refused_file_of_a_high_number_stands_in_no_others_way(tmp_path, games, place):
    sent = send(place, games, 2)
    stray = object_name(b"not mine", "w0", 999_999_998)
    place.put({stray: b"not mine"})
    ingestor = ingest.Ingest(place, tmp_path, {})
    assert [one.name for one in drain(ingestor)] == [*sent, stray]
    later = send(place, games, 2, first=3)
    taken = drain(ingestor)
    assert [one.name for one in taken] == later and all(one.records is not None for one in taken)
    assert (
        drain(ingest.Ingest(place, tmp_path, {"w0": later[-1]})) == []
    )  # and is told once, also after a start


def test_what_waits_is_bounded_in_bytes(tmp_path, games, place, monkeypatch):
    sent = send(place, games, 5)
    monkeypatch.setattr(ingest, "_MAX_WAITING_BYTES", 2 * place.entries("examples")[0].size)
    ingestor, taken = ingest.Ingest(place, tmp_path, {}), []
    for most in (2, 4, 5):
        ingestor.poll()
        taken += ingestor.pop_arrived()
        assert len(taken) == most
    assert [one.name for one in taken] == sent


def hostile(games, n, seed=0):
    """`n` names and bytes that must not get in."""
    dice = random.Random(seed)
    good = file_bytes(some(games, 0, 3))

    def damaged():
        data = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        return bytes(data)

    changes = [
        lambda a: a["slots"].__setitem__((0, dice.randrange(28)), 7),
        lambda a: a["policy"].__setitem__((0, dice.randrange(28)), np.nan),
        lambda a: (a["policy"].__setitem__((0, 5), np.nan), a["weight"].__setitem__((0, 5), 0)),
        lambda a: a["policy"].__setitem__((1, dice.randrange(28)), 0.5),
        lambda a: a["hands"].__setitem__((2, 0, 0), a["hands"][2, 0, 1]),
        lambda a: a["declaration"].__setitem__(0, 10),
        lambda a: a["value"].__setitem__((0, 3), np.inf),
        lambda a: a["weight"].__setitem__((0, 3), -1),
        lambda a: a["step_start"].__setitem__(0, -5),
        lambda a: a.__setitem__("slots", a["slots"][:, :20]),
        lambda a: a.__setitem__("slots", a["slots"].astype(np.int32)),
        lambda a: a.__setitem__("extra", np.zeros(3)),
        lambda a: a.pop("kind"),
        lambda a: [a.__setitem__(name, field[:0]) for name, field in list(a.items())],
    ]
    for i in range(n):
        kind = i % 9
        if kind == 0:  # the bytes are not those of the name
            yield object_name(good, "w0", i + 1), damaged()
            continue
        data = [
            lambda: with_arrays(good, dice.choice(changes)),
            lambda: good[: dice.randrange(len(good))],
            lambda: b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR." + bytes(dice.randrange(100)),
            lambda: (2**62).to_bytes(8, "little") + good[8:],
            lambda: file_bytes(some(games, 0, 2), worker="other"),
            lambda: file_bytes(
                some(games, 0, 2), step=dice.choice([-(10**400), -1, 2**31, 10**400])
            ),
            lambda: file_bytes(some(games, 0, 2), bomb=[[]] * dice.randrange(20_000, 30_000)),
            lambda: with_arrays(
                good, lambda a: a.__setitem__("\x1b[2J" * dice.randrange(1, 5000), np.zeros(1))
            ),
        ][kind - 1]()
        yield object_name(data, "w0", i + 1), data


@pytest.mark.parametrize("n", [180, pytest.param(1000, marks=pytest.mark.slow)])
def test_nothing_hostile_gets_in_and_nothing_stops(tmp_path, games, place, n):
    good = file_bytes(some(games, 0, 2), "good")
    for name, data in hostile(games, n):
        place.put({name: data})
    place.put({object_name(good, "good", 1): good})
    taken = drain(ingest.Ingest(place, tmp_path, {}))
    assert len(taken) == n + 1
    assert [one.worker for one in taken if one.records is not None] == ["good"]
    reasons = list((tmp_path / "quarantine").glob("*.reason.txt"))
    assert len(reasons) == n
    for said in [*(file.read_text().strip() for file in reasons), *(one.reason for one in taken)]:
        assert len(said) <= 500 and (said.isprintable() or not said)
    assert all(file.stat().st_size for file in reasons)
    assert not list(tmp_path.rglob("pwned"))


def test_a_number_behind_the_newest_is_told(tmp_path, games, place):
    """Of two machines with one worker's name the second begins with other games where the first has
    long been."""
    sent = send(place, games, 3)
    place.delete(sent[:1])
    ingestor = ingest.Ingest(place, tmp_path, {"w0": sent[2]})
    assert drain(ingestor) == []  # what lies there is behind the cursor: it was taken before
    data = file_bytes(some(games, 9, 11))
    place.put({object_name(data, "w0", 1): data})
    (refused,) = drain(ingestor)
    assert "two workers have the id w0" in refused.reason and drain(ingestor) == []
    assert drain(ingest.Ingest(place, tmp_path, {"w0": sent[2]})) == []


def test_a_file_that_nobody_can_fetch_stops_only_its_own_worker_and_not_for_ever(
    tmp_path, games, place, monkeypatch
):
    sent, other = send(place, games, 3, "a"), send(place, games, 3, "b")
    get, now = place.get, ingest.time.monotonic

    def refusing(name, max_bytes):
        if name == sent[1]:
            raise store.Refused("no access")
        return get(name, max_bytes)

    place.get = refusing
    ingestor = ingest.Ingest(place, tmp_path, {})

    def look():
        with contextlib.suppress(store.Unreachable):
            ingestor.poll()
        return [one.name for one in ingestor.pop_arrived()]

    assert look() == [sent[0], *other] and look() == []
    monkeypatch.setattr(ingest.time, "monotonic", lambda: now() + 2 * ingest._PATIENCE_S)
    assert look() == [sent[1], sent[2]]
    assert "no access" in next((tmp_path / "quarantine").glob("*.reason.txt")).read_text()


def test_where_no_file_can_be_fetched_none_is_given_up(tmp_path, games, place, monkeypatch):
    sent, now = send(place, games, 3), ingest.time.monotonic
    bad = FaultyStore(place, fails=0)
    ingestor = ingest.Ingest(bad, tmp_path, {})

    def refusing(name, max_bytes):
        raise store.Unreachable("away")

    bad.get = refusing
    for hours in range(3):
        monkeypatch.setattr(ingest.time, "monotonic", lambda hours=hours: now() + 3600 * hours)
        with pytest.raises(store.Unreachable):
            ingestor.poll()
    del bad.get
    assert [one.name for one in drain(ingestor)] == sent


def test_a_full_disk_stops_no_game_from_being_taken(tmp_path, games, place):
    send(place, games, 2)
    bad = b"x" * 5000
    place.put({object_name(bad, "w0", 3): bad})
    with full_disk():
        taken = drain(ingest.Ingest(place, tmp_path, {}))
    assert [one.records is None for one in taken] == [False, False, True]


def test_a_source_that_no_worker_has_is_refused(games):
    data = file_bytes(some(games, 0, 2), source="teacher-eq")
    with pytest.raises(
        ingest.record.InvalidRecords, match=r"source: expected .*, got 'teacher-eq'"
    ):
        ingest.examine(object_name(data), data)
