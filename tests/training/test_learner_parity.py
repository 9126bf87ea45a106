"""Golden parity of the learner with the original's updates (`reference/train_step.npz`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import network, observe
from zebjax.torch_compat import names as torch_names
from zebjax.torch_compat import weights as torch_weights
from zebjax.training import batches, learner, losses
from zebjax.training.learner_config import LearnerConfig

PARITY = LearnerConfig(lr=1e-4, policy_mask="unplayed")
RUNS = {"m557k": "zeb-557k-1m.pt", "large": "synthetic-large-belief.pt"}
METRICS = {
    *(
        "policy_loss",
        "value_loss",
        "belief_loss",
        "policy_entropy",
        "policy_top1_accuracy",
        "policy_kl_divergence",
    ),
    *(
        "value_mean",
        "value_std",
        "value_target_mean",
        "belief_accuracy",
        "grad_norm",
        "grad_norm_value_head",
    ),
}
# Zero in exact arithmetic, so that Adam makes rounding noise of them: up to 1e-4 a step (see the
# reference's README).
NOISE = ("policy_proj.bias", "in_proj_bias")


@pytest.fixture(scope="module", params=["m557k", pytest.param("large", marks=pytest.mark.slow)])
def parity(request, reference, reference_path):
    """Three updates on the golden batch: name, golden arrays, gradients at the first, parameters,
    metrics."""
    golden = reference("train_step.npz")
    weights = torch_weights.read(reference_path(RUNS[request.param]))
    mask = jnp.asarray(golden["belief_mask"])
    batch = batches.Batch(
        observation=observe.Observation(
            jnp.asarray(golden["observations"]), jnp.asarray(golden["masks"])
        ),
        policy_mask=jnp.asarray(golden["hand_masks"]),
        policy_target=jnp.asarray(golden["policy_targets"]),
        policy_weight=jnp.ones(64),
        value_target=jnp.asarray(golden["value_targets"]),
        belief_target=jnp.asarray(golden["belief_targets"], jnp.int32),
        belief_mask=mask,
        hidden=mask,
        marginal=jnp.full((64, 28, 3), 1 / 3),
    )
    with jax.default_matmul_precision("highest"):
        update = jax.jit(learner.update, static_argnums=(0, 1))
        state = learner.init(PARITY, weights.config, weights.params, jax.random.key(0))
        grads = jax.jit(
            jax.grad(
                lambda params: losses.losses(
                    PARITY, network.apply(weights.config, params, batch.observation), batch
                )[0]
            )
        )(state.params)
        steps = []
        for _ in range(3):
            state, metrics = update(PARITY, weights.config, state, batch, None)
            steps.append((torch_names.to_state_dict(weights.config, state.params), metrics))
    golden = {name.removeprefix(f"{request.param}/"): array for name, array in golden.items()}
    return golden, torch_names.to_state_dict(weights.config, grads), steps


def stored(golden, prefix):
    """Parameter name -> (golden array, rows that are stored) under `prefix/`."""
    for key, array in golden.items():
        if key.startswith(f"{prefix}/"):
            name, _, rows = key.removeprefix(f"{prefix}/").partition("[:")
            yield name, array, slice(int(rows[:-1]) if rows else None)


def test_metrics_equal_the_reference(parity):
    golden, _, steps = parity
    names = [name for name in METRICS if f"metric/{name}" in golden]
    assert len(names) >= 10
    for name in names:
        ours = [float(metrics[name]) for _, metrics in steps]
        # value_mean nearly cancels, so it is relative to the values that it sums; gradient norms
        # have the rounding of the updates before in them.
        absolute = 1e-5 if name == "value_mean" else 0
        relative = 2e-5 if name.startswith("grad_norm") else 1e-5
        np.testing.assert_allclose(
            ours, golden[f"metric/{name}"], rtol=relative, atol=absolute, err_msg=name
        )


def test_gradients_equal_the_reference(parity):
    golden, grads, _ = parity
    checked = 0
    for name, array, rows in stored(golden, "grad1"):
        np.testing.assert_allclose(grads[name][rows], array, atol=2e-5, rtol=1e-4, err_msg=name)
        checked += 1
    assert checked >= 12
    norms = [np.linalg.norm(np.asarray(grads[name], np.float64)) for name in golden["param_names"]]
    np.testing.assert_allclose(norms, golden["grad1_norm"], rtol=1e-4, atol=1e-6)


def test_parameters_equal_the_reference_after_each_update(parity):
    golden, _, steps = parity
    for number, (params, _) in enumerate(steps, start=1):
        for name, array, rows in stored(golden, f"param{number}"):
            ours, theirs = np.asarray(params[name])[rows], array
            if name.endswith(
                "in_proj_bias"
            ):  # its middle third, the key bias, is one of the two noisy entries
                third = len(theirs) // 3
                ours, theirs = (
                    np.delete(ours, slice(third, 2 * third)),
                    np.delete(theirs, slice(third, 2 * third)),
                )
            noise = 1e-4 * number if name == "policy_proj.bias" else 0
            np.testing.assert_allclose(
                ours, theirs, atol=1e-5 + noise, rtol=0, err_msg=f"{name} step {number}"
            )
        norms = [
            np.linalg.norm(np.asarray(params[name], np.float64)) for name in golden["param_names"]
        ]
        quiet = [not name.endswith(NOISE) for name in golden["param_names"]]
        np.testing.assert_allclose(
            np.array(norms)[quiet], golden[f"param{number}_norm"][quiet], rtol=1e-5
        )
