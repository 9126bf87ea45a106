"""Train a network by honest policy iteration, from random weights: no search and no teacher.

At each decision of self-play every legal move is played to the end of the game, each seat choosing
by the network's values of moves from its own view, and the results are what the values learn. On
two CPU cores, some ten minutes:

    zebjax train policy_iteration
    zebjax arena zeb:runs/policy-iteration vs heuristic

For a GPU: a medium network, thousands of games at a time, and as many cycles as you have days.

    zebjax train policy_iteration --name medium --network.embed-dim 128 --network.n-heads 4 \
        --network.n-layers 4 --network.ff-dim 512 --selfplay.lanes auto \
        --selfplay.games-per-cycle 8192 --replay.capacity-examples 7000000 --cycles 400 \
        --learner.batch 512 --learner.updates-per-cycle 500 --learner.decay-updates 200000
"""

import dataclasses

from zebjax.experiment import (
    PRESETS,
    EvaluationConfig,
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SaveConfig,
    SelfPlayConfig,
)

_CYCLES, _UPDATES = 32, 250

experiment = Experiment(
    name="policy-iteration",
    cycles=_CYCLES,
    # Without the prior the belief head would learn to count before it knows more than counting.
    network=dataclasses.replace(
        PRESETS["small"], dropout=0.0, move_values=True, belief_prior="marginal"
    ),
    selfplay=SelfPlayConfig(lanes=128, games_per_cycle=192, method="rollouts"),
    replay=ReplayConfig(capacity_examples=28 * 3000, min_buffer=28 * 384),
    learner=LearnerConfig(
        optimizer="muon",
        belief_tiles="hidden",
        decisions_only=True,
        root_value_share=0.5,
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
