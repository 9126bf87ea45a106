"""Play without a search: moves drawn by their values, and every move played to the end.

The value of a move under a policy is the mean result when the move is played and all four seats go
on by that policy, each from its own view. One game in the true deal is a sample of it. Unlike a
tree search or a solution with all hands known, it contains no knowledge that the players do not
have, so a network that learns it has no strategy fusion. A network that learns the results of all
moves does honest policy iteration, as `training.small_games` does in numba for the small network;
one that learns the result of the move that was played, Deep Monte Carlo (Zha et al. 2021,
"DouZero", section 3).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, network, tiles
from zebjax.common import devices
from zebjax.common.arrays import Array, check_key
from zebjax.network import bucketing
from zebjax.network.config import NONE, POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.observe import Observation, observe, tokenizer
from zebjax.search.config import Exploration

_SLOTS = tiles.HAND_SIZE
# Turns of one ply and the share of games that ask for an evaluation in them, for an accelerator,
# which evaluates a fixed number of rows: three of five slots are legal, three of five plies have a
# choice, and games are at all stages, so every ply some end. At the start of a run all games are at
# their first ply and more ask; the rest is evaluated afterwards, see `bucketing`. 27 turns in all:
# the plies after the first move of a game.
_STAGES = ((9, 0.4), (9, 0.25), (9, 0.12))
_SCORE = np.array([VALUE_WEIGHT, POINTS_WEIGHT], np.float32)


class MoveEvaluator(NamedTuple):
    """A network that evaluates moves."""

    evaluate: Callable[[Observation, float], network.Output]
    """Evaluates observations `[n]`, of which some share, static, is expected to have any tokens;
    the result for the others is not used."""
    tokenizer: str


def evaluator(config: network.ZebConfig, params: network.Params) -> MoveEvaluator:
    """Make an evaluator of moves from a network.

    Args:
        config: the network.
        params: its parameters, concrete or traced.

    Raises:
        ValueError: if it has no head for the values of moves.
    """
    if not config.move_values:
        raise ValueError("network.move_values: expected True with rollouts, which choose by them")
    without = dataclasses.replace(config, belief_head=False, belief_prior=NONE)
    lengths = tokenizer(config.tokenizer).lengths[:-1]  # in the last trick nobody has a choice
    weights = network.prepare(without, params)  # once, and not at every ply

    def evaluate(observation: Observation, share: float) -> network.Output:
        n = observation.mask.shape[0]
        how = None if _on_cpu() else bucketing.parts(n, lengths, share)
        return bucketing.evaluate(without, weights, observation, lengths, how)

    return MoveEvaluator(evaluate, config.tokenizer)


class Drawn(NamedTuple):
    """Moves of B decisions, drawn by the network's values of moves."""

    slot: jax.Array
    """int32 `[B]`."""
    policy: jax.Array
    """float32 `[B, 7]`, softmax(score / temperature) over the legal moves: what drew the move, but
    for random ones."""


def draw(
    config: Exploration, evaluator: MoveEvaluator, states: game.GameState, key: jax.Array
) -> Drawn:
    """Draw a move in each game.

    Args:
        config: static.
        evaluator: from `evaluator`.
        states: `[B]` games in progress.
        key: one typed random key.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    game.check_state(states, ("B",), "states")
    check_key("key", key)
    by_score_key, at_random_key, share_key = jax.random.split(key, 3)
    legal = jax.vmap(game.legal_slots)(states)
    scores = _evaluated(evaluator, states, legal.sum(1) > 1) @ _SCORE
    by_score = _drawn(
        scores, legal, config.temperature, jax.random.gumbel(by_score_key, scores.shape)
    )
    at_random = _drawn(
        jnp.zeros_like(scores), legal, 1.0, jax.random.gumbel(at_random_key, scores.shape)
    )
    is_random = jax.random.uniform(share_key, by_score.shape) < config.random
    slot = jnp.where(is_random, at_random, by_score)
    # A temperature of 0 plays the best move, and so it is the target.
    policy = jax.nn.softmax(jnp.where(legal, scores / max(config.temperature, 1e-4), -jnp.inf))
    return Drawn(slot, policy)


def played_out(
    config: Exploration, evaluator: MoveEvaluator, states: game.GameState, key: jax.Array
) -> jax.Array:
    """Play each legal move of each game, and then the game to its end.

    Args:
        config: static; its `rollout_temperature`.
        evaluator: from `evaluator`; it chooses the moves of all seats.
        states: `[B]` games in progress.
        key: one typed random key.

    Returns:
        float32 `[B, 7, 2]`, the result of each move for its mover, see `results`; nan where it is
        not legal.

    Raises:
        ValueError: if an argument has a wrong shape or dtype.
    """
    game.check_state(states, ("B",), "states")
    check_key("key", key)
    legal = jax.vmap(game.legal_slots)(states)
    n = legal.shape[0]
    team = jnp.repeat(jax.vmap(game.current_player)(states) % 2, _SLOTS)
    # One game for each slot; that of an illegal slot repeats a legal one and is never evaluated.
    slots = jnp.where(legal, jnp.arange(_SLOTS), jnp.argmax(legal, 1)[:, None]).reshape(-1)
    is_wanted = legal.reshape(-1)
    rows = jax.tree.map(lambda leaf: jnp.repeat(leaf, _SLOTS, axis=0), states)
    rows = devices.split(jax.vmap(game.play)(rows, slots))

    def one_ply(
        share: float, carry: tuple[jax.Array, game.GameState]
    ) -> tuple[jax.Array, game.GameState]:
        key, rows = carry
        key, noise_key = jax.random.split(key)
        now = jax.vmap(game.legal_slots)(rows)
        is_asked = is_wanted & (now.sum(1) > 1)
        scores = _evaluated(evaluator, rows, is_asked, share) @ _SCORE
        # All games of a decision are at the same ply and have the same noise: moves differ by what
        # they cause, and less by luck.
        noise = jnp.repeat(jax.random.gumbel(noise_key, (n, _SLOTS)), _SLOTS, axis=0)
        noise = devices.split(noise)
        chosen = _drawn(scores, now, config.rollout_temperature, noise)
        # A game that is over has no legal slot, and to play in it changes nothing.
        return key, jax.vmap(game.play)(rows, chosen)

    def goes_on(carry: tuple[jax.Array, game.GameState]) -> jax.Array:
        return ~jnp.asarray(game.is_over(carry[1])).all()

    carry = (key, rows)
    if _on_cpu():
        carry = jax.lax.while_loop(goes_on, functools.partial(one_ply, 1.0), carry)
    else:
        # A loop whose number of turns depends on data makes the host wait at each of them.
        for turns, share in _STAGES:
            step = functools.partial(one_ply, share)
            carry = jax.lax.fori_loop(0, turns, lambda _, carry, step=step: step(carry), carry)
    rows = carry[1]
    ours = jnp.take_along_axis(jnp.asarray(rows.points), team[:, None], 1)[:, 0]
    return jnp.where(is_wanted[:, None], results(ours), jnp.nan).reshape(n, _SLOTS, 2)


def results(points: jax.Array) -> jax.Array:
    """Return what points at the end are worth: 1, 0 or -1, more than the other team, as many or
    fewer; and (ours - theirs) / `tiles.POINTS_SCALE`.

    Args:
        points: integers `[...]` of a team, 0 to 42.

    Returns:
        float32 `[..., 2]`.
    """
    margin = 2.0 * points.astype(jnp.float32) - tiles.TOTAL_POINTS
    return jnp.stack([jnp.sign(margin), margin / tiles.POINTS_SCALE], -1)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _evaluated(
    evaluator: MoveEvaluator, states: game.GameState, is_asked: Array, share: float = 1.0
) -> jax.Array:
    """Evaluate the moves of n games for their movers, from what they have seen.

    Args:
        evaluator: from `evaluator`.
        states: `[n]` games.
        is_asked: bool `[n]`; the others are not evaluated, and have zeros.
        share: static, about how many are asked, of all.

    Returns:
        float32 `[n, 7, 2]`, value and points of each slot.
    """
    seen = jax.vmap(functools.partial(observe, tokenizer=evaluator.tokenizer))(states)
    seen = seen._replace(mask=jnp.asarray(seen.mask) & jnp.asarray(is_asked)[:, None])
    output = evaluator.evaluate(seen, share)
    assert output.moves is not None
    return output.moves


def _drawn(scores: jax.Array, legal: jax.Array, temperature: float, noise: jax.Array) -> jax.Array:
    """Draw slots from softmax(scores / temperature), int32; the noise is Gumbel's."""
    ranked = jnp.where(legal, scores + temperature * noise, -jnp.inf)
    return jnp.argmax(ranked, -1).astype(jnp.int32)
