"""A small network from nothing, on two CPU cores, in minutes; needs no account, network or GPU."""

from zebjax.experiment import EvaluationConfig, Experiment, ReplayConfig, SaveConfig
from zebjax.learner import LearnerConfig
from zebjax.network import PRESETS
from zebjax.search import SearchConfig
from zebjax.selfplay import SelfPlayConfig

experiment = Experiment(
    name="quickstart",
    cycles=24,
    network=PRESETS["small"],
    selfplay=SelfPlayConfig(
        lanes=128, games_per_cycle=512, search=SearchConfig(policy="gumbel", sims=24, gumbel_c_scale=1.0)
    ),
    # A small buffer is memorised, and a search that trusts memorised values teaches nothing: wait for 2,048 games,
    # and train on each example about twice.
    replay=ReplayConfig(capacity_examples=400_000, min_buffer=28 * 2048),
    learner=LearnerConfig(
        optimizer="muon",
        lr=0.01,
        schedule="cosine",
        warmup_updates=100,
        decay_updates=24 * 200,
        batch=128,
        updates_per_cycle=200,
    ),
    evaluation=EvaluationConfig(every_cycles=4, deals=2000),
    save=SaveConfig(keep_every_cycles=4),
)
