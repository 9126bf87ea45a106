"""A vector of parameters is updated as the arrays are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from zebjax.training import flat, optimizer
from zebjax.training.learner_config import LearnerConfig

PARAMS = {"a": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.array([-1.0, 2.0]), "c": 3.0}
PARAMS = jax.tree.map(jnp.asarray, PARAMS)


def test_moments_become_vectors_and_arrays_again():
    state = optimizer.make_optimizer(LearnerConfig(clip_norm=1.0)).init(PARAMS)
    layout = flat.as_vector(PARAMS)
    packed = flat.pack(layout, PARAMS, state)
    # Adam's two moments are vectors; the counts stay as they are.
    assert sorted(leaf.shape for leaf in jax.tree.leaves(packed)) == [(), (), (9,), (9,)]
    back = flat.unpack(layout, PARAMS, state, packed)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, back, state)


def test_a_vector_is_updated_as_the_arrays_are():
    config = LearnerConfig(lr=0.1, weight_decay=0.2, clip_norm=1.0)
    make, layout = optimizer.make_optimizer(config), flat.as_vector(PARAMS)
    params, state = PARAMS, make.init(PARAMS)
    vector, packed = layout.pack(params), flat.pack(layout, params, state)
    for number in range(3):
        grads = jax.tree.map(lambda leaf, n=number: jnp.cos(leaf + n), params)
        updates, state = make.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        updates, packed = make.update(layout.pack(grads), packed, vector)
        vector = optax.apply_updates(vector, updates)
    ours = (layout.unpack(vector), flat.unpack(layout, PARAMS, state, packed))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, (params, state))


def test_arrays_may_also_stay_as_they_are():
    state = optimizer.make_optimizer(LearnerConfig(optimizer="muon")).init(PARAMS)
    packed = flat.pack(flat.AS_THEY_ARE, PARAMS, state)
    jax.tree.map(np.testing.assert_array_equal, packed, state)
