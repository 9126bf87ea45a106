"""The belief scores are the same for NumPy and JAX arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax.evaluation import belief_scores


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), (5, 11)).astype(np.float32)
    probabilities[0] = 1 / 3
    return probabilities, rng.integers(0, 3, (5, 11))


@pytest.mark.parametrize("name", ["at_owner", "correct", "brier"])
def test_numpy_and_jax_agree(predictions, name):
    function = getattr(belief_scores, name)
    host = function(*predictions)
    device = jax.jit(function)(*map(jnp.asarray, predictions))
    assert isinstance(host, np.ndarray) and host.shape == device.shape == (5, 11)
    np.testing.assert_allclose(host, device, rtol=1e-6)


def test_equally_probable_holders_share_the_tile(predictions):
    probabilities, owner = predictions
    np.testing.assert_allclose(belief_scores.correct(probabilities, owner)[0], 1 / 3)
    np.testing.assert_allclose(belief_scores.brier(probabilities, owner)[0], 2 / 3, rtol=1e-6)


def test_by_hand():
    probabilities, owner = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]]), np.array([1, 0])
    np.testing.assert_allclose(belief_scores.at_owner(probabilities, owner), [0.3, 0.4])
    np.testing.assert_allclose(belief_scores.correct(probabilities, owner), [0, 0.5])
    np.testing.assert_allclose(belief_scores.brier(probabilities, owner), [0.78, 0.56])
