"""`hf://` names and downloads, with the real client and a Hub on loopback."""

import sys
from pathlib import Path

import pytest

from tests.support.hub_stub import as_the_hub
from zebjax.common import hub


@pytest.fixture
def running(monkeypatch, tmp_path):
    """A Hub with one repository, and an empty cache."""
    with as_the_hub(monkeypatch, tmp_path / "cache") as stub:
        stub.repos[("model", "me/zeb")] = [
            {"a.pt": b"old", "a-config.json": b"old"},
            {"a.pt": b"new", "a-config.json": b"new", "run.sh": b"#!/bin/sh", "sub/b.pt": b"b"},
        ]
        stub.tags["v1"] = 0
        yield stub


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("hf://me/zeb", hub.HubPath("me/zeb", "", None)),
        ("hf://me/zeb/", hub.HubPath("me/zeb", "", None)),
        ("hf://me/zeb@v1", hub.HubPath("me/zeb", "", "v1")),
        ("hf://me/zeb/a/b.pt@refs/pr/1", hub.HubPath("me/zeb", "a/b.pt", "refs/pr/1")),
        (Path("hf://me/zeb/sub"), hub.HubPath("me/zeb", "sub", None)),  # now hf:/me/zeb/sub
    ],
)
def test_names(url, place):
    assert hub.is_hub(url) and hub.parse(url) == place
    assert hub.parse(str(place)) == place


@pytest.mark.parametrize(
    "url",
    [
        "hf://",
        Path("hf://"),
        "hf://me",
        "hf://me/../x",
        "hf://me/zeb/../other",
        "hf://me/zeb?x",
        "hf://me/z@",
    ],
)
def test_names_that_are_none(url):
    assert hub.is_hub(url)
    with pytest.raises(hub.HubError, match=r"expected hf://USER/REPO, hf://USER/REPO/FILE or"):
        hub.parse(url)
    assert not hub.is_hub("hf") and not hub.is_hub("runs/hf://x") and not hub.is_hub("https://x")


def test_a_file_and_what_lies_beside_it(running):
    file = hub.fetch(hub.parse("hf://me/zeb/a.pt"), ("a-config.json", "a-state.json"))
    assert file.read_bytes() == b"new"
    assert file.with_name("a-config.json").read_bytes() == b"new"
    assert not file.with_name("a-state.json").exists()
    asked = {path.rpartition("/")[2] for _, path in running.log if "/resolve/" in path}
    assert asked == {"a.pt", "a-config.json", "a-state.json"}
    assert hub.fetch(hub.parse("hf://me/zeb/sub/b.pt")).read_bytes() == b"b"


def test_a_revision(running):
    for revision in ("v1", running.sha("model", "me/zeb", 0)):
        file = hub.fetch(hub.parse(f"hf://me/zeb/a.pt@{revision}"), ("a-config.json",))
        assert file.read_bytes() == b"old"
        assert file.with_name("a-config.json").read_bytes() == b"old"
    with pytest.raises(hub.HubError, match="me/zeb has no revision v9"):
        hub.fetch(hub.parse("hf://me/zeb/a.pt@v9"))


def test_offline_from_the_cache(running, monkeypatch):
    place = hub.parse("hf://me/zeb/a.pt")
    hub.fetch(place, ("a-config.json", "a-state.json"))
    from huggingface_hub import constants

    for offline in (True, False):  # as asked for; and because the line is down
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        running.log.clear()
        file = hub.fetch(place, ("a-config.json", "a-state.json"))
        assert file.read_bytes() == b"new" and file.with_name("a-config.json").exists()
        assert running.log == []
        message = "not in the cache; download it once" if offline else "the Hub cannot be reached"
        with pytest.raises(hub.HubError, match=message) as error:
            hub.fetch(hub.parse("hf://me/zeb/sub/b.pt"))
        # What cannot be asked for is not missing.
        assert isinstance(error.value, hub.HubFileMissing) == offline


def test_a_file_beside_that_the_hub_does_not_answer_for_is_not_left_out(running, monkeypatch):
    """A warm start without its training state would begin at step 0."""
    running.files("model", "me/zeb")["a-state.json"] = b"{}"
    place = hub.parse("hf://me/zeb/a.pt")
    running.failing["a-state.json"] = 503
    with pytest.raises(
        hub.HubError, match=r"a-state\.json@0+2: the Hub cannot be reached"
    ) as error:
        hub.fetch(place, ("a-state.json",))
    assert "\n" not in str(error.value)
    running.failing.clear()
    assert hub.fetch(place, ("a-state.json",)).with_name("a-state.json").exists()
    # Where offline work was asked for, the cache is all there is.
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.fetch(place, ("a-state.json", "a-config.json"))


def test_a_file_of_unknown_size_is_not_downloaded(running):
    running.hides_sizes = True
    with pytest.raises(hub.HubError, match="the Hub does not say how large it is"):
        hub.fetch(hub.parse("hf://me/zeb/a.pt"))
    assert all(method == "HEAD" for method, _ in running.log)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hf://me/zeb/c.pt", "me/zeb has no file c.pt"),
        ("hf://me/none/a.pt", r"there is no repository me/none, or it is private; .*HF_TOKEN"),
        ("hf://me/zeb/run.sh", r"expected a file that ends in \.pt"),
        ("hf://me/zeb", r"expected a file that ends in \.pt"),
        ("hf://-me/zeb/a.pt", r"expected hf://USER/REPO"),
    ],
)
def test_what_cannot_be_had_is_named(running, url, message):
    with pytest.raises(hub.HubError, match=f"^{url}: .*{message}") as error:
        hub.fetch(hub.parse(url))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"no access \(status 401\); set HF_TOKEN or run `hf auth login`"),
        (403, r"no access \(status 403\)"),
        (429, "answers with status 429; try again later"),
        ((404, {"X-Error-Code": "RepoNotFound"}), "or it is private"),
        ((403, {"X-Error-Code": "GatedRepo"}), "access must be granted on the repository's page"),
    ],
)
def test_an_answer_that_refuses_is_explained(running, monkeypatch, status, message):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    running.failures = [status] * 10
    with pytest.raises(hub.HubError, match=message) as error:
        hub.fetch(hub.parse("hf://me/zeb/a.pt"))
    assert "hf_secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_too_large_is_not_downloaded(running, monkeypatch):
    monkeypatch.setattr(hub, "MAX_WEIGHTS_BYTES", 2)
    with pytest.raises(hub.HubError, match="3 bytes, more than the 2 allowed"):
        hub.fetch(hub.parse("hf://me/zeb/a.pt"))
    assert all(method == "HEAD" for method, _ in running.log)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(hub.HubError, match=r'needs the extra "hub"; pip install "zebjax\[hub\]"'):
        hub.fetch(hub.parse("hf://me/zeb/a.pt"))
