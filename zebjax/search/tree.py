"""Tree search for many games at once, on mctx.

A tree moves on one deal: its transitions use all four hands, while each leaf is judged by the
network from its own mover's observation. With `worlds="true"` that is the true deal, which only
self-play may read. With `worlds=K` each root decision grows K trees, each on hands drawn from those
that fit what its mover has seen (determinization), and the statistics of their roots are averaged:
what would be right only for the true hands averages out.

Values are from the view of the player to move. Two moves in a row can be the same team's (a trick's
winner leads), so an edge's discount is +1 or -1 by team. A node is a real decision: forced moves
are played through on the edge. With two tricks left a game is settled: its exact outcome
(`endings`) is the reward on the edge into it, where the discount is 0, and no network is asked.
`plain=True` is the tree without these two, as the original's: every ply a node, and only a finished
game is settled.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx

from zebjax import game, network, worlds
from zebjax.network import bucketing
from zebjax.observe import Observation, observe, tokenizer
from zebjax.search import endgame
from zebjax.search.config import SearchConfig

_ILLEGAL_LOGIT = -1e9
# Above any PUCT score of a visited child: |Q| <= 1 and c * P * sqrt(N) / 2 < 99 up to N of about
# 19,000.
_UNVISITED_Q = 100.0


class SearchResult(NamedTuple):
    """What the search thought at each root; leading axis: games."""

    slot: jax.Array
    """int32 `[B]`, the move drawn."""
    policy: jax.Array
    """float32 `[B, 7]`, the policy target: normalised root visits (puct) or the improved policy
    (gumbel)."""
    value: jax.Array
    """float32 `[B]`, the root's mean value for its mover, averaged over worlds."""
    visits: jax.Array
    """int32 `[B, 7]`, visit counts of the root's children, summed over worlds."""


Evaluate = Callable[[Observation], network.Output]


class Evaluator(NamedTuple):
    """How leaves are judged: what the mover sees, and what that is worth."""

    evaluate: Evaluate
    """Judges a batch of observations; of one whose mask is all False nothing is asked."""
    tokenizer: str = "v1"
    longest: int | None = None
    """The most valid tokens that it takes; None for any number."""


def evaluator(config: network.ZebConfig, params: network.Params, plain: bool = False) -> Evaluator:
    """The network as a judge of leaves, without its belief head; `plain` must be that of the search
    it is for.
    """
    lengths = tokenizer(config.tokenizer).lengths
    if not plain:
        lengths = lengths[: endgame.FIRST_PLY // 4]  # nobody asks about later tricks
    without = dataclasses.replace(config, belief_head=False)
    needed = {name: params[name] for name in network.abstract_params(without)}

    def evaluate(observation: Observation) -> network.Output:
        return bucketing.evaluate(without, needed, observation, lengths)

    return Evaluator(evaluate, config.tokenizer, lengths[-1])


def search(
    config: SearchConfig, evaluator: Evaluator, states: game.GameState, key: jax.Array
) -> SearchResult:
    """Search `B` games at once.

    Args:
        config: how; static.
        evaluator: judges the leaves; traced into the search.
        states: `[B]` games in progress, none of them over. A root with one legal move is searched
            all the same: forced moves are the caller's to play without asking.
        key: random key; draws the moves and breaks ties.

    Raises:
        ValueError: if the evaluator was made for another kind of tree.
    """
    chex.assert_shape(states.hands, (None, 4, 7))
    lengths = tokenizer(evaluator.tokenizer).lengths
    if evaluator.longest is not None and config.plain and evaluator.longest < lengths[-1]:
        raise ValueError(
            "evaluator: a plain search asks about the last two tricks too; expected one made for it"
        )
    root = _judge(evaluator, states, _is_settled(config, states))
    if config.worlds == "true":
        output = _grow(config, evaluator, states, root, key)
        summary = output.search_tree.summary()
        return SearchResult(
            output.action, output.action_weights, summary.value, summary.visit_counts
        )

    n, k = states.ply.shape[0], config.worlds
    world_key, tree_key, move_key = jax.random.split(key, 3)
    draw = functools.partial(worlds.sample_or_all, n=k)
    hands, real = jax.vmap(draw)(jax.random.split(world_key, n), states)
    # The mover sees the same in all of its worlds, so one evaluation of the root serves them all.
    repeated, root_each = jax.tree.map(lambda leaf: jnp.repeat(leaf, k, axis=0), (states, root))
    trees = _grow(
        config, evaluator, repeated._replace(hands=hands.reshape(n * k, 4, 7)), root_each, tree_key
    )
    return _average(config, trees, root[0], real, move_key)


def _average(
    config: SearchConfig,
    trees: mctx.PolicyOutput,
    logits: jax.Array,
    real: jax.Array,
    key: jax.Array,
) -> SearchResult:
    """One decision from the trees `[B * K]` over its worlds, of which `real` `[B, K]` count."""
    n, k = real.shape
    legal = logits > _ILLEGAL_LOGIT / 2
    weight = real / real.sum(1, keepdims=True)

    def mean(statistic: jax.Array) -> jax.Array:
        statistic = statistic.reshape(n, k, -1)
        return jnp.einsum("bk,bka->ba", weight, statistic)

    summary = trees.search_tree.summary()
    visits = summary.visit_counts.reshape(n, k, -1) * real[..., None]
    if config.policy == "puct":
        policy = mean(trees.action_weights)
        # Not the best mean Q, even at temperature 0: with a visit or two a world it is noise and
        # cost 5 % of the games.
        score = jnp.log(jnp.maximum(policy, 1e-30))
    else:
        # Q is averaged before the softmax, so that the noise of single worlds does not sharpen the
        # target.
        at_root = jax.vmap(_gumbel_q(config), in_axes=(0, None))
        score = logits + mean(at_root(trees.search_tree, trees.search_tree.ROOT_INDEX))
        policy = jax.nn.softmax(jnp.where(legal, score, -jnp.inf))
    score += config.temperature * jax.random.gumbel(key, policy.shape)
    return SearchResult(
        slot=jnp.argmax(jnp.where(legal, score, -jnp.inf), axis=1).astype(jnp.int32),
        policy=policy,
        value=mean(summary.value)[:, 0],
        visits=visits.sum(1),
    )


def _grow(
    config: SearchConfig,
    evaluator: Evaluator,
    states: game.GameState,
    judged: tuple[jax.Array, jax.Array],
    key: jax.Array,
) -> mctx.PolicyOutput:
    """One tree for each of these games, on its own four hands; `judged` is what `_judge` says of
    the roots.
    """
    deals = {name: getattr(states, name) for name in ("hands", "declaration", "leader")}
    in_tree = _Node(
        states._replace(
            hands=None, declaration=None, leader=None
        ),  # what changes; the rest is kept once a tree
        jnp.zeros(states.ply.shape, bool),
    )

    def expand(_: tuple, key: jax.Array, slots: jax.Array, node: _Node):
        del key
        before = node.state._replace(**deals)
        after = jax.vmap(game.play)(before, slots)
        if not config.plain:
            after = _play_forced(after)
        mover, next_mover = (
            jax.vmap(game.current_player)(before),
            jax.vmap(game.current_player)(after),
        )
        settled = _is_settled(config, after)
        logits, values = _judge(evaluator, after, settled)
        output = mctx.RecurrentFnOutput(
            # mctx goes on past a settled node: there everything is 0.
            reward=jnp.where(settled & ~node.settled, _exact(config, after, mover), 0.0),
            discount=jnp.where(settled, 0.0, jnp.where((mover - next_mover) % 2 == 0, 1.0, -1.0)),
            prior_logits=logits,
            value=jnp.where(settled, 0.0, values),
        )
        return output, _Node(after._replace(hands=None, declaration=None, leader=None), settled)

    logits, values = judged
    movers = jax.vmap(game.current_player)(states)
    values = jnp.where(_is_settled(config, states), _exact(config, states, movers), values)
    common = {
        "params": (),
        "rng_key": key,
        "root": mctx.RootFnOutput(prior_logits=logits, value=values, embedding=in_tree),
        "recurrent_fn": expand,
        "num_simulations": config.sims,
        "invalid_actions": ~jax.vmap(game.legal_slots)(states),
    }
    if config.policy == "puct":
        return mctx.muzero_policy(
            **common,
            qtransform=_raw_q,
            dirichlet_fraction=0.0,
            pb_c_init=config.c_puct,
            pb_c_base=1e9,  # PUCT's constant does not grow with visits
            temperature=config.temperature,
        )
    return mctx.gumbel_muzero_policy(
        **common,
        qtransform=_gumbel_q(config),
        max_num_considered_actions=7,
        gumbel_scale=config.temperature,
    )


def _gumbel_q(config: SearchConfig) -> Callable[[mctx.Tree, jax.Array], jax.Array]:
    """The paper's sigma of completed Q; without min-max rescaling, as ours already are in [-1,
    1].
    """
    return functools.partial(
        mctx.qtransform_completed_by_mix_value,
        value_scale=config.gumbel_c_scale,
        rescale_values=False,
    )


class _Node(NamedTuple):
    """What a node of the tree remembers."""

    state: game.GameState
    """At a decision; without what is the same in the whole tree."""
    settled: jax.Array
    """bool, whether its value is known and was the reward on the way in. A root is not, wherever it
    stands."""


def _play_forced(states: game.GameState) -> game.GameState:
    """Play every game on to its next real decision, or until it is settled."""

    def is_forced(states: game.GameState) -> jax.Array:
        return (jax.vmap(game.legal_slots)(states).sum(1) == 1) & ~endgame.is_ending(states)

    def play(carry: tuple[game.GameState, jax.Array]) -> tuple[game.GameState, jax.Array]:
        states, forced = carry
        after = jax.vmap(lambda state: game.play(state, jnp.argmax(game.legal_slots(state))))(
            states
        )
        states = game.select(forced, after, states)
        return states, is_forced(states)

    return jax.lax.while_loop(lambda carry: carry[1].any(), play, (states, is_forced(states)))[0]


def _is_settled(config: SearchConfig, states: game.GameState) -> jax.Array:
    """Where the value is known without a network, bool `[B]`."""
    return game.is_over(states) if config.plain else endgame.is_ending(states)


def _exact(config: SearchConfig, states: game.GameState, players: jax.Array) -> jax.Array:
    """The value for `players` where the games are settled, on these four hands, float32 `[B]`."""
    return jax.vmap(game.outcome if config.plain else endgame.outcome)(states, players)


def _judge(
    evaluator: Evaluator, states: game.GameState, settled: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Prior logits over legal slots `[B, 7]` and values `[B]`, float32 (the tree's dtype follows
    them).

    Where the game is settled nobody is asked: the evaluator sees a mask without a token, and the
    value means nothing.
    """
    seen = jax.vmap(lambda state: observe(state, evaluator.tokenizer))(states)
    output = evaluator.evaluate(seen._replace(mask=seen.mask & ~settled[:, None]))
    legal = jax.vmap(game.legal_slots)(states)
    logits = jnp.where(settled[:, None], 0.0, output.policy_logits.astype(jnp.float32))
    return jnp.where(legal, logits, _ILLEGAL_LOGIT), output.value.astype(jnp.float32)


def _raw_q(tree: mctx.Tree, node: jax.Array) -> jax.Array:
    """Q as it is, `[7]`; an unvisited legal child comes first, an illegal one never (mctx masks
    only the root).
    """
    q = jnp.where(tree.children_visits[node] > 0, tree.qvalues(node), _UNVISITED_Q)
    return jnp.where(tree.children_prior_logits[node] > _ILLEGAL_LOGIT / 2, q, -_UNVISITED_Q)
