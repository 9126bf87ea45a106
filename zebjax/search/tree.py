"""Tree search for many games at once, on mctx.

Each tree has one deal: its transitions use all four hands, and the network evaluates each leaf from
the observation of that leaf's own mover. With `worlds="true"` the deal is the true one, which only
self-play may read. With `worlds=K` each root decision has K trees (determinization). Their hands
are sampled from those consistent with what the mover has seen, and the statistics of their roots
are averaged, so that a move is not preferred because it is good against one set of hidden hands.

Values are from the view of the player to move. A position is "settled" if its exact outcome is
known without the network. With `plain=False` every node is a decision with several legal moves
(forced moves are part of the edge), and a game with two tricks left is settled by `endgame`. With
`plain=True`, as in the original, every ply is a node and only a finished game is settled.

PUCT is the selection rule of Silver et al. 2017 ("Mastering the game of Go without human
knowledge", Methods): the child with the highest Q + c * P * sqrt(N) / (1 + n). Gumbel is Danihelka
et al. 2022, "Policy improvement by planning with Gumbel".
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx

from zebjax import game, network, tiles, worlds
from zebjax.common.arrays import Array, check_key
from zebjax.contract import Contract
from zebjax.network import bucketing
from zebjax.network.config import NONE
from zebjax.observe import Observation, observe, tokenizer
from zebjax.search import endgame, outcomes, simulate
from zebjax.search.config import SearchConfig

# Finite, because mctx adds and multiplies logits, and -inf * 0 is nan.
_ILLEGAL_LOGIT = -1e9
# Larger than any PUCT score of a visited child: |Q| <= 1, and c * P * sqrt(N) / 2 < 99 for N up to
# about 19,000 simulations.
_UNVISITED_Q = 100.0


class SearchResult(NamedTuple):
    """The result at each root; leading axis: games."""

    slot: jax.Array
    """int32 `[B]`, the chosen move."""
    policy: jax.Array
    """float32 `[B, 7]`, the policy target: normalised root visits (puct) or the improved policy
    (gumbel)."""
    value: jax.Array
    """float32 `[B]` in [-1, 1], the mean value of the root for its mover, averaged over worlds."""
    visits: jax.Array
    """int32 `[B, 7]`, visit counts of the root's children, summed over worlds."""


Evaluate = Callable[[Observation], network.Output]


class Evaluator(NamedTuple):
    """A function that evaluates leaves, with what the search must know about it."""

    evaluate: Evaluate
    """Evaluates observations `[B]`; the result for an all-False mask is not used."""
    tokenizer: str = "v1"
    """Name of the tokenizer of the observations."""
    longest: int | None = None
    """Maximum number of valid tokens in an observation; None for no limit."""
    plays_contracts: bool = False
    """True if the values are of contracts made or set; False for points won."""


def evaluator(config: network.ZebConfig, params: network.Params, plain: bool = False) -> Evaluator:
    """Make an evaluator from a network.

    Args:
        config: the network.
        params: its parameters, concrete or traced.
        plain: `SearchConfig.plain` of the search that will use the evaluator.
    """
    lengths = tokenizer(config.tokenizer).lengths
    if not plain:
        # Later tricks are settled and never evaluated, so fewer lengths have to be compiled.
        lengths = lengths[: endgame.FIRST_PLY // 4]
    # The search reads no beliefs and no values of moves, so do not compute them.
    without = dataclasses.replace(config, belief_head=False, belief_prior=NONE, move_values=False)
    # Here and not in `evaluate`, so that it is done once and not in every simulation.
    weights = network.prepare(without, params)

    def evaluate(observation: Observation) -> network.Output:
        return bucketing.evaluate(without, weights, observation, lengths)

    return Evaluator(evaluate, config.tokenizer, lengths[-1], config.plays_contracts)


class _Rules(NamedTuple):
    """What is the same in all trees of a search, but for the contracts."""

    config: SearchConfig
    evaluator: Evaluator
    contracts: Contract | None
    """`[B]`, one per tree; None without."""

    def is_settled(self, states: game.GameState) -> Array:
        return outcomes.is_settled(states, self.contracts, self.config.plain)

    def exact(self, states: game.GameState, players: jax.Array) -> jax.Array:
        return outcomes.outcome(states, self.contracts, players, self.config.plain)


def search(
    config: SearchConfig,
    evaluator: Evaluator,
    states: game.GameState,
    key: jax.Array,
    contracts: Contract | None = None,
) -> SearchResult:
    """Search B games at once.

    Args:
        config: static.
        evaluator: evaluates the leaves; traced into the search.
        states: `[B]` games in progress, none of them over. The caller should play forced moves
            itself: a root with one legal move is searched like any other.
        key: one typed random key, for the worlds, the moves and ties.
        contracts: `[B]`, those of the games, for an evaluator that plays contracts; else None.

    Returns:
        See `SearchResult`.

    Raises:
        ValueError: if the evaluator was made with another `plain` or for the other value, or an
            argument has a wrong shape or dtype.

    >>> config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    >>> params = network.init(config, jax.random.key(0))
    >>> states = jax.vmap(game.deal)(jax.random.split(jax.random.key(1), 3))
    >>> settings = SearchConfig(policy="gumbel", sims=2, worlds=2)
    >>> result = search(settings, evaluator(config, params), states, jax.random.key(2))
    >>> result.policy.shape, result.visits.sum(1).tolist()
    ((3, 7), [4, 4, 4])
    """
    game.check_state(states, ("B",), "states")
    check_key("key", key)
    lengths = tokenizer(evaluator.tokenizer).lengths
    if evaluator.longest is not None and config.plain and evaluator.longest < lengths[-1]:
        raise ValueError(
            "evaluator: a plain search evaluates the last two tricks too; expected an evaluator "
            "made with plain=True"
        )
    if evaluator.plays_contracts != (contracts is not None):
        wanted, given = ("make/set", "none") if contracts is None else ("points", "contracts")
        raise ValueError(
            f"evaluator: its network is trained for {wanted}; expected one for the games, which "
            f"have {given}"
        )
    rules = _Rules(config, evaluator, contracts)
    root = _evaluate(rules, states)
    if config.worlds == "true":
        output = _grow(rules, states, root, key)
        summary = output.search_tree.summary()
        return SearchResult(
            output.action,
            output.action_weights,
            summary.value,
            summary.visit_counts.astype(jnp.int32),  # mctx gives them the values' dtype
        )

    n, k = states.ply.shape[0], config.worlds
    world_key, tree_key, move_key = jax.random.split(key, 3)
    draw = functools.partial(worlds.sample_or_all, n=k)
    hands, real = jax.vmap(draw)(jax.random.split(world_key, n), states)
    # The mover sees the same in all worlds, so one evaluation of the root serves all its trees.
    repeated, root_each, contracts = jax.tree.map(
        lambda leaf: jnp.repeat(leaf, k, axis=0), (states, root, contracts)
    )
    rules = rules._replace(contracts=contracts)
    trees = _grow(rules, repeated._replace(hands=hands.reshape(n * k, 4, 7)), root_each, tree_key)
    return _average(config, trees, root[0], real, move_key)


def _average(
    config: SearchConfig,
    trees: mctx.PolicyOutput,
    logits: jax.Array,
    real: jax.Array,
    key: jax.Array,
) -> SearchResult:
    """Average the roots of each decision's trees.

    Args:
        config: the search.
        trees: `[B * K]`, one per world of each decision.
        logits: float32 `[B, 7]`, prior logits of the roots.
        real: bool `[B, K]`, False for padding, which repeats a world and must not count.
        key: random key for the moves.
    """
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
        # At temperature 0 too, the most visits decide and not the best mean Q: with one or two
        # visits per world Q is noise, and playing by it lost 5 % of the games.
        score = jnp.log(jnp.maximum(policy, 1e-30))
    else:
        # Average Q before the softmax: the noise of Q in single worlds would sharpen the target.
        at_root = jax.vmap(_gumbel_q(config), in_axes=(0, None))
        score = logits + mean(at_root(trees.search_tree, trees.search_tree.ROOT_INDEX))
        policy = jax.nn.softmax(jnp.where(legal, score, -jnp.inf))
    # Gumbel-max: the argmax of score + Gumbel noise is a draw from softmax(score).
    score += config.temperature * jax.random.gumbel(key, policy.shape)
    return SearchResult(
        slot=jnp.argmax(jnp.where(legal, score, -jnp.inf), axis=1).astype(jnp.int32),
        policy=policy,
        value=mean(summary.value)[:, 0],
        visits=visits.sum(1).astype(jnp.int32),
    )


def _grow(
    rules: _Rules,
    states: game.GameState,
    root: tuple[jax.Array, jax.Array],
    key: jax.Array,
) -> mctx.PolicyOutput:
    """Grow one tree for each of the games `[B]`, from its own four hands.

    Args:
        rules: the search, with a contract for each tree.
        states: the roots.
        root: the result of `_evaluate` for the roots.
        key: one random key.
    """
    config = rules.config

    def expand(slots: jax.Array, moving: _Moving):
        before = moving.state(states)
        after = jax.vmap(game.play)(before, slots)
        if not config.plain:
            after = outcomes.play_forced(after)
        mover, next_mover = (
            jax.vmap(game.current_player)(before),
            jax.vmap(game.current_player)(after),
        )
        settled = rules.is_settled(after)
        logits, values = _evaluate(rules, after)
        output = mctx.RecurrentFnOutput(
            # The exact outcome is the reward of the edge into a settled node, with discount 0.
            reward=jnp.where(settled, rules.exact(after, mover), 0.0),
            # The discount's sign turns a value into the parent's view. It does not alternate: the
            # winner of a trick leads, so the same team may move twice in a row.
            discount=jnp.where(settled, 0.0, jnp.where((mover - next_mover) % 2 == 0, 1.0, -1.0)),
            prior_logits=logits,
            value=jnp.where(settled, 0.0, values),
        )
        return output, _Moving.of(after), settled

    logits, values = root
    movers = jax.vmap(game.current_player)(states)
    values = jnp.where(rules.is_settled(states), rules.exact(states, movers), values)
    embedding = _Moving.of(states)
    common = {
        "params": (),
        "rng_key": key,
        "root": mctx.RootFnOutput(prior_logits=logits, value=values, embedding=embedding),
        "recurrent_fn": None,  # the loop below has its own
        "num_simulations": config.sims,
        "invalid_actions": ~jax.vmap(game.legal_slots)(states),
    }

    def loop(at_root: simulate.Select, below: simulate.Select) -> mctx.LoopFn:
        # Every move is at least one ply, and none is below a settled node.
        longest = game.N_PLIES if config.plain else endgame.FIRST_PLY
        steps = simulate.Rules(at_root, below, expand, longest)

        def run(first: int, n: int, _: Any, carry: tuple[jax.Array, mctx.Tree]) -> tuple:
            key, tree = carry
            # mctx has shifted the logits of the root.
            priors = tree.children_prior_logits
            tree = tree.replace(children_prior_logits=priors.at[:, 0].set(_log_prior(priors[:, 0])))
            return simulate.loop(steps, first, n, key, tree)

        return run

    if config.policy == "puct":
        select = functools.partial(_puct, config.c_puct)
        return mctx.muzero_policy(
            **common,
            dirichlet_fraction=0.0,
            temperature=config.temperature,
            loop_fn=loop(select, select),
        )
    q = _gumbel_q(config)
    halving = functools.partial(
        mctx.gumbel_muzero_root_action_selection,
        num_simulations=config.sims,
        max_num_considered_actions=tiles.HAND_SIZE,
        qtransform=q,
    )
    below = functools.partial(mctx.gumbel_muzero_interior_action_selection, qtransform=q)
    return mctx.gumbel_muzero_policy(
        **common,
        qtransform=q,
        max_num_considered_actions=tiles.HAND_SIZE,
        gumbel_scale=config.temperature,
        loop_fn=loop(
            lambda tree, node, _: halving(None, tree, node),
            lambda tree, node, _: below(None, tree, node, 1),
        ),
    )


def _gumbel_q(config: SearchConfig) -> Callable[[mctx.Tree, jax.Array], jax.Array]:
    """Return the function sigma of completed Q (Danihelka et al. 2022, section 4)."""
    # Without the min-max rescaling that MuZero needs: these values are in [-1, 1] already.
    return functools.partial(
        mctx.qtransform_completed_by_mix_value,
        value_scale=config.gumbel_c_scale,
        rescale_values=False,
    )


class _Moving(NamedTuple):
    """The fields of a GameState that change during a game; leading axis: games.

    mctx stores an embedding in every node of every tree. The deal is the same in a whole tree, so
    it is stored once per tree, not in the nodes.
    """

    played: Array
    history: Array
    trick_leaders: Array
    ply: Array
    points: Array

    @classmethod
    def of(cls, states: game.GameState) -> "_Moving":
        return cls(*(getattr(states, name) for name in cls._fields))

    def state(self, root: game.GameState) -> game.GameState:
        """Return whole states, with the deals of the roots."""
        return root._replace(**self._asdict())


def _evaluate(rules: _Rules, states: game.GameState) -> tuple[jax.Array, jax.Array]:
    """Evaluate the leaves that are not settled.

    Returns:
        Log prior over legal slots, float32 `[B, 7]`, and values, float32 `[B]`; neither means
        anything for a settled game.
    """
    evaluator, settled = rules.evaluator, rules.is_settled(states)
    see = functools.partial(observe, tokenizer=evaluator.tokenizer)
    seen = jax.vmap(lambda state, terms: see(state, contract=terms))(states, rules.contracts)
    # An all-False mask tells the evaluator that no result is needed: see `bucketing`.
    output = evaluator.evaluate(seen._replace(mask=seen.mask & ~settled[:, None]))
    legal = jax.vmap(game.legal_slots)(states)
    # float32, whatever the evaluator computes in: mctx takes the dtype of its statistics from here.
    logits = jnp.where(settled[:, None], 0.0, output.policy_logits.astype(jnp.float32))
    return _log_prior(jnp.where(legal, logits, _ILLEGAL_LOGIT)), output.value.astype(jnp.float32)


def _log_prior(logits: jax.Array) -> jax.Array:
    """Return log probabilities; `_ILLEGAL_LOGIT` where a slot is illegal."""
    return jnp.maximum(jax.nn.log_softmax(logits), _ILLEGAL_LOGIT)


def _puct(c_puct: float, tree: mctx.Tree, node: jax.Array, noise: jax.Array) -> jax.Array:
    """Select a child of one node, int32.

    Args:
        c_puct: the exploration constant.
        tree: one tree; its prior logits are log probabilities.
        node: int32.
        noise: float32 `[7]` in [0, 1), to break ties.
    """
    visits, logits = tree.children_visits[node], tree.children_prior_logits[node]
    # Select an unvisited legal child first, and never an illegal one.
    q = jnp.where(visits > 0, tree.qvalues(node), _UNVISITED_Q)
    q = jnp.where(logits > _ILLEGAL_LOGIT / 2, q, -_UNVISITED_Q)
    explore = c_puct * jnp.exp(logits) * jnp.sqrt(tree.node_visits[node]) / (visits + 1)
    return jnp.argmax(q + explore + 1e-7 * noise).astype(jnp.int32)
