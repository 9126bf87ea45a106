"""Text of predictions: a program's loops, its largest kernels, and rows beside earlier ones."""

import re
from pathlib import Path
from typing import Any

from zebjax.common import files

from .hlo import Module
from .programs import Program
from .roofline import Cost, Part

_FACTS = ("device", "program", "setting", "lanes", "positions", "length", "batch", "games")


def identity(row: dict[str, Any]) -> tuple:
    """What two rows have in common that predict the same thing."""
    return tuple(row.get(name) for name in (*_FACTS, "compute_dtype"))


def saved_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a result of this benchmark.

    Raises:
        ValueError: if the file is not one.
    """
    result = files.read_json(path)
    rows = result.get("rows") if isinstance(result, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: expected a result of the benchmark gpu_program")
    return rows


def compared(before: list[dict[str, Any]], row: dict[str, Any]) -> str:
    """Each figure of a row with the earlier one and their ratio."""
    old = next((old for old in before if identity(old) == identity(row)), None)
    if old is None:
        return "  no earlier row of this program"
    lines = []
    for name, now in row.items():
        was = old.get(name)
        if name in _FACTS or name == "compile_s" or not isinstance(now, int | float):
            continue
        if not isinstance(was, int | float):
            lines.append(f"  {name}: {now:,}, none before")
        elif was != now:
            ratio = f"{now / was:.3f}" if was else "inf"
            lines.append(f"  {name}: {was:,} -> {now:,}, times {ratio}")
    return "\n".join(lines) or "  as before"


def _text(cost: Cost) -> str:
    return (
        f"{cost.kernels:,.1f} kernels, {cost.seconds * 1e3:.3f} ms, {cost.n_bytes / 1e9:.3f} GB, "
        f"{cost.flop / 1e9:.1f} GFLOP, {cost.waits:,.1f} waits"
    )


def collectives(around: Part, units: float = 1.0) -> dict[str, dict[str, float]]:
    """The collectives of one unit by kind: their number, and megabytes of results on one device.

    Args:
        around: the part of which they are.
        units: the number of units in a run of it.
    """
    found: dict[str, dict[str, float]] = {}
    for part, times in around.walk(1 / units):
        for kernel in part.kernels:
            if sent := kernel.instruction.collective:
                kind = found.setdefault(sent[0], {"number": 0.0, "mb": 0.0})
                kind["number"] += times
                kind["mb"] += times * sent[1] / 1e6
    return {
        kind: {name: round(number, 3) for name, number in of_kind.items()}
        for kind, of_kind in sorted(found.items())
    }


def collectives_text(name: str, found: dict[str, dict[str, float]]) -> str:
    """One line about the collectives of a unit."""
    listed = (f"{of['number']:,.1f} {kind} ({of['mb']:,.3f} MB)" for kind, of in found.items())
    return f"  collectives a {name}: {', '.join(listed) or 'none'}"


def tree(entry: Part) -> str:
    """The loops and branches of a program, one a line, with the cost of one run of each."""
    lines: list[str] = []

    def add(part: Part, indent: int) -> None:
        mark = "" if part.is_known else "about "
        times = "" if part.label == "entry" else f" {mark}{part.times:.3g}x"
        where = f" {part.source}" if part.source else ""
        lines.append(f"{'  ' * indent}{part.label}{times}{where}: {_text(part.cost)}")
        for inside in part.parts:
            add(inside, indent + 1)

    add(entry, 0)
    return "\n".join(lines)


def largest(module: Module, around: Part, n: int, program: Program) -> str:
    """The kernels with the most time in one unit, grouped by line of our source and operation.

    Args:
        module: the program.
        around: the part of which they are kernels.
        n: the number of lines.
        program: its unit and number of units.
    """
    groups: dict[tuple[str, str], Cost] = {}
    for part, times in around.walk(1 / program.units):
        for kernel in part.kernels:
            name = (module.source(kernel.instruction), described(module, kernel.instruction))
            groups[name] = groups.get(name, Cost()) + kernel.cost.times(times)
    total = sum(cost.seconds for cost in groups.values())
    lines = [f"  the largest kernels, predicted, a {program.unit}:"]
    for (source, what), cost in sorted(groups.items(), key=lambda one: -one[1].seconds)[:n]:
        lines.append(
            f"  {cost.seconds * 1e3:9.4f} ms {100 * cost.seconds / total:5.1f} % "
            f"{cost.kernels:8.1f} kernels {cost.n_bytes / 1e9:8.4f} GB  {source or '?'}  {what}"
        )
    return "\n".join(lines)


def described(module: Module, instruction: Any) -> str:
    """The kind of a kernel, and JAX's operation in it."""
    kind = instruction.attribute(r'custom_call_target="([^"]*)"')
    kind = kind or re.sub(r"[.\d]+$", "", instruction.name)
    name = instruction.attribute(r'op_name="([^"]*)"') or ""
    shape = ",".join(f"{a.dtype}{list(a.dims)}".replace(" ", "") for a in instruction.arrays[:2])
    return f"{kind} {name.rsplit('/', 1)[-1]} {shape}"
