"""Train a network with values of moves on games of a player with search, from random weights.

The games hold what the player knows of every move: P(win) and points, means over many worlds, which
have less noise than one outcome of each. Training plays no games, so make them first:

    zebjax teach --by eq:n=16,belief=imitator,rollouts=small,candidates=200,opening=small \
        --random 0.05 --games 200000 --games-per-file 1000 --out runs/strong
    zebjax train values_from_player
    zebjax arena zeb:runs/values-from-player,choose=value vs eq:n=10

The network is medium, and reads 5 million decisions. `zebjax benchmark sizes` compares it with a
smaller and a larger one:

    zebjax train values_from_player --name values-small --network.embed-dim 64 \
        --network.n-heads 2 --network.n-layers 2 --network.ff-dim 128
    zebjax train values_from_player --name values-large --network.embed-dim 256 \
        --network.n-heads 8 --network.n-layers 6 --network.ff-dim 512
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

experiment = Experiment(
    name="values-from-player",
    cycles=40,
    network=dataclasses.replace(
        PRESETS["medium"], dropout=0.0, move_values=True, belief_prior="marginal"
    ),
    teacher=TeacherConfig("runs/strong"),
    replay=ReplayConfig(capacity_examples=28 * 250_000, min_buffer=28 * 1000, held_out=0.02),
    learner=LearnerConfig(
        optimizer="muon",
        belief_tiles="hidden",
        decisions_only=True,
        # Differences between moves are small numbers: their squared error is 0.03 before training,
        # where the loss of the policy is above 1.
        move_value_weight=25.0,
        root_value_share=0.5,
        lr=0.01,
        warmup_updates=100,
        # The rate does not fall, so that every kept step is a point of `zebjax benchmark sizes`,
        # and the run may go on for as long as it improves; the average takes the noise away.
        ema=0.998,
        batch=128,
        updates_per_cycle=1000,
    ),
    evaluation=EvaluationConfig(every_cycles=8, deals=2000),
    save=SaveConfig(keep_every_cycles=1),
)
