"""Read the text of a compiled XLA program: its computations, instructions and lines of source."""

import dataclasses
import functools
import math
import re
from typing import NamedTuple

_DTYPE_BYTES = {
    **dict.fromkeys(("pred", "s8", "u8", "f8e4m3fn", "f8e5m2"), 1),
    **dict.fromkeys(("s16", "u16", "bf16", "f16"), 2),
    **dict.fromkeys(("s64", "u64", "f64", "c64"), 8),
}
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")
_ARRAY = re.compile(r"\b(pred|bf16|c64|f8e\w+|[suf]\d+)\[([\d,]*)\]")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_NAMES = re.compile(r"%([\w.\-]+)")


class Array(NamedTuple):
    """The type of one array."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.dims) * _DTYPE_BYTES.get(self.dtype, 4)


class Instruction(NamedTuple):
    """One instruction."""

    name: str
    arrays: tuple[Array, ...]
    """The result; several arrays for a tuple."""
    operation: str
    operands: tuple[str, ...]
    """Names in the same computation; the number, for a parameter."""
    attributes: str
    """The rest of the line."""
    is_root: bool

    @property
    def n_bytes(self) -> int:
        """Bytes of the result."""
        return sum(array.n_bytes for array in self.arrays)

    def attribute(self, pattern: str) -> str | None:
        """The first group of a regular expression in the attributes; None without a match."""
        found = re.search(pattern, self.attributes)
        return found.group(1) if found else None

    @property
    def collective(self) -> tuple[str, int] | None:
        """Its kind if it sends data between devices, as `all-reduce`, and the bytes of its result
        on one device; None for other instructions, and for the second half of an asynchronous one.
        """
        kind = self.operation.removesuffix("-start")
        if kind not in COLLECTIVES:
            return None
        # The first half of some asynchronous ones returns operands and results.
        n = len(self.operands)
        both = kind != "all-reduce" and kind != self.operation and len(self.arrays) >= 2 * n
        results = self.arrays[n : 2 * n] if both else self.arrays
        return kind, sum(array.n_bytes for array in results)

    def called(self, kind: str) -> list[str]:
        """The computations named by an attribute, as `body` or `branch_computations`."""
        listed = self.attribute(rf"\b{kind}=(\{{[^}}]*\}}|%?[\w.\-]+)")
        return [] if listed is None else re.findall(r"[\w.\-]+", listed)


@dataclasses.dataclass(frozen=True)
class Module:
    """A compiled program."""

    entry: str
    computations: dict[str, dict[str, Instruction]]
    """Instructions by name, in the order of the text, by the name of the computation."""
    stacks: dict[int, tuple[str, ...]]
    """Lines of source `FILE:LINE` by the number of a stack frame, the innermost first."""

    def stack(self, instruction: Instruction) -> tuple[str, ...]:
        """Lines of source `FILE:LINE` of an instruction, the innermost first."""
        number = instruction.attribute(r"stack_frame_id=(\d+)")
        if number:
            return self.stacks.get(int(number), ())
        file = instruction.attribute(r'source_file="([^"]*)"')
        line = instruction.attribute(r"source_line=(\d+)")
        return (f"{file}:{line}",) if file else ()

    def source(self, instruction: Instruction, within: str = "/zebjax/") -> str:
        """The innermost line of source whose file has `within` in its path, `FILE:LINE`; any line
        if there is none; "" without metadata. A path is shortened to what follows
        `site-packages/`, or to what begins with `within`.
        """
        stack = self.stack(instruction)
        chosen = next((line for line in stack if within in line), stack[0] if stack else "")
        for mark in ("site-packages/", within[1:]):
            if mark in chosen:
                at = chosen.rindex(mark)
                return chosen[at:] if mark in within else chosen[at + len(mark) :]
        return chosen

    @functools.cached_property
    def n_instructions(self) -> int:
        """Number of instructions in all computations."""
        return sum(map(len, self.computations.values()))


def parse(text: str) -> Module:
    """Read a program as `compiled.as_text()` gives it.

    Raises:
        ValueError: if the text has no entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            head = _HEAD.match(line)
            if head and "->" in line:
                current = computations.setdefault(head.group(2), {})
                entry = head.group(2) if head.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif found := _INSTRUCTION.match(line):
            made = _instruction(found.group(2), found.group(3), bool(found.group(1)))
            current[made.name] = made
    if not entry:
        raise ValueError("expected the text of a compiled XLA program, with an ENTRY computation")
    return Module(entry, computations, _stacks(text))


def _instruction(name: str, text: str, is_root: bool) -> Instruction:
    text = re.sub(r"/\*.*?\*/", "", text)
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    shape, rest = text[:end], text[end:].strip()
    start = rest.index("(")
    end = _closing(rest, start)
    inside = rest[start + 1 : end - 1]
    operation = rest[:start]
    operands = (
        (inside,) if operation in ("parameter", "constant") else tuple(_NAMES.findall(inside))
    )
    return Instruction(name, arrays(shape), operation, operands, rest[end:], is_root)


def _closing(text: str, start: int) -> int:
    """The index after the parenthesis that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if not depth:
            return index + 1
    raise ValueError(f"expected a closing parenthesis in {text[:80]!r}")


def arrays(shape: str) -> tuple[Array, ...]:
    """The arrays of a shape, as `f32[8,7]{1,0}` or `(bf16[8], s32[])`."""
    return tuple(
        Array(dtype, tuple(int(n) for n in dims.split(",") if n))
        for dtype, dims in _ARRAY.findall(shape)
    )


def _stacks(text: str) -> dict[int, tuple[str, ...]]:
    """Read the tables of files, locations and stack frames at the head of a program."""
    tables: dict[str, list[str]] = {}
    title = None
    for line in text.splitlines():
        if re.fullmatch(r"(FileNames|FunctionNames|FileLocations|StackFrames)", line.strip()):
            title = line.strip()
        elif title and (found := re.match(r"^(\d+) (.*)$", line)):
            tables.setdefault(title, []).append(found.group(2))
        elif line.startswith(("%", "ENTRY")):
            break
    files = [name.strip('"') for name in tables.get("FileNames", [])]
    lines = []
    for location in tables.get("FileLocations", []):
        fields = dict(re.findall(r"(\w+)=(\d+)", location))
        lines.append(f"{files[int(fields['file_name_id']) - 1]}:{fields['line']}")
    frames = [
        (lines[int(fields["file_location_id"]) - 1], int(fields.get("parent_frame_id", 0)))
        for fields in (
            dict(re.findall(r"(\w+)=(\d+)", row)) for row in tables.get("StackFrames", [])
        )
    ]
    stacks = {}
    for number in range(1, len(frames) + 1):
        stack, at = [], number
        while 1 <= at <= len(frames) and len(stack) < 100:
            stack.append(frames[at - 1][0])
            at = frames[at - 1][1] - 1  # XLA prints the parent's number plus one
        stacks[number] = tuple(stack)
    return stacks
