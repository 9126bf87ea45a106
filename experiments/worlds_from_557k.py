"""Compare search on the true deal with search on sampled worlds, 48 evaluations per decision.

Each run continues the original's 557 K checkpoint (zeb-557k-1m.pt) by self-play for three cycles.
Convert it first. Without overrides this experiment searches the true deal:

    zebjax convert zeb-557k-1m.pt out/zeb-557k
    zebjax train worlds_from_557k --start.checkpoint out/zeb-557k

Two more runs search 4 and 16 sampled worlds, with as many evaluations in total. Add to that command

    --name worlds-4 --selfplay.search.worlds 4 --selfplay.search.sims 12
    --name worlds-16 --selfplay.search.worlds 16 --selfplay.search.sims 3

`zebjax arena --deals 4000 --json --matrix` with the players zeb:runs/worlds-true zeb:runs/worlds-4
zeb:runs/worlds-16 zeb:out/zeb-557k made benchmarks/results/worlds.json.
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
    replay=ReplayConfig(capacity_examples=28 * 4096, min_buffer=28 * 512, max_reuse=2),
    learner=LearnerConfig(lr=1e-4, batch=64, updates_per_cycle=200),
    evaluation=EvaluationConfig(every_cycles=3, deals=2000),
    save=SaveConfig(keep_every_cycles=3),
)
