"""Read pickles of torch files as plain data: nothing is called, imported or built.

`load` turns a pickle into a tree, where a call is a `Call` node and a reference to a storage a
`Persistent` node; `archive` gives them their meaning. `dump` is the inverse. `tolerant` also reads
pickles that hold other objects.

This module has its own interpreter, for the opcodes that `torch.save` writes. A subclass of
`pickle.Unpickler` with its own `find_class` would not be safe: `BUILD` can still set attributes of
any object in reach (our functions included), it calls `__setstate__`, and it allocates as much
memory as a memo index demands.
"""

import struct
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

_MAX_SHOWN = 80
_MAX_STEPS = 12_000_000
"""Opcodes of one pickle, each a microsecond or two and at most some 70 bytes. A replay buffer of
50,000 examples of 8 tensors has 11.7 million."""


class TorchFileError(ValueError):
    """A torch file, or a file beside it, cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Name:
    """A reference to an object by module and name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the pickle asks for: the function and its arguments."""

    function: Name
    arguments: tuple


@dataclass(frozen=True, slots=True)
class Persistent:
    """A reference to data outside the pickle, such as a storage."""

    id: Any


ORDERED_DICT = Name("collections", "OrderedDict")


def shown(value: Any) -> str:
    """Return a value from a file as short text for a message.

    Containers are not traversed, because they may be hostile.
    """
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= _MAX_SHOWN else repr(value[:_MAX_SHOWN]) + "..."
    return (
        repr(value)
        if value is None or isinstance(value, int | float)
        else f"a {type(value).__name__}"
    )


def load(data: bytes, allowed: Collection[Name]) -> Any:
    """Read a pickle of protocol 2 as a tree.

    Args:
        data: the whole pickle; time and memory are linear in its length.
        allowed: the names that it may refer to. A call of `collections.OrderedDict` becomes an
            `OrderedDict` (its attributes, such as a state_dict's `_metadata`, are dropped). Any
            other name stays a `Name`, and a call of it becomes a `Call`.

    Returns:
        A tree of dict, OrderedDict, list, tuple, str, int (64 bits), float, bool, None, `Name`,
        `Call` and `Persistent`. Keys of dictionaries are str or int. Parts may be shared, and lists
        may contain themselves.

    Raises:
        TorchFileError: if the pickle holds anything else; the message does not name the file.
    """
    return Machine(data, allowed).run()


_NUMBERS = {
    b"J": struct.Struct("<i"),
    b"K": struct.Struct("<B"),
    b"M": struct.Struct("<H"),
    b"G": struct.Struct(">d"),
}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
_EMPTY = {b"}": dict, b"]": list, b")": tuple}
_SHORT_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_INDEX = {
    b"q": struct.Struct("<B"),
    b"h": struct.Struct("<B"),
    b"r": struct.Struct("<I"),
    b"j": struct.Struct("<I"),
}
_LENGTH = struct.Struct("<I")


class Machine:
    """The state of reading one pickle: a memo, and a stack of stacks (a mark opens a new one)."""

    def __init__(self, data: bytes, allowed: Collection[Name]):
        self.data = data
        self.position = 0
        self.allowed = allowed
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        if self.take(2) != b"\x80\x02":
            raise TorchFileError("its pickle does not begin as protocol 2, which torch.save writes")
        for _ in range(_MAX_STEPS):
            opcode = self.take(1)
            if opcode == b".":
                break
            self.step(opcode)
        else:
            raise TorchFileError(f"its pickle has more than the {_MAX_STEPS:,} steps allowed")
        if len(self.stack) != 1 or self.outer:
            raise TorchFileError("its pickle ends with something other than one value")
        if self.position != len(self.data):
            raise TorchFileError("its pickle has bytes after its end")
        return self.stack[0]

    def step(self, opcode: bytes) -> None:
        if opcode in _INDEX:
            self.remember_or_recall(opcode)
        elif opcode in _NUMBERS:
            self.stack.append(self.unpack(_NUMBERS[opcode]))
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            self.stack.append(_EMPTY[opcode]())
        elif opcode in _SHORT_TUPLES:
            items = [self.pop() for _ in range(_SHORT_TUPLES[opcode])]
            self.stack.append(tuple(reversed(items)))
        elif operation := self.operation(opcode):
            operation(self)
        else:
            raise TorchFileError(
                f"its pickle uses opcode {opcode!r}, which torch.save does not write for plain data"
            )

    def operation(self, opcode: bytes) -> Any:
        return _OPERATIONS.get(opcode)

    def take(self, count: int) -> bytes:
        piece = self.data[self.position : self.position + count]
        if len(piece) != count:
            raise TorchFileError("its pickle ends too early")
        self.position += count
        return piece

    def unpack(self, number: struct.Struct) -> Any:
        return number.unpack(self.take(number.size))[0]

    def text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise TorchFileError(
                f"its pickle holds a text that is not UTF-8: {shown(raw)}"
            ) from None

    def line(self) -> str:
        end = self.data.find(b"\n", self.position)
        return self.text(self.take((end if end >= 0 else len(self.data)) + 1 - self.position)[:-1])

    def pop(self) -> Any:
        if not self.stack:
            raise TorchFileError("its pickle takes a value where there is none")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        if not self.outer:
            raise TorchFileError("its pickle takes values back to a mark where there is none")
        items, self.stack = self.stack, self.outer.pop()
        return items

    def top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise TorchFileError(f"its pickle treats something as a {kind.__name__} that is none")
        return self.stack[-1]

    def remember_or_recall(self, opcode: bytes) -> None:
        index = self.unpack(_INDEX[opcode])
        if opcode in b"qr":
            self.memo[index] = self.top(object)
        elif index in self.memo:
            self.stack.append(self.memo[index])
        else:
            raise TorchFileError(f"its pickle recalls value {index}, which it never stored")

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def tuple(self) -> None:
        items = self.pop_to_mark()
        self.stack.append(tuple(items))

    def long(self) -> None:
        size = self.take(1)[0]
        if size > 8:
            raise TorchFileError("its pickle holds an integer of more than 64 bits")
        self.stack.append(int.from_bytes(self.take(size), "little", signed=True))

    def unicode(self) -> None:
        self.stack.append(self.text(self.take(self.unpack(_LENGTH))))

    def append(self) -> None:
        item = self.pop()
        self.top(list).append(item)

    def extend(self) -> None:
        items = self.pop_to_mark()
        self.top(list).extend(items)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.store([key, value])

    def set_items(self) -> None:
        self.store(self.pop_to_mark())

    def store(self, keys_and_values: list[Any]) -> None:
        target = self.top(dict)
        if len(keys_and_values) % 2:
            raise TorchFileError("its pickle has a key without a value")
        self.store_in(target, keys_and_values)

    def store_in(self, target: dict, keys_and_values: list[Any]) -> None:
        for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
            # Exact types only: True equals 1, and hashing a deep tuple can overflow the C stack.
            if type(key) not in (str, int):
                raise TorchFileError(
                    f"its pickle has a dictionary key of type {type(key).__name__}"
                )
            if key in target:
                raise TorchFileError(f"its pickle has the key {shown(key)} twice in one dictionary")
            target[key] = value

    def name(self) -> None:
        name = Name(self.line(), self.line())
        if name not in self.allowed:
            raise TorchFileError(
                f"its pickle asks for {shown(str(name))}, which weights have no use for: refused"
            )
        self.stack.append(name)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise TorchFileError("its pickle calls something that is not a name")
        if function != ORDERED_DICT:
            self.stack.append(Call(function, arguments))
        elif arguments:
            raise TorchFileError("its pickle makes an OrderedDict with arguments, expected none")
        else:
            self.stack.append(OrderedDict())

    def build(self) -> None:
        state = self.pop()
        self.top(OrderedDict)
        if not isinstance(state, dict):
            raise TorchFileError("its pickle gives an OrderedDict a state that is not a dictionary")

    def persistent(self) -> None:
        self.stack.append(Persistent(self.pop()))


_OPERATIONS = {
    b"(": Machine.mark,
    b"t": Machine.tuple,
    b"\x8a": Machine.long,
    b"X": Machine.unicode,
    b"a": Machine.append,
    b"e": Machine.extend,
    b"s": Machine.set_item,
    b"u": Machine.set_items,
    b"c": Machine.name,
    b"R": Machine.call,
    b"b": Machine.build,
    b"Q": Machine.persistent,
}


def dump(tree: Any) -> bytes:
    """Write a tree, as `load` returns it, as a pickle of protocol 2.

    Raises:
        TypeError: if the tree holds any other type.
    """
    return b"\x80\x02" + _dump(tree) + b"."


def _dump(tree: Any) -> bytes:
    if tree is None or isinstance(tree, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[tree]
    if isinstance(tree, int):
        return b"\x8a\x08" + struct.pack("<q", tree)
    if isinstance(tree, float):
        return b"G" + struct.pack(">d", tree)
    if isinstance(tree, str):
        raw = tree.encode()
        return b"X" + _LENGTH.pack(len(raw)) + raw
    if isinstance(tree, tuple | list):
        items = b"(" + b"".join(map(_dump, tree))
        return items + b"t" if isinstance(tree, tuple) else b"]" + items + b"e"
    if isinstance(tree, dict):
        empty = _dump(ORDERED_DICT) + b")R" if isinstance(tree, OrderedDict) else b"}"
        return (
            empty + b"(" + b"".join(_dump(key) + _dump(value) for key, value in tree.items()) + b"u"
        )
    if isinstance(tree, Name):
        return f"c{tree.module}\n{tree.name}\n".encode()
    if isinstance(tree, Call):
        return _dump(tree.function) + _dump(tree.arguments) + b"R"
    if isinstance(tree, Persistent):
        return _dump(tree.id) + b"Q"
    raise TypeError(f"cannot write a {type(tree).__name__} into a torch file")
