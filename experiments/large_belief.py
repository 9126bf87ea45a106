"""Repeat the original's run `large-belief`: 3.35 M parameters, 3,743 cycles, 1.7 million games.

It starts from the original's `large.pt`, which has no belief head, with a new belief head. Put
`large.pt` and its two JSON files in the current folder, or give another path, or start from random
weights:

    zebjax train large_belief --start.checkpoint hf://USER/REPO/large.pt
    zebjax train large_belief --start.checkpoint None

It needs a GPU: on two CPU cores a cycle takes hours. In one process a cycle plays 454 new games,
the original's average; with `--role learner` a cycle is 1,000 updates, however many games arrive,
as in the original.

All settings that zebjax has are the original's. The remaining differences:

- Any seat may lead, and hands are random; in the original seat 0 always led.
- A forced move is played without a search, and the search never considers an illegal move. The
  original searched every ply, and its priors also covered illegal slots.
- The policy target of the last ply is the move played; the original's was all zeros.
- A search of 200 simulations has at most 201 nodes, so the original's limit of 512 has no effect.
- On a GPU matrix products are bfloat16; `--network.compute-dtype float32` turns that off.
- The ring holds 500,000 examples throughout; the original's began with 1,000,000. For that, start
  with `--replay.capacity-examples 1000000` and resume later without it.
- Games against random are 1,000 fair deals, each played twice with the teams swapped; the original
  played 2,000 games on unpaired deals.
- The learner keeps 100 example files in the store; the original's kept 100 to 128.

The original memorised its buffer at the end. `--replay.max-reuse 5 --replay.held-out 0.02` has the
learner wait for new games instead, and measures the losses on games that are never trained on.

`max_example_age_s` and `keep_examples` matter only with `--role learner`. For more speed use
zebjax's tree, which has no node for a forced move and solves the last two tricks exactly:
`--selfplay.search.no-plain`, and on a GPU as many games at once as suit it:
`--selfplay.lanes auto`.
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
    StoreConfig,
)

experiment = Experiment(
    name="large-belief",
    cycles=3743,
    start=StartConfig(checkpoint="large.pt", belief_head="fresh"),
    network=PRESETS["large"],
    selfplay=SelfPlayConfig(
        lanes=256,
        games_per_cycle=454,
        search=SearchConfig(
            policy="puct", sims=200, c_puct=1.414, temperature=1.0, worlds="true", plain=True
        ),
    ),
    replay=ReplayConfig(capacity_examples=500_000, min_buffer=250_000, max_example_age_s=600),
    learner=LearnerConfig(
        optimizer="adamw",
        lr=1e-4,
        schedule="constant",
        weight_decay=0.01,
        batch=64,
        updates_per_cycle=1000,
        policy_weight=1.0,
        value_weight=1.0,
        belief_weight=0.5,
        belief_tiles="dealt",
        policy_mask="unplayed",
    ),
    evaluation=EvaluationConfig(every_cycles=50, deals=1000),
    save=SaveConfig(keep_every_cycles=25),
    store=StoreConfig(publish_every_cycles=25, keep_examples=100),
)
