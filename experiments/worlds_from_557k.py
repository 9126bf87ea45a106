"""Does an honest search teach better? The 557 K checkpoint goes on by self-play, 48 evaluations a
decision.

On the true deal by default; on sampled worlds with as many evaluations in all:

    python -m zebjax.train experiments/worlds_from_557k.py --start.checkpoint zeb-557k-1m.pt
    python -m zebjax.train experiments/worlds_from_557k.py --start.checkpoint zeb-557k-1m.pt --name worlds-4 \
        --selfplay.search.worlds 4 --selfplay.search.sims 12
    python -m zebjax.train experiments/worlds_from_557k.py --start.checkpoint zeb-557k-1m.pt --name worlds-16 \
        --selfplay.search.worlds 16 --selfplay.search.sims 3
    python -m zebjax.arena --matrix zeb:runs/worlds-true zeb:runs/worlds-4 zeb:runs/worlds-16 --deals 4000
"""

import dataclasses

from zebjax.experiment import (
    PRESETS,
    EvaluationConfig,
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SaveConfig,
    SearchConfig,
    SelfPlayConfig,
    StartConfig,
)

experiment = Experiment(
    name="worlds-true",
    cycles=3,
    start=StartConfig(checkpoint="zeb-557k-1m.pt"),
    network=dataclasses.replace(PRESETS["medium"], belief_head=False),
    selfplay=SelfPlayConfig(lanes=128, games_per_cycle=512, search=SearchConfig("gumbel", sims=48)),
    replay=ReplayConfig(capacity_examples=28 * 4096, min_buffer=28 * 512),
    learner=LearnerConfig(lr=1e-4, batch=64, updates_per_cycle=200),
    evaluation=EvaluationConfig(every_cycles=3, deals=2000),
    save=SaveConfig(keep_every_cycles=3),
)
