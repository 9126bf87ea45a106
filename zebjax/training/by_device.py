"""Settings that depend on the device: `network.compute_dtype` and `selfplay.lanes` of `auto`.

They are resolved here, once, when a process of a run starts. So the run's records, its published
manifests and all later code have explicit values. Each process resolves them for its own device: a
run may train on a GPU and play on CPUs.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from zebjax import network
from zebjax.common import checkpoint, devices, files, jax_settings
from zebjax.network import AUTO
from zebjax.training import memory, selfplay
from zebjax.training.config import Experiment, SelfPlayConfig

CPU_LANES = 128
"""On two cores more lanes gain a few percent, and a stop waits longer (benchmarks/NOTES.md)."""
SIZES = tuple(2**i for i in range(5, 15))
"""Numbers of lanes to choose from on an accelerator. Even a large GPU gains little beyond."""
_UNKNOWN_MEMORY_LANES = 2048
_MEMORY_SHARE = 0.9
"""Share of the free memory that lanes may use: the compiler's figure has no fragmentation."""
RESULTS = (
    Path(__file__).parents[2] / "benchmarks" / "results",
    Path("benchmarks-results"),
)
"""Folders of the benchmarks' results: those of a checkout, and those of an installed zebjax."""


class Chosen(NamedTuple):
    """A number of lanes."""

    lanes: int
    reason: str


def resolve(settings: Experiment, role: memory.Role, note: Callable[[str], None]) -> Experiment:
    """Return the experiment with explicit values for this device in place of `auto`.

    Args:
        settings: the experiment. Without an `auto` it is returned unchanged.
        role: of this process.
        note: called with one sentence for each value, with its reason.
    """
    if settings.network.compute_dtype == AUTO:
        net = network.resolved(settings.network)
        note(f"network.compute_dtype: {net.compute_dtype} ({AUTO}, on {devices.name()})")
        settings = dataclasses.replace(settings, network=net)
    if settings.selfplay.lanes == AUTO:
        chosen = choose_lanes(settings, role)
        note(f"selfplay.lanes: {chosen.lanes:,} ({AUTO}: {chosen.reason})")
        settings = with_lanes(settings, chosen.lanes)
    return settings


def with_lanes(settings: Experiment, lanes: int) -> Experiment:
    """Return the experiment with another number of lanes."""
    return dataclasses.replace(
        settings, selfplay=dataclasses.replace(settings.selfplay, lanes=lanes)
    )


def choose_lanes(settings: Experiment, role: memory.Role) -> Chosen:
    """Choose the number of lanes of a process.

    Args:
        settings: the experiment; its compute dtype is resolved, its lanes are not.
        role: of this process.
    """
    if role in ("all", "learner") and (saved := saved_lanes(settings.folder)):
        return Chosen(saved, "the run was saved with them")
    n_devices = jax.device_count()
    few = -(-CPU_LANES // n_devices) * n_devices
    if role not in ("all", "selfplay"):
        return Chosen(few, "workers play the games")
    if devices.backend() == "cpu":
        return Chosen(few, "a CPU gains little from more")
    if swept := best_of_sweep(settings, jax.devices()[0].device_kind, _rows(RESULTS)):
        return swept
    return _by_memory(settings, role)


def saved_lanes(folder: Path) -> int | None:
    """Return the number of lanes in the newest readable save of a run; None without one."""
    root = folder / "state"
    for number in reversed(checkpoint.steps(root)):
        try:
            saved = files.read_json(checkpoint.step_folder(root, number) / "experiment.json")
            lanes = saved["selfplay"]["lanes"]
            return SelfPlayConfig(lanes=lanes).n_lanes
        except (ValueError, KeyError, TypeError):
            continue  # opening the run says what is wrong with it
    return None


# ---- what a sweep found


def _rows(folders: Iterable[Path]) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield all measured rows of the benchmarks, each with its file's contents."""
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            try:
                result = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            rows = result.get("rows") if isinstance(result, dict) else None
            for row in rows if isinstance(rows, list) else []:
                if isinstance(row, dict) and "games_per_s" in row:
                    yield result, row


def best_of_sweep(
    settings: Experiment,
    device: str,
    measured: Iterable[tuple[dict[str, Any], dict[str, Any]]],
) -> Chosen | None:
    """Return the fastest measured number of lanes; None without a sweep.

    A sweep is two or more rows of one file with different numbers of lanes, of this device, network
    and search.

    Args:
        settings: the experiment, with an explicit compute dtype.
        device: the device's kind, as JAX names it.
        measured: results of the benchmark selfplay, each with one of its rows.
    """
    wanted = _what_costs(dataclasses.asdict(settings.network), settings.selfplay.how)
    by_file: dict[str, list[dict[str, Any]]] = {}
    for result, row in measured:
        is_here = (result.get("device"), result.get("devices")) == (device, jax.device_count())
        if is_here and _what_costs(row.get("network"), row.get("search")) == wanted:
            by_file.setdefault(str(result.get("date")), []).append(row)
    for date, rows in sorted(by_file.items(), reverse=True):
        if len({row["lanes"] for row in rows}) > 1:
            best = max(rows, key=lambda row: row["games_per_s"])
            return Chosen(best["lanes"], f"the fastest in a sweep on {device}, {date[:10]}")
    return None


def _what_costs(net: Any, search: Any) -> tuple:
    """What decides the speed of self-play besides device and lanes."""
    if not isinstance(net, dict) or not isinstance(search, dict):
        return ()
    sizes = ("embed_dim", "n_heads", "n_layers", "ff_dim", "tokenizer", "compute_dtype")
    kinds = ("method", "policy", "sims", "worlds", "plain")  # `SelfPlayConfig.how`
    return tuple(net.get(name) for name in sizes) + tuple(search.get(name) for name in kinds)


# ---- what the memory allows


def largest_fitting(sizes: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """Return the largest of ascending sizes that fits; None if none does.

    Args:
        sizes: if one fits, all smaller ones do.
        fits: asked for the largest first, then by bisection.
    """
    if fits(sizes[-1]):
        return sizes[-1]
    low, high = 0, len(sizes) - 1  # sizes[:low] fit, sizes[high:] do not
    while low < high:
        middle = (low + high) // 2
        if fits(sizes[middle]):
            low = middle + 1
        else:
            high = middle
    return sizes[low - 1] if low else None


def _by_memory(settings: Experiment, role: memory.Role) -> Chosen:
    """Choose the largest number of lanes whose compiled program fits; nothing is run."""
    n_devices = jax.device_count()
    limit = memory.limit()
    if limit is None:
        return Chosen(_UNKNOWN_MEMORY_LANES * n_devices, "the device does not tell its memory")
    in_use = (jax.devices()[0].memory_stats() or {}).get("bytes_in_use", 0)
    # Lanes are still `auto` here, so the estimate is that of everything else.
    others = sum(part.n_bytes for part in memory.estimate(settings, role))
    free = _MEMORY_SHARE * (limit[0] - in_use) - others
    need: dict[int, int] = {}

    def fits(lanes: int) -> bool:
        try:
            need[lanes] = program_bytes(with_lanes(settings, lanes))
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            return False
        return need[lanes] <= free

    # Rollouts play a game for each slot in a lane, so fewer lanes fill the device.
    share = 8 if settings.selfplay.method == "rollouts" else 1
    sizes = [size // share for size in SIZES]
    lanes = largest_fitting([size * n_devices for size in sizes], fits)
    if lanes is None:
        return Chosen(sizes[0] * n_devices, f"not even these fit into {free / 1e9:,.1f} GB")
    what = f"the compiled program needs {need[lanes] / 1e9:,.1f} of {free / 1e9:,.1f} GB"
    return Chosen(lanes, what)


def program_bytes(settings: Experiment) -> int:
    """Return the bytes of one device that self-play needs, from its compiled program."""
    config, params = settings.selfplay, network.abstract_params(settings.network)
    actor = jax.eval_shape(lambda: selfplay.init(config, jax_settings.key(0)))
    lowered = selfplay.advance.lower(config, settings.network, params, actor, 0, 1)
    found = lowered.compile().memory_analysis()
    if found is None:
        raise ValueError(
            "selfplay.lanes: JAX does not say what a program needs here; expected a number"
        )
    # The donated actor is argument and result in the same memory.
    arrays = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return int(arrays + found.temp_size_in_bytes)
