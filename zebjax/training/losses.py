"""Losses and metrics of one batch, under the original's names."""

import jax
import jax.numpy as jnp

from zebjax import network
from zebjax.common.arrays import check
from zebjax.evaluation import belief_scores
from zebjax.network.config import POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.training.batches import Batch, check_batch
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.small_config import MEAN_WEIGHT

# The original's clamp of log-probabilities: a policy target on a slot with probability 0 costs 100
# and not infinity.
_MIN_LOG_PROBABILITY = -100.0


Metrics = dict[str, jax.Array]
"""Name to scalar, float32."""


def _mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Return the weighted mean; 0 if all weights are 0."""
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1e-8)


def with_beliefs(config: network.ZebConfig, output: network.Output, batch: Batch) -> network.Output:
    """Return the output with `network.corrected_beliefs` in place of what the belief head gives."""
    if output.belief_logits is None:
        return output
    logits = network.corrected_beliefs(config, output.belief_logits, batch.marginal)
    return output._replace(belief_logits=logits)


def losses(
    config: LearnerConfig, output: network.Output, batch: Batch
) -> tuple[jax.Array, Metrics]:
    """Compute the objective and the metrics.

    The objective is a weighted sum: policy cross-entropy over the slots of `policy_mask`, mean
    squared error of the value, belief cross-entropy over the tiles of `config.belief_tiles`, and
    the errors of the values of moves (`move_errors`).

    Args:
        config: the weights of the sum.
        output: the network's output, leading axis B, from `with_beliefs`.
        batch: `[B]` examples.

    Returns:
        The objective, a float32 scalar, and the metrics.

    Raises:
        ValueError: if `output` and `batch` have wrong shapes.
    """
    check_batch(batch)
    n = batch.policy_mask.shape[0]
    check("output.policy_logits", output.policy_logits, (n, 7), float)
    check("output.value", output.value, (n,), float)
    # -inf before the softmax makes the policy a distribution over the slots of `policy_mask`. The
    # maximum makes the other slots finite again: a target of 0 times -inf would be nan.
    logits = jnp.where(batch.policy_mask, output.policy_logits, -jnp.inf)
    log_policy = jnp.maximum(jax.nn.log_softmax(logits), _MIN_LOG_PROBABILITY)
    target = policy_target(config, output, batch)
    policy = jnp.exp(log_policy) * batch.policy_mask
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
        total += config.belief_weight * metrics[BELIEF_LOSS[config.belief_tiles]]
    if output.moves is not None:
        metrics |= _move_metrics(output.moves, batch)
        total += config.move_value_weight * metrics["move_loss"]
    return total, metrics | {"total_loss": total}


def policy_target(config: LearnerConfig, output: network.Output, batch: Batch) -> jax.Array:
    """Return what the policy learns, float32 `[B, 7]`: the targets of the games or of the values of
    moves, see `LearnerConfig.policy_from_values`.
    """
    if not config.policy_from_values or output.moves is None:
        return batch.policy_target
    scores = output.moves @ jnp.array([VALUE_WEIGHT, POINTS_WEIGHT], output.moves.dtype)
    # The values are the teacher here: the policy's loss must not change them.
    scores = jax.lax.stop_gradient(scores) / config.policy_from_values
    return jax.nn.softmax(jnp.where(batch.policy_mask, scores, -jnp.inf))


BELIEF_LOSS = {"dealt": "belief_loss", "hidden": "belief_loss_hidden"}


MOVE_METRICS = ("move_loss", "move_value_error", "move_value_spread_error", "move_points_error")
"""The loss of a network's `move_values`, and mean squared errors over the moves of a position: of
the value, of the value relative to its mean over the moves where several have targets, and of the
points."""


def move_errors(moves: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Compute the squared errors of value and points of the moves of each position.

    The loss of a position is the sum over both of spread + `mean_weights` * mean. With spread +
    mean instead it would be their mean squared errors.

    Args:
        moves: float32 `[B, 7, 2]`, the network's.
        targets: float32 `[B, 7, 2]`, nan where there is no target.

    Returns:
        `spread`, float32 `[B, 2]`: mean over the moves with targets of (error - mean error)^2;
        `mean`, float32 `[B, 2]`: (mean error)^2; and `known`, bool `[B, 2]`: False, with 0 in the
        others, where no move has a target.
    """
    has = jnp.isfinite(targets)
    # Before the subtraction: the gradient of a nan that `where` leaves out afterwards is nan.
    errors = jnp.where(has, moves - jnp.where(has, targets, 0), 0)
    n = jnp.maximum(has.sum(1), 1)
    mean = errors.sum(1) / n
    spread = jnp.where(has, jnp.square(errors - mean[:, None]), 0).sum(1) / n
    return spread, jnp.square(mean), has.any(1)


def mean_weights(targets: jax.Array) -> jax.Array:
    """Return the weight of the mean in the loss, float32 `[B, 2]`.

    It is `MEAN_WEIGHT`, and 1 where one move alone has a target: then the mean is all there is.
    """
    return jnp.where(jnp.isfinite(targets).sum(1) > 1, MEAN_WEIGHT, 1.0)


def _move_metrics(moves: jax.Array, batch: Batch) -> Metrics:
    """Compute the loss of the values of moves; means over positions that have targets."""
    targets = jnp.full_like(moves, jnp.nan) if batch.moves is None else batch.moves
    spread, mean, known = move_errors(moves, targets)
    found = (
        _mean((spread + mean_weights(targets) * mean).sum(-1), known.any(-1)),
        _mean((spread + mean)[:, 0], known[:, 0]),
        _mean(spread[:, 0], jnp.isfinite(targets).sum(1)[:, 0] > 1),
        _mean((spread + mean)[:, 1], known[:, 1]),
    )
    return dict(zip(MOVE_METRICS, found, strict=True))


def _belief_metrics(logits: jax.Array, batch: Batch) -> Metrics:
    """Compute the metrics of the belief head on the training batch, with dropout.

    `belief_loss` and `belief_accuracy` are the original's, over the 21 tiles not dealt to the
    mover. The others are over the hidden tiles, for the network and for the exact marginal. The
    metrics under `eval/` are computed without dropout, on games that were not trained on
    (`evaluation.belief.metrics`).
    """
    log_belief = jax.nn.log_softmax(logits)
    belief, owner = jnp.exp(log_belief), batch.belief_target
    loss = -belief_scores.at_owner(log_belief, owner)
    # argmax, not `belief_scores.correct`: the original's accuracy does not share ties.
    right = (logits.argmax(-1) == owner).astype(jnp.float32)
    marginal = belief_scores.at_owner(batch.marginal, owner)
    return {
        "belief_loss": _mean(loss, batch.belief_mask),
        "belief_accuracy": _mean(right, batch.belief_mask),
        "belief_loss_hidden": _mean(loss, batch.hidden),
        "belief_accuracy_hidden": _mean(right, batch.hidden),
        "belief_brier_hidden": _mean(belief_scores.brier(belief, owner), batch.hidden),
        "belief_confidence_hidden": _mean(belief.max(-1), batch.hidden),
        # Visible tiles have weight 0. Replace their 0 by 1, since log(0) * 0 is nan.
        "belief_loss_marginal": _mean(-jnp.log(jnp.where(batch.hidden, marginal, 1)), batch.hidden),
        "belief_accuracy_marginal": _mean(
            belief_scores.correct(batch.marginal, owner), batch.hidden
        ),
    }
