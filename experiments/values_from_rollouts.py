"""Train a network with values of moves on games of the small network, from random weights.

For every legal move of these games the result is known if all four seats go on by the small
network, each from its own view. Training plays no games, so make them first:

    zebjax teach --rollouts small --games 200000 --out runs/rollouts
    zebjax train values_from_rollouts
    zebjax arena zeb:runs/values-from-rollouts,choose=value vs heuristic

The network is medium. A small one:

    zebjax train values_from_rollouts --name values-small --network.embed-dim 64 \
        --network.n-heads 2 --network.n-layers 2 --network.ff-dim 128
"""

import dataclasses

from zebjax.experiment import (
    PRESETS,
    EvaluationConfig,
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SaveConfig,
    TeacherConfig,
)

_CYCLES, _UPDATES = 40, 500

experiment = Experiment(
    name="values-from-rollouts",
    cycles=_CYCLES,
    # Without the prior the belief head would learn to count before it knows more than counting.
    network=dataclasses.replace(
        PRESETS["medium"], dropout=0.0, move_values=True, belief_prior="marginal"
    ),
    teacher=TeacherConfig("runs/rollouts"),
    replay=ReplayConfig(capacity_examples=28 * 200_000, min_buffer=28 * 1000, held_out=0.02),
    learner=LearnerConfig(
        optimizer="muon",
        belief_tiles="hidden",
        decisions_only=True,
        # With 1 a network learns next to nothing of the values from 512,000 decisions: differences
        # between moves are small numbers beside the losses of policy and value.
        move_value_weight=25.0,
        # The games know one result of each move, which makes a noisy target for the policy.
        policy_from_values=0.1,
        # Two outcomes of the same position have less noise than one.
        root_value_share=0.5,
        lr=0.01,
        schedule="cosine",
        warmup_updates=100,
        decay_updates=_CYCLES * _UPDATES,
        ema=0.999,
        batch=128,
        updates_per_cycle=_UPDATES,
    ),
    evaluation=EvaluationConfig(every_cycles=8, deals=2000),
    save=SaveConfig(keep_every_cycles=8),
)
