"""A small network from nothing, on two CPU cores, in minutes; needs no account, network or GPU."""

from zebjax.experiment import EvaluationConfig, Experiment, ReplayConfig, SaveConfig
from zebjax.learner import LearnerConfig
from zebjax.network import PRESETS
from zebjax.search import SearchConfig
from zebjax.selfplay import SelfPlayConfig

experiment = Experiment(
    name="quickstart",
    cycles=20,
    network=PRESETS["small"],
    selfplay=SelfPlayConfig(
        lanes=128, games_per_cycle=256, search=SearchConfig(policy="gumbel", sims=64, gumbel_c_scale=0.2)
    ),
    # A small buffer is memorised, and a search that trusts memorised values teaches nothing: wait for 1,024 games,
    # and train on each example no more than about three times.
    replay=ReplayConfig(capacity_examples=400_000, min_buffer=28 * 1024),
    learner=LearnerConfig(
        optimizer="muon",
        lr=0.01,
        schedule="cosine",
        warmup_updates=100,
        decay_updates=20 * 150,
        batch=128,
        updates_per_cycle=150,
    ),
    evaluation=EvaluationConfig(every_cycles=4, deals=1000),
    save=SaveConfig(keep_every_cycles=4),
)
