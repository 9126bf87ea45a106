"""Keys and values of a state_dict: every key is used exactly once, every tensor is checked."""

import math
from collections import OrderedDict

import jax
import ml_dtypes
import numpy as np
import pytest

from zebjax import network
from zebjax.torch_compat.names import from_state_dict, to_state_dict
from zebjax.torch_compat.pickle import TorchFileError

TINY = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=2, ff_dim=24, belief_head=False)


def test_every_key_must_be_there_and_no_other(state):
    for key in state:
        rest = {name: value for name, value in state.items() if name != key}
        with pytest.raises(TorchFileError, match=f"^key {key} is missing$"):
            from_state_dict(TINY, rest)
    with pytest.raises(TorchFileError, match=r"^key 'encoder.layers.2.norm1.bias' is not expected"):
        from_state_dict(TINY, state | {"encoder.layers.2.norm1.bias": np.zeros(16, np.float32)})
    with pytest.raises(TorchFileError, match=r"^key 3 is not expected"):
        from_state_dict(TINY, state | {3: np.zeros(16, np.float32)})


def test_every_shape_is_checked(state):
    for key, value in state.items():
        with pytest.raises(TorchFileError, match=f"^key {key}: shape .*, expected "):
            from_state_dict(TINY, state | {key: np.append(value, value, axis=0)})
    # Square matrices and vectors of one length would fit each other's places: only names tell them
    # apart.
    wrong_way = {"encoder.layers.0.linear1.weight": state["encoder.layers.0.linear1.weight"].T}
    with pytest.raises(
        TorchFileError, match=r"linear1.weight: shape \(16, 24\), expected \(24, 16\)"
    ):
        from_state_dict(TINY, state | wrong_way)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(state, value):
    for key in ("policy_proj.bias", "encoder.layers.1.self_attn.in_proj_weight"):
        bad = state[key].copy()
        bad.flat[-1] = value
        with pytest.raises(TorchFileError, match=f"^key {key}: holds values that are not finite"):
            from_state_dict(TINY, state | {key: bad})
    with pytest.raises(TorchFileError, match="not finite in float32"):
        from_state_dict(TINY, state | {"policy_proj.bias": np.array([1e300])})


def test_types_of_tensors(state):
    for dtype in (np.float64, np.float16, ml_dtypes.bfloat16):
        params = from_state_dict(TINY, {key: value.astype(dtype) for key, value in state.items()})
        want = state["policy_proj.weight"].astype(dtype).astype(np.float32).T
        np.testing.assert_array_equal(params["policy"]["kernel"], want)
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    for dtype in (np.int64, np.int8, np.bool_):
        with pytest.raises(
            TorchFileError, match=r"policy_proj\.bias: type .*, expected floating point"
        ):
            from_state_dict(TINY, state | {"policy_proj.bias": np.ones(1, dtype)})
    with pytest.raises(TorchFileError, match=r"policy_proj\.bias: expected a tensor, got a list"):
        from_state_dict(TINY, state | {"policy_proj.bias": [1.0]})


def test_state_dict_is_a_bijection(state):
    """Distinct numbers everywhere: each of ours arrives exactly once, transposed exactly where it
    is a kernel."""
    numbers = iter(range(10**6))
    distinct = OrderedDict(
        (key, np.array([next(numbers) for _ in range(value.size)], np.float32).reshape(value.shape))
        for key, value in state.items()
    )
    params = from_state_dict(TINY, distinct)
    leaves = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
    total = network.n_params(network.abstract_params(TINY))
    assert total == sum(math.prod(value.shape) for value in state.values())
    np.testing.assert_array_equal(np.sort(leaves), np.arange(total))
    qkv = distinct["encoder.layers.1.self_attn.in_proj_weight"]
    np.testing.assert_array_equal(params["layers"]["01"]["qkv"]["kernel"], qkv.T)
    np.testing.assert_array_equal(
        params["embed"]["declaration"]["embedding"], distinct["embeddings.decl_embed.weight"]
    )
    back = to_state_dict(TINY, params)
    assert list(back) == list(distinct)
    for key, value in distinct.items():
        np.testing.assert_array_equal(back[key], value)


def test_the_original_has_no_values_of_moves():
    config = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=2, ff_dim=24, move_values=True)
    params = network.init(config, jax.random.key(0))
    with pytest.raises(TorchFileError, match="the original has no head for the values of moves"):
        to_state_dict(config, params)


def test_the_original_has_no_beliefs_on_a_prior():
    config = network.ZebConfig(
        embed_dim=16, n_heads=2, n_layers=2, ff_dim=24, belief_prior="marginal"
    )
    params = network.init(config, jax.random.key(0))
    with pytest.raises(TorchFileError, match="belief_prior: the original has none"):
        to_state_dict(config, params)
