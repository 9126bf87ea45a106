"""The simulations on whole batches make the trees of `mctx.search`."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from zebjax.search import simulate

N, SLOTS, DEPTH, SIMS = 5, 3, 3, 24
_priors = jax.random.normal(jax.random.key(0), (N, 64, SLOTS))
_values = jax.random.uniform(jax.random.key(1), (N, 64), minval=-1.0)


def expand(slots, node):
    """A tree of `DEPTH` moves, numbered like a heap; some nodes above its leaves are settled."""
    number, depth, over = node
    lanes, child = jnp.arange(N), number * SLOTS + slots + 1
    settled = (depth + 1 >= DEPTH) | (child % 5 == 3)
    worth = jnp.where(settled, jnp.sign(_values[lanes, child % 64]), 0.0)
    step = mctx.RecurrentFnOutput(
        reward=jnp.where(over, 0.0, worth),
        discount=jnp.where(settled | over, 0.0, -1.0),
        prior_logits=_priors[lanes, child % 64],
        value=jnp.where(settled | over, 0.0, _values[lanes, child % 64]),
    )
    return step, (child, depth + 1, settled | over), settled


def select(key, tree, node, depth):
    return mctx.gumbel_muzero_interior_action_selection(key, tree, node, depth)


ROOT = mctx.RootFnOutput(
    prior_logits=_priors[:, 0],
    value=_values[:, 0],
    embedding=(jnp.zeros(N, jnp.int32), jnp.zeros(N, jnp.int32), jnp.zeros(N, bool)),
)


def grown(loop_fn):
    return jax.jit(
        lambda: mctx.search(
            (),
            jax.random.key(2),
            root=ROOT,
            recurrent_fn=lambda params, key, slots, node: expand(slots, node)[:2],
            root_action_selection_fn=lambda key, tree, node: select(key, tree, node, 0),
            interior_action_selection_fn=select,
            num_simulations=SIMS,
            loop_fn=loop_fn,
        )
    )()


def of_tree(tree, node, noise):
    return select(None, tree, node, 0)


RULES = simulate.Rules(of_tree, of_tree, expand, DEPTH)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_the_trees_are_those_of_mctx(monkeypatch, backend):
    theirs = grown(jax.lax.fori_loop)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    ours = grown(lambda first, n, _, carry: simulate.loop(RULES, first, n, *carry))
    same = functools.partial(np.testing.assert_allclose, atol=1e-6)
    for name in ("node_visits", "node_values"):
        same(getattr(ours, name)[:, 0], getattr(theirs, name)[:, 0])
    for name in ("children_visits", "children_values", "children_rewards", "children_discounts"):
        same(getattr(ours, name)[:, 0], getattr(theirs, name)[:, 0])
    # One level down, through the indices: the same nodes may have other numbers.
    lanes = np.arange(N)[:, None]
    below = [np.asarray(tree.children_index)[:, 0] for tree in (ours, theirs)]
    assert (below[0] >= 0).any()
    np.testing.assert_array_equal(below[0] >= 0, below[1] >= 0)
    settled = np.asarray(ours.children_discounts)[:, 0] == 0
    inner = (below[0] >= 0) & ~settled
    assert inner.any() and settled[below[0] >= 0].any()
    for name in ("children_visits", "children_values"):
        a, b = (
            np.asarray(getattr(tree, name))[lanes, index]
            for tree, index in zip((ours, theirs), below, strict=True)
        )
        same(a[inner], b[inner])


def test_nothing_is_expanded_below_a_settled_node():
    tree = jax.tree.map(
        np.asarray, grown(lambda first, n, _, carry: simulate.loop(RULES, first, n, *carry))
    )
    assert tree.node_visits[:, 0].tolist() == [SIMS + 1] * N
    lanes, nodes, slots = np.nonzero(tree.children_index >= 0)
    ends = tree.children_discounts[lanes, nodes, slots] == 0
    children = tree.children_index[lanes[ends], nodes[ends], slots[ends]]
    assert len(children) and (tree.children_index[lanes[ends], children] == -1).all()
