"""The zip around a torch file: strict for what torch writes, wider for what was packed again."""

import zipfile

import pytest

from tests.support.torch_made import make_zip
from zebjax.torch_compat.container import Limits, Repacked, unzip
from zebjax.torch_compat.pickle import TorchFileError

ENTRIES = [("data.pkl", b"pickle"), ("data/0", b"0123"), ("version", b"3\n")]


def test_entries_are_by_name_without_the_root_folder():
    assert unzip(make_zip(ENTRIES), Limits()) == dict(ENTRIES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"  <!DOCTYPE html><html>", "a web page"),
        (b"\x80\x02}.", "a bare pickle"),
        (b"\x1f\x8b\x08", "a gzip file; unpack it first"),
        (b"anything", "not a zip file"),
        (make_zip(ENTRIES)[:-30], "damaged or truncated"),
        (make_zip(ENTRIES, compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (make_zip([("x/data.pkl", b""), ("y/0", b"")], root=None), "in one root folder"),
        (make_zip([("../0", b"")]), "expected a plain path"),
    ],
)
def test_what_torch_never_writes_is_refused_by_what_it_is(data, message):
    with pytest.raises(TorchFileError, match=message):
        unzip(data, Limits())


def test_a_changed_byte_is_noticed():
    data = make_zip(ENTRIES)
    with pytest.raises(TorchFileError, match="damaged"):
        unzip(data.replace(b"0123", b"0124"), Limits())
    repacked = Repacked(data.replace(b"0123", b"0124"), Limits())
    assert repacked["data.pkl"] == b"pickle"
    with pytest.raises(TorchFileError, match="damaged"):
        repacked["data/0"]


def test_too_many_entries_are_refused():
    for reads in (unzip, Repacked):
        with pytest.raises(TorchFileError, match="more than the 2 zip entries allowed"):
            reads(make_zip(ENTRIES), Limits(entries=2))


def test_a_file_that_was_packed_again_is_read_from_the_folder_of_its_pickle():
    inside = [(f"weights/x/{name}", content) for name, content in ENTRIES]
    others = [("weights/", b""), ("weights/README", b"?"), ("__MACOSX/x/data.pkl", b"?")]
    data = make_zip([*others, *inside], root=None, compression=zipfile.ZIP_DEFLATED)
    repacked = Repacked(data, Limits())
    assert dict(repacked) == dict(ENTRIES) and len(repacked) == 3
    assert repacked.size("data/0") == 4 and repacked.size("data/1") == 0
    assert "data/0" in repacked and "README" not in repacked


def test_no_more_is_inflated_than_allowed():
    zeros = make_zip(
        [("data.pkl", b"pickle"), ("data/0", bytes(10_000)), ("data/1", bytes(10_000))],
        compression=zipfile.ZIP_DEFLATED,
    )
    assert len(zeros) < 1000
    repacked = Repacked(zeros, Limits(bytes=15_000))
    assert repacked["data/0"] == repacked["data/0"] == bytes(10_000)  # counted once
    with pytest.raises(TorchFileError, match="more than the 15,000 bytes allowed"):
        repacked["data/1"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("data/0", b"")], "it has no data.pkl"),
        ([("a/data.pkl", b""), ("b/data.pkl", b"")], "it has 2 data.pkl, expected one"),
        ([("data.pkl", b""), ("constants.pkl", b"")], "a TorchScript program"),
    ],
)
def test_a_zip_that_is_no_checkpoint_is_refused(entries, message):
    with pytest.raises(TorchFileError, match=message):
        Repacked(make_zip(entries), Limits())
