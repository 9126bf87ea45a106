"""The learner: one optimiser step, and the compiled training call over the replay ring.

Tokens, masks and targets are made from GameRecords on the device, inside the training step.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from zebjax import network
from zebjax.common.arrays import check, check_key
from zebjax.contract_record import AnyRecord
from zebjax.observe import shorten
from zebjax.record import check_record
from zebjax.training import flat, metric_sums, replay, together
from zebjax.training.batches import Batch, Positions, check_batch, make_batch, positions
from zebjax.training.gradients import LossWeights, cut_lengths, grads_and_output, own_weights
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.losses import BELIEF_LOSS, Metrics, losses
from zebjax.training.optimizer import averaged, lr_schedule, make_optimizer


class LearnerState(NamedTuple):
    """The state of the learner."""

    params: network.Params
    optimizer: optax.OptState
    update: jax.Array
    """int32, number of optimiser steps done."""
    key: jax.Array
    """Typed random key for sampling and dropout. Each update folds its number in, so the result
    does not depend on the division of updates into calls."""
    metrics: "Metrics"
    """Sum of each metric over the updates of the current cycle."""
    average: network.Params | None = None
    """Exponential average of the parameters, see `LearnerConfig.ema`; None without."""

    @property
    def published(self) -> network.Params:
        """The parameters that play and are saved as the network: the average, if there is one."""
        return self.params if self.average is None else self.average


class EvalAux(NamedTuple):
    """The eval-aux stream. Some updates take their batch from its ring."""

    ring: replay.Ring
    turns: jax.Array
    """bool `[updates_per_cycle]`, True for those updates of the cycle; see `eval_aux.mix`."""
    weights: LossWeights
    """Weights of the losses in those updates."""
    done: jax.Array | int
    """int32, number of updates of the cycle that were done before this call."""


@functools.partial(jax.jit, static_argnames=("config", "network_config"))
def init(
    config: LearnerConfig, network_config: network.ZebConfig, params: network.Params, key: jax.Array
) -> LearnerState:
    """Make a learner at update 0.

    Args:
        config: static.
        network_config: static.
        params: the parameters to start from.
        key: one typed random key.
    """
    check_key("key", key)
    zeros = {name: jnp.float32(0) for name in metric_sums.names(network_config)}
    optimizer = make_optimizer(config).init(params)
    # A copy: `train` donates both.
    average = jax.tree.map(jnp.copy, params) if config.ema else None
    return LearnerState(params, optimizer, jnp.int32(0), key, zeros, average)


def update(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    state: LearnerState,
    batch: Batch,
    dropout_key: jax.Array | None,
    weights: LossWeights | None = None,
) -> tuple[LearnerState, Metrics]:
    """Do one optimiser step.

    Args:
        config: static.
        network_config: static.
        state: the learner.
        batch: `[B]` examples.
        dropout_key: one typed random key; None turns dropout off.
        weights: of the losses for this batch; None for those of `config`.

    Returns:
        The learner after the step, and metrics computed with the parameters before the step.

    Raises:
        ValueError: if a field of `batch` has a wrong shape or dtype.
    """
    weights = weights or own_weights(config)
    step = _Step(batch, dropout_key, weights)
    state, made = _update(config, network_config, state, step, flat.AS_THEY_ARE)
    return state, _metrics(config, made, batch, weights)


class _Step(NamedTuple):
    """The inputs of one optimiser step."""

    batch: Batch
    dropout_key: jax.Array | None
    weights: LossWeights


class _Made(NamedTuple):
    """What the metrics of one optimiser step are computed from: few arrays, as each is a kernel."""

    output: jax.Array
    """With the parameters before the step; see `together.as_rows`."""
    about: jax.Array
    """float32 `[3]`, see `_ABOUT`: one small array instead of three."""


_ABOUT = ("grad_norm", "grad_norm_value_head", "lr")


def _update(
    config: LearnerConfig,
    network_config: network.ZebConfig,
    state: LearnerState,
    step: _Step,
    layout: flat.Layout,
) -> tuple[LearnerState, _Made]:
    """Do `update` without metrics; parameters and moments in `state` are packed by `layout`."""
    check_batch(step.batch)
    params = layout.unpack(state.params)
    grads, output = grads_and_output(config, network_config, params, *step)
    value_head = [grads["value_hidden"], grads["value_out"]]
    packed = layout.pack(grads)
    about = jnp.stack(
        [
            optax.tree.norm(packed),
            layout.norm_of(packed, value_head),
            jnp.asarray(lr_schedule(config)(state.update), jnp.float32),
        ]
    )
    updates, optimizer = make_optimizer(config).update(packed, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    state = state._replace(
        params=params,
        optimizer=optimizer,
        update=state.update + 1,
        average=averaged(config, state.update, state.average, params),
    )
    return state, _Made(together.as_rows(output), about)


def _metrics(config: LearnerConfig, made: _Made, batch: Batch, weights: LossWeights) -> Metrics:
    """Compute the metrics of one step."""
    output = together.from_rows(made.output)
    metrics = losses(config, output, batch)[1]
    # `total_loss` is the original's metric, with the weights of `config` for every batch.
    # `objective_loss` is the quantity that is minimised.
    metrics["objective_loss"] = (
        weights.policy * metrics["policy_loss"] + weights.value * metrics["value_loss"]
    )
    if output.belief_logits is not None:
        metrics["objective_loss"] += weights.belief * metrics[BELIEF_LOSS[config.belief_tiles]]
    if output.moves is not None:
        metrics["objective_loss"] += weights.moves * metrics["move_loss"]
    return metrics | dict(zip(_ABOUT, made.about, strict=True))


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

    This is one compiled call. The result does not depend on the division of updates into calls.

    Args:
        config: static.
        network_config: static.
        state: donated; the metrics of these updates are added to its `metrics`.
        ring: must hold at least one game.
        n_chunks: integer, traced, so that one compilation serves any number.
        eval_aux: the eval-aux stream, if there is one.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    check_key("state.key", state.key)
    check("n_chunks", n_chunks, (), int)
    check_record(ring.records, ("capacity",))
    if eval_aux is not None:
        check_record(eval_aux.ring.records, ("capacity",))
        check("eval_aux.turns", eval_aux.turns, ("updates",), bool)
    longest = cut_lengths(network_config.tokenizer, config.batch)[-1]
    names, layout = sorted(state.metrics), _layout(config, state.params)

    def weights_of(is_aux: jax.Array) -> LossWeights:
        """Return the weights of the losses in one update."""
        weights = own_weights(config)
        if eval_aux is None:
            return weights
        return jax.tree.map(
            lambda other, usual: jnp.where(is_aux, other, usual), eval_aux.weights, weights
        )

    def step(
        state: LearnerState, inputs: tuple[Batch, jax.Array, jax.Array]
    ) -> tuple[LearnerState, _Made]:
        batch, dropout_key, is_aux = inputs
        inputs_of_step = _Step(batch, dropout_key, weights_of(is_aux))
        return _update(config, network_config, state, inputs_of_step, layout)

    def metrics_of(made: _Made, batch: Batch, is_aux: jax.Array) -> jax.Array:
        """Compute the metrics of one update, as a vector in the order of `names`."""
        metrics = _metrics(config, made, batch, weights_of(is_aux))
        return metric_sums.stacked(metrics | metric_sums.of_eval_aux(metrics, is_aux), names)

    def draw(key: jax.Array, is_aux: jax.Array) -> tuple[AnyRecord, jax.Array]:
        drawn = replay.sample(key, ring, config.batch, config.decisions_only)
        if eval_aux is None:
            return drawn
        return jax.tree.map(
            lambda other, usual: jnp.where(is_aux, other, usual),
            replay.sample(key, eval_aux.ring, config.batch, config.decisions_only),
            drawn,
        )

    def tokens(examples: Positions) -> Batch:
        batch = make_batch(
            examples, network_config.tokenizer, config.policy_mask, config.root_value_share
        )
        return batch._replace(observation=shorten(batch.observation, longest))

    def some(carry: _Carry, inputs: tuple[jax.Array, Batch, jax.Array]) -> _Carry:
        """Do updates whose tokens and targets are there, and compute their metrics together."""
        dropout_keys, batches, is_aux = inputs
        state, made = jax.lax.scan(step, carry.state, (batches, dropout_keys, is_aux))
        return _Carry(state, carry.sums + jax.vmap(metrics_of)(made, batches, is_aux).sum(0))

    # On an accelerator tokens, targets and metrics of several updates are made together: they are
    # a few hundred small kernels, however many examples there are.
    wide = together.updates_at_once(config)
    n_drawn = max(wide, config.chunk)
    chunks_drawn = n_drawn // config.chunk

    def chunks(index: jax.Array | int, carry: _Carry) -> _Carry:
        """Do the updates of `chunks_drawn` chunks, or of those that are left."""
        state = carry.state
        # Keys come from the number of the update, not from splitting, so that a resumed run draws
        # the same examples.
        numbers = state.update + jnp.arange(n_drawn)
        keys = jax.vmap(lambda number: jax.random.split(jax.random.fold_in(state.key, number)))(
            numbers
        )
        sample_keys, dropout_keys = keys[:, 0], keys[:, 1]
        # Draw and replay the examples of many updates together: a replay is 28 sequential steps,
        # so one wide replay is faster than many narrow ones.
        is_aux = jnp.zeros(n_drawn, bool)
        if eval_aux is not None:
            places = eval_aux.done + index * n_drawn + jnp.arange(n_drawn)
            is_aux = eval_aux.turns.at[places].get(mode="fill", fill_value=False)
        examples = positions(*together.joined(jax.vmap(draw)(sample_keys, is_aux)))
        if wide < config.chunk:  # tokens are made for a part of a chunk

            def part(carry: _Carry, inputs: tuple) -> tuple[_Carry, None]:
                dropout_keys, examples, is_aux = inputs
                batches = together.divided(tokens(examples), wide)
                return some(carry, (dropout_keys, batches, is_aux)), None

            inputs = together.divided((dropout_keys, examples, is_aux), config.chunk // wide)
            return jax.lax.scan(part, carry, inputs)[0]
        batches = together.divided(tokens(examples), n_drawn)
        of_chunks = together.divided((dropout_keys, batches, is_aux), chunks_drawn)

        def chunk(index: jax.Array | int, carry: _Carry) -> _Carry:
            return some(carry, jax.tree.map(lambda leaf: leaf[index], of_chunks))

        left = n_chunks - index * chunks_drawn
        return jax.lax.fori_loop(0, jnp.minimum(left, chunks_drawn), chunk, carry)

    packed = state._replace(
        params=layout.pack(state.params),
        optimizer=flat.pack(layout, state.params, state.optimizer),
        average=flat.pack(layout, state.params, state.average),
        metrics={},
    )
    sums = metric_sums.stacked(state.metrics, names)
    n_draws = -(-n_chunks // chunks_drawn)
    after, sums = jax.lax.fori_loop(0, n_draws, chunks, _Carry(packed, sums))
    return after._replace(
        params=layout.unpack(after.params),
        optimizer=flat.unpack(layout, state.params, state.optimizer, after.optimizer),
        average=flat.unpack(layout, state.params, state.average, after.average),
        metrics={name: sums[index] for index, name in enumerate(names)},
    )


class _Carry(NamedTuple):
    """A learner between two updates of one compiled call."""

    state: LearnerState
    """Parameters and moments as the layout packs them; without metrics."""
    sums: jax.Array
    """The metrics as one vector: many small arrays would be many small kernels."""


def _layout(config: LearnerConfig, params: network.Params) -> flat.Layout:
    """Return the layout of the parameters during compiled updates. Muon needs matrices."""
    on_accelerator = jax.default_backend() != "cpu"
    return (
        flat.as_vector(params)
        if on_accelerator and config.optimizer == "adamw"
        else flat.AS_THEY_ARE
    )


def take_metrics(
    state: LearnerState, n_updates: int, n_eval_aux: int = 0
) -> tuple[LearnerState, Metrics]:
    """Return the mean of each metric, and reset the sums to zero.

    Args:
        state: donated.
        n_updates: number of updates since the last reset.
        n_eval_aux: number of those updates whose batch came from the eval-aux stream.

    Returns:
        The state, and the mean of each metric. Losses named `selfplay_` and `eval_aux_` are means
        over the updates of that stream, and are left out if it had no updates.
    """
    state, means = _take_means(state, n_updates, n_eval_aux)
    absent = metric_sums.absent(n_updates, n_eval_aux)
    return state, {name: mean for name, mean in means.items() if name not in absent}


@functools.partial(jax.jit, donate_argnames="state")
def _take_means(
    state: LearnerState, n_updates: jax.Array | int, n_eval_aux: jax.Array | int
) -> tuple[LearnerState, Metrics]:
    """Compute `take_metrics`, with 0 for the losses of a stream without updates."""
    means = metric_sums.means(state.metrics, n_updates, n_eval_aux)
    return state._replace(metrics=jax.tree.map(jnp.zeros_like, state.metrics)), means
