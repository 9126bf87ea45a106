"""Our kernels for GPUs, emulated on a CPU, give what XLA's network gives."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import network, observe
from zebjax.network import pallas_kernels, storage

TINY = network.ZebConfig(
    embed_dim=32, n_heads=2, n_layers=1, ff_dim=64, compute_dtype="bfloat16", kernels="pallas"
)


def _case(config, games, length):
    """Weights, and observations of which some tokens are not valid."""
    draw = np.random.default_rng(0)
    params = jax.eval_shape(lambda: network.init(config, jax.random.key(0)))
    params = jax.tree.map(lambda leaf: draw.normal(0, 0.2, leaf.shape).astype("float32"), params)
    n_valid = draw.integers(8, length + 1, games)
    mask = np.arange(length) < n_valid[:, None]
    features = observe.tokenizer("v1").features.values()
    tokens = np.stack([draw.integers(0, n, mask.shape) for n, _ in features], -1).astype(np.int8)
    place = np.sort(draw.permuted(np.tile(np.arange(36), (games, 1)), axis=1)[:, :length])
    return params, observe.Observation(tokens, mask, place.astype(np.int8))


def _errors(output, exact):
    return [float(np.abs(a - b).max()) for a, b in zip(output, exact, strict=True)]


def _run(config, weights, seen):
    run = functools.partial(pallas_kernels.forward, config, interpret=True)
    return jax.jit(run)(weights, seen)


def test_kernels_agree_with_xla_at_a_length_that_leaves_a_part_of_each_tile_empty():
    # Two games of 24 tokens in a tile of 64 rows; the third is in a tile of its own. Float32, in
    # which only the order of sums differs.
    config = dataclasses.replace(TINY, compute_dtype="float32", kernels="xla")
    params, seen = _case(config, 3, 24)
    weights = network.prepare(config, params)
    exact = network.evaluate(config, weights, seen)
    assert max(_errors(_run(config, weights, seen), exact)) < 1e-4


@pytest.mark.slow  # the test above covers the same code with one layer, one length and float32
@pytest.mark.parametrize("length", [16, 24, 32])
def test_kernels_agree_with_xla_in_the_large_network(length):
    exact_config = dataclasses.replace(network.PRESETS["large"], n_layers=2)
    config = dataclasses.replace(exact_config, compute_dtype="bfloat16", kernels="pallas")
    params, seen = _case(config, 9, length)
    params["value_out"]["kernel"] *= 0.02  # so that tanh is not saturated, where all errors are 0
    exact = network.evaluate(exact_config, network.prepare(exact_config, params), seen)
    weights = network.prepare(config, params)
    # On a CPU this is XLA, whatever the config says.
    xla = _errors(network.evaluate(config, weights, seen), exact)
    ours = _errors(_run(config, weights, seen), exact)
    assert all(0 < error < 1.5 * limit + 1e-3 for error, limit in zip(ours, xla, strict=True))


def test_a_token_sees_only_valid_tokens_of_its_own_game():
    config = dataclasses.replace(TINY, compute_dtype="float32", kernels="xla")
    params, _ = _case(config, 1, 16)
    layer = network.prepare(config, params).layers[0]
    tile = pallas_kernels.TILES.attention
    x = np.random.default_rng(1).normal(size=(64, 32)).astype("float32")
    mask = np.arange(64) % 16 < 12

    def attended(x):
        return np.asarray(
            pallas_kernels.attention(layer, x, jnp.asarray(mask), 16, 2, tile, interpret=True)
        )

    before, other = attended(x), x.copy()
    other[16:32] *= -1  # the second game
    other[12:16] *= -1  # tokens of the first that are not valid
    after = attended(other)
    np.testing.assert_array_equal(after[:12], before[:12])
    np.testing.assert_array_equal(after[32:], before[32:])
    assert np.abs(after[16:28] - before[16:28]).max() > 1e-2


def test_the_kind_of_kernels_is_not_stored_and_changes_no_weights():
    plain = dataclasses.replace(TINY, kernels="xla")
    assert plain.same_weights(TINY)
    params, _ = _case(plain, 1, 16)
    data, other = (storage.to_bytes(config, params) for config in (TINY, plain))
    # The order of the metadata in the file is any.
    assert storage.metadata_of(data) == storage.metadata_of(other)
    assert sorted(data) == sorted(other)
    assert b"kernels" not in data


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernels": "triton"}, "kernels: expected xla or pallas, got 'triton'"),
        ({"compute_dtype": "float32"}, "pallas needs compute_dtype bfloat16, got float32"),
        ({"embed_dim": 48, "n_heads": 3}, "to be powers of 2, .* got embed_dim 48, n_heads 3"),
        ({"n_heads": 4}, "at least 16; got embed_dim 32, n_heads 4"),
        ({"ff_dim": 80}, "pallas needs a multiple of 32 as ff_dim, got 80"),
    ],
)
def test_what_the_kernels_cannot_do_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **fields)
