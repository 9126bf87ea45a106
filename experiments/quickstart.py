"""Train a small network from random weights, in about ten minutes on two CPU cores.

It needs no account, no internet and no GPU:

    zebjax train quickstart
"""

from zebjax.experiment import (
    PRESETS,
    EvaluationConfig,
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SaveConfig,
    SearchConfig,
    SelfPlayConfig,
)

_CYCLES, _UPDATES = 32, 250

experiment = Experiment(
    name="quickstart",
    cycles=_CYCLES,
    network=PRESETS["small"],
    # Few simulations, many games: at the start the network knows nothing, so outcomes teach more
    # than a deep search. Eight simulations visit every legal move once.
    selfplay=SelfPlayConfig(
        lanes=128,
        games_per_cycle=1024,
        search=SearchConfig(policy="gumbel", sims=8, gumbel_c_scale=0.5),
    ),
    # A network would memorise a small buffer. So start with 2,048 games, and train on each example
    # about once.
    replay=ReplayConfig(capacity_examples=1_000_000, min_buffer=28 * 2048, max_reuse=2),
    learner=LearnerConfig(
        optimizer="muon",
        lr=0.01,
        schedule="cosine",
        warmup_updates=100,
        decay_updates=_CYCLES * _UPDATES,
        batch=128,
        updates_per_cycle=_UPDATES,
    ),
    evaluation=EvaluationConfig(every_cycles=4, deals=2000),
    save=SaveConfig(keep_every_cycles=4),
)
