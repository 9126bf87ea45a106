"""A small network from nothing, on two CPU cores, in minutes; needs no account, network or GPU."""

import dataclasses

from zebjax.experiment import EvaluationConfig, Experiment, ReplayConfig, SaveConfig
from zebjax.learner import LearnerConfig
from zebjax.network import PRESETS
from zebjax.search import SearchConfig
from zebjax.selfplay import SelfPlayConfig

experiment = Experiment(
    name="quickstart",
    cycles=28,
    network=dataclasses.replace(PRESETS["small"], dropout=0.0),  # every example is fresh: nothing to memorise
    selfplay=SelfPlayConfig(
        lanes=128, games_per_cycle=256, search=SearchConfig(policy="gumbel", sims=48, gumbel_c_scale=1.0)
    ),
    replay=ReplayConfig(capacity_examples=200_000, min_buffer=28 * 1024),
    learner=LearnerConfig(
        optimizer="muon", lr=0.01, schedule="cosine", warmup_updates=100, decay_updates=8400, updates_per_cycle=300
    ),
    evaluation=EvaluationConfig(every_cycles=7, deals=500),
    save=SaveConfig(keep_every_cycles=7),
)
