"""Fixtures for tests of the original's weights: a tiny network in torch's names."""

from collections import OrderedDict

import jax
import numpy as np
import pytest

from tests.support.torch_made import Tensor, save
from zebjax import network
from zebjax.torch_compat import weights as torch_weights
from zebjax.torch_compat.names import to_state_dict

TINY = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=2, ff_dim=24, belief_head=False)


@pytest.fixture(scope="module")
def params():
    """Random parameters; unlike `network.init`, this compiles nothing."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), network.abstract_params(TINY)
    )


@pytest.fixture(scope="module")
def state(params):
    """The same as a state_dict of the original."""
    return to_state_dict(TINY, params)


@pytest.fixture(scope="module")
def tensors(state):
    """The same as objects that a pickler writes as torch tensors."""
    return OrderedDict((key, Tensor(value)) for key, value in state.items())


@pytest.fixture
def read(tmp_path):
    """Write bytes or a content to a file, and read it as weights."""

    def reading(content, name="tiny.pt"):
        data = content if isinstance(content, bytes) else save(content)
        (tmp_path / name).write_bytes(data)
        return torch_weights.read(tmp_path / name)

    return reading
