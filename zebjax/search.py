"""Tree search for many games at once, on mctx.

The tree moves on the TRUE deal: its transitions use all four hands, while each leaf is judged by the network from
its own mover's observation. Only self-play may do that; it is named `worlds="true"` there.

Values are from the view of the player to move. Two moves in a row can be the same team's (a trick's winner leads), so
an edge's discount is +1 or -1 by team. The outcome of a finished game is the reward on the edge into its end, where
the discount is 0: an exact value, no network asked.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx

from zebjax import choices, game, network
from zebjax.observe import Observation, observe

_ILLEGAL_LOGIT = -1e9
# Above any PUCT score of a visited child: |Q| <= 1 and c * P * sqrt(N) / 2 < 99 up to N of about 19,000.
_UNVISITED_Q = 100.0


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """How a root decision is searched."""

    policy: Literal["puct", "gumbel"] = "puct"
    """puct: PUCT (AlphaZero) on raw Q, every legal child visited once first, no root noise.
    gumbel: Gumbel MuZero (Danihelka et al. 2022), sequential halving over all legal moves."""
    sims: int = 200
    """Simulations per tree."""
    c_puct: float = 1.414
    """Exploration constant of PUCT."""
    temperature: float = 1.0
    """puct: moves are drawn from root visits ** (1 / temperature); gumbel: the scale of the Gumbel noise. 0: best."""
    gumbel_c_scale: float = 0.1
    """gumbel: c_scale of the paper's sigma; how sharply Q shapes the improved policy."""
    worlds: Literal["true"] = "true"
    """What the tree moves on: the true deal (self-play only)."""

    def __post_init__(self) -> None:
        choices.check(self, "search")
        if self.sims < 1:
            raise ValueError(f"search.sims: expected at least 1, got {self.sims}")
        if self.c_puct <= 0:
            raise ValueError(f"search.c_puct: expected a positive number, got {self.c_puct}")
        if self.gumbel_c_scale <= 0:
            raise ValueError(f"search.gumbel_c_scale: expected a positive number, got {self.gumbel_c_scale}")
        if self.temperature < 0:
            raise ValueError(f"search.temperature: expected 0 or more, got {self.temperature}")


class SearchResult(NamedTuple):
    """What the search thought at each root; leading axis: games."""

    slot: jax.Array
    """int32 `[B]`, the move drawn."""
    policy: jax.Array
    """float32 `[B, 7]`, the policy target: normalised root visits (puct) or the improved policy (gumbel)."""
    value: jax.Array
    """float32 `[B]`, the root's mean value for its mover."""
    visits: jax.Array
    """int32 `[B, 7]`, visit counts of the root's children."""


Evaluate = Callable[[Observation], network.Output]


class Evaluator(NamedTuple):
    """How leaves are judged: what the mover sees, and what that is worth."""

    evaluate: Evaluate
    """Judges a batch of observations."""
    tokenizer: str = "v1"


def evaluator(config: network.ZebConfig, params: network.Params) -> Evaluator:
    """The network as a judge of leaves."""
    return Evaluator(lambda observation: network.apply(config, params, observation), config.tokenizer)


def search(config: SearchConfig, evaluator: Evaluator, states: game.GameState, key: jax.Array) -> SearchResult:
    """Search `B` games at once.

    Args:
        config: how; static.
        evaluator: judges the leaves; traced into the search.
        states: `[B]` games in progress, none of them over. A root with one legal move is searched all the same:
            forced moves are the caller's to play without asking.
        key: random key; draws the moves and breaks ties.
    """
    chex.assert_shape(states.hands, (None, 4, 7))
    deals = {name: getattr(states, name) for name in ("hands", "declaration", "leader")}
    in_tree = states._replace(hands=None, declaration=None, leader=None)  # what changes; the rest is kept once a tree

    def expand(_: tuple, key: jax.Array, slots: jax.Array, embedding: game.GameState):
        del key
        before = embedding._replace(**deals)
        after = jax.vmap(game.play)(before, slots)
        mover, next_mover = jax.vmap(game.current_player)(before), jax.vmap(game.current_player)(after)
        was_over, over = game.is_over(before), game.is_over(after)
        logits, values = _judge(evaluator, after)
        output = mctx.RecurrentFnOutput(
            # mctx goes on past the end: there everything is 0.
            reward=jnp.where(over & ~was_over, jax.vmap(game.outcome)(after, mover), 0.0),
            discount=jnp.where(over, 0.0, jnp.where((mover - next_mover) % 2 == 0, 1.0, -1.0)),
            prior_logits=logits,
            value=jnp.where(over, 0.0, values),
        )
        return output, after._replace(hands=None, declaration=None, leader=None)

    logits, values = _judge(evaluator, states)
    root = mctx.RootFnOutput(prior_logits=logits, value=values, embedding=in_tree)
    common = {
        "params": (),
        "rng_key": key,
        "root": root,
        "recurrent_fn": expand,
        "num_simulations": config.sims,
        "invalid_actions": ~jax.vmap(game.legal_slots)(states),
    }
    if config.policy == "puct":
        output = mctx.muzero_policy(
            **common,
            qtransform=_raw_q,
            dirichlet_fraction=0.0,
            pb_c_init=config.c_puct,
            pb_c_base=1e9,  # PUCT's constant does not grow with visits
            temperature=config.temperature,
        )
    else:
        output = mctx.gumbel_muzero_policy(
            **common,
            # Completed Q without min-max rescaling: ours already are in [-1, 1].
            qtransform=functools.partial(
                mctx.qtransform_completed_by_mix_value, value_scale=config.gumbel_c_scale, rescale_values=False
            ),
            max_num_considered_actions=7,
            gumbel_scale=config.temperature,
        )
    summary = output.search_tree.summary()
    return SearchResult(
        slot=output.action, policy=output.action_weights, value=summary.value, visits=summary.visit_counts
    )


def _judge(evaluator: Evaluator, states: game.GameState) -> tuple[jax.Array, jax.Array]:
    """Prior logits over legal slots `[B, 7]` and values `[B]`, float32 (the tree's dtype follows them)."""
    output = evaluator.evaluate(jax.vmap(lambda state: observe(state, evaluator.tokenizer))(states))
    legal = jax.vmap(game.legal_slots)(states)
    logits = jnp.where(legal, output.policy_logits.astype(jnp.float32), _ILLEGAL_LOGIT)
    return logits, output.value.astype(jnp.float32)


def _raw_q(tree: mctx.Tree, node: jax.Array) -> jax.Array:
    """Q as it is, `[7]`; an unvisited legal child comes first, an illegal one never (mctx masks only the root)."""
    q = jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), _UNVISITED_Q)
    return jnp.where(tree.children_prior_logits[node] > _ILLEGAL_LOGIT / 2, q, -_UNVISITED_Q)
