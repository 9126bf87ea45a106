"""Torch files for tests: one written by torch, and zips, tensors and pickles made by hand."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import pickle as torch_pickle
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.pickle import Call, Name, Persistent

TORCH_MADE = Path(__file__).parents[1] / "data" / "torch_mixed.pt"
FLOAT = Name("torch", "FloatStorage")
REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
SIX = np.arange(6, dtype=np.float32).tobytes()


def make_zip(entries, root="x", compression=zipfile.ZIP_STORED):
    """A zip of (name, bytes) pairs; names are under `root` unless it is None."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name if root is None else f"{root}/{name}", content)
    return buffer.getvalue()


def storage(kind=FLOAT, key="0", count=6):
    return Persistent(("storage", kind, key, "cpu", count))


def tensor(reference=None, offset=0, size=(2, 3), stride=(3, 1), grad=False, hooks=None, *more):
    hooks = OrderedDict() if hooks is None else hooks
    return Call(
        REBUILD,
        (storage() if reference is None else reference, offset, size, stride, grad, hooks, *more),
    )


def parse_tree(tree, data=(("data/0", SIX),), **limits):
    return parse_pickle(torch_pickle.dump(tree), data, **limits)


def parse_pickle(raw, data=(("data/0", SIX),), **limits):
    return torch_archive.parse(make_zip([("data.pkl", raw), *data]), "some.pt", Limits(**limits))


class Tensor:
    """Pickles, by the ordinary pickler, as a CPU tensor of torch does."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def __reduce_ex__(self, protocol):
        rows = self.array.shape
        stride = tuple(int(np.prod(rows[axis + 1 :])) for axis in range(len(rows)))
        torch = sys.modules["torch._utils"]
        arguments = (_Storage(self.array), 0, rows, stride, False, OrderedDict())
        return torch._rebuild_tensor_v2, arguments


class _Storage:
    def __init__(self, array):
        self.array = array


_STORAGES = {"float32": "Float", "float64": "Double", "int64": "Long", "uint8": "Byte"}


def save(value):
    """The bytes that `torch.save` writes of a value, with `Tensor`s for tensors.

    The pickle is the ordinary pickler's, so that any object in it is there as in a real file.
    """
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        raise AssertionError("nothing in a file is called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in _STORAGES.values():
        setattr(torch, f"{name}Storage", type(f"{name}Storage", (), {"__module__": "torch"}))
    contents = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, _Storage):
                return None
            contents.append(item.array.tobytes())
            kind = getattr(torch, f"{_STORAGES[item.array.dtype.name]}Storage")
            return ("storage", kind, str(len(contents) - 1), "cpu", item.array.size)

    buffer = io.BytesIO()
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        Pickler(buffer, protocol=2).dump(value)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    entries = [("data.pkl", buffer.getvalue()), ("byteorder", b"little")]
    entries += [(f"data/{key}", content) for key, content in enumerate(contents)]
    return make_zip([*entries, ("version", b"3\n")], root="archive")
