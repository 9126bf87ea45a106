"""Train the original's 557 K checkpoint, plus a belief head, on games of E[Q], the exact player.

It needs the original's file zeb-557k-1m.pt and its JSON file in one folder. Training plays no
games, so make them first. On two CPU cores the training takes 10 to 15 minutes:

    zebjax teach --games 25000 --n 20 --out runs/teacher
    zebjax train teacher_from_557k --start.checkpoint zeb-557k-1m.pt
"""

import dataclasses

from zebjax.experiment import (
    PRESETS,
    EvaluationConfig,
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SaveConfig,
    StartConfig,
    TeacherConfig,
)

_CYCLES, _UPDATES = 12, 250

experiment = Experiment(
    name="teacher-from-557k",
    cycles=_CYCLES,
    start=StartConfig(checkpoint="zeb-557k-1m.pt", belief_head="fresh"),
    network=dataclasses.replace(PRESETS["medium"], belief_head=True),
    teacher=TeacherConfig("runs/teacher"),
    replay=ReplayConfig(capacity_examples=28 * 30_000, min_buffer=28 * 1000),
    learner=LearnerConfig(
        optimizer="muon",
        belief_tiles="hidden",
        root_value_share=0.75,
        lr=0.003,
        schedule="cosine",
        warmup_updates=100,
        decay_updates=_CYCLES * _UPDATES,
        batch=128,
        updates_per_cycle=_UPDATES,
    ),
    evaluation=EvaluationConfig(every_cycles=6, deals=2000),
    save=SaveConfig(keep_every_cycles=_CYCLES),
)
