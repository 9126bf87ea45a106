"""Our kernel for GPUs, emulated on a CPU, gives what XLA's attention gives."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from zebjax import network, observe
from zebjax.common import devices
from zebjax.common.tensor_file import metadata_of
from zebjax.network import forward, fused_attention, model, prepared, storage

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
    pairs = zip(*map(jax.tree.leaves, (output, exact)), strict=True)
    return [float(np.abs(a - b).max()) for a, b in pairs]


@pytest.fixture
def run(monkeypatch):
    """Evaluate with the kernel, emulated."""
    attend = functools.partial(fused_attention.attend, interpret=True)
    monkeypatch.setattr(fused_attention, "attend", attend)
    return lambda config, params, seen: jax.jit(forward.forward, static_argnums=0)(
        config, prepared.prepare(config, params), seen
    )


def test_games_that_are_searched_one_by_one_give_the_same(run):
    params, seen = _case(TINY, 3, 16)
    together = run(TINY, params, seen)
    each = jax.vmap(lambda one: run(TINY, params, one))(seen)
    for error in _errors(each, together):
        assert error < 1e-2


@pytest.mark.parametrize(("games", "length"), [(3, 16), (2, 24), (2, 36)])
def test_the_kernel_agrees_with_xla(games, length, run):
    # In a tile: two games of 16 tokens, of which the last tile has one; one of 24; one of 36.
    exact_config = dataclasses.replace(TINY, compute_dtype="float32", kernels="xla")
    params, seen = _case(exact_config, games, length)
    params["value_out"]["kernel"] *= 0.1  # so that tanh is not saturated, where all errors are 0
    exact = network.evaluate(exact_config, network.prepare(exact_config, params), seen)
    xla = network.evaluate(TINY, network.prepare(TINY, params), seen)  # on a CPU this is XLA
    ours, limits = _errors(run(TINY, params, seen), exact), _errors(xla, exact)
    for error, limit in zip(ours, limits, strict=True):
        assert 0 < error < 1.5 * limit + 1e-3


def test_a_token_sees_only_valid_tokens_of_its_own_game():
    games, length, width = 3, 16, 32
    qkv = np.random.default_rng(1).normal(size=(length, games, 3 * width)).astype("float32")
    mask = np.tile(np.arange(length)[:, None] < 12, (1, games))

    def attended(qkv):
        made = fused_attention.attend(qkv.reshape(-1, 3 * width), mask, 2, interpret=True)
        return np.asarray(made).reshape(length, games, width)

    before, other = attended(qkv), qkv.copy()
    other[:, 1] *= -1  # the second game
    other[12:, 0] *= -1  # tokens of the first that are not valid
    after = attended(other)
    np.testing.assert_array_equal(after[:12, 0], before[:12, 0])
    np.testing.assert_array_equal(after[:, 2], before[:, 2])
    assert np.abs(after[:, 1] - before[:, 1]).max() > 1e-2


def test_the_kind_of_kernels_is_not_stored_and_changes_no_weights():
    plain = dataclasses.replace(TINY, kernels="xla")
    assert plain.same_weights(TINY)
    params, _ = _case(plain, 1, 16)
    data, other = (storage.to_bytes(config, params) for config in (TINY, plain))
    # The order of the metadata in the file is any.
    assert metadata_of(data) == metadata_of(other)
    assert sorted(data) == sorted(other)
    assert b"kernels" not in data


def test_auto_uses_the_kernel_on_one_gpu_only_and_only_if_it_can():
    auto = dataclasses.replace(TINY, kernels="auto")
    assert auto.with_kernels(True).kernels == "pallas"
    assert auto.with_kernels(False).kernels == TINY.with_kernels(False).kernels == "xla"
    wide = {"embed_dim": 256, "n_heads": 1}
    for fields in ({"compute_dtype": "float32"}, {"n_heads": 4}, {"kernels": "xla"}, wide):
        assert dataclasses.replace(auto, **fields).with_kernels(True).kernels == "xla"


def test_an_evaluation_uses_the_kernel_where_the_device_runs_it(run, monkeypatch):
    params, seen = _case(TINY, 1, 16)
    calls, attend = [], fused_attention.attend
    monkeypatch.setattr(fused_attention, "attend", lambda *args: calls.append(1) or attend(*args))
    rates = iter((0.11, 0.12, 0.13))

    def evaluated(runs_pallas, **arguments):
        monkeypatch.setattr(devices, "runs_pallas", lambda: runs_pallas)
        # The device is no argument of what is compiled, so each call has another config.
        auto = dataclasses.replace(TINY, kernels="auto", dropout=next(rates))
        weights = network.prepare(auto, params)
        calls.clear()
        return len(weights.layers[0].qkv), network.evaluate(auto, weights, seen, **arguments)

    n_products, xla = evaluated(False)
    assert (n_products, calls) == (3, [])
    n_products, ours = evaluated(True)
    assert (n_products, calls) == (1, [1])
    assert max(_errors(ours, xla)) < 0.05
    evaluated(True, dropout_key=jax.random.key(0))  # training: the kernel has no gradient
    assert calls == []
    network.apply(dataclasses.replace(TINY, kernels="auto"), params, seen)
    assert calls == []


def test_biases_join_their_products_in_small_batches_on_a_gpu(monkeypatch):
    assert not model._joins_bias(1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert model._joins_bias(8192) and not model._joins_bias(8193)
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert model._joins_bias(16384) and not model._joins_bias(16385)


def test_few_kernels_for_small_batches_change_no_gradient():
    """Biases in the kernels, joined heads, and dropout that is drawn ahead."""
    config = dataclasses.replace(TINY, n_layers=2, compute_dtype="float32", kernels="xla")
    params, seen = _case(config, 3, 16)

    def gradient(joins_bias):
        def loss(params):
            weights = prepared.prepare_for_training(config, params, joins_bias)
            output = forward.forward(config, weights, seen, jax.random.key(7))
            return sum((array**2).mean() for array in jax.tree.leaves(output))

        return jax.jit(jax.grad(loss))(params)

    for one, other in zip(*map(jax.tree.leaves, (gradient(True), gradient(False))), strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernels": "triton"}, "kernels: expected auto, xla or pallas, got 'triton'"),
        ({"compute_dtype": "float32"}, "pallas needs compute_dtype bfloat16 or auto, .* float32"),
        ({"embed_dim": 48, "n_heads": 1}, "16, 32, 64 or 128 columns a head .* embed_dim 48"),
        ({"n_heads": 4}, "columns a head .* embed_dim 32, n_heads 4"),
        ({"embed_dim": 256, "n_heads": 1}, "columns a head .* embed_dim 256, n_heads 1"),
    ],
)
def test_what_the_kernels_cannot_do_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **fields)
