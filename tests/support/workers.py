"""Run a learner and its workers over a store, in turn in one process."""

import dataclasses

from tests.support.tiny import TINY, Quiet, go
from zebjax.distributed import open, spool, worker, worker_link
from zebjax.distributed.worker_source import WorkerSource
from zebjax.training.config import ReplayConfig
from zebjax.training.workers_config import EvalAuxConfig, StoreConfig

SETTINGS = dataclasses.replace(
    TINY,
    name="many",
    cycles=3,
    replay=ReplayConfig(capacity_examples=28 * 60, min_buffer=28 * 15),
    learner=dataclasses.replace(TINY.learner, updates_per_cycle=20),
    eval_aux=EvalAuxConfig(
        enabled=True, batch_fraction=0.1, worlds=2, games_per_file=4, capacity_examples=28 * 20
    ),
    store=StoreConfig(games_per_file=8, publish_every_cycles=2, poll_s=0.05, keep_examples=2),
)


def settings_in(folder, **changes):
    return dataclasses.replace(SETTINGS, runs=str(folder), **changes)


def learn(settings, stop_after=None):
    report = Quiet()
    return go(settings, stop_after, WorkerSource(settings, report))


def play(settings, role, games, worker_id=None):
    report = Quiet()
    worker.work(settings, worker_link.Job(role, worker_id or role, games), report, lambda: False)
    return report


def names(settings):
    entries = open.open_store(settings.namespace).entries("examples")
    return [entry.name for entry in entries if spool.parse_name(entry.name)]
