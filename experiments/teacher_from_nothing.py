"""Train the medium network from random weights on games of E[Q], the exact player.

Training plays no games, so make them first. On two CPU cores 25,000 games take about 20 minutes,
and the training 20 to 30:

    zebjax teach --games 25000 --n 20 --out runs/teacher
    zebjax train teacher_from_nothing
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

_CYCLES, _UPDATES = 32, 300

experiment = Experiment(
    name="teacher-from-nothing",
    cycles=_CYCLES,
    network=dataclasses.replace(PRESETS["medium"], belief_head=True),
    teacher=TeacherConfig("runs/teacher"),
    replay=ReplayConfig(capacity_examples=28 * 30_000, min_buffer=28 * 1000),
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
    evaluation=EvaluationConfig(every_cycles=8, deals=2000),
    save=SaveConfig(keep_every_cycles=_CYCLES),
)
