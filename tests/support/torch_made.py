"""Torch files for tests: one that torch wrote, and zips, tensors and pickles put together by
hand."""

import io
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
