"""The optimiser and its learning rate schedule."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from zebjax.training.learner_config import LearnerConfig


def lr_schedule(config: LearnerConfig) -> optax.Schedule:
    """Return the learning rate as a function of the number of updates."""
    peak = config.lr
    if config.schedule == "cosine":
        return optax.schedules.warmup_cosine_decay_schedule(
            0.0 if config.warmup_updates else peak,
            peak,
            config.warmup_updates,
            config.decay_updates,
            peak / 10,
        )
    warmup = optax.schedules.linear_schedule(0.0, peak, config.warmup_updates)
    return warmup if config.warmup_updates else optax.schedules.constant_schedule(peak)


def make_optimizer(config: LearnerConfig) -> optax.GradientTransformation:
    """Make the optimiser; weight decay applies to every parameter.

    It is AdamW (Loshchilov and Hutter 2019) with the original's settings, or Muon (Jordan et al.
    2024).
    """
    schedule, decay = lr_schedule(config), config.weight_decay
    # Muon orthogonalises the updates of matrices. Vectors such as biases get AdamW at a tenth of
    # the learning rate, because Muon's steps are larger than Adam's.
    if config.optimizer == "muon":
        optimizer = optax.contrib.muon(
            schedule,
            weight_decay=decay,
            adam_weight_decay=decay,
            adam_learning_rate=lambda count: schedule(count) / 10,
        )
    else:
        optimizer = optax.adamw(schedule, b1=0.9, b2=0.999, eps=1e-8, weight_decay=decay)
    return (
        optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)
        if config.clip_norm
        else optimizer
    )


def averaged(config: LearnerConfig, update: jax.Array, average: Any, params: Any) -> Any:
    """Return the exponential average of the parameters after an update, see `LearnerConfig.ema`.

    Args:
        config: its `ema`.
        update: int32, number of updates before this one.
        average: before it; None if there is no average.
        params: after it, a pytree like `average`.
    """
    if average is None:
        return None
    # A short memory at first, so that the weights of the beginning are soon forgotten.
    decay = jnp.minimum(config.ema, (1 + update) / (10 + update))
    return optax.incremental_update(params, average, 1 - decay)
