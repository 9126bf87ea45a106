"""Hostile example batches: one kind of error, whatever the bytes are."""

import pickle
import zipfile

import numpy as np
import pytest

from tests.support.batches_made import FACTS
from tests.support.torch_made import make_zip
from zebjax import record
from zebjax.record import InvalidRecords
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import examples as torch_examples
from zebjax.torch_compat import pickle as torch_pickle
from zebjax.torch_compat.pickle import Call, Name


def test_hostile_containers_are_refused(batch, tmp_path):
    raw = torch_archive.serialise(batch, "x")
    bomb = make_zip([("data.pkl", bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED)
    proof = tmp_path / "proof"
    evil = torch_archive.serialise(
        {**batch, "metadata": Call(Name("posix", "system"), (f"touch {proof}",))}, "x"
    )
    for data, message in (
        (b"", "the file is empty"),
        (pickle.dumps(FACTS, protocol=2), "a bare pickle"),
        (bomb, "compressed"),
        (raw[: len(raw) // 2], "damaged or truncated"),
        (evil, "asks for 'posix.system'"),
    ):
        with pytest.raises(InvalidRecords, match=rf"^x\.pt: .*{message}"):
            torch_examples.parse(data, "x.pt")
    assert not proof.exists()
    with pytest.raises(InvalidRecords, match=r"no such file; expected a \.pt file"):
        torch_examples.read(tmp_path / "none.pt")
    (tmp_path / "large.pt").write_bytes(raw)
    with pytest.raises(InvalidRecords, match="larger than the 1,000 bytes"):
        torch_examples.read(
            tmp_path / "large.pt", torch_examples.EXAMPLE_LIMITS._replace(bytes=1000)
        )


def test_a_huge_tensor_of_few_bytes_is_refused_before_it_is_made(batch):
    """One element, seen as ten thousand million rows: an axis of stride 0."""
    tree = torch_archive._to_tree(batch, [])
    call = tree["observations"]
    storage, _, _, _, *rest = call.arguments
    tree["observations"] = Call(call.function, (storage, 0, (10**10, 36, 8), (0, 0, 0), *rest))
    storages = []
    torch_archive._to_tree(batch, storages)
    entries = [(f"data/{key}", content) for key, content in enumerate(storages)]
    raw = make_zip([("data.pkl", torch_pickle.dump(tree)), *entries])
    with pytest.raises(
        InvalidRecords, match=r"^x\.pt: its tensors hold more than the 268,435,456 bytes allowed"
    ):
        torch_examples.parse(raw, "x.pt")


# --- damage ---


def same_or_refused(data, mine):
    """Whether it was refused; if not, the same games must have come out, or games that are valid
    for themselves."""
    try:
        records, _ = torch_examples.parse(data, "x.pt")
    except InvalidRecords as error:
        assert str(error).startswith("x.pt: ") and "\n" not in str(error)
        return True
    record.validate(records)
    for name in ("hands", "declaration", "slots"):
        np.testing.assert_array_equal(getattr(records, name), getattr(mine, name))
    return False


def test_flipped_bits_and_cut_ends(batch, mine):
    raw = torch_archive.serialise(batch, "x")
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(150):
        if rng.random() < 0.2:
            data = raw[: rng.integers(len(raw))]
        else:
            data = bytearray(raw)
            # Half of them in the pickle, which lies at the beginning.
            position = rng.integers(8 * (len(raw) if rng.random() < 0.5 else 3000))
            data[position // 8] ^= 1 << (position % 8)
        refusals += same_or_refused(bytes(data), mine)
    assert refusals > 100


def test_random_changes_behind_good_checksums(batch, mine):
    rng = np.random.default_rng(1)
    odd = (-1, 0, 1, 2, 7, 28, 0.5, 2**31 - 1, -(2**31), np.nan, np.inf, 3e38, 1e-30)
    refusals = 0
    for _ in range(150):
        name = rng.choice([*torch_examples._COLUMNS])
        column = np.array(batch[name])
        place = tuple(rng.integers(n) for n in column.shape)
        with np.errstate(all="ignore"):
            column[place] = np.array(odd[rng.integers(len(odd))]).astype(column.dtype)
        refusals += same_or_refused(torch_archive.serialise({**batch, name: column}, "x"), mine)
    assert refusals > 50
