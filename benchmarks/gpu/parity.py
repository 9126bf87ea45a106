"""Compare the network on this device with the same network on the CPU, and with golden outputs."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, network, observe
from zebjax.common import devices
from zebjax.torch_compat import weights as torch_weights

_GOLDEN = {
    "model_557k.npz": "zeb-557k-1m.pt",
    "model_large_belief.npz": "synthetic-large-belief.pt",
}


class Way(NamedTuple):
    """One way to evaluate a network, and the largest error of a policy logit that it may have."""

    dtype: str
    precision: str
    kernels: str
    limit: float
    """A value may be wrong by half of it."""


WAYS = (
    Way("float32", "highest", "xla", 1e-3),
    Way("float32", "default", "xla", 0.05),
    Way("bfloat16", "default", "xla", 0.5),
    Way("bfloat16", "default", "pallas", 0.5),
)


class Case(NamedTuple):
    """A network, positions, and its outputs there as computed elsewhere."""

    name: str
    network: network.ZebConfig
    params: network.Params
    seen: observe.Observation
    legal: np.ndarray
    """bool `[n, 7]`."""
    expected: dict[str, np.ndarray]


def cases(n: int) -> Iterator[Case]:
    """The bundled network at `n` positions of random games, expected as a CPU computes it; the
    golden data too if ZEBJAX_REFERENCE names their folder.
    """
    config, params = network.load("bundled")
    seen, legal = jax.jit(jax.vmap(_position))(
        jax.random.split(jax.random.key(0), n), jnp.arange(n) % 24
    )
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        here = jax.device_put((params, seen), cpu)
        expected = _output(config, *here, WAYS[0])
    yield Case("bundled, against the CPU", config, params, seen, np.asarray(legal), expected)
    folder = os.environ.get("ZEBJAX_REFERENCE")
    if not folder:
        return
    tokens = np.load(Path(folder) / "tokens.npz")
    for outputs, weights in _GOLDEN.items():
        golden = dict(np.load(Path(folder) / outputs))
        index = golden.get("index", np.arange(len(tokens["mask"])))[:n]
        config, params, *_ = torch_weights.read(str(Path(folder) / weights))
        seen = observe.Observation(tokens["tokens_gpu"][index], tokens["mask"][index])
        expected = {"policy": golden["policy_logits"][:n], "value": golden["value"][:n]}
        if "belief_logits" in golden:
            expected["belief"] = golden["belief_logits"][:n]
        legal = tokens["hand_mask"][index]
        yield Case(f"{weights}, golden", config, params, seen, legal, expected)


def row(case: Case, way: Way) -> dict[str, Any]:
    """Largest errors of the outputs of one case, and `ok`; `failure` if it does not run at all."""
    made: dict[str, Any] = {"network": case.name, **way._asdict()}
    net = dataclasses.replace(case.network, compute_dtype=way.dtype, kernels=way.kernels)
    # A device that does not run the kernel uses XLA.
    made["kernels"] = net.with_kernels(devices.runs_pallas()).kernels
    try:
        got = _output(case.network, case.params, case.seen, way)
    except Exception as error:  # of a compiler: the other ways are to be seen all the same
        lines = str(error).splitlines() or [""]
        return made | {"ok": False, "failure": f"{type(error).__name__}: {lines[0]}"}
    made |= errors(got, case.expected, case.legal)
    made["ok"] = made["policy_error"] < way.limit and made["value_error"] < way.limit / 2
    return made


def _position(key: jax.Array, ply: jax.Array) -> tuple[observe.Observation, jax.Array]:
    """A random game stopped before `ply`: what its mover sees, and the legal slots."""
    deal_key, play_key = jax.random.split(key)
    start = game.deal(deal_key)
    _, slots = game.play_randomly(play_key, start, game.N_PLIES)
    state = game.replay(start.hands, start.declaration, start.leader, slots, ply)
    return observe.observe(state), game.legal_slots(state)


def _output(
    config: network.ZebConfig, params: Any, seen: observe.Observation, way: Way
) -> dict[str, np.ndarray]:
    """The outputs by name, with prepared weights as players and self-play have them."""
    net = dataclasses.replace(config, compute_dtype=way.dtype, kernels=way.kernels)
    with jax.default_matmul_precision(way.precision):
        made = network.evaluate(net, network.prepare(net, params), seen)
    found = {"policy": made.policy_logits, "value": made.value}
    if made.belief_logits is not None:
        found["belief"] = made.belief_logits
    return {name: np.asarray(array) for name, array in found.items()}


def errors(
    got: dict[str, np.ndarray], expected: dict[str, np.ndarray], legal: np.ndarray
) -> dict[str, float]:
    """Largest errors, the mean error of the value, and the share of equal best legal moves."""
    tops = [np.where(legal, one["policy"], -np.inf).argmax(-1) for one in (got, expected)]
    made = {
        "policy_error": np.abs(got["policy"] - expected["policy"])[legal].max(),
        "value_error": np.abs(got["value"] - expected["value"]).max(),
        "mean_value_error": np.abs(got["value"] - expected["value"]).mean(),
        "same_top_move": (tops[0] == tops[1]).mean(),
    }
    if {"belief"} <= got.keys() & expected.keys():
        made["belief_error"] = np.abs(got["belief"] - expected["belief"]).max()
    return {name: round(float(number), 6) for name, number in made.items()}
