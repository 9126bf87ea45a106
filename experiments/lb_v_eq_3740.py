"""Continue the original's `large-belief` from step 3740 (1,700,608 games) as a new run.

5 % of the updates train on a second stream of games, eval-aux: E[Q] against the current network.
Put `large-belief.pt` and its two JSON files in the current folder and convert them once, which
keeps their provenance:

    zebjax convert large-belief.pt lb-v-eq-3740-bootstrap

One learner, two self-play workers and one eval-aux worker are separate processes; RUNBOOK.md in the
folder of this file describes how to run them:

    zebjax train lb_v_eq_3740 --role learner
    zebjax train lb_v_eq_3740 --role selfplay --worker-id play-1
    zebjax train lb_v_eq_3740 --role selfplay --worker-id play-2
    zebjax train lb_v_eq_3740 --role evalaux --worker-id eq-1

On a GPU a self-play worker is fastest with `--selfplay.lanes auto`.

This is the original's stage 1. Its stage 0, self-play only, is `--eval-aux.no-enabled`, which also
works for a run that has begun.
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
    StoreConfig,
)

experiment = Experiment(
    name="lb-v-eq-3740",
    cycles=2000,
    start=StartConfig(checkpoint="lb-v-eq-3740-bootstrap", step=3740, total_games=1_700_608),
    network=PRESETS["large"],
    selfplay=SelfPlayConfig(
        lanes=256,
        games_per_cycle=454,
        search=SearchConfig(policy="puct", sims=200, c_puct=1.414, temperature=1.0, worlds="true"),
    ),
    # The original trained on each example about 5 times while it improved, and about 7 times when
    # it memorised its buffer at the end.
    replay=ReplayConfig(
        capacity_examples=500_000,
        min_buffer=250_000,
        max_example_age_s=600,
        held_out=0.02,
        max_reuse=5,
    ),
    learner=LearnerConfig(lr=1e-4, weight_decay=0.01, batch=64, updates_per_cycle=1000),
    evaluation=EvaluationConfig(every_cycles=50, deals=1000),
    save=SaveConfig(keep_every_cycles=25),
    store=StoreConfig(publish_every_cycles=25, keep_examples=128),
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
