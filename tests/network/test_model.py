"""ZebNet: sizes, purity, masks.

Parity with the original's outputs is tested in torch_compat/test_weights.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import game, network, observe
from zebjax.common import checkpoint, files
from zebjax.network.dropout import Dropout

SMALL = network.PRESETS["small"]
apply = jax.jit(network.apply, static_argnums=0)


@pytest.fixture(scope="module")
def params():
    return network.init(SMALL, jax.random.key(0))


@pytest.fixture(scope="module")
def observation():
    def midgame(key):
        state = game.deal(key)
        for _ in range(5):
            state = game.play(state, jnp.argmax(game.legal_slots(state)))
        return observe.observe(state)

    return jax.jit(jax.vmap(midgame))(jax.random.split(jax.random.key(1), 6))


@pytest.mark.parametrize(
    ("preset", "belief_head", "count"),
    [
        ("small", False, 75_094),
        ("small", True, 84_714),
        ("medium", False, 556_970),
        ("medium", True, 584_318),
        ("large", False, 3_259_730),
        ("large", True, 3_347_110),
    ],
)
def test_parameter_counts(preset, belief_head, count):
    config = dataclasses.replace(network.PRESETS[preset], belief_head=belief_head)
    assert network.n_params(network.abstract_params(config)) == count


def test_output_shapes_for_any_leading_axes(params, observation):
    one = jax.tree.map(lambda leaf: leaf[0], observation)
    grid = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), observation)
    for seen, lead in ((one, ()), (observation, (6,)), (grid, (2, 3))):
        output = apply(SMALL, params, seen)
        assert output.policy_logits.shape == (*lead, 7)
        assert output.value.shape == lead
        assert output.belief_logits.shape == (*lead, 28, 3)
    np.testing.assert_allclose(
        apply(SMALL, params, grid).value.ravel(), apply(SMALL, params, observation).value, atol=1e-6
    )


def test_masked_tokens_do_not_matter(params, observation):
    noise = jax.random.randint(jax.random.key(2), observation.tokens.shape, 0, 2, jnp.int8)
    disturbed = observation._replace(
        tokens=jnp.where(observation.mask[..., None], observation.tokens, noise)
    )
    a, b = apply(SMALL, params, observation), apply(SMALL, params, disturbed)
    np.testing.assert_array_equal(a.value, b.value)
    np.testing.assert_array_equal(a.belief_logits, b.belief_logits)
    valid = np.asarray(observation.mask[:, 1:8])
    np.testing.assert_array_equal(
        np.asarray(a.policy_logits)[valid], np.asarray(b.policy_logits)[valid]
    )


def test_dropout_only_with_a_key(params, observation):
    plain, again = apply(SMALL, params, observation), apply(SMALL, params, observation)
    np.testing.assert_array_equal(plain.value, again.value)
    first, second = (apply(SMALL, params, observation, jax.random.key(seed)) for seed in (0, 1))
    assert np.abs(first.value - plain.value).max() > 1e-4
    assert np.abs(first.value - second.value).max() > 1e-4


def test_dropout_drops_at_its_rate_and_keeps_the_mean():
    values = jnp.full((301, 37), 2.0)
    drop = Dropout(0.1, jax.random.key(0))
    first, second = np.asarray(drop(values)), np.asarray(drop(values))
    other = np.asarray(Dropout(0.1, jax.random.key(1))(values))
    for dropped in (first, second, other):
        assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.01)
        assert dropped.mean() == pytest.approx(2, rel=0.01)
        assert len(np.unique(dropped)) == 2
    # Each call, each key and each neighbour has numbers of its own.
    zero = first == 0
    for again in (second == 0, other == 0, np.roll(zero, 1, 0), np.roll(zero, 1, 1)):
        assert np.corrcoef(zero.ravel(), again.ravel())[0, 1] == pytest.approx(0, abs=0.04)


def test_bfloat16_is_close_and_returns_float32(params, observation):
    output = apply(dataclasses.replace(SMALL, compute_dtype="bfloat16"), params, observation)
    exact = apply(SMALL, params, observation)
    assert (
        output.value.dtype
        == output.policy_logits.dtype
        == output.belief_logits.dtype
        == jnp.float32
    )
    assert 0 < np.abs(output.policy_logits - exact.policy_logits).max() < 0.05


def test_no_belief_head_gives_none(observation):
    config = dataclasses.replace(SMALL, belief_head=False)
    assert apply(config, network.init(config, jax.random.key(0)), observation).belief_logits is None


def test_a_belief_on_the_marginal_is_the_marginal_times_what_the_head_says():
    config = dataclasses.replace(SMALL, belief_prior="marginal")
    raw = jax.random.normal(jax.random.key(0), (28, 3))
    marginal = np.zeros((28, 3), np.float32)  # visible tiles have 0
    marginal[:3] = [[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.5, 0.5]]
    found = jax.nn.softmax(network.corrected_beliefs(config, raw, marginal))
    expected = marginal[:3] * np.exp(raw[:3])
    np.testing.assert_allclose(found[:3], expected / expected.sum(-1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(found[3:], jax.nn.softmax(raw)[3:], atol=1e-6)
    np.testing.assert_array_equal(network.corrected_beliefs(SMALL, raw, marginal), raw)
    slope = jax.grad(lambda raw: network.corrected_beliefs(config, raw, marginal)[0, 0])(raw)
    assert np.isfinite(slope).all()
    assert not config.same_weights(SMALL) and "belief_prior" not in SMALL.stored_fields()
    with pytest.raises(ValueError, match="belief_prior: marginal needs belief_head True"):
        dataclasses.replace(config, belief_head=False)
    with pytest.raises(ValueError, match="belief_prior: expected none or marginal, got 'voids'"):
        dataclasses.replace(SMALL, belief_prior="voids")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "taken").mkdir()
    with (
        pytest.raises(FileExistsError, match="exists already"),
        files.new_folder(tmp_path / "taken"),
    ):
        pass


def test_prune_keeps_the_newest_and_sweeps_leftovers(tmp_path):
    for step in range(5):
        checkpoint.step_folder(tmp_path, step).mkdir()
    (tmp_path / ".tmp-step_000000007-ff").mkdir()
    checkpoint.prune(tmp_path, keep=2)
    assert checkpoint.steps(tmp_path) == [3, 4]
    assert len(list(tmp_path.iterdir())) == 2


def test_values_of_moves_are_those_of_the_hands_tokens(params, observation):
    """A head of 0 answers 0, and each slot's output depends on its own token's position in the
    hand; the other outputs stay as they were."""
    config, with_head = network.with_move_values(SMALL, params)
    assert config.move_values and network.with_move_values(config, with_head)[1] is with_head
    head = with_head["move_values"]
    assert {name: leaf.shape for name, leaf in head.items()} == {"kernel": (64, 2), "bias": (2,)}
    drawn = {
        "kernel": jax.random.normal(jax.random.key(5), (64, 2)) / 8,
        "bias": jnp.array([0.5, -3.0]),
    }
    without = apply(SMALL, params, observation)
    zero, some = (
        apply(config, with_head | {"move_values": each}, observation) for each in (head, drawn)
    )
    assert without.moves is None and not zero.moves.any()
    for name in ("policy_logits", "value", "belief_logits"):
        np.testing.assert_allclose(getattr(some, name), getattr(without, name), atol=1e-5)
    # The policy's weights in both columns: the outputs are then its logits.
    same = {
        "kernel": jnp.tile(params["policy"]["kernel"], 2),
        "bias": jnp.tile(params["policy"]["bias"], 2),
    }
    moves = apply(config, with_head | {"move_values": same}, observation).moves
    np.testing.assert_allclose(moves[..., 1], without.policy_logits, atol=1e-5)
    np.testing.assert_allclose(moves[..., 0], jnp.tanh(without.policy_logits), atol=1e-5)
    assert float(jnp.abs(some.moves[..., 0]).max()) < 1


def test_a_fresh_head_is_zero_and_changes_no_other_parameter(params):
    config = dataclasses.replace(SMALL, move_values=True)
    fresh = network.init(config, jax.random.key(0))
    assert not any(leaf.any() for leaf in jax.tree.leaves(fresh.pop("move_values")))
    jax.tree.map(np.testing.assert_array_equal, fresh, params)
    assert not SMALL.same_weights(config) and "move_values" not in SMALL.stored_fields()
