"""Read pickles of checkpoints that hold more than weights: an optimiser, random states, settings.

Every object that is not plain data or a tensor becomes a `Foreign` node, which describes it. As in
`pickle`, nothing is called, imported or built.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from zebjax.torch_compat.pickle import Call, Machine, Name, TorchFileError


@dataclass(slots=True)
class Foreign:
    """Description of an object that weights do not need; the object itself is never made."""

    name: str
    """Its class or function, as `module.name`."""
    arguments: tuple = ()
    """Arguments of the call that would make it."""
    state: Any = None
    """State that its attributes would be set from."""
    items: dict[str | int, Any] = field(default_factory=dict)
    """Its items, if it is a kind of dictionary."""


def load_around(data: bytes, allowed: Collection[Name]) -> Any:
    """Read a pickle as `pickle.load` does, but with `Foreign` and `Name` nodes for other objects.

    Integers of more than 64 bits become `Foreign` too. Items whose keys are not str or int are left
    out.

    Args:
        data: the pickle.
        allowed: names that may be called, as for `pickle.load`.

    Raises:
        TorchFileError: if the pickle is damaged; the message does not name the file.
    """
    return _TolerantMachine(data, allowed).run()


class _TolerantMachine(Machine):
    """A machine that describes objects which weights do not need."""

    def operation(self, opcode: bytes) -> Any:
        return _TOLERANT_OPERATIONS.get(opcode) or super().operation(opcode)

    def name(self) -> None:
        self.stack.append(Name(self.line(), self.line()))

    def call(self) -> None:
        if len(self.stack) < 2:
            raise TorchFileError("its pickle takes a value where there is none")
        arguments, function = self.stack[-1], self.stack[-2]
        if isinstance(function, Name) and function in self.allowed:
            super().call()
            return
        if not isinstance(function, Name | Foreign) or not isinstance(arguments, tuple):
            raise TorchFileError("its pickle calls something that is not a name")
        del self.stack[-2:]
        name = str(function) if isinstance(function, Name) else function.name
        self.stack.append(Foreign(name, arguments))

    def build(self) -> None:
        state = self.pop()
        top = self.top(object)
        if isinstance(top, Foreign):
            top.state = state
        elif not isinstance(top, OrderedDict | Call):  # attributes of these are dropped
            raise TorchFileError("its pickle sets attributes of plain data")

    def store(self, keys_and_values: list[Any]) -> None:
        top = self.top(object)
        if not isinstance(top, Foreign):
            super().store(keys_and_values)
        elif len(keys_and_values) % 2:
            raise TorchFileError("its pickle has a key without a value")
        else:
            self.store_in(top.items, keys_and_values)

    def store_in(self, target: dict, keys_and_values: list[Any]) -> None:
        kept: list[Any] = []
        for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
            if type(key) in (str, int):
                kept += [key, value]
        super().store_in(target, kept)

    def append(self) -> None:
        self.extend_with([self.pop()])

    def extend(self) -> None:
        self.extend_with(self.pop_to_mark())

    def extend_with(self, items: list[Any]) -> None:
        top = self.top(object)
        if isinstance(top, list):
            top.extend(items)
        elif not isinstance(top, Foreign):  # items of a foreign list or set are dropped
            raise TorchFileError("its pickle treats something as a list that is none")

    def long(self) -> None:
        size = self.take(1)[0]
        raw = self.take(size)
        self.stack.append(
            int.from_bytes(raw, "little", signed=True) if size <= 8 else Foreign("a large integer")
        )

    def long_of_any_size(self) -> None:
        self.take(int.from_bytes(self.take(4), "little"))
        self.stack.append(Foreign("a large integer"))

    def drop(self) -> None:
        # POP: a pickler drops a tuple that contains itself. On an empty stack it drops the mark.
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()


_TOLERANT_OPERATIONS: dict[bytes, Any] = {
    b"c": _TolerantMachine.name,
    b"R": _TolerantMachine.call,
    b"\x81": _TolerantMachine.call,  # NEWOBJ: a call of a class
    b"b": _TolerantMachine.build,
    b"a": _TolerantMachine.append,
    b"e": _TolerantMachine.extend,
    b"\x8a": _TolerantMachine.long,
    b"\x8b": _TolerantMachine.long_of_any_size,
    b"0": _TolerantMachine.drop,
    b"1": Machine.pop_to_mark,
}
