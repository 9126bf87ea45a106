"""All kinds of stores behave the same."""

import itertools
import os
import socket
import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.support.hub_stub import Hub
from zebjax.distributed import object_store, open, store, weights

_NUMBER = itertools.count()
_FACTS = {
    "step": 3,
    "total_games": 40,
    "wandb_run_id": None,
    "experiment": {},
    "created_at": "2026-11-24T00:00:00",
}


@pytest.fixture(scope="module")
def hub():
    with Hub() as running:
        yield running


@pytest.fixture(scope="module")
def s3():
    """The address of an S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_access(monkeypatch):
    """Tells the client where S3 is; it reads this when a store is opened."""

    def tell(endpoint):
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)

    return tell


def new_bucket(endpoint):
    name = f"bucket-{next(_NUMBER)}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["folder", "memory", "hub", "s3"])
def somewhere(request, tmp_path, monkeypatch):
    """An empty store."""
    if request.param == "folder":
        return open.open_store(str(tmp_path / "store"))
    if request.param == "hub":
        monkeypatch.setenv("HF_ENDPOINT", request.getfixturevalue("hub").url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        return open.open_store(f"hf://me/zeb-{next(_NUMBER)}/run")
    if request.param == "s3":
        endpoint = request.getfixturevalue("s3")
        request.getfixturevalue("s3_access")(endpoint)
        return open.open_store(f"s3://{new_bucket(endpoint)}/run")
    return open.open_store("memory://")


def test_what_was_put_first_stays(somewhere):
    assert somewhere.put({"examples/a/1": b"one", "examples/a/2": b"two"}) == {
        "examples/a/1",
        "examples/a/2",
    }
    assert somewhere.put({"examples/a/2": b"other", "examples/a/3": b"three"}) == {"examples/a/3"}
    assert somewhere.get("examples/a/2", 100) == b"two"


def test_what_only_tells_is_replaced(somewhere):
    assert somewhere.put({}, {"status/a.json": b"1"}) == set()
    somewhere.put({"examples/a/1": b"x"}, {"status/a.json": b"22"})
    assert somewhere.get("status/a.json", 100) == b"22"


def test_who_did_not_create_all_tells_of_nothing(somewhere):
    somewhere.put({"weights/1/manifest": b"mine"}, {"weights/newest": b"mine"})
    theirs = {"weights/1/network": b"x", "weights/1/manifest": b"theirs"}
    assert somewhere.put(theirs, {"weights/newest": b"theirs"}) == {"weights/1/network"}
    assert somewhere.get("weights/newest", 100) == b"mine"


def test_lists_are_ordered_and_go_on_after_a_name(somewhere):
    names = ["examples/a/1", "examples/a/2", "examples/b/1", "weights/1"]
    somewhere.put({name: b"x" * i for i, name in enumerate(reversed(names))})
    assert [entry.name for entry in somewhere.entries("examples")] == names[:3]
    assert [entry.name for entry in somewhere.entries("examples/a", after="examples/a/1")] == [
        "examples/a/2"
    ]
    assert somewhere.entries("examples/a") == [
        store.Entry("examples/a/1", 3),
        store.Entry("examples/a/2", 2),
    ]
    assert somewhere.entries("nothing") == []


def test_only_what_changed_is_fetched(somewhere):
    somewhere.put({}, {"weights/newest.json": b"one"})
    first = somewhere.get_if_changed("weights/newest.json", None, 100)
    assert first.data == b"one"
    assert somewhere.get_if_changed("weights/newest.json", first.tag, 100) is None
    somewhere.put({}, {"weights/newest.json": b"three"})
    second = somewhere.get_if_changed("weights/newest.json", first.tag, 100)
    assert second.data == b"three" and second.tag != first.tag


def test_what_is_not_there_or_too_large_is_said(somewhere):
    with pytest.raises(store.Missing, match="nothing"):
        somewhere.get("nothing", 100)
    with pytest.raises(store.Missing, match="nothing"):
        somewhere.get_if_changed("nothing", None, 100)
    somewhere.put({"large": b"x" * 101})
    with pytest.raises(store.Refused, match="101 bytes"):
        somewhere.get("large", 100)


def test_what_is_deleted_is_gone(somewhere):
    somewhere.put({"a/1": b"x", "a/2": b"y"})
    somewhere.delete(["a/1", "a/3"])
    assert [entry.name for entry in somewhere.entries("a")] == ["a/2"]


@pytest.mark.parametrize(
    "name", ["../out", "/etc/passwd", "a//b", "", "a/../../b", ".hidden", "a b", "x" * 400]
)
def test_names_that_lead_elsewhere_are_refused(somewhere, name):
    for call in (
        lambda: somewhere.put({name: b"x"}),
        lambda: somewhere.get(name, 10),
        lambda: somewhere.delete([name]),
    ):
        with pytest.raises(store.Refused, match="expected a relative path"):
            call()


def test_a_store_that_cannot_be_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(store.StoreError, match="file"):
        open.open_store(str(tmp_path / "file")).put({"a": b"x"})
    with pytest.raises(store.Refused, match="cannot be a store"):
        open.open_store("ftp://host/place")
    with pytest.raises(store.Refused, match="credentials"):
        open.open_store("s3://key:secret@bucket/place")


def test_a_bucket_that_is_not_there_is_refused(s3, s3_access):
    s3_access(s3)
    with pytest.raises(store.Refused, match="there is no such bucket") as caught:
        open.open_store("s3://nobodys-bucket/run").put({"a": b"x"})
    assert "very-secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_unreachable_soon(s3_access):
    with socket.socket() as held:  # bound and not listening: nobody answers there
        held.bind(("127.0.0.1", 0))
        s3_access(f"http://127.0.0.1:{held.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(store.Unreachable):
            object_store.ObjectStore("s3://bucket/run", retry_s=1).put({"a": b"x"})
        assert time.monotonic() - began < 15


# ---- names that are none


def names(place, folder="examples"):
    return [entry.name for entry in place.entries(folder)]


@pytest.mark.parametrize(
    "odd", [b"examples/b/\xff\xfe", b"examples/\xff/1", b"examples/b/tab\t", b"examples/\n/1"]
)
def test_a_file_without_a_possible_name_hides_no_other(tmp_path, odd):
    place = open.open_store(str(tmp_path))
    place.put(
        dict.fromkeys(
            ("examples/a/1", "examples/b/1", "examples/b/2", "examples/c/1", "weights/1"), b"x"
        )
    )
    path = os.path.join(os.fsencode(tmp_path), odd)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    assert names(place) == ["examples/a/1", "examples/b/1", "examples/b/2", "examples/c/1"]
    assert [entry.name for entry in place.entries("examples", "examples/b/1")] == [
        "examples/b/2",
        "examples/c/1",
    ]


@pytest.fixture
def bucket(s3, s3_access):
    """A store on S3, and how a stranger puts keys into it."""
    s3_access(s3)
    name = new_bucket(s3)
    place = open.open_store(f"s3://{name}/run")
    place.put(
        dict.fromkeys(
            ("examples/a/1", "examples/b/1", "examples/b/2", "examples/c/1", "weights/1"), b"x"
        )
    )
    client = boto3.client("s3", endpoint_url=s3)
    return place, lambda key: client.put_object(Bucket=name, Key=f"run/{key}", Body=b"")


@pytest.mark.parametrize(
    "odd",
    [
        ["examples//x"],
        ["examples/../x"],
        ["examples/b//x"],
        ["examples/b/../x"],
        ["examples/b//x", "examples/c/./x"],
        ["examples/", "examples/b/ /x", "examples/.DS_Store/x"],
    ],
)
def test_a_key_without_a_possible_name_hides_no_other(bucket, odd):
    place, put_key = bucket
    for key in odd:
        put_key(key)
    assert names(place) == ["examples/a/1", "examples/b/1", "examples/b/2", "examples/c/1"]
    assert [entry.name for entry in place.entries("examples", "examples/b/1")] == [
        "examples/b/2",
        "examples/c/1",
    ]


def test_keys_that_cannot_be_listed_around_are_said_and_can_be_deleted(bucket):
    place, put_key = bucket
    put_key("examples//x")
    put_key("examples/b//x")
    with pytest.raises(
        store.Unreachable, match=r'cannot be listed \(.*"run/examples/b//x".*\); delete it'
    ):
        place.entries("examples")
    assert names(place, "examples/b") == ["examples/b/1", "examples/b/2"]


def test_a_console_folder_is_no_object_of_its_own(bucket):
    place, put_key = bucket
    put_key("examples/")
    put_key("empty/")
    assert names(place)[0] == "examples/a/1" and names(place, "empty") == []


# ---- weights, which need `put` as it is on every kind of store


def test_who_comes_second_does_not_move_the_pointer(somewhere):
    """A learner that is fenced off after it has looked at its lease."""
    first, put = weights.take_lease(somewhere, {}), somewhere.put

    def put_late(new, replace):
        somewhere.put = put
        weights.publish(somewhere, weights.take_lease(somewhere, {}), b"second", _FACTS)
        return put(new, replace)

    somewhere.put = put_late
    with pytest.raises(weights.Fenced):
        weights.publish(somewhere, first, b"first", _FACTS)
    newest, _ = weights.newest(somewhere)
    assert newest.epoch == 2 and somewhere.get(newest.object, 100) == b"second"


@pytest.mark.parametrize("pointer_was_moved", [True, False])
def test_a_publication_whose_answer_was_lost_is_one(somewhere, pointer_was_moved):
    lease, put = weights.take_lease(somewhere, {}), somewhere.put

    def put_twice(new, replace):
        somewhere.put = put
        put(new, replace if pointer_was_moved else {})
        return put(new, replace)

    somewhere.put = put_twice
    made = weights.publish(somewhere, lease, b"network", _FACTS)
    assert made.generation == 1 and weights.newest(somewhere)[0] == made


def test_a_publication_that_was_cut_short_is_made_whole(somewhere):
    """The parameters came there, the manifest did not, and the next try is of the same
    parameters."""
    lease, put = weights.take_lease(somewhere, {}), somewhere.put

    def put_some(new, replace):
        somewhere.put = put
        return put(dict(list(new.items())[:1])) and put(new, replace)

    somewhere.put = put_some
    made = weights.publish(somewhere, lease, b"network", _FACTS)
    assert weights.newest(somewhere)[0] == made


def test_a_generation_that_another_has_taken_is_left_to_it(somewhere):
    """A fenced learner was quicker by a moment: the one that holds the lease tries again."""
    first = weights.take_lease(somewhere, {})
    second, put = weights.take_lease(somewhere, {}), somewhere.put

    def put_late(new, replace):
        somewhere.put = put
        name = next(name for name in new if name.endswith("manifest.json"))
        put({name: new[name].replace(b'"epoch": 2', b'"epoch": 1')})
        return put(new, replace)

    somewhere.put = put_late
    with pytest.raises(
        store.Unreachable, match="another learner published generation 1 at the same time"
    ):
        weights.publish(somewhere, second, b"network", _FACTS)
    assert weights.publish(somewhere, second, b"network", _FACTS).generation == 2
    assert first.epoch == 1


def test_what_belongs_to_a_publication_comes_with_it(somewhere):
    lease = weights.take_lease(somewhere, {})
    weights.publish(somewhere, lease, b"network", _FACTS, {"tiny.pt": b"torch"})
    assert somewhere.get("tiny.pt", 100) == b"torch"


def test_a_folder_with_a_link_to_itself_is_listed(tmp_path):
    place = open.open_store(str(tmp_path / "store"))
    place.put({f"examples/{name}/1": b"x" for name in "awz"})
    (tmp_path / "store" / "examples" / "loop").symlink_to(tmp_path / "store" / "examples")
    assert [entry.name for entry in place.entries("examples")] == [
        f"examples/{name}/1" for name in "awz"
    ]


def test_a_folder_that_is_gone_is_not_an_empty_one(tmp_path):
    place = open.open_store(str(tmp_path / "store"))
    place.put({"examples/a/1": b"x"})
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").touch()
    with pytest.raises(store.Unreachable):
        place.entries("examples")
