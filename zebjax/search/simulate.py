"""The simulations of a tree search, for many trees at once, on mctx's trees.

mctx descends and updates one tree and leaves the batch to `vmap`. Under `vmap` its way up a tree
selects between whole trees at each level, and on an accelerator the host waits after each level of
both ways. Here the batch is explicit: the way down keeps its path, and the path is updated at once.
With the same selections the trees are those of `mctx.search`.

This uses two properties of the game's trees. No path is longer than the decisions of a game. And
nothing lies below a settled node: mctx goes on there, with rewards, discounts and values 0, which
changes no number above; here a simulation ends there.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mctx

Select = Callable[[mctx.Tree, jax.Array, jax.Array], jax.Array]
"""From one tree, a node, and noise in [0, 1) `[slots]` to break ties, to a slot of that node. The
result for a node outside the tree is not used."""
Expand = Callable[[jax.Array, Any], tuple[mctx.RecurrentFnOutput, Any, jax.Array]]
"""From slots `[B]` and embeddings to the step, the embeddings of the children, and True where a
child is settled, bool `[B]`."""


class Rules(NamedTuple):
    """What a simulation does at a node."""

    at_root: Select
    below: Select
    expand: Expand
    longest: int
    """Maximum number of edges of a path."""


class _Edges(NamedTuple):
    """Edges of the paths, `[B]` at one depth, `[B, longest]` at all."""

    nodes: jax.Array
    """int32, where each edge begins; the number of nodes where the path has ended before."""
    slots: jax.Array
    """int32, the move."""


class _Ends(NamedTuple):
    """The ends of the paths so far, `[B]`."""

    node: jax.Array
    """int32, where the next edge begins; the number of nodes if the path has ended."""
    leaf: jax.Array
    """int32, the node after the last edge; -1 if it is still to be made."""
    n_edges: jax.Array
    """int32, at least 1 at the end."""


def loop(
    rules: Rules, first: int, n_sims: int, key: jax.Array, tree: mctx.Tree
) -> tuple[jax.Array, mctx.Tree]:
    """Run simulations `first` to `n_sims - 1`; what `mctx.search` wants of its `loop_fn`.

    Args:
        rules: see `Rules`.
        first: number of the first simulation.
        n_sims: static.
        key: random key.
        tree: trees `[B]`, with room for `n_sims + 1` nodes; simulation i may make node i + 1.

    Returns:
        The key after them, and the trees.
    """
    settled = jnp.zeros(tree.node_visits.shape, bool)
    shape = tree.children_visits[:, 0].shape

    def simulate(sim: jax.Array, carry: tuple) -> tuple:
        key, tree, settled = carry
        key, noise_key = jax.random.split(key)
        edges, ends = _descend(rules, tree, settled, jax.random.uniform(noise_key, shape))
        tree, settled = _expand(rules, tree, settled, edges, ends, sim + 1)
        return key, _update(tree, edges, ends, sim + 1), settled

    return jax.lax.fori_loop(first, n_sims, simulate, (key, tree, settled))[:2]


def _descend(
    rules: Rules, tree: mctx.Tree, settled: jax.Array, noise: jax.Array
) -> tuple[_Edges, _Ends]:
    """Go from the roots to a move without a node, or to a settled node."""
    n, outside = settled.shape

    def step(select: Select, ends: _Ends) -> tuple[_Edges, _Ends]:
        # One tree under `vmap`, so that several devices know that no tree reads another.
        def one(
            tree: mctx.Tree, settled: jax.Array, noise: jax.Array, ends: _Ends
        ) -> tuple[_Edges, _Ends]:
            slot = select(tree, ends.node, noise)
            child = tree.children_index[ends.node, slot]
            moves = ends.node < outside
            goes_on = moves & (child >= 0) & ~settled[child]
            after = _Ends(
                jnp.where(goes_on, child, outside),
                jnp.where(moves, child, ends.leaf),
                ends.n_edges + moves,
            )
            return _Edges(ends.node, slot), after

        return jax.vmap(one)(tree, settled, noise, ends)

    zeros = jnp.zeros(n, jnp.int32)
    edges, ends = step(rules.at_root, _Ends(zeros, zeros, zeros))
    if jax.default_backend() != "cpu":
        # A loop whose number of turns depends on data makes the host wait at each of them, and a
        # turn of any loop copies what it carries. So all steps are written out.
        steps = [edges]
        for _ in range(1, rules.longest):
            edges, ends = step(rules.below, ends)
            steps.append(edges)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *steps), ends

    def down(carry: tuple[jax.Array, _Edges, _Ends]) -> tuple[jax.Array, _Edges, _Ends]:
        depth, path, ends = carry
        edges, ends = step(rules.below, ends)
        path = jax.tree.map(lambda old, new: old.at[:, depth].set(new), path, edges)
        return depth + 1, path, ends

    path = _Edges(
        jnp.full((n, rules.longest), outside).at[:, 0].set(edges.nodes),
        jnp.zeros((n, rules.longest), jnp.int32).at[:, 0].set(edges.slots),
    )
    return jax.lax.while_loop(
        lambda carry: (carry[0] < rules.longest) & (carry[2].node < outside).any(),
        down,
        (jnp.int32(1), path, ends),
    )[1:]


def _expand(
    rules: Rules,
    tree: mctx.Tree,
    settled: jax.Array,
    edges: _Edges,
    ends: _Ends,
    new: jax.Array,
) -> tuple[mctx.Tree, jax.Array]:
    """Make the nodes at the ends of the paths.

    A path that ends at a settled node makes its node once more, and nothing refers to the copy.
    """

    def at(array: jax.Array, index: jax.Array) -> jax.Array:
        return jax.vmap(lambda row, index: row[index])(array, index)

    parent, slots = (at(leaf, ends.n_edges - 1) for leaf in edges)
    embedding = jax.tree.map(lambda leaf: at(leaf, parent), tree.embeddings)
    step, embedding, is_settled = rules.expand(slots, embedding)

    def at_new(array: jax.Array, values: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_index_in_dim(array, values.astype(array.dtype), new, 1)

    def at_edge(array: jax.Array, values: jax.Array) -> jax.Array:
        def put(row: jax.Array, node: jax.Array, slot: jax.Array, value: jax.Array) -> jax.Array:
            return row.at[node, slot].set(value)

        return jax.vmap(put)(array, parent, slots, values)

    tree = tree.replace(
        children_prior_logits=at_new(tree.children_prior_logits, step.prior_logits),
        raw_values=at_new(tree.raw_values, step.value),
        node_values=at_new(tree.node_values, step.value),
        embeddings=jax.tree.map(at_new, tree.embeddings, embedding),
        parents=at_new(tree.parents, parent),
        action_from_parent=at_new(tree.action_from_parent, slots),
        children_index=at_edge(tree.children_index, jnp.where(ends.leaf < 0, new, ends.leaf)),
        children_rewards=at_edge(tree.children_rewards, step.reward),
        children_discounts=at_edge(tree.children_discounts, step.discount),
    )
    return tree, at_new(settled, is_settled)


@functools.partial(jax.vmap, in_axes=(0, 0, 0, None))
def _update(tree: mctx.Tree, edges: _Edges, ends: _Ends, new: jax.Array) -> mctx.Tree:
    """Add the value at the end of a path to the statistics of all nodes on it; for one tree."""
    leaf = jnp.where(ends.leaf < 0, new, ends.leaf)
    at = (edges.nodes, edges.slots)  # past the end of the path: outside, and dropped
    visits, values = tree.node_visits[edges.nodes], tree.node_values[edges.nodes]
    rewards, discounts = tree.children_rewards[at], tree.children_discounts[at]
    children = tree.children_visits[at]

    # From the leaf to the root: the mean of each node, and of the node below it.
    value = below = tree.node_values[leaf]
    means, belows = [], []
    for depth in reversed(range(edges.nodes.shape[0])):
        on_path = depth < ends.n_edges
        backed_up = rewards[depth] + discounts[depth] * value
        mean = (values[depth] * visits[depth] + backed_up) / (visits[depth] + 1.0)
        means.append(mean)
        belows.append(below)
        value, below = jnp.where(on_path, backed_up, value), jnp.where(on_path, mean, below)
    nodes, visits = jnp.append(edges.nodes, leaf), jnp.append(visits, tree.node_visits[leaf])
    return tree.replace(
        node_values=tree.node_values.at[edges.nodes].set(jnp.stack(means[::-1]), mode="drop"),
        node_visits=tree.node_visits.at[nodes].set(visits + 1, mode="drop"),
        children_values=tree.children_values.at[at].set(jnp.stack(belows[::-1]), mode="drop"),
        children_visits=tree.children_visits.at[at].set(children + 1, mode="drop"),
    )
