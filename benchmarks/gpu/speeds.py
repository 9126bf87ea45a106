"""Time compiled programs on this device, trace them, and set the roofline's prediction beside."""

import dataclasses
import gzip
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from zebjax import network
from zebjax.common import devices, files
from zebjax.training import learner, replay
from zebjax.training import selfplay as actor

from .. import learner as learner_benchmark
from .. import report, selfplay
from . import hlo, programs, roofline, trace
from .cards import CARDS

_LARGEST = 30
_REPEATS = 5


class Prepared(NamedTuple):
    """A compiled program with its arguments."""

    program: programs.Program
    text: str
    """The optimised program."""
    compile_s: float
    work: Callable[[], Any]
    """Run it."""
    units: float
    """Units of work of a run: moves, updates, evaluations."""


def self_play(setting: str, lanes: int, compute: programs.Compute, moves: int) -> Prepared:
    """Compile self-play; a run is `moves` moves of all lanes, which are at all stages of a game.

    Args:
        setting: of the benchmark `selfplay`.
        lanes: games at once.
        compute: how the network is evaluated.
        moves: at most 7, in which a lane ends one game at most.
    """
    program = programs.self_play(setting, lanes, compute)
    config, net = program.arguments[:2]
    params = network.init(net, jax.random.key(0))
    first = actor.init(config, jax.random.key(1))
    states = selfplay.decisions_of_all_stages(jax.random.key(2), lanes)
    box, numbers = [first._replace(states=states)], (jnp.int32(0), jnp.int32(moves))
    compiled, compile_s = _compile(program.function, config, net, params, box[0], *numbers)

    def work() -> Any:
        played = compiled(params, box.pop(), *numbers)
        # Drop the finished games; a full buffer would stop the lanes.
        box.append(played._replace(n_finished=jnp.zeros_like(played.n_finished)))
        return box[0]

    return Prepared(program, compiled.as_text(), compile_s, work, moves)


def updates(preset: str, batch: int, dtype: str, chunk: int) -> Prepared:
    """Compile the learner; a run is `chunk` updates with games of random play."""
    program = programs.updates(preset, batch, dtype, chunk)
    config, net = program.arguments[:2]
    games = learner_benchmark.random_games(1000, jax.random.key(0))
    ring = replay.add(replay.init(28 * len(games.slots)), games)
    first = learner.init(config, net, network.init(net, jax.random.key(1)), jax.random.key(2))
    box, step = [first], jnp.int32(1)
    compiled, compile_s = _compile(program.function, config, net, first, ring, step)

    def work() -> Any:
        box.append(compiled(box.pop(), ring, step))
        return box[0]

    return Prepared(program, compiled.as_text(), compile_s, work, chunk)


def evaluations(preset: str, positions: int, length: int, compute: programs.Compute) -> Prepared:
    """Compile one evaluation of `positions` positions of `length` tokens, of random content."""
    program = programs.evaluation(preset, positions, length, compute)
    net = program.arguments[0]
    weights = network.prepare(net, network.init(net, jax.random.key(0)))
    seen = report.zeros(net, positions, length)
    # 0 and 1 are values of every feature.
    tokens = jax.random.randint(jax.random.key(1), seen.tokens.shape, 0, 2, jnp.int8)
    seen = seen._replace(tokens=tokens)
    # As a part of self-play is compiled.
    compiled, compile_s = _compile(
        program.function, net, weights, seen, compiler_options=devices.GPU_OPTIONS
    )
    return Prepared(program, compiled.as_text(), compile_s, lambda: compiled(weights, seen), 1.0)


def _compile(function: Any, *arguments: Any, **options: Any) -> tuple[Any, float]:
    box: list[Any] = []
    seconds, _ = report.wall_and_cpu_s(
        lambda: box.append(function.lower(*arguments).compile(**options))
    )
    return box[0], round(seconds, 1)


def rows(prepared: Prepared, path: Path) -> Iterator[dict[str, Any]]:
    """Time a program; then trace a run of it, and yield the same row with the largest kernels.

    Args:
        prepared: the program.
        path: stem of the files for the optimised program, `.hlo.txt.gz`, and for the time of each
            of its kernels, `.kernels.json`.
    """
    program, units = prepared.program, prepared.units
    time = report.timed(prepared.work, _REPEATS)
    seconds = time["wall_s"] / units
    made: dict[str, Any] = dict(program.facts) | {"source": "measured", "unit": program.unit}
    made[f"ms_per_{program.unit}"] = round(1e3 * seconds, 4)
    if program.inner and program.unit == "move":
        made["ms_per_simulation"] = round(1e3 * seconds / program.inner, 4)
    made[program.rate.removeprefix("predicted_")] = round(program.per_unit / seconds, 2)
    made |= {"compile_s": prepared.compile_s, "spread": round(time["spread"], 3)}
    made["process_peak_mb"] = report.process_peak_mb()
    made |= _predicted(prepared)
    if program.unit == "move":  # `--selfplay.lanes auto` looks for them
        config, net = program.arguments[:2]
        made |= {"network": dataclasses.asdict(net), "search": config.how}
    yield made
    with gzip.open(f"{path}.hlo.txt.gz", "wt") as file:
        file.write(prepared.text)
    traces = path.parent / f"{path.name}.trace"
    with jax.profiler.trace(str(traces)):
        jax.block_until_ready(prepared.work())
    events = trace.read(traces)
    shutil.rmtree(traces)  # too large to keep
    files.write_json(Path(f"{path}.kernels.json"), trace.summary(events, units, 10**6))
    made |= {"is_traced": True} | trace.summary(events, units, _LARGEST)
    made["idle_share"] = round(max(0.0, 1 - made["busy_ms"] / made[f"ms_per_{program.unit}"]), 4)
    yield made


def _predicted(prepared: Prepared) -> dict[str, Any]:
    """The roofline's kernels and time of a unit, of the program as this device runs it."""
    device = jax.devices()[0].device_kind
    card = next((card for card in CARDS.values() if card.name == device), None)
    if card is None:
        return {}
    entry = roofline.predict(hlo.parse(prepared.text), card, prepared.program.turns)
    cost = programs.unit(prepared.program, entry).cost.times(1 / prepared.program.units)
    return {
        "predicted_kernels": round(cost.kernels, 1),
        "predicted_ms": round(cost.seconds * 1e3, 4),
        "gb_per_unit": round(cost.n_bytes / 1e9, 3),
        "tflop_per_unit": round(cost.flop / 1e12, 4),
    }
