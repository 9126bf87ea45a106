"""The learner: losses, metrics, optimiser, and the compiled training call over the replay ring.

Tokens, masks and targets are made on the device, inside the training step, from GameRecords.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from zebjax import network
from zebjax.common import devices
from zebjax.common.arrays import check, check_key
from zebjax.evaluation import belief_scores
from zebjax.network import bucketing
from zebjax.observe import shorten, tokenizer
from zebjax.record import GameRecord, check_record
from zebjax.training import replay
from zebjax.training.batches import Batch, Positions, check_batch, make_batch, positions
from zebjax.training.config import LearnerConfig

# The original's clamp on log-probabilities: a policy target on a slot given probability 0 costs
# 100, not infinity.
_MIN_LOG_PROBABILITY = -100.0


class LearnerState(NamedTuple):
    """The state of the learner."""

    params: network.Params
    optimizer: optax.OptState
    update: jax.Array
    """int32, number of optimiser steps done."""
    key: jax.Array
    """Typed key of all sampling and dropout. Each update folds its number in, so that the division
    of updates into calls does not matter."""
    metrics: "Metrics"
    """Sum of each metric over the updates since the cycle began."""


Metrics = dict[str, jax.Array]
"""Name to scalar, float32."""
_METRICS = (
    *(
        "policy_loss",
        "value_loss",
        "total_loss",
        "policy_entropy",
        "policy_top1_accuracy",
        "policy_kl_divergence",
    ),
    *(
        "value_mean",
        "value_std",
        "value_target_mean",
        "grad_norm",
        "grad_norm_value_head",
        "lr",
        "objective_loss",
    ),
    *("eval_aux_policy_loss", "eval_aux_value_loss"),
)
_BELIEF_METRICS = (
    *(
        "belief_loss",
        "belief_accuracy",
        "belief_loss_hidden",
        "belief_accuracy_hidden",
        "belief_brier_hidden",
    ),
    *(
        "belief_confidence_hidden",
        "belief_loss_marginal",
        "belief_accuracy_marginal",
        "eval_aux_belief_loss",
    ),
)
_STREAM_LOSSES = ("policy_loss", "value_loss", "belief_loss")


class EvalAux(NamedTuple):
    """The second stream of examples. Some updates take their batch from it."""

    ring: replay.Ring
    turns: jax.Array
    """bool `[updates_per_cycle]`: True for those updates of the cycle, see `eval_aux.mix`."""
    policy_weight: jax.Array | float
    """Factor of the policy loss in those updates."""
    done: jax.Array | int
    """int32, number of updates of the cycle done before this call."""


def lr_schedule(config: LearnerConfig) -> optax.Schedule:
    """Learning rate by update."""
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
    """Make the optimiser: AdamW (Loshchilov & Hutter 2019) with the original's settings, or Muon.

    Both decay every parameter.
    """
    schedule, decay = lr_schedule(config), config.weight_decay
    # Muon (Jordan et al. 2024) orthogonalises the updates of matrices. Vectors such as biases get
    # AdamW, at a tenth of the learning rate: Muon's steps have a larger scale than Adam's.
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


@functools.partial(jax.jit, static_argnames=("config", "network_config"))
def init(
    config: LearnerConfig, network_config: network.ZebConfig, params: network.Params, key: jax.Array
) -> LearnerState:
    """Make a learner at update 0.

    Args:
        config: static.
        network_config: static.
        params: the weights to start from.
        key: one typed random key.
    """
    check_key("key", key)
    metrics = _METRICS + (_BELIEF_METRICS if network_config.belief_head else ())
    zeros = {name: jnp.float32(0) for name in metrics}
    return LearnerState(params, make_optimizer(config).init(params), jnp.int32(0), key, zeros)


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


def update(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    state: LearnerState,
    batch: Batch,
    dropout_key: jax.Array | None,
    policy_weight: jax.Array | float = 1.0,
) -> tuple[LearnerState, Metrics]:
    """Do one optimiser step.

    Args:
        config: static.
        network_config: static.
        state: the learner.
        batch: `[B]` examples.
        dropout_key: one typed random key; None turns dropout off.
        policy_weight: a further factor of the policy loss in this batch.

    Returns:
        The learner after the step, and the metrics of the weights before it.

    Raises:
        ValueError: if a field of `batch` has a wrong shape or dtype.
    """
    check_batch(batch)
    grads, output = _grads_and_output(
        config, network_config, state.params, batch, dropout_key, policy_weight
    )
    metrics = losses(config, output, batch)[1]
    # `total_loss` is the original's metric, without the factor; what is minimised is reported
    # beside it.
    unlearned = config.policy_weight * (1 - policy_weight) * metrics["policy_loss"]
    metrics["objective_loss"] = metrics["total_loss"] - unlearned
    value_head = [grads["value_hidden"], grads["value_out"]]
    metrics |= {
        "grad_norm": optax.tree.norm(grads),
        "grad_norm_value_head": optax.tree.norm(value_head),
        "lr": jnp.asarray(lr_schedule(config)(state.update), jnp.float32),
    }
    updates, optimizer = make_optimizer(config).update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    return state._replace(params=params, optimizer=optimizer, update=state.update + 1), metrics


_GROUPS = 4


def _grads_and_output(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    batch: Batch,
    dropout_key: jax.Array | None,
    policy_weight: jax.Array | float = 1.0,
) -> tuple[network.Params, network.Output]:
    """Gradients of the objective, and the network's output.

    The batch is sorted by length, and each quarter is evaluated with as few tokens as it needs (see
    `network.bucketing`).
    """
    # Every loss is a weighted mean. So the loss of the batch is the sum over the quarters of each
    # one's loss times its share of all weight; the gradients are summed with these shares.
    size = batch.policy_weight.shape[0]
    n_groups = next((n for n in (_GROUPS, 2) if size % (n * jax.device_count()) == 0), 1)
    lengths = tokenizer(network_config.tokenizer).lengths
    # A few lengths, about where the quarters of a batch end: each is a compiled network.
    lengths = (*lengths[1:5:2], lengths[-1])
    _, order, back = bucketing.sort(batch.observation.mask.sum(-1), size // n_groups)
    batch = batch._replace(observation=shorten(batch.observation, lengths[-1]))
    groups = jax.tree.map(lambda leaf: leaf[order].reshape(n_groups, -1, *leaf.shape[1:]), batch)
    groups = devices.split(groups, axis=1)

    def share(weights: jax.Array) -> jax.Array:
        """Each group's share of all weight `[n_groups]`."""
        return weights.reshape(n_groups, -1).sum(1) / jnp.maximum(weights.sum(), 1e-8)

    belief_weights = groups.hidden if config.belief_tiles == "hidden" else groups.belief_mask
    shares = (share(groups.policy_weight), jnp.full(n_groups, 1 / n_groups), share(belief_weights))
    keys = None if dropout_key is None else jax.random.split(dropout_key, n_groups)

    def of_group(total: network.Params, group: tuple) -> tuple[network.Params, network.Output]:
        batch, (policy_share, value_share, belief_share), key = group

        def at_length(length: int) -> tuple[network.Params, network.Output]:
            def objective(params: network.Params) -> tuple[jax.Array, network.Output]:
                output = network.apply(
                    network_config, params, bucketing.cut(batch.observation, length), key
                )
                _, metrics = losses(config, output, batch)
                loss = config.policy_weight * policy_weight * policy_share * metrics["policy_loss"]
                loss += config.value_weight * value_share * metrics["value_loss"]
                if output.belief_logits is not None:
                    loss += (
                        config.belief_weight
                        * belief_share
                        * metrics[_BELIEF_LOSS[config.belief_tiles]]
                    )
                return loss, output

            return jax.grad(objective, has_aux=True)(params)

        branches = [functools.partial(at_length, length) for length in lengths]
        grads, output = jax.lax.switch(bucketing.which(batch.observation.mask, lengths), branches)
        return jax.tree.map(jnp.add, total, grads), output

    zeros = jax.tree.map(jnp.zeros_like, params)
    grads, output = jax.lax.scan(of_group, zeros, (groups, shares, keys))
    return grads, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[back], output)


@functools.partial(jax.jit, static_argnames=("config", "network_config"), donate_argnames="state")
def train(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    state: LearnerState,
    ring: replay.Ring,
    n_chunks: jax.Array | int,
    eval_aux: EvalAux | None = None,
) -> LearnerState:
    """Do `n_chunks * config.chunk` optimiser steps on examples drawn from the ring.

    One compiled call. The division of a run's updates into calls does not change its result.

    Args:
        config: static.
        network_config: static.
        state: donated; the metrics of these updates are added to its `metrics`.
        ring: must hold at least one game.
        n_chunks: integer, traced: one compilation for any number.
        eval_aux: the second stream, if there is one.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    check_key("state.key", state.key)
    check("n_chunks", n_chunks, (), int)
    check_record(ring.records, ("capacity",))
    if eval_aux is not None:
        check_record(eval_aux.ring.records, ("capacity",))
        check("eval_aux.turns", eval_aux.turns, ("updates",), bool)

    def step(state: LearnerState, inputs: tuple[jax.Array, Positions, jax.Array]):
        dropout_key, examples, is_aux = inputs
        batch = make_batch(
            examples, network_config.tokenizer, config.policy_mask, config.root_value_share
        )
        policy_weight = 1.0 if eval_aux is None else jnp.where(is_aux, eval_aux.policy_weight, 1.0)
        state, metrics = update(config, network_config, state, batch, dropout_key, policy_weight)
        of_aux = {
            f"eval_aux_{name}": is_aux * metrics[name] for name in _STREAM_LOSSES if name in metrics
        }
        return state._replace(metrics=jax.tree.map(jnp.add, state.metrics, metrics | of_aux)), None

    def draw(key: jax.Array, is_aux: jax.Array) -> tuple[GameRecord, jax.Array]:
        drawn = replay.sample(key, ring, config.batch)
        if eval_aux is None:
            return drawn
        return jax.tree.map(
            lambda other, usual: jnp.where(is_aux, other, usual),
            replay.sample(key, eval_aux.ring, config.batch),
            drawn,
        )

    def chunk(index: jax.Array | int, state: LearnerState) -> LearnerState:
        # Keys by the number of the update, not by splitting: a run that is stopped and resumed
        # draws the same.
        numbers = state.update + jnp.arange(config.chunk)
        keys = jax.vmap(lambda number: jax.random.split(jax.random.fold_in(state.key, number)))(
            numbers
        )
        sample_keys, dropout_keys = keys[:, 0], keys[:, 1]
        # A chunk's examples are drawn and replayed at once: a replay is 28 steps one after the
        # other, so one wide replay is faster than many narrow ones.
        is_aux = jnp.zeros(config.chunk, bool)
        if eval_aux is not None:
            begin = eval_aux.done + index * config.chunk
            is_aux = jax.lax.dynamic_slice_in_dim(eval_aux.turns, begin, config.chunk)
        drawn = jax.vmap(draw)(sample_keys, is_aux)
        flat = positions(*jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), drawn))
        examples = jax.tree.map(
            lambda leaf: leaf.reshape(config.chunk, config.batch, *leaf.shape[1:]), flat
        )
        return jax.lax.scan(step, state, (dropout_keys, examples, is_aux))[0]

    return jax.lax.fori_loop(0, n_chunks, chunk, state)


def take_metrics(
    state: LearnerState, n_updates: int, n_eval_aux: int = 0
) -> tuple[LearnerState, Metrics]:
    """Means of the metrics since they were last taken; their sums are set to zero.

    Args:
        state: donated.
        n_updates: number of updates since then.
        n_eval_aux: number of those that took their batch from the second stream.

    Returns:
        The state, and each metric's mean. The losses with `selfplay_` and `eval_aux_` are means
        over the updates of that stream, and left out if it had none.
    """
    state, means = _take_means(state, n_updates, n_eval_aux)
    without = {"selfplay": n_updates == n_eval_aux, "eval_aux": n_eval_aux == 0}
    absent = {
        f"{stream}_{name}" for stream in without if without[stream] for name in _STREAM_LOSSES
    }
    return state, {name: mean for name, mean in means.items() if name not in absent}


@functools.partial(jax.jit, donate_argnames="state")
def _take_means(
    state: LearnerState, n_updates: jax.Array | int, n_eval_aux: jax.Array | int
) -> tuple[LearnerState, Metrics]:
    """`take_metrics`, with 0 for the losses of a stream without updates: 0 / 0 would end every run
    under JAX_DEBUG_NANS.
    """
    sums = state.metrics
    means = {name: total / n_updates for name, total in sums.items()}
    for name in _STREAM_LOSSES:
        if name in sums:
            of_aux = sums[f"eval_aux_{name}"]
            means[f"eval_aux_{name}"] = of_aux / jnp.maximum(n_eval_aux, 1)
            n_selfplay = jnp.maximum(n_updates - n_eval_aux, 1)
            means[f"selfplay_{name}"] = (sums[name] - of_aux) / n_selfplay
    return state._replace(metrics=jax.tree.map(jnp.zeros_like, sums)), means
