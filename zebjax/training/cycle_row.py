"""The metrics row of a finished cycle, under the original's names."""

import math

import jax
import numpy as np

from zebjax.game import N_PLIES
from zebjax.training import held_out, learner, replay
from zebjax.training.metrics import Row
from zebjax.training.session import Session

_ARRIVALS = 10
"""Number of cycles whose arrivals are averaged."""


def of_cycle(session: Session, n_aux: int, post_train_s: float) -> Row:
    """Return the metrics of the cycle, except those of held-out games and of the source of games.

    Args:
        session: its learner's sums of metrics are reset, its counts of arrivals continue.
        n_aux: number of updates of the cycle that took an eval-aux batch.
        post_train_s: seconds since the end of training.

    Raises:
        ValueError: if the losses are not finite.
    """
    progress, n = session.progress, session.progress.updates_in_cycle
    state, means = learner.take_metrics(session.state.learner, n, n_aux)
    session.state = session.state._replace(learner=state)
    train = {name: float(mean) for name, mean in means.items()}
    if not math.isfinite(train["total_loss"] + train["grad_norm"]):
        raise ValueError(
            f"cycle {progress.cycle}: the losses are no longer finite; nothing was saved, so "
            "the last good save stays. Resume with a lower --learner.lr"
        )
    return {
        **{f"train/{name}": value for name, value in train.items() if math.isfinite(value)},
        "perf/ingest_time_s": progress.play_s,  # in one process: self-play
        "perf/train_time_s": progress.train_s,
        "perf/post_train_time_s": post_train_s,
        "perf/cycle_wall_time_s": progress.wall_s,
        "perf/updates_per_s": n / progress.train_s,
        "stats/replay_buffer_selfplay": int(replay.n_examples(session.state.ring)),
        **_buffer(session, n - n_aux),
        **(_eval_aux(session, n, n_aux) if session.settings.eval_aux.enabled else {}),
    }


def _eval_aux(session: Session, n: int, n_aux: int) -> Row:
    config, batch = session.settings.eval_aux, session.settings.learner.batch
    running = session.progress.eval_stats
    return {
        "stats/replay_buffer_eval_aux": int(replay.n_examples(session.state.aux)),
        "stats/selfplay_mix_ratio": (n - n_aux) / n,
        "stats/eval_aux_mix_ratio": n_aux / n,
        "stats/eval_aux_updates": n_aux,
        "stats/selfplay_updates": n - n_aux,
        "stats/selfplay_examples_per_step": batch * (n - n_aux) / n,
        "stats/eval_aux_examples_per_step": batch * n_aux / n,
        "stats/eval_aux_policy_w": config.policy_weight,
        "stats/eval_aux_value_w": config.value_weight,
        "stats/eval_aux_belief_w": config.belief_weight,
        **{f"stats/eval_aux_{name}_running": mean for name, mean in running.items()},
    }


def _buffer(session: Session, n_updates: int) -> Row:
    """Return the age of the self-play ring and how fast its examples change and are used.

    A teacher's ring never changes, so it has none of these. The rates are over the last ten cycles,
    without the first cycle, which fills the ring up to `min_buffer`.
    """
    settings, progress = session.settings, session.progress
    if settings.teacher.folder is not None:
        return {}
    size = int(session.state.ring.size)
    age = np.maximum(progress.cycle - np.asarray(session.state.ring.records.step_end)[:size], 0)
    row: Row = {
        "stats/buffer_age_cycles": float(age.mean()),
        "stats/buffer_age_max_cycles": int(age.max()),
    }
    arrived = int(progress.ingest.get("selfplay_kept_examples", 0))
    if progress.cycle > progress.first_cycle + 1:
        progress.arrivals = [*progress.arrivals, arrived][-_ARRIVALS:]
    if progress.arrivals:
        # At least one example in all, so that a ring that stands still has a number too.
        per_cycle = max(sum(progress.arrivals), 1) / len(progress.arrivals)
        row |= {
            "stats/buffer_turnover_cycles": size * N_PLIES / per_cycle,
            "stats/rows_trained_per_row": n_updates * settings.learner.batch / per_cycle,
        }
    return row


def of_held_out(session: Session) -> Row:
    """Return the losses on games that are never trained on, and on those of the ring.

    They are measured with the present weights; see `held_out`.
    """
    settings, progress = session.settings, session.progress
    if not settings.replay.held_out:
        return {}
    n_held = len(session.held_out.slots)
    row: Row = {"stats/replay_buffer_held_out": n_held * N_PLIES}
    if not n_held:
        return row
    ring = replay.newest(session.state.ring, int(session.state.ring.size))
    n = held_out.n_measured(settings.learner)
    for which, (prefix, games) in enumerate((("", session.held_out), ("trained_", ring))):
        seed = (settings.seed, progress.cycle, which)
        records, plies = held_out.sample(games, n, seed, settings.learner.decisions_only)
        found = jax.device_get(
            held_out.measure(
                settings.learner, settings.network, session.state.learner.published, records, plies
            )
        )
        row |= {f"held_out/{prefix}{name}": float(loss) for name, loss in found.items()}
    return row
