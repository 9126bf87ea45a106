"""The metrics of a learner's updates: their names, and the means of their sums over a cycle."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from zebjax.network.config import ZebConfig
from zebjax.training.losses import MOVE_METRICS, Metrics

_METRICS = (
    "policy_loss",
    "value_loss",
    "total_loss",
    "policy_entropy",
    "policy_top1_accuracy",
    "policy_kl_divergence",
    "value_mean",
    "value_std",
    "value_target_mean",
    "grad_norm",
    "grad_norm_value_head",
    "lr",
    "objective_loss",
    "eval_aux_policy_loss",
    "eval_aux_value_loss",
)
_BELIEF_METRICS = (
    "belief_loss",
    "belief_accuracy",
    "belief_loss_hidden",
    "belief_accuracy_hidden",
    "belief_brier_hidden",
    "belief_confidence_hidden",
    "belief_loss_marginal",
    "belief_accuracy_marginal",
    "eval_aux_belief_loss",
)


_STREAM_LOSSES = ("policy_loss", "value_loss", "belief_loss")


def names(network_config: ZebConfig) -> tuple[str, ...]:
    """Return the names of the metrics that are summed, by the heads of the network."""
    found = _METRICS + (_BELIEF_METRICS if network_config.belief_head else ())
    return found + (MOVE_METRICS if network_config.move_values else ())


def stacked(metrics: Metrics, order: Sequence[str]) -> jax.Array:
    """Return metrics as one vector, float32 `[len(order)]`."""
    return jnp.stack([metrics[name] for name in order])


def of_eval_aux(metrics: Metrics, is_aux: jax.Array) -> Metrics:
    """Return the losses of an update as `eval_aux_*`: 0 if its batch is not of that stream."""
    return {
        f"eval_aux_{name}": is_aux * metrics[name] for name in _STREAM_LOSSES if name in metrics
    }


def means(sums: Metrics, n_updates: jax.Array | int, n_eval_aux: jax.Array | int) -> Metrics:
    """Return the mean of each metric, and that of each loss by stream.

    Args:
        sums: over the updates.
        n_updates: their number.
        n_eval_aux: number of those whose batch came from the eval-aux stream.

    Returns:
        The means. Losses named `selfplay_` and `eval_aux_` are those of a stream, 0 if it had no
        updates; see `absent`.
    """
    found = {name: total / n_updates for name, total in sums.items()}
    for name in _STREAM_LOSSES:
        if name in sums:
            of_aux = sums[f"eval_aux_{name}"]
            # Divide by 1 or more: 0 / 0 would stop every run under JAX_DEBUG_NANS.
            found[f"eval_aux_{name}"] = of_aux / jnp.maximum(n_eval_aux, 1)
            n_selfplay = jnp.maximum(n_updates - n_eval_aux, 1)
            found[f"selfplay_{name}"] = (sums[name] - of_aux) / n_selfplay
    return found


def absent(n_updates: int, n_eval_aux: int) -> set[str]:
    """Return the names of `means` that say nothing: losses of a stream without updates."""
    without = {"selfplay": n_updates == n_eval_aux, "eval_aux": n_eval_aux == 0}
    return {f"{stream}_{name}" for stream in without if without[stream] for name in _STREAM_LOSSES}
