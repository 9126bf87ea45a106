"""A store on the Hub: commits, polls, faults and access. Common behaviour is in test_store."""

import threading
import time

import pytest

from tests.support.hub_stub import Hub
from zebjax.distributed import hub_store, open, store, weights


@pytest.fixture
def hub(monkeypatch):
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield running


@pytest.fixture
def place(hub):
    return hub_store.HubStore("hf://me/zeb/run", retry_s=3)


def test_what_is_put_together_is_one_commit_a_repository(hub, place):
    place.put({f"examples/w/{i}": b"x" for i in range(5)}, {"examples/w/status.json": b"{}"})
    assert hub.commits("dataset", "me/zeb-examples") == 1 and ("model", "me/zeb") not in hub.repos
    assert sorted(hub.files("dataset", "me/zeb-examples"))[0] == "run/examples/w/0"
    place.put({"weights/1": b"x", "examples/w/9": b"x"})
    assert (hub.commits("model", "me/zeb"), hub.commits("dataset", "me/zeb-examples")) == (1, 2)
    assert place.put({"weights/1": b"other"}) == set()
    assert hub.commits("model", "me/zeb") == 1  # nothing to write is no commit


def test_a_poll_of_what_has_not_changed_is_one_head(hub, place):
    place.put({}, {"weights/newest.json": b"one"})
    tag = place.get_if_changed("weights/newest.json", None, 100).tag
    hub.log.clear()
    assert place.get_if_changed("weights/newest.json", tag, 100) is None
    assert [method for method, _ in hub.log] == ["HEAD"]


def test_of_many_that_create_one_object_at_once_one_does(hub, place):
    place.put({"weights/0": b"x"})
    created = []

    def create(i):
        created.append(
            hub_store.HubStore("hf://me/zeb/run", retry_s=20).put({"leases/1": b"%d" % i})
        )

    threads = [threading.Thread(target=create, args=(i,)) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(map(len, created)) == [0, 0, 0, 1]


def test_large_files_come_back_as_they_went(hub, place):
    data = bytes(range(256)) * 12_000  # 3 MB: beside the commit
    place.put({"weights/large.safetensors": data})
    assert place.get("weights/large.safetensors", 1 << 24) == data
    assert any(path.endswith("/objects/batch") for _, path in hub.log)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_gone_for_a_moment_is_tried_again(hub, place, status):
    place.put({"a": b"x"})
    hub.failures += [status] * 2
    assert place.put({"b": b"y"}) == {"b"}
    assert place.get("b", 10) == b"y"


def test_a_hub_that_asks_for_patience_gets_it(hub, place):
    place.put({"a/b": b"x"})
    hub.failures.append((429, {"Retry-After": "1"}))
    began = time.monotonic()
    assert len(place.entries("a")) == 1
    assert 1 <= time.monotonic() - began < 3
    hub.failures.append(
        (429, {"Retry-After": "60"})
    )  # longer than this call may take: the next poll comes soon enough
    with pytest.raises(store.Unreachable, match="status 429"):
        place.entries("a")


def test_what_the_original_reads_lies_where_it_looks(hub, place):
    place.put({"weights/1": b"x"}, {"run.pt": b"y", "weights/newest.json": b"{}"})
    assert sorted(hub.files("model", "me/zeb")) == [
        "run.pt",
        "run/weights/1",
        "run/weights/newest.json",
    ]
    assert place.get("run.pt", 10) == b"y"


def test_a_hub_that_is_gone_is_unreachable_for_now(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    gone = hub_store.HubStore("hf://me/zeb/run", retry_s=0.5)
    for call in (
        lambda: gone.put({"a": b"x"}),
        lambda: gone.get("a", 10),
        lambda: gone.entries("a"),
    ):
        with pytest.raises(store.Unreachable) as caught:
            call()
        assert "hf_secret" not in str(caught.value)


def test_no_access_says_what_to_do(hub, place):
    hub.repos[("dataset", "me/zeb-examples")] = [{}]
    hub.forbidden |= {"me/zeb-examples", "me/zeb"}
    for name in ("examples/w/1", "weights/1"):
        said = r"\(status 403\): the token has no right to do this; looked for it in HF_TOKEN, then"
        with pytest.raises(store.Refused, match=said) as caught:
            place.put({name: b"x"})
        assert "hf_secret" not in str(caught.value)


def test_two_that_create_the_same_bytes_at_once_count_once(hub, place):
    """The client makes no commit of a file that is there already, and says nothing of it."""
    place.put({"weights/0": b"x"})
    other = hub_store.HubStore("hf://me/zeb/run")
    existing = place._existing

    def meanwhile(*arguments):
        found = existing(*arguments)
        other.put({"leases/1": b"same"})
        return found

    place._existing = meanwhile
    assert place.put({"leases/1": b"same"}) == set()
    assert hub.commits("model", "me/zeb") == 2


def test_new_objects_are_there_before_what_tells_of_them(hub, place):
    place.put({"examples/w/1": b"x", "weights/1": b"x"})
    hub.log.clear()
    place.put({"examples/w/2": b"x"}, {"status/w.json": b"{}"})
    written = [path.split("/")[2] for _, path in hub.log if "/commit/" in path]
    assert written == ["datasets", "models"]


def test_deleting_makes_no_repository(hub, place):
    place.delete(["examples/w/1", "weights/1"])
    assert hub.repos == {}


def test_names_that_nobody_of_us_gave_are_left_out(hub, place):
    place.put({"weights/1": b"x"})
    hub.files("model", "me/zeb")["run/weights/.hidden"] = b"x"
    hub.files("model", "me/zeb")["weights/of another run"] = b"x"
    assert place.entries("weights") == [store.Entry("weights/1", 1)]


@pytest.mark.parametrize(
    "url", ["hf://me", "hf://me/", "hf://../x", "hf://me/zeb/../other", "hf://me/zeb?x"]
)
def test_a_url_that_names_no_repository_is_refused(url):
    with pytest.raises(store.Refused, match="expected hf://USER/REPO"):
        open.open_store(url)


def test_a_token_that_is_not_good_is_refused(hub, place):
    place.put({"weights/1": b"x"})
    for call in (
        lambda: place.get("weights/1", 10),
        lambda: place.put({"b": b"x"}),
        lambda: place.entries("weights"),
    ):
        hub.failures[:] = [401] * 4
        said = r"no access \(status 401\): the Hub does not accept the token"
        with pytest.raises(store.Refused, match=said) as caught:
            call()
        assert "hf_secret" not in str(caught.value)


def test_without_a_token_it_says_so_and_where_it_looked(hub, place, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    hub.failures[:] = [401] * 4
    with pytest.raises(store.Refused, match="no token found; looked for it in HF_TOKEN, then in /"):
        place.entries("weights")


def test_a_hub_that_never_recovers_is_given_up(hub):
    place = hub_store.HubStore("hf://me/zeb", retry_s=1)
    hub.failures += [503] * 1000
    for call in (
        lambda: place.put({"a": b"x"}),
        lambda: place.get("a", 10),
        lambda: place.entries("a"),
    ):
        began = time.monotonic()
        with pytest.raises(store.Unreachable, match="status 503"):
            call()
        assert time.monotonic() - began < 10


FACTS = {
    "step": 3,
    "total_games": 40,
    "wandb_run_id": None,
    "experiment": {},
    "created_at": "2026-11-24T00:00:00",
}


def test_a_publication_is_one_commit(hub, place):
    lease = weights.take_lease(place, {})
    before = hub.commits("model", "me/zeb")
    weights.publish(place, lease, b"network", FACTS, {"tiny.pt": b"torch"})
    assert hub.commits("model", "me/zeb") == before + 1


def test_a_commit_whose_answer_is_lost_is_one_publication(hub, place, monkeypatch):
    lease = weights.take_lease(place, {})
    before, commit = hub.commits("model", "me/zeb"), place._api.create_commit

    def commit_and_fail(**arguments):
        monkeypatch.setattr(place._api, "create_commit", commit)
        commit(**arguments)
        raise OSError("the line was cut")

    monkeypatch.setattr(place._api, "create_commit", commit_and_fail)
    made = weights.publish(place, lease, b"network", FACTS)
    assert weights.newest(place)[0] == made
    assert hub.commits("model", "me/zeb") == before + 1


def test_who_takes_a_lease_makes_the_repository_of_the_examples(hub, place):
    weights.take_lease(place, {})
    assert ("dataset", "me/zeb-examples") in hub.repos
    hub.log.clear()
    weights.take_lease(place, {})
    assert not any(path == "/api/repos/create" for _, path in hub.log)
