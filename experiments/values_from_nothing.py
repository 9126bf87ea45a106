"""Train a network with values of moves on self-play without a search, from random weights.

Self-play draws moves by the network's values of moves, each seat from its own view. With the method
outcomes (Deep Monte Carlo) the value of a move that was played learns the result of its game:

    zebjax train values_from_nothing
    zebjax arena zeb:runs/values-from-nothing,choose=value vs heuristic

With the method rollouts (policy iteration) every legal move is played to the end, and the values of
all moves learn the results. A game takes forty times as long:

    zebjax train values_from_nothing --name rollouts --selfplay.method rollouts \
        --selfplay.games-per-cycle 192 --replay.capacity-examples 84000 \
        --replay.min-buffer 10752 --learner.root-value-share 0.5

Five minutes of outcomes on two CPU cores bring more than `quickstart`. For a GPU, a medium network:

    zebjax train values_from_nothing --name medium --network.embed-dim 128 --network.n-heads 4 \
        --network.n-layers 4 --network.ff-dim 512 --selfplay.lanes auto \
        --selfplay.games-per-cycle 16384 --replay.capacity-examples 7000000 --cycles 400 \
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
    name="values-from-nothing",
    cycles=_CYCLES,
    # Without the prior the belief head would learn to count before it knows more than counting.
    network=dataclasses.replace(
        PRESETS["small"], dropout=0.0, move_values=True, belief_prior="marginal"
    ),
    # A cycle trains on as many decisions as its games have, so each is read about once.
    selfplay=SelfPlayConfig(lanes=128, games_per_cycle=2048, method="outcomes"),
    replay=ReplayConfig(capacity_examples=28 * 20_480, min_buffer=28 * 2048),
    learner=LearnerConfig(
        optimizer="muon",
        belief_tiles="hidden",
        decisions_only=True,
        # Self-play draws moves by the values, so these are what must be learned first.
        move_value_weight=25.0,
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
