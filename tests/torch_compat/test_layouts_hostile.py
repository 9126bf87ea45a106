"""Hostile checkpoints: nothing is called, no attribute is set, one kind of error."""

import argparse
import collections
import io
import os
import pathlib
import zipfile

import numpy as np
import pytest

from tests.support.torch_made import TORCH_MADE, make_zip, save
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import tolerant
from zebjax.torch_compat import weights as torch_weights
from zebjax.torch_compat.pickle import TorchFileError

FIELDS = {"embed_dim": 16, "n_heads": 2, "n_layers": 2, "ff_dim": 24}


class Caller:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.reduction = function, arguments

    def __reduce__(self):
        return self.reduction


@pytest.mark.parametrize("place", ["beside", "weight", "config", "count", "state", "key"])
def test_nothing_is_ever_called(read, tensors, tmp_path, place):
    proof = tmp_path / "proof"
    for call in (
        Caller(os.system, f"touch {proof}"),
        Caller(eval, f"__import__('pathlib').Path({str(proof)!r}).touch()"),
        Caller(getattr, Caller(__import__, "os"), "system"),
    ):
        content = {"model_state_dict": dict(tensors), "model_config": dict(FIELDS), "epoch": 1}
        if place == "beside":
            content["optimizer_state_dict"] = {"state": [call, {"x": call}]}
            assert read(content).provenance.step == 1
        elif place == "count":
            assert read({**content, "epoch": call}).provenance.step is None
        else:
            if place == "weight":
                content["model_state_dict"]["policy_proj.bias"] = call
            elif place == "config":
                content["model_config"]["n_heads"] = call
            elif place == "state":
                content["model_state_dict"] = call
            else:
                content["model_state_dict"]["more"] = call
            with pytest.raises(TorchFileError):
                read(content)
        assert not proof.exists()


def test_attributes_of_foreign_objects_are_not_set(read, tensors):
    """BUILD on a name of ours would be a way in, were anything built."""
    file = save({"model_state_dict": tensors, "model_config": FIELDS})
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    raw = contents["archive/data.pkl"]
    evil = b"czebjax.torch_compat.weights\nread\n}X\x01\x00\x00\x00aK\x01sb"
    contents["archive/data.pkl"] = raw[:2] + evil + b"0" + raw[2:]
    with pytest.raises(TorchFileError, match="sets attributes of plain data"):
        read(make_zip(contents.items(), root=None))
    assert not hasattr(torch_weights.read, "a")


def test_mutated_pickles_never_raise_anything_else(tensors):
    """With right checksums, and objects of many kinds in them."""
    data = save(
        {
            "model_state_dict": dict(list(tensors.items())[:3]),
            "rng": ("MT19937", np.arange(3)),
            "config": argparse.Namespace(**FIELDS),
            "n": [np.int64(3), {1, 2}, 2**70, b"bytes", collections.deque([1])],
            "path": pathlib.PosixPath("a/b"),
        }
    )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    original = entries.pop("archive/data.pkl")
    rng = np.random.default_rng(1)
    accepted = 0
    for trial in range(3000):
        mutated = bytearray(original)
        for _ in range(1 + trial % 3):
            kind, where = rng.integers(3), int(rng.integers(len(mutated)))
            if kind == 0:
                mutated[where] = rng.integers(256)
            elif kind == 1:
                del mutated[where : where + int(rng.integers(1, 9))]
            else:
                mutated[where:where] = mutated[int(rng.integers(len(mutated))) :][:20]
        try:
            tolerant.load_around(bytes(mutated), torch_archive._ALLOWED)
            file = torch_archive.TorchFile(
                make_zip([("archive/data.pkl", bytes(mutated)), *entries.items()], root=None)
            )
            if isinstance(file.tree, dict):
                for node in file.tree.values():
                    scalar = file.scalar(node)
                    assert scalar is None or type(scalar) in (str, int, float, bool)
            accepted += 1
        except TorchFileError:
            continue
    assert accepted > 100


def test_a_file_that_torch_wrote_reads_the_same_both_ways():
    strict = torch_archive.read(TORCH_MADE)
    file = torch_archive.TorchFile(TORCH_MADE.read_bytes())
    loose = file.value(file.tree)
    assert list(loose) == list(strict) and loose["plain"] == strict["plain"]
    assert all(
        loose[name].tobytes() == strict[name].tobytes() for name in strict if name != "plain"
    )
