"""The original's run `large-belief`: 3.35 M parameters, 200 simulations a move on the true deal,
454 games a cycle.

It begins with the policy, value and trunk of `large.pt`, trained before without a belief head, and
a fresh belief head. Put `large.pt` and its two JSON files beside you or name the place; or begin
from nothing:

    python -m zebjax.train experiments/large_belief.py --start.checkpoint hf://USER/REPO/large.pt
    python -m zebjax.train experiments/large_belief.py --start.checkpoint None

The tree is ours, which plays forced moves through and knows the last two tricks;
--selfplay.search.plain True gives the original's. It wants a GPU: on two CPU cores a cycle takes
hours.
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
    StartConfig,
)

experiment = Experiment(
    name="large-belief",
    cycles=3743,
    start=StartConfig(checkpoint="large.pt", belief_head="fresh"),
    network=PRESETS["large"],
    selfplay=SelfPlayConfig(
        lanes=256,
        games_per_cycle=454,
        search=SearchConfig(policy="puct", sims=200, c_puct=1.414, temperature=1.0),
    ),
    replay=ReplayConfig(capacity_examples=500_000, min_buffer=250_000),
    learner=LearnerConfig(lr=1e-4, weight_decay=0.01, batch=64, updates_per_cycle=1000),
    evaluation=EvaluationConfig(every_cycles=50, deals=1000),
    save=SaveConfig(keep_every_cycles=25),
)
