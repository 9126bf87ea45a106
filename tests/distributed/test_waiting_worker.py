"""A worker that was started before its learner waits for the first weights if it is told to."""

import json

import jax
import pytest

from tests.support.tiny import Quiet
from tests.support.workers import settings_in
from zebjax import network
from zebjax.distributed import open, weights, worker_link
from zebjax.training.config import to_json
from zebjax.training.session import Stopped


def begin(settings, stop_asked, waits=True):
    report = Quiet()
    job = worker_link.Job("selfplay", "w", waits_for_weights=waits)
    link = worker_link.Link(settings, job, open.open_store(settings.namespace), report.note)
    return link, report, lambda: link.begin(stop_asked)


def publish(settings):
    store = open.open_store(settings.namespace)
    params = network.init(settings.network, jax.random.key(0))
    facts = {
        "step": 3,
        "total_games": 0,
        "wandb_run_id": None,
        "experiment": json.loads(to_json(settings)),
        "created_at": "2026-11-26T00:00:00+00:00",
    }
    data = weights.to_bytes(settings.network, params)
    weights.publish(store, weights.take_lease(store, {}), data, facts)


def test_it_begins_when_the_learner_has_published(tmp_path):
    settings = settings_in(tmp_path)
    looks = []

    def look():
        looks.append(None)
        if len(looks) == 3:
            publish(settings)
        return False

    link, report, go = begin(settings, look)
    current = go()
    link.end()
    assert current.manifest.step == 3 and len(looks) >= 3
    assert report.notes.count("waiting: the learner has published no weights yet") == 1


def test_a_stop_ends_the_wait_and_without_the_option_there_is_none(tmp_path):
    settings = settings_in(tmp_path)
    with pytest.raises(Stopped):
        begin(settings, lambda: True)[2]()
    with pytest.raises(ValueError, match="start the learner first"):
        begin(settings, lambda: True, waits=False)[2]()
    assert open.open_store(settings.namespace).entries("examples") == []  # no claim, no sign
