"""Estimate the memory that a process of a run needs, before anything is allocated."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax

from zebjax import game, network, tiles
from zebjax.common import devices, jax_settings
from zebjax.network import AUTO
from zebjax.observe import tokenizer
from zebjax.training import learner, replay, selfplay
from zebjax.training.config import Experiment

Role = Literal["all", "learner", "selfplay", "evalaux"]
_GB = 1e9
_FLOAT = 4
_NODE_BYTES = 7 * 24 + 20
"""Bytes of a node of an mctx tree: six 4-byte fields for each of 7 children, five of its own."""
_EXAMPLE_BYTES = 1200
"""Bytes of one training example with its tokens, targets and belief marginal."""


class OutOfMemory(ValueError):
    """There is not enough memory; the message names the settings that need the most."""


@dataclasses.dataclass(frozen=True)
class Part:
    """The memory that one setting needs."""

    setting: str
    """The setting and its value, as the user would write it."""
    n_bytes: int


def _tree_bytes(tree: Any) -> int:
    """Return the bytes of all arrays (or shapes) in a pytree."""

    def of(leaf: Any) -> int:
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return math.prod(leaf.shape) * (8 if is_key else leaf.dtype.itemsize)

    return sum(map(of, jax.tree.leaves(tree)))


def estimate(settings: Experiment, role: Role = "all") -> list[Part]:
    """Estimate the memory of a process, the largest part first.

    Rings, parameters, optimiser and lanes are exact. Search trees and activations are computed from
    their shapes; the compiler may need more or less, so the sum can be wrong by half.

    Args:
        settings: the experiment; nothing is allocated or compiled.
        role: "all" plays, trains and evaluates; "learner" does not play; "selfplay" and "evalaux"
            do not train.
    """
    parts = [_network(settings, role)]
    if role in ("all", "learner"):
        parts += [*_rings(settings), _batch(settings)]
    if role in ("all", "selfplay"):
        parts.append(_lanes(settings))
    return sorted(parts, key=lambda part: -part.n_bytes)


def _network(settings: Experiment, role: Role) -> Part:
    abstract = network.abstract_params(settings.network)
    n_bytes = _tree_bytes(abstract)
    what = f"the network's {n_bytes // _FLOAT:,} parameters"
    if role in ("all", "learner"):
        key = jax.eval_shape(lambda: jax_settings.key(0))
        state = jax.eval_shape(
            lambda params, key: learner.init(settings.learner, settings.network, params, key),
            abstract,
            key,
        )
        n_bytes += _tree_bytes(state)  # n_bytes itself is for the gradients
        what += f" with {settings.learner.optimizer}'s state"
    return Part(what, n_bytes)


def _rings(settings: Experiment) -> list[Part]:
    config = settings.network
    one = jax.eval_shape(lambda: replay.init(1, config.plays_contracts, config.move_values))
    game_bytes = _tree_bytes(one.records)
    capacities = {"replay.capacity_examples": settings.replay.capacity_examples}
    capacities["eval_aux.capacity_examples"] = settings.eval_aux.capacity_examples
    return [
        Part(f"{name} = {n:,}", -(-n // game.N_PLIES) * game_bytes)
        for name, n in capacities.items()
    ]


def _layer_floats(config: network.ZebConfig) -> int:
    """Return the number of activations of one layer for one observation."""
    tokens = tokenizer(config.tokenizer).lengths[-1]
    return tokens * (6 * config.embed_dim + 2 * config.ff_dim) + 2 * config.n_heads * tokens**2


def _batch(settings: Experiment) -> Part:
    """Estimate the examples of a chunk of updates, and the activations of a quarter of a batch."""
    n, config = settings.learner.batch, settings.network
    activations = -(-n // 4) * config.n_layers * _layer_floats(config) * _FLOAT
    examples = settings.learner.chunk * n * _EXAMPLE_BYTES
    return Part(f"learner.batch = {n:,}", (activations + examples) // jax.device_count())


def _lanes(settings: Experiment) -> Part:
    config = settings.selfplay
    if config.lanes == AUTO:
        return Part(f"selfplay.lanes = {AUTO}, chosen to fit", 0)
    actor_bytes = _tree_bytes(jax.eval_shape(lambda: selfplay.init(config, jax_settings.key(0))))
    if config.learns_moves:
        # With rollouts a lane has one game for each slot.
        rows = config.n_lanes * (tiles.HAND_SIZE if config.method == "rollouts" else 1)
        activations = rows * _layer_floats(settings.network) * _FLOAT
        what = f"selfplay.lanes = {config.n_lanes:,} with {config.method}"
        return Part(what, (activations + actor_bytes) // jax.device_count())
    worlds = 1 if config.search.worlds == "true" else config.search.worlds
    trees = config.n_lanes * worlds
    state_bytes = _tree_bytes(jax.eval_shape(lambda: game.deal(jax_settings.key(0))))
    nodes = trees * (config.search.sims + 1) * (_NODE_BYTES + state_bytes)
    activations = trees * _layer_floats(settings.network) * _FLOAT
    what = f"selfplay.lanes = {config.n_lanes:,} with {config.search.sims:,} simulations"
    if worlds > 1:
        what += f" in each of {worlds:,} worlds"
    return Part(what, (nodes + activations + actor_bytes) // jax.device_count())


def limit(
    proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> tuple[int, str] | None:
    """Return the bytes of memory of one device, and the owner's name for messages.

    For the CPU this is the memory of the host, or of the container if that is less.

    Args:
        proc: folder of the proc file system.
        cgroup: folder of the container's limits.

    Returns:
        None if the amount is not known.
    """
    if devices.backend() != "cpu":
        stats = jax.devices()[0].memory_stats() or {}
        n_bytes = stats.get("bytes_limit")
        return (int(n_bytes), f"a {jax.devices()[0].device_kind} has") if n_bytes else None
    found = [_host_bytes(proc)]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # ValueError: "max" means no limit
            found.append(int((cgroup / name).read_text()))
    known = [n_bytes for n_bytes in found if n_bytes]
    return (min(known), "this machine has") if known else None


def _host_bytes(proc: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):  # macOS has only this
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def describe(parts: list[Part]) -> str:
    """Describe the parts with their sizes, for a message."""
    return ", ".join(f"{part.setting} ({_size(part.n_bytes)})" for part in parts)


def _size(n_bytes: float) -> str:
    return f"{n_bytes / _GB:,.1f} GB" if n_bytes >= 0.1 * _GB else f"{n_bytes / 1e6:,.1f} MB"


def check(settings: Experiment, role: Role = "all") -> str:
    """Compare the estimate with the available memory.

    Returns:
        The comparison as a sentence.

    Raises:
        OutOfMemory: if the estimate is larger than the memory of the device.
    """
    return _compared(estimate(settings, role), limit())


def _compared(parts: list[Part], found: tuple[int, str] | None) -> str:
    """See `check`."""
    total = sum(part.n_bytes for part in parts)
    if found is None:
        return f"needs about {_size(total)}; the available memory is not known"
    if total > found[0]:
        raise OutOfMemory(
            f"this needs about {_size(total)} of memory and {found[1]} {_size(found[0])}: "
            f"{describe(parts)}; lower the first of these settings"
        )
    return f"needs about {_size(total)} of the {_size(found[0])} that {found[1]}"


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error says that the device or the host has too little memory."""
    text = str(error)
    return isinstance(error, MemoryError) or any(
        word in text for word in ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
    )


@contextlib.contextmanager
def guarded(
    settings: Experiment, role: Role = "all", note: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Check the memory before the block, and turn out-of-memory errors inside it into one sentence.

    Args:
        settings: the experiment.
        role: the role of the process.
        note: called with the estimate if it is more than half of the available memory.

    Raises:
        OutOfMemory: naming the settings that need the most, with their values and sizes.
    """
    parts, found = estimate(settings, role), limit()
    said = _compared(parts, found)
    total = sum(part.n_bytes for part in parts)
    if note is not None and found is not None and total > found[0] / 2:
        note(said)
    try:
        yield
    except OutOfMemory:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"out of memory; estimated before: {describe(parts)}; lower "
            "selfplay.lanes, learner.batch, replay.capacity_examples or the network's size"
        ) from None
