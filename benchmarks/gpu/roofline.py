"""Predict how long a compiled program takes: kernels, bytes and FLOP of each loop.

A kernel takes the longest of three times: a launch, its bytes at a share of the bandwidth, and the
products in it at a share of the peak. A loop of unknown length and a `conditional` also make the
host wait. This is a roofline, not a measurement: it ignores caches, occupancy and CUDA graphs.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .cards import BANDWIDTH_SHARE, FLOP_SHARE, HOST_WAIT_S, LAUNCH_S, Card
from .hlo import Array, Instruction, Module

_NO_KERNEL = frozenset(
    [
        *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "domain"),
        *("opt-barrier", "add-dependency", "partition-id", "replica-id"),
        *("async-done", "async-update", "copy-done", "all-reduce-done", "all-gather-done"),
        *("collective-permute-done", "reduce-scatter-done", "all-to-all-done"),
    ]
)
_READ_IN_PART = ("dynamic-slice", "slice", "gather")
_WRITTEN_IN_PART = ("dynamic-update-slice", "scatter")
_SORT_TILE = 11
"""A block of XLA's bitonic sort sorts 2 ** 11 numbers in one kernel."""


class Cost(NamedTuple):
    """What one run of a computation needs."""

    kernels: float = 0.0
    seconds: float = 0.0
    n_bytes: float = 0.0
    flop: float = 0.0
    waits: float = 0.0
    """How often the host waits for the device."""

    def __add__(self, other: tuple) -> "Cost":
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, n: float) -> "Cost":
        """The cost of `n` runs."""
        return Cost(*(n * number for number in self))


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One instruction that runs on the device."""

    instruction: Instruction
    cost: Cost


@dataclasses.dataclass(frozen=True)
class Part:
    """A computation that runs as it stands: the entry, the body of a loop, or a branch."""

    name: str
    label: str
    """`entry`, `loop` or `branch`."""
    source: str
    """Its line in our code."""
    times: float
    """Runs for each run of the part around it; a mean for a branch or a loop of unknown length."""
    is_known: bool
    """False if `times` is an assumption."""
    kernels: tuple[Kernel, ...]
    parts: tuple["Part", ...]
    waits: float
    """Waits of the host for its own loops and branches, in one run."""

    @property
    def cost(self) -> Cost:
        """The cost of one run, with all parts within."""
        own = Cost(seconds=self.waits * HOST_WAIT_S, waits=self.waits)
        for kernel in self.kernels:
            own += kernel.cost
        for part in self.parts:
            own += part.cost.times(part.times)
        return own

    def walk(self, times: float = 1.0) -> Iterator[tuple["Part", float]]:
        """Yield this part and all within it, with their runs for `times` runs of this one."""
        yield self, times
        for part in self.parts:
            yield from part.walk(times * part.times)


Turns = Callable[[tuple[str, ...], int], float]
"""Mean turns of a loop of unknown length, from its lines of source, the innermost first, and its
depth: 1 for a loop that is in no other."""


def predict(module: Module, card: Card, turns: Turns = lambda stack, depth: 4.0) -> Part:
    """Predict the cost of each part of a program.

    Args:
        module: the program.
        card: the GPU that it was compiled for.
        turns: turns of loops of unknown length. All branches of a `conditional` are taken equally
            often.
    """

    def part(name: str, label: str, source: str, times: float, is_known: bool, depth: int) -> Part:
        kernels: list[Kernel] = []
        parts: list[Part] = []
        waits = 0.0
        body = module.computations[name]
        for instruction in body.values():
            operation = instruction.operation
            if operation == "while":
                line = module.source(instruction)
                known = instruction.attribute(r'known_trip_count":\{"n":"(\d+)"')
                n = float(known) if known else turns(module.stack(instruction), depth + 1)
                waits += 0 if known else n + 1
                (inside,) = instruction.called("body")
                parts.append(part(inside, "loop", line, n, known is not None, depth + 1))
            elif operation == "conditional":
                branches = instruction.called("branch_computations") or [
                    *instruction.called("true_computation"),
                    *instruction.called("false_computation"),
                ]
                waits += 1
                line = module.source(instruction)
                parts += [
                    part(branch, "branch", line, 1 / len(branches), False, depth)
                    for branch in branches
                ]
            elif operation == "call":
                (inside,) = instruction.called("to_apply")
                called = part(inside, "", "", 1.0, True, depth)
                kernels += called.kernels
                parts += called.parts
                waits += called.waits
            elif operation not in _NO_KERNEL:
                kernels.append(Kernel(instruction, _kernel_cost(module, body, instruction, card)))
        return Part(name, label, source, times, is_known, tuple(kernels), tuple(parts), waits)

    return part(module.entry, "entry", "", 1.0, True, 0)


def _kernel_cost(
    module: Module, body: dict[str, Instruction], instruction: Instruction, card: Card
) -> Cost:
    n_bytes = _traffic(module, body, instruction)
    seconds, flop = 0.0, 0.0
    for dtype, n in _products(module, body, instruction):
        flop += n
        peak = card.flop_per_s if dtype in ("bf16", "f16") else card.f32_flop_per_s
        seconds += n / (peak * FLOP_SHARE)
    launches = _launches(instruction)
    seconds = max(seconds, n_bytes / (card.bytes_per_s * BANDWIDTH_SHARE), launches * LAUNCH_S)
    return Cost(launches, seconds, n_bytes, flop)


def _launches(instruction: Instruction) -> int:
    """Kernels of one instruction: 1, except for a long sort."""
    if instruction.operation != "sort" and "kind=kSort" not in instruction.attributes:
        return 1
    length = max(max(array.dims, default=1) for array in instruction.arrays)
    # A bitonic sort has a stage for each power of two. Beyond a tile each stage compares in global
    # memory first, one kernel for each distance, and ends within tiles.
    beyond = max(0, math.ceil(math.log2(max(length, 2))) - _SORT_TILE)
    return 1 + sum(stage + 1 for stage in range(1, beyond + 1))


def _traffic(module: Module, body: dict[str, Instruction], instruction: Instruction) -> float:
    """Bytes that a kernel reads and writes: each operand and the result once, or the part of them
    that it touches.
    """
    operands = [body[name].n_bytes if name in body else 0 for name in instruction.operands]
    if instruction.operation == "fusion":
        (called,) = instruction.called("calls")
        return _fused_traffic(module.computations[called], operands)
    if instruction.operation in _READ_IN_PART:
        return 2 * instruction.n_bytes + sum(operands[1:])
    if instruction.operation == "dynamic-update-slice":
        return 2 * operands[1]
    if instruction.operation == "scatter":
        return 3 * operands[-1] + operands[1]
    if instruction.operation == "custom-call":  # the last result of cuBLAS is scratch memory
        scratch = instruction.arrays[-1]
        is_scratch = len(instruction.arrays) > 1 and scratch.dtype in ("s8", "u8")
        return instruction.n_bytes - is_scratch * scratch.n_bytes + sum(operands)
    return instruction.n_bytes + sum(operands)


def _fused_traffic(fused: dict[str, Instruction], operands: list[int]) -> float:
    users: dict[str, list[Instruction]] = {}
    for instruction in fused.values():
        for name in instruction.operands:
            users.setdefault(name, []).append(instruction)

    def read(name: str, whole: int) -> float:
        """Bytes read of one value: the slices taken of it, or all of it."""
        total = 0.0
        for user in users.get(name, []):
            if user.operation == "bitcast":
                total += read(user.name, whole)
            elif user.operation in _READ_IN_PART and user.operands[0] == name:
                total += user.n_bytes
            elif user.operation in _WRITTEN_IN_PART and user.operands[0] == name:
                total += 0  # updated in place
            else:
                return whole
        return min(total, whole)

    total = 0.0
    for instruction in fused.values():
        if instruction.operation == "parameter":
            total += read(instruction.name, operands[int(instruction.operands[0])])

    def written(instruction: Instruction) -> float:
        if instruction.operation == "tuple":
            return sum(written(fused[name]) for name in instruction.operands)
        if instruction.operation == "bitcast":
            return written(fused[instruction.operands[0]])
        if instruction.operation in _WRITTEN_IN_PART:
            at = 1 if instruction.operation == "dynamic-update-slice" else -1
            return fused[instruction.operands[at]].n_bytes
        return instruction.n_bytes

    root = next(instruction for instruction in fused.values() if instruction.is_root)
    return total + written(root)


def _products(
    module: Module, body: dict[str, Instruction], instruction: Instruction
) -> Iterator[tuple[str, float]]:
    """The dtype and FLOP of each matrix product in a kernel."""
    if instruction.operation == "fusion":
        (called,) = instruction.called("calls")
        inside = module.computations[called]
        for fused in inside.values():
            if fused.operation == "dot":
                yield from _products(module, inside, fused)
    elif instruction.operation == "dot" or "gemm_backend_config" in instruction.attributes:
        pattern = r'lhs_contracting_dim(?:ension)?s"?[:=]\s*[\[{]([\d",\s]*)'
        listed = instruction.attribute(pattern)
        left = body[instruction.operands[0]].arrays[0]
        yield left.dtype, 2 * math.prod(instruction.arrays[0].dims) * _contracted(listed, left)
    elif "gpu.triton" in instruction.attributes:
        # XLA cannot look into a kernel of Pallas; ours state their products in their metadata.
        flop = instruction.attribute(r"flop\\22: \\22(\d+)")
        yield body[instruction.operands[0]].arrays[0].dtype, float(flop or 0)


def _contracted(listed: str | None, left: Array) -> int:
    return math.prod(left.dims[int(axis)] for axis in re.findall(r"\d+", listed or ""))
