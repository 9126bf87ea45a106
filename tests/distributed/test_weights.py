"""Published weights are complete and the newest, and come from one learner at a time."""

import dataclasses
import json
import struct

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY
from zebjax import network
from zebjax.distributed import open, store, weights

CONFIG = TINY.network
FACTS = {
    "step": 3,
    "total_games": 40,
    "wandb_run_id": None,
    "experiment": {"name": "tiny"},
    "created_at": "2026-11-24T00:00:00+00:00",
}


@pytest.fixture(scope="module")
def params():
    return network.init(CONFIG, jax.random.key(0))


@pytest.fixture
def place(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def test_what_is_published_is_what_is_read(place, params):
    lease = weights.take_lease(place, {})
    made = weights.publish(place, lease, weights.to_bytes(CONFIG, params), FACTS)
    found, tag = weights.newest(place)
    assert found == made and (found.generation, found.epoch, found.parent) == (1, 1, None)
    jax.tree.map(np.testing.assert_array_equal, weights.fetch(place, found, CONFIG), params)
    assert weights.newest(place, tag) is None
    second = weights.publish(place, lease, weights.to_bytes(CONFIG, params), FACTS)
    assert (second.generation, second.parent) == (2, 1)  # the same step again is a new generation
    assert weights.newest(place, tag)[0] == second


def test_weights_that_are_not_the_manifests_are_not_used(place, params):
    lease = weights.take_lease(place, {})
    made = weights.publish(place, lease, weights.to_bytes(CONFIG, params), FACTS)
    data = bytearray(place.get(made.object, 1 << 20))
    data[-1] ^= 1
    place.put({}, {made.object: bytes(data)})
    with pytest.raises(weights.BadWeights, match="sha256 differs from the manifest's"):
        weights.fetch(place, made, CONFIG)


def test_a_transfer_that_is_cut_short_is_tried_again(place, params, monkeypatch):
    made = weights.publish(
        place, weights.take_lease(place, {}), weights.to_bytes(CONFIG, params), FACTS
    )
    get, cuts = place.get, iter([1000, 0])
    monkeypatch.setattr(place, "get", lambda *arguments: get(*arguments)[: next(cuts, None)])
    jax.tree.map(np.testing.assert_array_equal, weights.fetch(place, made, CONFIG), params)


def test_weights_of_another_network_are_not_used(params):
    data = weights.to_bytes(CONFIG, params)
    with pytest.raises(weights.BadWeights, match="another network: embed_dim is 16"):
        weights.from_bytes(data, dataclasses.replace(CONFIG, embed_dim=32))
    with pytest.raises(weights.BadWeights, match="another network: n_layers"):
        weights.from_bytes(data, dataclasses.replace(CONFIG, n_layers=2))
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), params)
    with pytest.raises(weights.BadWeights, match="not finite"):
        weights.from_bytes(weights.to_bytes(CONFIG, broken), CONFIG)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b"null", b"[" * 100_000, b"\xff", b"9" * 10_000]
)
def test_what_is_no_manifest_is_said(place, data):
    place.put({}, {weights.NEWEST: data})
    with pytest.raises(weights.BadWeights, match="manifest"):
        weights.newest(place)


@pytest.mark.parametrize(
    "change",
    [
        {"object": "../secret"},
        {"object": "weights/1/../../x"},
        {"step": -1},
        {"size": 1e400},
        {"generation": 10**400},
        {"wandb_run_id": ["x"]},
        {"parent": "x"},
        {"parent": True},
        {"more": 1},
    ],
)
def test_what_is_no_possible_manifest_is_said(place, change):
    weights.publish(place, weights.take_lease(place, {}), b"network", FACTS)
    told = json.loads(place.get(weights.NEWEST, 1 << 20)) | change
    place.put({}, {weights.NEWEST: json.dumps(told).encode()})
    with pytest.raises(weights.BadWeights, match="manifest"):
        weights.newest(place)


def test_weights_that_were_pruned_meanwhile_are_not_used(place, params):
    made = weights.publish(
        place, weights.take_lease(place, {}), weights.to_bytes(CONFIG, params), FACTS
    )
    place.delete([made.object])
    with pytest.raises(weights.BadWeights, match="it no longer exists"):
        weights.fetch(place, made, CONFIG)


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F4", "XX", 5])
@pytest.mark.parametrize(
    "shape", [[0], [2**62, 0], [2**64 - 1, 0], [2**64], [-1], [0] * 65, ["x"], 1e400]
)
def test_a_header_that_promises_anything_is_refused(dtype, shape):
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}}).encode()
    with pytest.raises(weights.BadWeights):
        weights.from_bytes(struct.pack("<Q", len(header)) + header, CONFIG)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 100_000) + b'{"a":' * 20_000,
    ],
)
def test_a_header_that_is_none_is_refused(data):
    with pytest.raises(weights.BadWeights):
        weights.from_bytes(data, CONFIG)


def test_odd_objects_beside_leases_and_weights_mean_nothing(place, params):
    lease, data = weights.take_lease(place, {"where": "here"}), weights.to_bytes(CONFIG, params)
    odd = (
        "leases/zzz.json",
        "leases/README",
        "leases/999999999x.json",
        "weights/zzz.safetensors",
        "weights/99/x",
    )
    place.put(
        dict.fromkeys((*odd, "weights/99999999999/manifest.json", "weights/z/a.safetensors"), b"x")
    )
    assert weights.newest_lease(place) == (1, {"where": "here"})
    made = weights.publish(place, lease, data, FACTS)
    weights.prune(place, 1)
    assert made.generation == 1
    jax.tree.map(np.testing.assert_array_equal, weights.fetch(place, made, CONFIG), params)
    assert weights.take_lease(place, {}).epoch == 2


def test_bytes_that_are_no_weights_are_refused(params):
    data = weights.to_bytes(CONFIG, params)
    dice = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data[: dice.integers(0, len(data))] if dice.random() < 0.3 else data)
        for place in dice.integers(0, max(1, min(len(damaged), 2000)), 3):
            if damaged:
                damaged[place] ^= 1 << dice.integers(0, 8)
        try:
            weights.from_bytes(bytes(damaged), CONFIG)
        except weights.BadWeights:
            continue


def test_a_later_learner_fences_off_an_earlier_one(place, params):
    data = weights.to_bytes(CONFIG, params)
    first = weights.take_lease(place, {"where": "here"})
    weights.publish(place, first, data, FACTS)
    second = weights.take_lease(place, {"where": "there"})
    with pytest.raises(weights.Fenced, match=r"another learner \(there, epoch 2\) has taken over"):
        weights.publish(place, first, data, FACTS)
    assert weights.publish(place, second, data, FACTS).generation == 2
    assert weights.newest_lease(place) == (2, {"where": "there"})


def test_a_pointer_that_lags_behind_costs_no_generation(place, params):
    """A learner killed after it had created a manifest and before it had moved the pointer."""
    lease, data = weights.take_lease(place, {}), weights.to_bytes(CONFIG, params)
    weights.publish(place, lease, data, FACTS)
    before = place.get(weights.NEWEST, 1 << 20)
    weights.publish(place, lease, data, FACTS)
    place.put({}, {weights.NEWEST: before})
    assert weights.publish(place, lease, data, FACTS).generation == 3


def test_only_the_newest_parameters_stay(place, params):
    lease, data = weights.take_lease(place, {}), weights.to_bytes(CONFIG, params)
    for _ in range(4):
        weights.publish(place, lease, data, FACTS)
    weights.prune(place, 2)
    names = [entry.name for entry in place.entries("weights")]
    assert sum(name.endswith(".safetensors") for name in names) == 2
    assert sum(name.endswith("manifest.json") for name in names) == 4
    jax.tree.map(
        np.testing.assert_array_equal,
        weights.fetch(place, weights.newest(place)[0], CONFIG),
        params,
    )
    assert json.loads(place.get("weights/000000001/manifest.json", 1 << 20))["generation"] == 1


def test_a_last_epoch_that_is_nobodys_is_named(place):
    place.put({"leases/999999999.json": b"{}"})
    with pytest.raises(
        weights.BadWeights, match=r"leases/999999999\.json was not written by a learner; delete it"
    ):
        weights.take_lease(place, {})
    assert len(place.entries("leases")) == 1


def test_old_leases_go_and_no_epoch_is_given_twice(place, monkeypatch):
    leases = [weights.take_lease(place, {}) for _ in range(6)]
    assert [lease.epoch for lease in leases] == [1, 2, 3, 4, 5, 6]
    assert [entry.name for entry in place.entries("leases")] == [
        f"leases/{epoch:09d}.json" for epoch in (4, 5, 6)
    ]
    with pytest.raises(weights.Fenced):
        weights.check_lease(place, leases[0])

    def refuse(names):
        raise store.Refused("may not delete")

    monkeypatch.setattr(place, "delete", refuse)
    assert weights.take_lease(place, {}).epoch == 7
