"""A store that fails as real stores do, and game files to send through it."""

import contextlib
import random
import resource

import safetensors.numpy

from zebjax import record
from zebjax.distributed import spool, store


class FaultyStore:
    """A real store behind a bad line: calls fail, before or after they did their work, or bring
    half of the bytes."""

    def __init__(self, inner, fails=0.3, truncates=0.0, seed=0):
        self.inner, self.fails, self.truncates = inner, fails, truncates
        self.where, self.gone = inner.where, False
        self.calls = self.failed = 0
        self._random = random.Random(seed)

    def _call(self, name, *arguments):
        self.calls += 1
        fault = self._random.random() < self.fails
        early = fault and self._random.random() < 0.5
        if self.gone or early:
            self.failed += 1
            raise store.Unreachable(f"{name}: lost before it came there")
        result = getattr(self.inner, name)(*arguments)
        if fault:
            self.failed += 1
            raise store.Unreachable(f"{name}: done, but the answer was lost")
        return result

    def put(self, new, replace={}):  # noqa: B006
        return self._call("put", new, replace)

    def entries(self, folder, after=""):
        return self._call("entries", folder, after)

    def get(self, name, max_bytes):
        data = self._call("get", name, max_bytes)
        if self._random.random() < self.truncates:
            return data[: len(data) // 2]
        return data

    def get_if_changed(self, name, tag, max_bytes):
        return self._call("get_if_changed", name, tag, max_bytes)

    def delete(self, names):
        return self._call("delete", names)


@contextlib.contextmanager
def full_disk(n_bytes=100):
    """No file can grow beyond so many bytes, which writers meet as an OSError, as on a disk that is
    full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def file_bytes(games, worker="w0", source="selfplay-mcts", step=0, **search):
    """A record file as bytes."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "games.safetensors"
        record.write(path, games, record.Metadata(source, worker, step, search))
        return path.read_bytes()


def object_name(data, worker="w0", sequence=1):
    """The name that a worker would give it."""
    return spool.object_name(worker, sequence, data)


def with_arrays(data, change):
    """The same file with its arrays as `change` leaves them."""
    import json

    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    arrays = {name: array.copy() for name, array in safetensors.numpy.load(data).items()}
    change(arrays)
    return safetensors.numpy.save(arrays, metadata)
