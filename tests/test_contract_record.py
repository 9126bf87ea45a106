"""Files of games with contracts: round trip, what is refused; other files are as before."""

import json

import numpy as np
import pytest
import safetensors.numpy

from tests.support.contracts import contracts_of, finished
from zebjax import contract_record, record
from zebjax.record import InvalidRecords

METADATA = record.Metadata("selfplay-mcts", "w0", 7, {"sims": 2}, created_at="2026-11-26")


@pytest.fixture(scope="module")
def played():
    states, records = finished(40)
    return records, contracts_of(states, 42, 2)


def test_round_trip_and_the_value_is_named(tmp_path, played):
    path = tmp_path / "a.safetensors"
    contract_record.write(path, *played, METADATA)
    records, contracts, metadata = contract_record.read(path)
    for before, after in zip((*played[0], *played[1]), (*records, *contracts), strict=True):
        np.testing.assert_array_equal(before, after)
    assert metadata.games == 40 and metadata.worker == "w0"
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["value"] == "make/set"
        assert set(file.keys()) == {*record.FIELDS, "bidder", "bid", "marks"}


def test_the_two_games_are_not_mixed(tmp_path, played):
    contract_record.write(tmp_path / "with", *played, METADATA)
    record.write(tmp_path / "without", played[0], METADATA)
    with pytest.raises(InvalidRecords, match="with: expected games with no contract"):
        record.read(tmp_path / "with")
    with pytest.raises(InvalidRecords, match="without: expected games with a contract, these have"):
        contract_record.read(tmp_path / "without")
    with pytest.raises(InvalidRecords, match="not a readable record file"):
        contract_record.read(tmp_path / "nowhere")
    with pytest.raises(InvalidRecords, match="not a readable record file"):
        contract_record.from_bytes(b"what?", "x")


def test_a_file_without_contracts_is_what_it_was(tmp_path, played):
    record.write(tmp_path / "a", played[0], METADATA)
    strings = {
        "source": "selfplay-mcts",
        "worker": "w0",
        "model_step": "7",
        "search": '{"sims": 2}',
        "games": "40",
        "created_at": "2026-11-26",
        "format_version": "1",
    }
    # The very call of version 0.1. The strings' order within the header is random.
    before = safetensors.numpy.save(record.arrays_of(played[0]), strings)
    assert _parts(before) == _parts((tmp_path / "a").read_bytes())


def _parts(data):
    size = int.from_bytes(data[:8], "little")
    return size, json.loads(data[8 : 8 + size]), data[8 + size :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c._replace(bid=c.bid - 13), "contract: bid: expected an integer 30..42, got 29"),
        (lambda c: c._replace(bid=c.bid - 1), "bid: expected 42 points for 2 marks or more"),
        (lambda c: c._replace(bidder=(c.bidder + 1) % 4), "the game's leader of the first trick"),
        (lambda c: c._replace(declaration=9 - c.declaration), "the game's declaration"),
        (lambda c: c._replace(marks=c.marks * 1.0), "marks: expected integers of shape"),
        (lambda c: type(c)(*(field[:3] for field in c)), r"bidder: expected shape \(40,\)"),
    ],
)
def test_a_contract_that_is_not_the_games_is_refused(tmp_path, played, change, message):
    with pytest.raises(InvalidRecords, match=message):
        contract_record.write(tmp_path / "a", played[0], change(played[1]), METADATA)
    assert not list(tmp_path.iterdir())


def test_a_file_with_a_bad_contract_is_refused(tmp_path, played):
    records, contracts = played
    others = {name: getattr(contracts, name) for name in contract_record.FIELDS}
    record.write(tmp_path / "a", records, METADATA, others | {"bid": contracts.bid - 13})
    with pytest.raises(InvalidRecords, match="a: contract: bid: expected an integer"):
        contract_record.read(tmp_path / "a")
