"""A small network from nothing, on two CPU cores, in minutes; needs no account, network or GPU."""

import dataclasses

from zebjax.experiment import EvaluationConfig, Experiment, LearnerConfig, ReplayConfig, SaveConfig, SelfPlayConfig
from zebjax.network import PRESETS
from zebjax.search import SearchConfig

experiment = Experiment(
    name="quickstart",
    cycles=40,
    network=dataclasses.replace(PRESETS["small"], dropout=0.0),  # every example is fresh: nothing to memorise
    selfplay=SelfPlayConfig(lanes=128, games_per_cycle=256, search=SearchConfig(policy="gumbel", sims=16)),
    replay=ReplayConfig(capacity_examples=100_000),
    learner=LearnerConfig(lr=1e-3, batch=128, updates_per_cycle=200),
    evaluation=EvaluationConfig(every_cycles=10, deals=500),
    save=SaveConfig(keep_every_cycles=10),
)
