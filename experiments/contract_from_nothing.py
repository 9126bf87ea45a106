"""Train the small network from random weights on games with a contract, to make or set it.

Training plays no games, so make them first. Training takes six minutes of CPU time:

    zebjax teach --games 8000 --n 10 --contract 30-42 --out runs/contracts
    zebjax train contract_from_nothing
    zebjax arena zeb:runs/contract-from-nothing vs heuristic --contract 30
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

_CYCLES, _UPDATES = 16, 300

experiment = Experiment(
    name="contract-from-nothing",
    cycles=_CYCLES,
    # Tokenizer v2 sees the bid; the value is making or setting it, not the points won.
    network=dataclasses.replace(
        PRESETS["small"], tokenizer="v2", value="make/set", belief_head=True
    ),
    teacher=TeacherConfig("runs/contracts"),
    replay=ReplayConfig(capacity_examples=28 * 30_000, min_buffer=28 * 100, held_out=0.05),
    learner=LearnerConfig(
        optimizer="muon",
        belief_tiles="hidden",
        root_value_share=0.75,
        lr=0.01,
        schedule="cosine",
        warmup_updates=100,
        decay_updates=_CYCLES * _UPDATES,
        batch=128,
        updates_per_cycle=_UPDATES,
    ),
    evaluation=EvaluationConfig(every_cycles=8, deals=500),
    save=SaveConfig(keep_every_cycles=_CYCLES),
)
