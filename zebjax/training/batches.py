"""What the learner learns from: plies of recorded games, replayed, as tokens, masks and targets."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from zebjax import game, record, worlds
from zebjax.observe import Observation, belief_targets, hidden_tiles, observe
from zebjax.training.config import PolicyMask


class Positions(NamedTuple):
    """What an example is made of; leading axes: examples."""

    state: game.GameState
    policy: jax.Array
    """float32 `[..., 7]`, the policy target."""
    weight: jax.Array
    """float32 `[...]`, of the policy target."""
    outcome: jax.Array
    """float32 `[...]`, of the game, for the mover's team."""
    root_value: jax.Array
    """float32 `[...]`, the record's, for the mover's team; the outcome where the ply has none."""


def positions(records: record.GameRecord, plies: jax.Array) -> Positions:
    """The plies `[B]` of the games `[B]`, by replaying them."""
    rows = jnp.arange(plies.shape[0])
    states, finals = jax.vmap(record.position)(records, plies)
    outcome = jax.vmap(game.outcome)(finals, jax.vmap(game.current_player)(states))
    kind = records.kind[rows, plies]
    judged = (kind != record.TargetKind.FORCED) & (kind != record.TargetKind.NONE)
    return Positions(
        state=states,
        policy=records.policy[rows, plies].astype(jnp.float32),
        weight=records.weight[rows, plies].astype(jnp.float32),
        outcome=outcome,
        root_value=jnp.where(judged, records.value[rows, plies].astype(jnp.float32), outcome),
    )


class Batch(NamedTuple):
    """Examples as the losses want them; leading axis: examples."""

    observation: Observation
    policy_mask: jax.Array
    """bool `[B, 7]`, the slots the policy is a distribution over."""
    policy_target: jax.Array
    """float32 `[B, 7]`."""
    policy_weight: jax.Array
    """float32 `[B]`, 0 where there is no policy target."""
    value_target: jax.Array
    """float32 `[B]` in [-1, 1] for the mover's team; the outcome, unless root values are mixed
    in."""
    belief_target: jax.Array
    """int32 `[B, 28]` 0 left, 1 partner, 2 right."""
    belief_mask: jax.Array
    """bool `[B, 28]`, the 21 tiles not dealt to the mover."""
    hidden: jax.Array
    """bool `[B, 28]`, those of them not yet played: the honest ones to measure on."""
    marginal: jax.Array
    """float32 `[B, 28, 3]`, the exact belief from voids alone, 0 on visible tiles: what a belief
    head is to beat."""


def make_batch(
    examples: Positions,
    tokenizer: str,
    policy_mask: PolicyMask = "legal",
    root_value_share: float = 0.0,
) -> Batch:
    """Tokens, masks and targets of `[B]` positions; the rest as in `learner.LearnerConfig`."""
    target, mask = jax.vmap(belief_targets)(examples.state)
    slots = game.legal_slots if policy_mask == "legal" else _unplayed
    return Batch(
        observation=jax.vmap(lambda state: observe(state, tokenizer))(examples.state),
        policy_mask=jax.vmap(slots)(examples.state),
        policy_target=examples.policy,
        policy_weight=examples.weight,
        value_target=examples.outcome + root_value_share * (examples.root_value - examples.outcome),
        belief_target=target,
        belief_mask=mask,
        hidden=jax.vmap(hidden_tiles)(examples.state),
        marginal=jax.vmap(worlds.marginals)(examples.state),
    )


def _unplayed(state: game.GameState) -> jax.Array:
    return ~state.played[game.current_player(state)]
