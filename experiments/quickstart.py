"""A small network from nothing, on two CPU cores, in minutes; needs no account, network or GPU."""

import dataclasses

from zebjax.experiment import EvaluationConfig, Experiment, ReplayConfig, SaveConfig
from zebjax.learner import LearnerConfig
from zebjax.network import PRESETS
from zebjax.search import SearchConfig
from zebjax.selfplay import SelfPlayConfig

experiment = Experiment(
    name="quickstart",
    cycles=40,
    network=dataclasses.replace(PRESETS["small"], dropout=0.0),  # every example is fresh: nothing to memorise
    selfplay=SelfPlayConfig(lanes=128, games_per_cycle=256, search=SearchConfig("gumbel", sims=16, gumbel_c_scale=0.5)),
    replay=ReplayConfig(capacity_examples=100_000),
    learner=LearnerConfig(optimizer="muon", lr=0.01, warmup_updates=100, batch=64, updates_per_cycle=400),
    evaluation=EvaluationConfig(every_cycles=10, deals=500),
    save=SaveConfig(keep_every_cycles=10),
)
