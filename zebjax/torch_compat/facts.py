"""The plain values that a checkpoint holds besides its weights: counts, names, settings.

They become a network's provenance. A file may be hostile, so what is read of it is bounded.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zebjax.torch_compat.archive import TorchFile
from zebjax.torch_compat.pickle import TorchFileError, shown
from zebjax.torch_compat.tolerant import Foreign

Scalar = str | int | float | bool
COUNTS = {"step": ("epoch", "step"), "total_games": ("total_games",)}
TEXTS = {
    "wandb_run_id": ("wandb_run_id",),
    "source_weights_name": ("source_weights_name",),
}
# Entries that begin with these are large and not needed, so they are not read.
_IGNORED = (
    "optimizer",
    "rng_state",
    "replay_buffer",
    "scheduler",
    "lr_schedulers",
    "loops",
    "callbacks",
    "scaler",
)
_MAX_FACTS, _MAX_TEXT, _MAX_FACT_DEPTH = 200, 300, 3


def mapping_of(node: Any) -> dict | None:
    """Return a dictionary, or the items or attributes of a foreign object; None for other nodes."""
    if isinstance(node, Foreign):
        node = node.items or node.state
    return node if isinstance(node, dict) else None


@dataclass
class _Budget:
    """What one walk over a file may still cost; dictionaries shared between places multiply."""

    entries: int = 5_000
    characters: int = 200_000


def facts_of(
    file: TorchFile | None,
    nodes: Mapping[str, Any],
    prefix: str = "",
    depth: int = 1,
    budget: _Budget | None = None,
) -> Iterator[tuple[str, Scalar]]:
    """Yield the numbers and texts in nested dictionaries, each with its dotted name.

    At most `_MAX_FACTS` of each dictionary, and in all what `budget` allows.
    """
    budget = budget or _Budget()
    for key, node in itertools.islice(nodes.items(), _MAX_FACTS):
        budget.entries -= 1
        if budget.entries < 0 or budget.characters <= 0:
            return
        name = f"{prefix}{str(key)[: _MAX_TEXT + 1]}"
        if not name.isprintable() or len(name) > _MAX_TEXT or str(key).startswith(_IGNORED):
            continue
        inner = mapping_of(node)
        if inner is not None and depth < _MAX_FACT_DEPTH:
            yield from facts_of(file, inner, f"{name}.", depth + 1, budget)
            continue
        value = file.scalar(node) if file else node
        if isinstance(value, str):
            value = "".join(filter(str.isprintable, value[:_MAX_TEXT]))
        is_finite = not isinstance(value, float) or math.isfinite(value)
        if isinstance(value, str | int | float) and is_finite:
            budget.characters -= len(name) + len(str(value))
            yield name, value


def known_of(facts: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return `step`, `total_games`, `wandb_run_id` and `source_weights_name`; None if absent.

    Args:
        facts: by dotted name.
        source: prefix of error messages: the file, or nothing.

    Raises:
        TorchFileError: if one of them has the wrong type.
    """
    known: dict[str, Any] = {}
    for ours, theirs in COUNTS.items():
        name = next((name for name in theirs if facts.get(name) is not None), None)
        value = None if name is None else facts[name]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and not (type(value) is int and 0 <= value < 2**63):
            raise TorchFileError(f"{source}{name}: expected a count, got {shown(value)}")
        known[ours] = value
    for ours, theirs in TEXTS.items():
        value = facts.get(theirs[0])
        if value is not None and not isinstance(value, str):
            raise TorchFileError(f"{source}{theirs[0]}: expected a text, got {shown(value)}")
        known[ours] = value
    return known
