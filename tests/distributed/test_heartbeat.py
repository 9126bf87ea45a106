"""Heartbeats: malformed ones are ignored, and a silent process counts as dead after long enough."""

import json
import time

import numpy as np
import pytest

from zebjax import status
from zebjax.distributed import heartbeat, object_store, open, spool, store
from zebjax.operations.watching import facts, target


@pytest.fixture
def place(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def beat(role, name, count="1", every_s=5, **facts):
    return heartbeat.to_bytes(role, name, count, every_s, facts)


def all_there(place, **facts):
    place.put(
        {},
        {
            heartbeat.LEARNER: beat("learner", "x"),
            spool.status_name("good"): beat("selfplay", "good", **facts),
        },
    )


def looked(place):
    watch = heartbeat.Watch(place)
    watch.poll()
    return watch


# ---- one odd object


@pytest.mark.parametrize(
    "odd",
    [
        b"x" * (1 << 17),
        b'{"every_s": 1%s}' % (b"0" * 400),
        b'{"every_s": NaN, "time_s": -Infinity, "last_batch_s": 1e999}',
        b'{"role": "selfplay", "count": ' + b"[" * 800 + b"]" * 800 + b"}",
        b'{"role": ["selfplay"], "state": {}, "time_s": true}',
    ],
)
def test_an_odd_sign_is_a_silent_process(place, odd):
    all_there(place)
    place.put({}, {spool.status_name("bad"): odd})
    watch = looked(place)
    assert watch.all_alarms() == [] and watch.workers["good"].is_alive()
    place.put({}, {heartbeat.LEARNER: odd, spool.status_name("good"): odd})
    watch.poll()
    told = facts.poll(heartbeat.Watch(place))
    assert told["alarms"] == ["learner_down", "no_selfplay"]
    json.loads(json.dumps(told, allow_nan=False))


def test_a_sign_that_grew_too_large_leaves_the_last_one(place):
    all_there(place)
    watch = looked(place)
    place.put({}, {spool.status_name("good"): b"x" * (1 << 17)})
    watch.poll()
    assert watch.workers["good"].status["role"] == "selfplay"


@pytest.mark.parametrize(
    "name", [".DS_Store/status.json", "a b/status.json", ".nfs1", "deep/er/status.json", "file"]
)
def test_odd_names_below_examples_are_no_workers(tmp_path, place, name):
    all_there(place)
    path = tmp_path / "store" / "examples" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"{}")
    assert list(looked(place).workers) == ["good"]


def test_a_file_where_a_workers_folder_should_be_hides_no_other(tmp_path, place):
    all_there(place)
    (tmp_path / "store" / "examples" / "foo").write_bytes(b"{}")
    (tmp_path / "store" / "examples" / "bar" / "status.json").mkdir(parents=True)
    assert looked(place).all_alarms() == []


def test_a_key_that_names_the_folder_itself_is_no_worker():
    class Console(object_store.ObjectStore):
        def entries(self, folder, after=""):
            return [store.Entry(folder, 0), *super().entries(folder, after)]

    place = Console("memory://")
    all_there(place)
    assert looked(place).all_alarms() == []


def test_one_sign_that_cannot_be_read_is_not_the_store(place):
    all_there(place)
    place.put({}, {spool.status_name("bad"): b"{}"})
    get = place.get_if_changed

    def get_if_changed(name, tag, max_bytes):
        if "/bad/" in name or (away and "/good/" in name):
            raise store.Unreachable("as asked for")
        return get(name, tag, max_bytes)

    away, place.get_if_changed = False, get_if_changed
    watch = looked(place)
    assert watch.all_alarms() == []
    away = True
    watch.poll()
    assert list(watch.workers) == ["good"]


@pytest.mark.parametrize("call", ["entries", "get_if_changed"])
def test_a_store_that_is_away_is_said(place, call):
    """The learner's sign decides whether another may start: it is not passed over."""
    all_there(place)

    def fail(*arguments):
        raise store.Unreachable("away")

    setattr(place, call, fail)
    with pytest.raises(store.Unreachable):
        looked(place)


def test_nobody_lives_for_ever_by_saying_that_it_is_slow(place, monkeypatch):
    all_there(place, every_s=1e200)
    watch = looked(place)
    now = time.time()
    monkeypatch.setattr(heartbeat.time, "time", lambda: now + 7 * 86_400)
    assert not watch.workers["good"].is_alive()


def test_giving_a_sign_never_fails():
    facts = {
        "count": np.int64(3),
        "path": spool.Path("x"),
        (1, 2): 3,
        "odd": float("nan"),
        "bytes": b"x",
    }
    told = json.loads(heartbeat.to_bytes("learner", "\udcff", "1", 5, facts))
    assert told["role"] == "learner" and told["path"] == "x"


# ---- the table


def rows(capsys, place, *arguments):
    code = status.main([place.where, "--watch-s", "0", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    "facts",
    [
        {"host": "[/red]", "state": "[bold"},
        {
            "host": 5,
            "name": 1.5,
            "games": "many",
            "step": "x",
            "games_per_s": "fast",
            "spooled_files": {},
        },
        {"role": 5},
        {"host": "\x1b[31mred\n\x07"},
        {"games_per_s": 10**400, "games": 10**400, "step": 10**5000},
        {"host": "x" * 20_000},
        {"games_per_s": float("nan"), "last_batch_s": float("inf"), "step": float("nan")},
    ],
)
def test_whatever_a_sign_says_the_table_stands(place, capsys, facts):
    every = json.dumps(
        {"role": "selfplay", "name": "odd", "count": "1", "time_s": time.time(), "every_s": 5}
    )
    try:
        sign = json.dumps(json.loads(every) | facts).encode()
    except ValueError:  # an integer too long to print: as it would come from elsewhere
        sign = every[:-1].encode() + b', "step": ' + b"9" * 4000 + b"}"
    place.put({}, {heartbeat.LEARNER: sign, spool.status_name("odd"): sign})
    _, out = rows(capsys, place)
    assert "host" in out and "\x1b" not in out and max(map(len, out.splitlines())) <= 120
    _, out = rows(capsys, place, "--json")
    json.loads(out, parse_constant=lambda name: pytest.fail(name))


def test_markup_is_shown_as_it_is(place, capsys):
    all_there(place, host="[red]box")
    assert "[red]box" in rows(capsys, place)[1]


def test_batches_are_shown_and_dropped_games_where_there_are_some(place, capsys):
    all_there(place, batches=1234, dropped_games=0)
    code, out = rows(capsys, place)
    assert code == 0 and "batches" in out and "1,234" in out and "dropped" not in out
    assert json.loads(rows(capsys, place, "--json")[1])["processes"][1]["batches"] == 1234
    all_there(place, batches=1234, dropped_games=77)
    out = rows(capsys, place)[1]
    assert "dropped" in out and "77" in out


# ---- how long is watched


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where somebody sleeps; the seconds slept."""
    slept = []
    began, today = time.monotonic(), time.time()
    for module in (status.time, heartbeat.time):
        monkeypatch.setattr(module, "monotonic", lambda: began + sum(slept))
        monkeypatch.setattr(module, "time", lambda: today + sum(slept))
    monkeypatch.setattr(status.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(("every_s", "expected"), [(1, 15), (60, 180), (1e9, 3600)])
def test_who_seems_silent_is_watched_as_long_as_its_signs_take(
    place, clock, capsys, every_s, expected
):
    all_there(place, every_s=every_s, time_s=time.time() - 10**7)
    assert status.main([place.where]) == 1
    assert expected <= sum(clock) <= expected + 2


def test_the_user_says_how_long_is_watched(place, clock, capsys):
    all_there(place, every_s=60, time_s=time.time() - 10**7)
    assert status.main([place.where, "--watch-s", "3"]) == 1
    assert 3 <= sum(clock) <= 5


def test_who_is_not_there_at_all_is_not_waited_for(place, clock, capsys):
    place.put({}, {heartbeat.LEARNER: beat("learner", "x")})
    assert status.main([place.where]) == 1
    assert not clock


def test_live_goes_on_while_the_store_is_away(place, clock, capsys, monkeypatch):
    all_there(place)
    looks, look = [], target.StoreRun.poll

    def look_or_not(run):
        looks.append(1)
        if len(looks) == 2:
            raise store.Unreachable("the line was [cut]")
        if len(looks) == 4:
            raise KeyboardInterrupt
        return look(run)

    monkeypatch.setattr(target.StoreRun, "poll", look_or_not)
    assert status.main([place.where, "--live"]) == 130
    before, cut, after = capsys.readouterr().out.split("no weights published")[1:]
    assert "good" in before and "the line was" not in before
    assert "the line was [cut]" in cut and "good" in cut
    assert "the line was" not in after and "all well" in after
