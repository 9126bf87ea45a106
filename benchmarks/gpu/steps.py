"""The steps of the benchmark `on_gpu`, each called in a process of its own."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zebjax import game, network, observe
from zebjax.search import SearchConfig
from zebjax.torch_compat import weights as torch_weights
from zebjax.training import learner, replay
from zebjax.training.config import LearnerConfig

from .. import all as everything
from .. import learner as learner_benchmark
from .. import report, selfplay
from . import hlo, programs, roofline, trace
from .cards import CARDS

_LARGEST = 30
_GOLDEN = {
    "model_557k.npz": "zeb-557k-1m.pt",
    "model_large_belief.npz": "synthetic-large-belief.pt",
}
_LIMITS = {"float32, highest": 1e-3, "float32": 0.05, "bfloat16": 0.5}
"""Allowed largest error of a policy logit, by dtype and precision. A value may be wrong by half."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a step is to do."""

    out: Path
    """Folder of its results."""
    seconds: float
    """Its time budget."""
    is_smoke: bool
    """True for tiny sizes."""


Rows = Iterator[dict[str, Any]]


# ---- parity


def parity(job: Job) -> Rows:
    """One row for each network and dtype: largest errors of its outputs.

    Raises:
        ValueError: at the end, if an error is beyond its limit.
    """
    bad = []
    for name, config, params, seen, legal, expected in _cases(16 if job.is_smoke else 512):
        for how, limit in _LIMITS.items():
            dtype, _, precision = how.partition(", ")
            row = {"network": name, "compute": how}
            row |= _errors(_output(config, params, seen, dtype, precision), expected, legal)
            row["ok"] = row["policy_error"] < limit and row["value_error"] < limit / 2
            bad += [] if row["ok"] else [f"{name} in {how}"]
            yield row
    if bad:
        raise ValueError(f"beyond the limit of its error: {'; '.join(bad)}")


def _cases(n: int) -> Iterator[tuple]:
    """Yield a name, config, parameters, observations, legal slots and the expected outputs."""
    config, params = network.load("bundled")
    seen, legal = jax.jit(jax.vmap(_position))(
        jax.random.split(jax.random.key(0), n), jnp.arange(n) % 24
    )
    with jax.default_device(jax.devices("cpu")[0]):
        here = jax.device_put((params, seen), jax.devices("cpu")[0])
        expected = _output(config, *here, "float32", "highest")
    yield "bundled, against the CPU", config, params, seen, np.asarray(legal), expected
    folder = os.environ.get("ZEBJAX_REFERENCE")
    if not folder:
        return
    tokens = np.load(Path(folder) / "tokens.npz")
    for outputs, weights in _GOLDEN.items():
        golden = dict(np.load(Path(folder) / outputs))
        index = golden.get("index", np.arange(len(tokens["mask"])))[:n]
        read = torch_weights.read(str(Path(folder) / weights))
        seen = observe.Observation(tokens["tokens_gpu"][index], tokens["mask"][index])
        expected = {"policy": golden["policy_logits"][:n], "value": golden["value"][:n]}
        if "belief_logits" in golden:
            expected["belief"] = golden["belief_logits"][:n]
        yield f"{weights}, golden", *read[:2], seen, tokens["hand_mask"][index], expected


def _position(key: jax.Array, ply: jax.Array) -> tuple[observe.Observation, jax.Array]:
    """A random game stopped before `ply`: what its mover sees, and the legal slots."""
    deal_key, play_key = jax.random.split(key)
    start = game.deal(deal_key)
    _, slots = game.play_randomly(play_key, start, game.N_PLIES)
    state = game.replay(start.hands, start.declaration, start.leader, slots, ply)
    return observe.observe(state), game.legal_slots(state)


def _output(
    config: network.ZebConfig, params: Any, seen: observe.Observation, dtype: str, precision: str
) -> dict[str, np.ndarray]:
    """The outputs by name, with prepared weights as players and self-play have them."""
    net = dataclasses.replace(config, compute_dtype=dtype)
    with jax.default_matmul_precision(precision or "default"):
        made = network.evaluate(net, network.prepare(net, params), seen)
    found = {"policy": made.policy_logits, "value": made.value}
    if made.belief_logits is not None:
        found["belief"] = made.belief_logits
    return {name: np.asarray(array) for name, array in found.items()}


def _errors(
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


# ---- speeds


def all_parts(job: Job) -> Rows:
    """One row for each row of the benchmark `all`, shortened to the budget."""
    result: dict[str, Any] = {"parts": {}}
    budget, out = (20.0 if job.is_smoke else 0.9 * job.seconds), job.out / "all-parts.json"
    facts = report.surroundings("on_gpu")
    everything.run(budget, result, lambda: report.write(out, facts | result))
    for name, part in result["parts"].items():
        yield from ({"part": name} | row for row in part["rows"])


def sweep(job: Job) -> Rows:
    """One row for each setting and number of lanes, the likely best first."""
    if job.is_smoke:
        selfplay.SETTINGS["smoke"] = selfplay.Setting("small", SearchConfig("gumbel", sims=2))
    asked = (
        [("smoke", 2), ("smoke", 4)]
        if job.is_smoke
        else [("original", n) for n in (8192, 4096, 16384)]
        + [("recommended", n) for n in (16384, 8192, 32768)]
    )
    for setting, lanes in asked:
        row = selfplay.fitting(setting, lanes, 0.2 if job.is_smoke else 5)
        if row is not None:
            yield row


# ---- profile


def profile(job: Job) -> Rows:
    """One row for each program: its largest kernels by time, and the roofline beside them."""
    for make in (_self_play, _learner):
        program, work, units = make(job)
        jax.block_until_ready(work())  # compiles
        folder = job.out / "trace" / program.facts["program"]
        with jax.profiler.trace(str(folder)):
            wall_s, _ = report.wall_and_cpu_s(work)
        row = dict(program.facts) | {"unit": program.unit}
        row["wall_ms"] = round(wall_s * 1e3 / units, 4)
        row |= trace.summary(trace.read(folder), units, _LARGEST)
        row["idle_share"] = round(max(0.0, 1 - row["busy_ms"] / row["wall_ms"]), 4)
        yield row | _predicted(program, job.out)


def _predicted(program: programs.Program, out: Path) -> dict[str, Any]:
    """The roofline's kernels and time of a unit, of the program as this device runs it."""
    device = jax.devices()[0].device_kind
    card = next((card for card in CARDS.values() if card.name == device), None)
    text = program.function.lower(*program.arguments).compile().as_text()
    (out / f"{program.facts['program']}.hlo.txt").write_text(text)
    if card is None:
        return {}
    entry = roofline.predict(hlo.parse(text), card, program.turns)
    cost = programs.unit(program, entry).cost.times(1 / program.units)
    return {
        "predicted_kernels": round(cost.kernels, 1),
        "predicted_ms": round(cost.seconds * 1e3, 4),
    }


Work = tuple[programs.Program, Callable[[], Any], float]
"""A program with its arguments, a function that runs it, and the units of work of a run."""


def _shapes(tree: Any) -> Any:
    """The shapes of arrays, which a call may have donated."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _self_play(job: Job) -> Work:
    setting, lanes = ("smoke", 4) if job.is_smoke else ("recommended", 8192)
    if job.is_smoke:
        selfplay.SETTINGS["smoke"] = selfplay.Setting("small", SearchConfig("gumbel", sims=2))
    bench, moves = selfplay.prepare(setting, lanes), 2
    made = programs.self_play(setting, lanes, programs.Compute(bench.network.compute_dtype))
    arguments = (bench.config, bench.network, bench.params, _shapes(bench.box[0]), 0, 1)
    return made._replace(arguments=arguments), lambda: bench.move(moves), moves


def _learner(job: Job) -> Work:
    preset, batch = ("small", 8) if job.is_smoke else ("large", 64)
    dtype, chunk = report.dtype_default(), 2 if job.is_smoke else 25
    net = dataclasses.replace(network.PRESETS[preset], compute_dtype=dtype)
    config = LearnerConfig(batch=batch, updates_per_cycle=chunk, updates_per_call=chunk)
    games = learner_benchmark.random_games(16 if job.is_smoke else 1000, jax.random.key(0))
    ring = replay.add(replay.init(28 * len(games.slots)), games)
    box = [learner.init(config, net, network.init(net, jax.random.key(1)), jax.random.key(2))]

    def work() -> Any:
        box.append(learner.train(config, net, box.pop(), ring, 1))
        return box[0]

    made = programs.updates(preset, batch, dtype)
    arguments = (config, net, _shapes(box[0]), ring, 1)
    return made._replace(arguments=arguments, units=float(chunk)), work, chunk


# ---- Pallas


def pallas(job: Job) -> Rows:
    """One row for XLA's kernels and one for our own: evaluations per second, and the difference of
    the values. On a CPU both are XLA's.
    """
    preset, batch, length = ("small", 8, 8) if job.is_smoke else ("large", 8192, 20)
    expected: np.ndarray | None = None
    for kind in ("xla", "pallas"):
        # The kernels need bfloat16, on any device.
        net = dataclasses.replace(network.PRESETS[preset], compute_dtype="bfloat16", kernels=kind)
        weights = network.prepare(net, network.init(net, jax.random.key(0)))
        run = jax.jit(functools.partial(network.evaluate, net))
        seen = report.zeros(net, batch, length)
        work = functools.partial(run, weights, seen)
        compile_s, _ = report.wall_and_cpu_s(work)
        output = np.asarray(work().value)
        time = report.timed(work, 5)
        expected = output if expected is None else expected
        yield {
            "kernels": kind,
            "preset": preset,
            "batch": batch,
            "tokens": length,
            "compile_s": round(compile_s, 1),
            "evaluations_per_s": round(batch / time["wall_s"]),
            "value_difference": round(float(np.abs(output - expected).max()), 6),
        }


# ---- one step

STEPS: dict[str, Callable[[Job], Rows]] = {
    "parity": parity,
    "all": all_parts,
    "sweep": sweep,
    "profile": profile,
    "pallas": pallas,
}


def run(step: str, job: Job) -> None:
    """Run one step; its rows are in its file as soon as each is known."""
    result: dict[str, Any] = report.surroundings(f"on_gpu {step}") | {"rows": []}
    report.write(job.out / f"{step}.json", result)
    for row in STEPS[step](job):
        report.show(row)
        result["rows"].append(row)
        report.write(job.out / f"{step}.json", result)
