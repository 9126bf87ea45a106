"""What is deleted from a store, and what never is."""

import pytest

from zebjax.distributed import open, spool
from zebjax.distributed.pruner import Pruner
from zebjax.distributed.store import Unreachable
from zebjax.training.workers_config import StoreConfig


@pytest.fixture
def store(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def put(store, worker, n):
    """Put `n` example files of a worker; their names."""
    names = [
        spool.object_name(worker, number, f"{worker} {number}".encode())
        for number in range(1, n + 1)
    ]
    store.put({name: name.encode() for name in names})
    return names


def there(store):
    return sorted(entry.name for entry in store.entries("examples"))


def config(keep_examples=2):
    return StoreConfig(keep_examples=keep_examples, upload_interval_s=0.0)


def test_only_what_the_save_before_the_newest_covers_is_deleted(store):
    """If the newest save is damaged, the run resumes from the one before and needs what follows."""
    names = put(store, "a", 9)
    pruner = Pruner(store, config(), {})
    pruner.prune_examples()
    assert there(store) == names  # no save yet
    pruner.saved({"a": names[4]})
    pruner.prune_examples()
    assert there(store) == names  # a run that began with an empty cursor would begin there
    pruner.saved({"a": names[7]})
    pruner.prune_examples()
    assert there(store) == names[5:]


def test_the_newest_files_of_each_worker_stay(store):
    a, b = put(store, "a", 4), put(store, "b", 1)
    pruner = Pruner(store, config(keep_examples=4), {})
    for _ in range(2):
        pruner.saved({"a": a[-1], "b": b[-1]})
    pruner.prune_examples()
    assert there(store) == sorted(a[2:] + b)


def test_a_worker_that_the_cursor_does_not_know_loses_nothing(store):
    names = put(store, "new", 5)
    pruner = Pruner(store, config(keep_examples=1), {})
    for _ in range(2):
        pruner.saved({"a": "examples/a/x"})
    pruner.prune_examples()
    assert there(store) == names


def test_a_failed_delete_is_tried_again(store, monkeypatch):
    names = put(store, "a", 5)
    pruner = Pruner(store, config(keep_examples=1), {})
    for _ in range(2):
        pruner.saved({"a": names[-1]})

    def fail(names):
        raise Unreachable("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "delete", lambda self, names: fail(names))
        with pytest.raises(Unreachable):
            pruner.prune_examples()
    assert there(store) == names
    pruner.prune_examples()
    assert there(store) == names[-1:]
