"""A worker follows the published weights, and uses none that are damaged or another network's."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY
from zebjax import network
from zebjax.distributed import open, weights
from zebjax.distributed.store import Missing
from zebjax.distributed.subscription import Subscription, check_experiment
from zebjax.training.config import to_json


@pytest.fixture
def store(tmp_path):
    return open.open_store(str(tmp_path / "store"))


def parameters(fill):
    return jax.tree.map(
        lambda leaf: np.full(leaf.shape, fill, np.float32), network.abstract_params(TINY.network)
    )


def publish(store, step, fill, settings=TINY):
    facts = {
        "step": step,
        "total_games": 10 * step,
        "wandb_run_id": None,
        "experiment": json.loads(to_json(settings)),
        "created_at": "2026-11-26T00:00:00+00:00",
    }
    data = weights.to_bytes(TINY.network, parameters(fill))
    return weights.publish(store, weights.take_lease(store, {"where": "here"}), data, facts)


def value(subscription):
    return float(jax.tree.leaves(subscription.newest.params)[0].reshape(-1)[0])


def test_it_follows_every_publication_and_fetches_none_twice(store, monkeypatch):
    notes, fetched = [], []
    real = weights.fetch
    monkeypatch.setattr(weights, "fetch", lambda *args: fetched.append(args) or real(*args))
    follower = Subscription(store, TINY, notes.append)
    with pytest.raises(Missing):
        follower.pull()
    for step, fill in ((1, 0.5), (2, 0.25)):
        publish(store, step, fill)
        follower.pull()
        follower.pull()
        assert (follower.newest.manifest.step, value(follower)) == (step, fill)
    assert len(fetched) == 2 and notes == ["weights of step 2 (generation 2)"]


def test_damaged_weights_are_refused_once_and_the_earlier_ones_stay(store):
    notes = []
    follower = Subscription(store, TINY, notes.append)
    publish(store, 1, 0.5)
    follower.pull()
    publish(store, 2, np.nan)
    manifest, _ = weights.newest(store)
    store.put({}, {manifest.object: b"nonsense"})
    for _ in range(3):
        follower.pull()
    assert value(follower) == 0.5 and len(notes) == 1
    assert notes[0].startswith("keeping the weights of step 1: ") and "sha256" in notes[0]


def test_without_earlier_weights_a_bad_publication_is_an_error(store):
    publish(store, 1, 0.5, dataclasses.replace(TINY, name="another"))
    with pytest.raises(weights.BadWeights, match="runs experiment 'another', this is 'tiny'"):
        Subscription(store, TINY, print).pull()


def test_weights_from_before_a_field_existed_are_those_of_its_default(store):
    manifest = publish(store, 1, 0.5)
    del manifest.experiment["network"]["move_values"]
    check_experiment(manifest, TINY)
    with_it = dataclasses.replace(TINY.network, move_values=True)
    with pytest.raises(weights.BadWeights, match=r"move_values is False, here it is True"):
        check_experiment(manifest, dataclasses.replace(TINY, network=with_it))


def test_games_of_another_method_are_refused(store):
    """Such games have no values of moves, or their learner does not want them."""
    with_values = dataclasses.replace(
        TINY, network=dataclasses.replace(TINY.network, move_values=True)
    )
    outcomes = dataclasses.replace(
        with_values, selfplay=dataclasses.replace(TINY.selfplay, method="outcomes")
    )
    manifest = publish(store, 1, 0.5, outcomes)
    check_experiment(manifest, outcomes)
    with pytest.raises(weights.BadWeights, match=r"method is 'outcomes', here it is 'search'"):
        check_experiment(manifest, with_values)
    del manifest.experiment["selfplay"]["method"]  # weights from before the field existed
    check_experiment(manifest, with_values)
    with pytest.raises(weights.BadWeights, match=r"method is 'search', here it is 'outcomes'"):
        check_experiment(manifest, outcomes)


def test_another_network_is_named_by_its_field(store):
    deeper = dataclasses.replace(TINY, network=dataclasses.replace(TINY.network, n_layers=2))
    manifest = publish(store, 1, 0.5, deeper)
    with pytest.raises(weights.BadWeights, match=r"network\.n_layers is 2, here it is 1"):
        check_experiment(manifest, TINY)
    # Dropout changes how parameters are used, not which there are.
    other = dataclasses.replace(deeper, network=dataclasses.replace(deeper.network, dropout=0.3))
    check_experiment(manifest, other)
