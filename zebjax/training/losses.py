"""Losses and metrics of one batch."""

import jax
import jax.numpy as jnp

from zebjax import network
from zebjax.common.arrays import check
from zebjax.evaluation import belief_scores
from zebjax.training.batches import Batch, check_batch
from zebjax.training.config import LearnerConfig

# The original's clamp on log-probabilities: a policy target on a slot given probability 0 costs
# 100, not infinity.
_MIN_LOG_PROBABILITY = -100.0


Metrics = dict[str, jax.Array]
"""Name to scalar, float32."""


def _mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted mean, 0 where all weights are 0."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1e-8)


def losses(
    config: LearnerConfig, output: network.Output, batch: Batch
) -> tuple[jax.Array, Metrics]:
    """The objective and its metrics by the original's names.

    The objective is the sum, with the config's weights, of policy cross-entropy over `policy_mask`,
    mean squared error of the value, and belief cross-entropy over the tiles that
    `config.belief_tiles` names.

    Args:
        config: the weights.
        output: of the network, leading axis B.
        batch: `[B]` examples.

    Returns:
        The objective, a scalar, and the metrics.

    Raises:
        ValueError: if `output` and `batch` have wrong shapes.
    """
    check_batch(batch)
    n = batch.policy_mask.shape[0]
    check("output.policy_logits", output.policy_logits, (n, 7), float)
    check("output.value", output.value, (n,), float)
    # -inf before the softmax, so that the policy is a distribution over the masked slots alone. The
    # maximum makes these finite again: a target of 0 there times -inf would be nan.
    logits = jnp.where(batch.policy_mask, output.policy_logits, -jnp.inf)
    log_policy = jnp.maximum(jax.nn.log_softmax(logits), _MIN_LOG_PROBABILITY)
    policy, target = jnp.exp(log_policy) * batch.policy_mask, batch.policy_target
    cross_entropy = -(target * log_policy).sum(-1)
    target_entropy = -jnp.where(
        target > 0, target * jnp.log(jnp.where(target > 0, target, 1)), 0
    ).sum(-1)
    policy_loss = _mean(cross_entropy, batch.policy_weight)
    value_loss = jnp.square(output.value - batch.value_target).mean()
    total = config.policy_weight * policy_loss + config.value_weight * value_loss
    metrics = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "policy_entropy": -(policy * log_policy).sum(-1).mean(),
        "policy_top1_accuracy": _mean(
            (logits.argmax(-1) == target.argmax(-1)).astype(jnp.float32), batch.policy_weight
        ),
        "policy_kl_divergence": _mean(cross_entropy - target_entropy, batch.policy_weight),
        "value_mean": output.value.mean(),
        "value_std": output.value.std(ddof=1),
        "value_target_mean": batch.value_target.mean(),
    }
    if output.belief_logits is not None:
        metrics |= _belief_metrics(output.belief_logits, batch)
        total += config.belief_weight * metrics[_BELIEF_LOSS[config.belief_tiles]]
    return total, metrics | {"total_loss": total}


_BELIEF_LOSS = {"dealt": "belief_loss", "hidden": "belief_loss_hidden"}


def _belief_metrics(logits: jax.Array, batch: Batch) -> Metrics:
    """Metrics of the belief head, of the training examples and with dropout.

    The original's two are over the 21 tiles not dealt to the mover. The others are over the tiles
    that are truly hidden, beside the exact marginal. The metrics under `eval/` are without dropout,
    on games that were not trained on (`evaluation.belief.metrics`).
    """
    log_belief = jax.nn.log_softmax(logits)
    belief, owner = jnp.exp(log_belief), batch.belief_target
    loss = -belief_scores.at_owner(log_belief, owner)
    # argmax, not `belief_scores.correct`: the original's accuracy, which has no shares for ties.
    right = (logits.argmax(-1) == owner).astype(jnp.float32)
    marginal = belief_scores.at_owner(batch.marginal, owner)
    return {
        "belief_loss": _mean(loss, batch.belief_mask),
        "belief_accuracy": _mean(right, batch.belief_mask),
        "belief_loss_hidden": _mean(loss, batch.hidden),
        "belief_accuracy_hidden": _mean(right, batch.hidden),
        "belief_brier_hidden": _mean(belief_scores.brier(belief, owner), batch.hidden),
        "belief_confidence_hidden": _mean(belief.max(-1), batch.hidden),
        # 1 for visible tiles, whose weight is 0: log 0 * 0 is nan.
        "belief_loss_marginal": _mean(-jnp.log(jnp.where(batch.hidden, marginal, 1)), batch.hidden),
        "belief_accuracy_marginal": _mean(
            belief_scores.correct(batch.marginal, owner), batch.hidden
        ),
    }
