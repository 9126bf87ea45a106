"""lb-v-eq-3740: go on from the original's `large-belief` at step 3740 (1,700,608 games) in a
namespace of its own.

Put `large-belief.pt` and its two JSON files beside you and convert them once, which keeps where
they came from:

    python -m convert large-belief.pt lb-v-eq-3740-bootstrap

One learner, two self-play workers and one eval-aux worker are processes of their own (see
RUNBOOK.md beside this file):

    python -m zebjax.train experiments/lb_v_eq_3740.py --role learner
    python -m zebjax.train experiments/lb_v_eq_3740.py --role selfplay --worker-id play-1
    python -m zebjax.train experiments/lb_v_eq_3740.py --role selfplay --worker-id play-2
    python -m zebjax.train experiments/lb_v_eq_3740.py --role evalaux --worker-id eq-1

This is stage 1: the eval-aux stream is mixed in. Stage 0, self-play only, is
`--eval-aux.no-enabled`, also for a run that has begun.
"""

from zebjax.experiment import (
    PRESETS,
    EvalAuxConfig,
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
    name="lb-v-eq-3740",
    cycles=2000,
    start=StartConfig(checkpoint="lb-v-eq-3740-bootstrap", step=3740, total_games=1_700_608),
    network=PRESETS["large"],
    selfplay=SelfPlayConfig(
        lanes=256,
        games_per_cycle=454,
        search=SearchConfig(policy="puct", sims=200, c_puct=1.414, temperature=1.0),
    ),
    replay=ReplayConfig(capacity_examples=500_000, min_buffer=250_000, max_example_age_s=600),
    learner=LearnerConfig(lr=1e-4, weight_decay=0.01, batch=64, updates_per_cycle=1000),
    evaluation=EvaluationConfig(every_cycles=50, deals=1000),
    save=SaveConfig(keep_every_cycles=25),
    eval_aux=EvalAuxConfig(
        enabled=True,
        batch_fraction=0.05,
        policy_weight=0.0,
        capacity_examples=100_000,
        max_model_lag=400,
        lag_half_life=200,
        min_keep_weight=0.10,
        worlds=100,
        temperature=0.1,
        games_per_file=128,
    ),
)
