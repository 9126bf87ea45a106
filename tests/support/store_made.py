"""A store with the heartbeats of a run that does not exist."""

import itertools

from zebjax.distributed import heartbeat, open, spool

_count = itertools.count()

LEARNER = {
    "experiment": "big",
    "eval_aux": True,
    "step": 3740,
    "last_step": 5000,
    "total_games": 1_200_000,
    "phase": "play",
    "phase_age_s": 60.0,
    "step_age_s": 62.0,
    "cycle_s": 48.0,
    "longest_cycle_s": 70.0,
    "waits_for": "1,400 of 2,000 examples",
    "have": 1400,
    "needed": 2000,
    "buffer": 450_000,
    "capacity": 500_000,
    "wandb_url": "https://wandb.ai/me/zebjax/runs/abc",
    "device": "NVIDIA H100",
    "price_usd_per_hour": 1.5,
    "train/policy_loss": 0.412,
    "train/value_loss": 0.881,
    "stats/selfplay_updates": 19,
    "stats/eval_aux_updates": 1,
    "stats/eval_aux_policy_w": 0.5,
    "eval/vs_random_win_rate": 0.712,
    "eval/vs_random_win_rate_ci95": 0.011,
}
PLAYER = {
    "step": 3735,
    "games": 9000,
    "games_per_s": 11.5,
    "last_batch_s": 3.0,
    "phase": "play",
    "device": "NVIDIA RTX 4070 Ti",
    "price_usd_per_hour": 0.1,
    "warning": "the store does not answer",
    "warning_age_s": 200.0,
}


def beat(role, name, /, **facts):
    return heartbeat.to_bytes(role, name, str(next(_count)), 5, facts)


def made(where, learner=LEARNER, **workers):
    """Put heartbeats into a store; a worker's name -> its facts, `role` among them."""
    place = open.open_store(str(where))
    objects = {heartbeat.LEARNER: beat("learner", "big", **learner)}
    for name, facts in workers.items():
        role = facts.get("role", "selfplay")
        rest = {key: value for key, value in facts.items() if key != "role"}
        objects[spool.status_name(name)] = beat(role, name, **rest)
    place.put({}, objects)
    return place


def whole(where, **learner):
    """A run with two self-play workers, one of which compiles, and an eval-aux worker."""
    return made(
        where,
        LEARNER | learner,
        a=PLAYER,
        b={"phase": "compile", "phase_age_s": 9.0, "games_per_s": 0.0, "last_batch_s": 1.0},
        e={"role": "evalaux", "games_per_s": 0.5, "phase": "play", "step": 3740},
    )
