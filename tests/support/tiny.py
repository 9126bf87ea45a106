"""An experiment that runs in seconds, for tests of runs and commands."""

import jax
import numpy as np

from zebjax.network import ZebConfig
from zebjax.search import SearchConfig
from zebjax.training import metrics
from zebjax.training import run as training
from zebjax.training.config import (
    EvaluationConfig,
    Experiment,
    ReplayConfig,
    SaveConfig,
    SelfPlayConfig,
)
from zebjax.training.learner_config import LearnerConfig

TINY = Experiment(
    name="tiny",
    cycles=4,
    network=ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16),
    selfplay=SelfPlayConfig(
        lanes=8, games_per_cycle=10, search=SearchConfig(policy="gumbel", sims=2)
    ),
    replay=ReplayConfig(capacity_examples=28 * 25, min_buffer=28 * 15),
    learner=LearnerConfig(batch=8, updates_per_cycle=6, updates_per_call=2),
    evaluation=EvaluationConfig(every_cycles=2, deals=4),
    save=SaveConfig(keep_every_cycles=3),
)


class Quiet:
    """A reporter that remembers."""

    def __init__(self):
        self.notes, self.cycles = [], []

    def note(self, text):
        self.notes.append(text)

    def working(self, what, done, total):
        assert 0 <= done <= total

    def cycle(self, row, seconds_left):
        self.cycles.append((row, seconds_left))


def go(settings, stop_after=None, source=None, draws=False):
    """Run in this process, asking for a stop at the `stop_after`th look; the run.

    The curves, a second for each evaluation, are only drawn if `draws`.
    """
    looks = 0

    def stop_asked():
        nonlocal looks
        looks += 1
        return stop_after is not None and looks >= stop_after

    run = training.Run(settings, Quiet(), stop_asked, source)
    if source is None:  # one decision a call, so that there are many moments to stop at
        run.source._size.timed = lambda seconds: None
    if not draws:
        run._outputs._draw = lambda: None
    run.go()
    return run


def as_numpy(state):
    """All arrays of a state, random keys as their integers."""

    def plain(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    return jax.tree.map(plain, state)


def training_rows(folder):
    """The metrics without what a clock made."""
    rows = metrics.read(folder / "metrics.jsonl")
    return [
        {key: value for key, value in row.items() if not key.endswith(("_s", "per_s"))}
        for row in rows
    ]
