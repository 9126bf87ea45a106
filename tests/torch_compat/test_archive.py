"""Torch files are read and written exactly; a hostile file gives one kind of error."""

import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from tests.support.torch_made import (
    FLOAT,
    REBUILD,
    SIX,
    TORCH_MADE,
    make_zip,
    parse_tree,
    storage,
    tensor,
)
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import pickle as torch_pickle
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.pickle import Call, Name, Persistent, TorchFileError

# --- good files ---


def test_a_file_made_by_torch_reads_exactly():
    """Every type, and views: transposed, windowed, tied, expanded; see data/make_torch_mixed.py."""
    got = torch_archive.read(TORCH_MADE)
    base = np.arange(24, dtype=np.float32).reshape(4, 6) / np.float32(7)
    expected = {
        "float32": base,
        "transposed": base.T,
        "window": base[1:3, 2:5],
        "tied": base,
        "expanded": np.full((3, 4), 2.5, np.float32),
        "parameter": base + np.float32(1),
        "buffer_with_grad": np.ones(2, np.float32),
        "bfloat16": (base - np.float32(1)).astype(ml_dtypes.bfloat16),
        "float16": (base - np.float32(1)).astype(np.float16),
        "float64": base.astype(np.float64) / 3,
        "int64": np.array([-(2**62), 7]),
        "int32": np.array([-5, 2**30], np.int32),
        "int16": np.array([-300], np.int16),
        "int8": np.array([-128, 127], np.int8),
        "uint8": np.array([0, 255], np.uint8),
        "bool": np.array([[True], [False]]),
        "scalar": np.array(3.25, np.float32),
        "empty": np.zeros((0, 5), np.float32),
    }
    assert list(got) == [*expected, "plain"]
    for name, array in expected.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape), name
        assert got[name].tobytes() == array.tobytes(), name
        assert not got[name].flags.writeable
    assert np.shares_memory(got["float32"], got["tied"])
    assert got["plain"] == {
        "none": None,
        "yes": True,
        "no": False,
        "ints": [0, 255, 256, 65536, -1, 2**31, -(2**40)],
        "float": -0.1,
        "text": "ünï",
        "pair": (1, ("a", [])),
        5: {},
    }


def test_reads_examples_of_the_original(reference_path):
    examples = torch_archive.read(reference_path("examples_selfplay.pt"))
    shapes = {
        name: (value.dtype, value.shape) for name, value in examples.items() if name != "metadata"
    }
    assert shapes == {
        "observations": (np.int32, (448, 36, 8)),
        "masks": (np.bool_, (448, 36)),
        "hand_indices": (np.int64, (448, 7)),
        "hand_masks": (np.bool_, (448, 7)),
        "policy_targets": (np.float32, (448, 7)),
        "value_targets": (np.float32, (448,)),
        "belief_targets": (np.int64, (448, 28)),
        "belief_mask": (np.bool_, (448, 28)),
    }
    assert examples["belief_mask"].sum() == 448 * 21
    np.testing.assert_array_equal(examples["hand_indices"], np.tile(np.arange(1, 8), (448, 1)))
    assert set(np.unique(examples["value_targets"])) <= {-1, 0, 1}
    assert examples["metadata"]["source"] == "selfplay-mcts"
    assert examples["metadata"]["mcts_config"] == {
        "n_simulations": 32,
        "temperature": 1.0,
        "max_mcts_nodes": 64,
    }


def test_what_is_written_reads_back(tmp_path):
    content = torch_archive.read(TORCH_MADE)
    torch_archive.write(tmp_path / "a.pt", content)
    again = torch_archive.read(tmp_path / "a.pt")
    assert list(again) == list(content) and again["plain"] == content["plain"]
    for name in content.keys() - {"plain"}:
        assert again[name].dtype == content[name].dtype
        assert (
            again[name].shape == content[name].shape
            and again[name].tobytes() == content[name].tobytes()
        )
        assert again[name].flags.c_contiguous
    first = (tmp_path / "a.pt").read_bytes()
    torch_archive.write(tmp_path / "a.pt", content)
    assert (tmp_path / "a.pt").read_bytes() == first
    assert os.listdir(tmp_path) == ["a.pt"]
    for bad in ({"a": {1, 2}}, np.zeros(2, np.complex64), np.array(["text"])):
        with pytest.raises(TypeError, match="cannot write"):
            torch_archive.write(tmp_path / "b.pt", bad)
    assert os.listdir(tmp_path) == ["a.pt"]


def test_written_storages_are_aligned():
    raw = torch_archive.serialise(
        {"a": np.arange(3.0), "b": np.arange(5, dtype=np.int8)}, "weights"
    )
    for array in (np.arange(3.0), np.arange(5, dtype=np.int8)):
        assert raw.index(array.tobytes()) % 64 == 0


# --- tensors against their storages ---


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (tensor(stride=(4, 1)), "reaches element 6, but there are 6"),
        (tensor(offset=1), "reaches element 6"),
        (tensor(offset=2**62), "reaches element"),
        (tensor(offset=-1), "malformed"),
        (tensor(stride=(-3, 1)), "malformed"),
        (tensor(size=(-2, 3)), "malformed"),
        (tensor(size=(2, True)), "malformed"),
        (tensor(size=(2.0, 3)), "malformed"),
        (tensor(size=[2, 3]), "malformed"),
        (tensor(stride=(1,)), "malformed"),
        (tensor(size=(2**62, 2**62), stride=(0, 0)), "more than the .* bytes allowed"),
        (tensor(size=(0, 2**62, 2**62), stride=(0, 0, 0)), "more than the .* bytes allowed"),
        (tensor(size=(1,) * 100, stride=(0,) * 100), "has 100 axes"),
        (tensor(storage(count=7)), "has 24 bytes, expected 7 elements of float32"),
        (tensor(storage(count=5)), "has 24 bytes, expected 5 elements"),
        (tensor(storage(count=2**62)), "has 24 bytes"),
        (tensor(storage(count=-6)), "has 24 bytes"),
        (
            tensor(storage(Name("torch", "DoubleStorage"))),
            "has 24 bytes, expected 6 elements of float64",
        ),
        (tensor(storage(key="1")), "storage '1' is missing"),
        (tensor(storage(key="../data/0")), "is missing"),
        (tensor(storage(key=0)), "storage 0 is missing"),
        (tensor(storage(REBUILD)), "type that cannot be read"),
        (tensor(storage("FloatStorage")), "type that cannot be read"),
        (tensor(Persistent("0")), "other than a storage"),
        (tensor(Persistent(("module", FLOAT, "0", "cpu", 6))), "other than a storage"),
        (tensor(SIX.hex()), "other than a storage"),
        (tensor(hooks=OrderedDict(a=1)), "hooks"),
        (tensor(None, 0, (2, 3), (3, 1), False, None, {"neg": True}), "metadata"),
        (Call(REBUILD, (storage(),)), "arguments that it does not take"),
        (Call(FLOAT, (6,)), "arguments that it does not take"),
        (Call(Name("torch._utils", "_rebuild_parameter"), ({}, False, OrderedDict())), "arguments"),
        (storage(), "neither plain data nor a tensor"),
        ([tensor(), tensor(storage(Name("torch", "IntStorage")))], "used with two types"),
    ],
)
def test_tensors_that_lie_about_their_storage(tree, message):
    with pytest.raises(TorchFileError, match=f"^some.pt: .*{message}"):
        parse_tree({"w": tree})


def test_strides_that_do_not_matter_are_accepted():
    assert parse_tree(tensor(size=(1, 6), stride=(2**62, 1))).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert parse_tree(tensor(size=(0,), stride=(9,), offset=2**62)).shape == (0,)


def test_booleans_must_be_booleans():
    bools = storage(Name("torch", "BoolStorage"), count=2)
    tree = tensor(bools, size=(2,), stride=(1,))
    assert parse_tree(tree, [("data/0", b"\1\0")]).tolist() == [True, False]
    with pytest.raises(TorchFileError, match="other than 0 and 1"):
        parse_tree(tree, [("data/0", b"\1\2")])


# --- containers ---


GOOD = [("data.pkl", torch_pickle.dump({"w": tensor()})), ("data/0", SIX)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "not a zip file"),
        (pickle.dumps({"a": 1}, protocol=2), "bare pickle"),
        (
            pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2),
            "bare pickle",
        ),  # how torch before 1.6 begins
        (make_zip(GOOD)[:-1], "damaged or truncated"),
        (b"#!/bin/sh\n" + make_zip(GOOD), "not a zip file"),
        (make_zip([]), "not a zip file"),
        (make_zip(GOOD[1:]), "no data.pkl"),
        (make_zip([*GOOD, ("byteorder", b"big")]), "byte order is b'big'"),
        (make_zip([*GOOD, ("data/../../../x", b"")]), "expected a plain path"),
        (make_zip([*GOOD, ("data//x", b"")]), "expected a plain path"),
        (make_zip([*GOOD, ("data\\x", b"")]), "expected a plain path"),
        (make_zip([*GOOD, ("folder/", b"")]), "expected a plain path"),
        (make_zip(GOOD, root=".."), "expected a plain path"),
        (make_zip(GOOD, root=""), "expected a plain path"),
        (make_zip(GOOD, root=None), "expected a plain path"),
        (
            make_zip([("x/data.pkl", GOOD[0][1]), ("y/data/0", SIX)], root=None),
            "expected a plain path",
        ),
        (make_zip(GOOD, compression=zipfile.ZIP_DEFLATED), "compressed"),
        (
            make_zip([*GOOD, ("data/9", bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED),
            "compressed",
        ),
    ],
)
def test_containers_that_are_not_torch_files(data, message):
    with pytest.raises(TorchFileError, match=f"^some.pt: .*{message}"):
        torch_archive.parse(data, "some.pt")


def test_tar_files_are_refused():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    with pytest.raises(TorchFileError, match="tar file"):
        torch_archive.parse(buffer.getvalue(), "old.pt")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_named_twice_is_refused():
    with pytest.raises(TorchFileError, match="'x/data/0' is there twice"):
        torch_archive.parse(make_zip([*GOOD, ("data/0", bytes(24))]), "some.pt")


def test_entries_that_claim_more_than_there_is():
    """The sizes in the list at the end are what a reader believes: raise them, there and in the
    entry's own header."""
    raw = make_zip(GOOD)
    short = (24).to_bytes(4, "little") * 2  # compressed and uncompressed size of data/0
    assert raw.count(short) == 2
    for claim in (25, 100, 2**31, 2**32 - 1):
        with pytest.raises(TorchFileError):
            torch_archive.parse(raw.replace(short, claim.to_bytes(4, "little") * 2), "some.pt")
    overlapping = make_zip([*GOOD, *((f"data/{n}", bytes(1000)) for n in range(1, 9))])
    listed = overlapping.index(b"PK\x01\x02")
    size = (1000).to_bytes(4, "little") * 2
    many = overlapping[:listed] + overlapping[listed:].replace(
        size, (8000).to_bytes(4, "little") * 2
    )
    with pytest.raises(TorchFileError, match="overlap or claim more"):
        torch_archive.parse(many, "some.pt")


def test_encrypted_entries_are_refused():
    raw = bytearray(make_zip(GOOD))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + flags] |= 1
    with pytest.raises(TorchFileError, match="encrypted"):
        torch_archive.parse(bytes(raw), "some.pt")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"bytes": 47}, "its tensors hold more than the 47 bytes"),
        ({"pickle_bytes": 20}, "pickle is larger than the 20 bytes"),
        ({"entries": 1}, "more than the 1 zip entries"),
        ({"values": 2}, "more than the 2 values"),
        ({"depth": 1}, "nested deeper than the 1 levels"),
    ],
)
def test_limits(limits, message):
    tree = {"w": tensor(), "tied": tensor(), "list": [[1]]}
    assert set(parse_tree(tree, bytes=48)) == {"w", "tied", "list"}
    with pytest.raises(TorchFileError, match=message):
        parse_tree(tree, **limits)


def test_paths_that_are_not_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")  # opening it would wait for ever
    (tmp_path / "large.pt").write_bytes(bytes(101))
    for path, message in (
        (tmp_path, "this is not a file"),
        (tmp_path / "pipe.pt", "this is not a file"),
        (tmp_path / "none.pt", "no such file"),
        (tmp_path / "large.pt", "larger than the 100 bytes"),
    ):
        with pytest.raises(TorchFileError, match=message) as error:
            torch_archive.read(path, Limits(bytes=100))
        assert str(path) in str(error.value)


# --- damage ---


def same(a, b):
    return {
        k: (v.dtype, v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for k, v in a.items()
    } == {
        k: (v.dtype, v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for k, v in b.items()
    }


def test_truncated_anywhere():
    raw = TORCH_MADE.read_bytes()
    for length in range(0, len(raw), 7):
        with pytest.raises(TorchFileError):
            torch_archive.parse(raw[:length], "cut.pt")


def test_a_flipped_bit_is_an_error_or_changes_nothing():
    """Contents are under checksums; what is not (dates, padding, attributes) is never used."""
    raw = TORCH_MADE.read_bytes()
    good = torch_archive.parse(raw, "good.pt")
    refused = 0
    rng = np.random.default_rng(0)
    for position in rng.choice(len(raw) * 8, 2000, replace=False):
        flipped = bytearray(raw)
        flipped[position // 8] ^= 1 << (position % 8)
        try:
            assert same(torch_archive.parse(bytes(flipped), "flipped.pt"), good)
        except TorchFileError:
            refused += 1
    assert refused > 300
