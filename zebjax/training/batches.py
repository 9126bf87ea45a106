"""Make training examples (tokens, masks, targets) from plies of recorded games, by replay."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from zebjax import contract, contract_record, game, record, worlds
from zebjax.common.arrays import check
from zebjax.contract import Contract
from zebjax.contract_record import AnyRecord
from zebjax.observe import (
    Observation,
    belief_targets,
    check_observation,
    hidden_tiles,
    observe,
)
from zebjax.training.learner_config import PolicyMask


class Positions(NamedTuple):
    """Examples before tokens are made; leading axes: examples."""

    state: game.GameState
    policy: jax.Array
    """float32 `[..., 7]`, the policy target."""
    weight: jax.Array
    """float32 `[...]`, weight of the policy target."""
    outcome: jax.Array
    """float32 `[...]`, the game's outcome for the mover's team: -1, 0 or 1; with a contract that of
    making or setting it."""
    root_value: jax.Array
    """float32 `[...]` in [-1, 1], the record's root value for the mover's team; the outcome for a
    ply without a root value."""
    contract: Contract | None = None
    """Of the games, if they have any."""
    moves: jax.Array | None = None
    """float32 `[..., 7, 2]`, see `GameRecord.moves`; None if the records have none."""


def positions(records: AnyRecord, plies: jax.Array) -> Positions:
    """Replay each game up to one ply.

    Args:
        records: `[B]` games, with contracts or without.
        plies: integers `[B]`, 0..27, one per game.

    Returns:
        `[B]` examples.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    check("plies", plies, ("B",), int)
    record.check_record(records, (plies.shape[0],))
    records = jax.tree.map(jnp.asarray, records)
    terms = contract_record.contract_of(records)
    plain = contract_record.without_contract(records)
    rows = jnp.arange(plies.shape[0])
    states, finals = jax.vmap(record.position)(plain, plies)
    movers = jax.vmap(game.current_player)(states)
    if terms is None:
        outcome = jax.vmap(game.outcome)(finals, movers)
    else:
        outcome = jax.vmap(contract.outcome)(finals, terms, movers)
    kind = records.kind[rows, plies]
    # A forced ply and one without a target have no root value: their `value` is 0 by convention.
    has_value = (kind != record.TargetKind.FORCED) & (kind != record.TargetKind.NONE)
    return Positions(
        state=states,
        policy=records.policy[rows, plies].astype(jnp.float32),
        weight=records.weight[rows, plies].astype(jnp.float32),
        outcome=outcome,
        root_value=jnp.where(has_value, records.value[rows, plies].astype(jnp.float32), outcome),
        contract=terms,
        moves=None if records.moves is None else records.moves[rows, plies].astype(jnp.float32),
    )


class Batch(NamedTuple):
    """The input of the losses; leading axis: examples."""

    observation: Observation
    policy_mask: jax.Array
    """bool `[B, 7]`, the slots in the policy's softmax."""
    policy_target: jax.Array
    """float32 `[B, 7]`."""
    policy_weight: jax.Array
    """float32 `[B]`, 0 where there is no policy target."""
    value_target: jax.Array
    """float32 `[B]` in [-1, 1], for the mover's team: the outcome, mixed with the root value if
    `root_value_share` is above 0."""
    belief_target: jax.Array
    """int32 `[B, 28]`, the owner of each tile: 0 left, 1 partner, 2 right."""
    belief_mask: jax.Array
    """bool `[B, 28]`, True for the 21 tiles not dealt to the mover."""
    hidden: jax.Array
    """bool `[B, 28]`, True for those of the 21 tiles that are not yet played."""
    marginal: jax.Array
    """float32 `[B, 28, 3]`, the exact belief from hand sizes and voids (`worlds.marginals`), the
    baseline of a belief head; 0 for visible tiles."""
    moves: jax.Array | None = None
    """float32 `[B, 7, 2]`, see `GameRecord.moves`; nan where there is no target. None if there is
    none at all."""


def check_batch(batch: Batch) -> None:
    """Check the shape and the kind of numbers of every field.

    Raises:
        ValueError: naming the field, what was expected and what was given.
    """
    n = "B" if batch.policy_mask.ndim == 0 else batch.policy_mask.shape[0]
    fields: tuple[tuple[str, tuple[int | str, ...], type], ...] = (
        ("policy_mask", (n, 7), bool),
        ("policy_target", (n, 7), float),
        ("policy_weight", (n,), float),
        ("value_target", (n,), float),
        ("belief_target", (n, 28), int),
        ("belief_mask", (n, 28), bool),
        ("hidden", (n, 28), bool),
        ("marginal", (n, 28, 3), float),
        ("moves", (n, 7, 2), float),
    )
    for name, shape, kind in fields:
        if name == "moves" and batch.moves is None:
            continue
        check(f"batch.{name}", getattr(batch, name), shape, kind)
    check_observation(batch.observation, "batch.observation")
    check("batch.observation.mask", batch.observation.mask, (n, "length"), bool)


def make_batch(
    examples: Positions,
    tokenizer: str,
    policy_mask: PolicyMask = "legal",
    root_value_share: float = 0.0,
) -> Batch:
    """Make tokens, masks and targets.

    Args:
        examples: `[B]` examples.
        tokenizer: name of the network's tokenizer; one that sees contracts, if they have any.
        policy_mask: see `LearnerConfig.policy_mask`.
        root_value_share: see `LearnerConfig.root_value_share`.
    """
    target, mask = jax.vmap(belief_targets)(examples.state)
    slots = game.legal_slots if policy_mask == "legal" else _unplayed
    return Batch(
        observation=jax.vmap(lambda state, terms: observe(state, tokenizer, terms))(
            examples.state, examples.contract
        ),
        policy_mask=jax.vmap(slots)(examples.state),
        policy_target=examples.policy,
        policy_weight=examples.weight,
        value_target=examples.outcome + root_value_share * (examples.root_value - examples.outcome),
        belief_target=target,
        belief_mask=mask,
        hidden=jax.vmap(hidden_tiles)(examples.state),
        marginal=jax.vmap(worlds.marginals)(examples.state),
        moves=examples.moves,
    )


def _unplayed(state: game.GameState) -> jax.Array:
    return ~state.played[game.current_player(state)]
