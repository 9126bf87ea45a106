"""Read and write torch's `.pt` files without torch, as plain data.

A `.pt` file is a zip of `<root>/data.pkl` (see `pickle`), `<root>/data/<key>` (the bytes of each
storage) and a few small text files. Files may be hostile, so everything is checked: sizes before
memory is allocated, checksums, names, and each tensor against the storage that it is a view of.
"""

import io
import math
import os
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from zebjax.common import files
from zebjax.torch_compat import container, tolerant
from zebjax.torch_compat import pickle as torch_pickle
from zebjax.torch_compat.container import DEFAULT_LIMITS as DEFAULT_LIMITS
from zebjax.torch_compat.container import Limits as Limits
from zebjax.torch_compat.pickle import Call, Name, Persistent, TorchFileError, shown
from zebjax.torch_compat.tolerant import Foreign

_STORAGE_TYPES = {
    Name("torch", f"{name}Storage"): np.dtype(dtype)
    for name, dtype in {
        "Double": np.float64,
        "Float": np.float32,
        "Half": np.float16,
        "BFloat16": ml_dtypes.bfloat16,
        "Long": np.int64,
        "Int": np.int32,
        "Short": np.int16,
        "Char": np.int8,
        "Byte": np.uint8,
        "Bool": np.bool_,
    }.items()
}
_REBUILD_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_REBUILD_PARAMETER = Name("torch._utils", "_rebuild_parameter")
_ALLOWED = frozenset(
    {torch_pickle.ORDERED_DICT, _REBUILD_TENSOR, _REBUILD_PARAMETER, *_STORAGE_TYPES}
)
_NUMPY_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_NUMBER_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_ALIGNMENT = 64
"""Bytes to which storages are aligned in the file, as torch does, so that they can be mapped into
memory."""
_LOCAL_HEADER_BYTES = 30
_PADDING_FIELD = 0x4246
_MAX_AXES = 32


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Read a torch file.

    Args:
        path: the file, in the zip format of torch 1.6 or newer.
        limits: maximum sizes.

    Returns:
        Nested dict, list and tuple of str, int, float, bool, None and read-only NumPy arrays.
        Tensors and parameters become arrays of the same shape, dtype (ml_dtypes for bfloat16) and
        bits; views share memory. Dictionaries keep their order.

    Raises:
        TorchFileError: if the file does not exist, is not a torch zip, is damaged, exceeds
            `limits`, or holds anything but plain data and tensors.
    """
    return parse(read_bytes(path, limits), path, limits)


def read_bytes(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Read a file of at most `limits.bytes`.

    Raises:
        TorchFileError: if there is no file, it is too large, or it cannot be read.
    """
    path = Path(path)
    if not os.path.isfile(path):
        problem = "this is not a file" if os.path.exists(path) else "no such file"
        raise TorchFileError(f"{path}: {problem}; expected a .pt file")
    try:
        with open(path, "rb") as file:
            data = file.read(limits.bytes + 1)
    except OSError as error:
        raise TorchFileError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > limits.bytes:
        raise TorchFileError(f"{path}: larger than the {limits.bytes:,} bytes allowed")
    return data


def parse(data: bytes, source: Path | str, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Read a torch file from its bytes, as `read`; `source` is its name for messages."""
    try:
        entries = container.unzip(data, limits)
        tree = torch_pickle.load(_pickle_of(entries, limits), _ALLOWED)
        return _Resolver(entries, limits).resolve(tree)
    except TorchFileError as error:
        raise TorchFileError(f"{source}: {error}") from None


class TorchFile:
    """A torch file whose parts are read on demand.

    `tree` is the content of its pickle, as `tolerant.load_around` returns it. Objects that are not
    plain data or tensors are `Foreign` and `Name` nodes in it, and their bytes are never read.
    """

    def __init__(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
        """Read the pickle; the zip may have been repacked by another program.

        Raises:
            TorchFileError: if it is not a torch file. Errors of this class do not name the file.
        """
        entries = container.Repacked(data, limits)
        if entries.size("data.pkl") > limits.pickle_bytes:  # before it is decompressed
            raise _large_pickle(limits)
        self._resolver = _Resolver(entries, limits)
        self.tree = tolerant.load_around(_pickle_of(entries, limits), _ALLOWED)

    def value(self, node: Any) -> Any:
        """Return a part of the tree as plain values and arrays, as `read` does.

        Raises:
            TorchFileError: if the part holds anything else.
        """
        return self._resolver.resolve(node)

    def scalar(self, node: Any) -> str | int | float | bool | None:
        """Return a node as a plain scalar; None if it is none.

        NumPy scalars and tensors with one element are converted.

        Raises:
            TorchFileError: if a tensor is damaged.
        """
        if isinstance(node, Foreign):
            return _numpy_scalar(node)
        if isinstance(node, Call):
            size = node.arguments[2] if len(node.arguments) > 2 else None
            if isinstance(size, tuple) and all(n == 1 for n in size):
                return self.value(node).reshape(()).item()
            return None
        return node if isinstance(node, str | int | float) else None


def _numpy_scalar(node: Foreign) -> int | float | bool | None:
    """Return the number that `numpy.core.multiarray.scalar(dtype, bytes)` would make, else None."""
    if node.name not in _NUMPY_SCALARS or len(node.arguments) != 2:
        return None
    dtype, text = node.arguments
    # Protocol 2 has no bytes: it stores them as Latin-1 text and a call of `_codecs.encode`.
    if not (isinstance(dtype, Foreign) and dtype.name == "numpy.dtype" and dtype.arguments):
        return None
    if not (isinstance(text, Foreign) and text.name == "_codecs.encode" and text.arguments):
        return None
    code, characters = dtype.arguments[0], text.arguments[0]
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else None
    if not (
        isinstance(characters, str)
        and code in _NUMBER_CODES
        and len(characters) <= 8
        and order in ("<", "|")
    ):
        return None
    try:
        raw = characters.encode("latin-1")
    except UnicodeEncodeError:
        return None
    kind = np.dtype(code).newbyteorder("<")
    return np.frombuffer(raw, kind)[0].item() if len(raw) == kind.itemsize else None


def _pickle_of(entries: Mapping[str, bytes], limits: Limits) -> bytes:
    """Return the bytes of data.pkl, after a check of the byte order."""
    # The entry is absent in older files, which are little-endian.
    byte_order = entries.get("byteorder", b"little")
    if byte_order.strip() != b"little":
        raise TorchFileError(
            f"its byte order is {shown(byte_order)}, only little-endian files can be read"
        )
    if "data.pkl" not in entries:
        raise TorchFileError("it has no data.pkl; expected a file written by torch.save")
    data = entries["data.pkl"]
    if len(data) > limits.pickle_bytes:
        raise _large_pickle(limits)
    return data


def _large_pickle(limits: Limits) -> TorchFileError:
    return TorchFileError(f"its pickle is larger than the {limits.pickle_bytes:,} bytes allowed")


@dataclass
class _Resolver:
    """Converts the tree of a pickle to plain values, and enforces the limits."""

    entries: Mapping[str, bytes]
    limits: Limits
    n_values: int = 0
    n_bytes: int = 0
    dtypes: dict[str, np.dtype] = field(default_factory=dict)

    def resolve(self, tree: Any, depth: int = 0) -> Any:
        # Both limits also stop lists that contain themselves, and trees with many shared parts.
        self.n_values += 1
        if self.n_values > self.limits.values:
            raise TorchFileError(f"it holds more than the {self.limits.values:,} values allowed")
        if depth > self.limits.depth:
            raise TorchFileError(f"it is nested deeper than the {self.limits.depth} levels allowed")
        if isinstance(tree, dict):
            return {key: self.resolve(value, depth + 1) for key, value in tree.items()}
        if isinstance(tree, list | tuple):
            return type(tree)([self.resolve(value, depth + 1) for value in tree])
        if isinstance(tree, Call):
            return self.call(tree, depth + 1)
        if isinstance(tree, Foreign | Name):
            name = tree.name if isinstance(tree, Foreign) else str(tree)
            raise TorchFileError(
                f"its pickle asks for {shown(name)}, neither plain data nor a tensor: refused"
            )
        if isinstance(tree, Persistent):
            raise TorchFileError("its pickle holds a storage, neither plain data nor a tensor")
        return tree

    def call(self, call: Call, depth: int) -> np.ndarray:
        if call.function == _REBUILD_TENSOR and len(call.arguments) in (6, 7):
            return self.tensor(*call.arguments)
        if call.function == _REBUILD_PARAMETER and len(call.arguments) == 3:
            parameter = self.resolve(call.arguments[0], depth)
            if isinstance(parameter, np.ndarray):
                return parameter
        raise TorchFileError(
            f"its pickle calls {call.function} with arguments that it does not take"
        )

    def tensor(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        needs_grad: Any,
        hooks: Any,
        metadata: Any = None,
    ) -> np.ndarray:
        if hooks or metadata:  # metadata means that values are stored negated or conjugated
            raise TorchFileError("a tensor has hooks or metadata, expected none")
        key, dtype, buffer = self.storage(storage)
        if not (
            _is_count(offset)
            and _are_counts(size)
            and _are_counts(stride)
            and len(size) == len(stride)
        ):
            raise TorchFileError(
                f"the tensor in storage {shown(key)} has a malformed size, stride or offset"
            )
        if len(size) > _MAX_AXES:
            raise TorchFileError(f"the tensor in storage {shown(key)} has {len(size)} axes")
        # Count empty axes as 1, so that huge other axes cannot overflow what NumPy can address.
        self.n_bytes += math.prod(max(n, 1) for n in size) * dtype.itemsize
        if self.n_bytes > self.limits.bytes:
            raise TorchFileError(
                f"its tensors hold more than the {self.limits.bytes:,} bytes allowed"
            )
        if 0 in size:
            return np.broadcast_to(np.zeros((), dtype), size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        n_elements = len(buffer) // dtype.itemsize
        if last >= n_elements:
            raise TorchFileError(
                f"the tensor in storage {shown(key)} reaches element {last}, but there are "
                f"{n_elements} elements"
            )
        # The stride of an axis of length 1 is never used and may be anything, so replace it.
        strides = [
            step * dtype.itemsize if n > 1 else dtype.itemsize
            for n, step in zip(size, stride, strict=True)
        ]
        return np.ndarray(size, dtype, buffer, offset * dtype.itemsize, strides)

    def storage(self, reference: Any) -> tuple[str, np.dtype, bytes]:
        """Return key, dtype and bytes of a storage, after a check of its size."""
        fields = reference.id if isinstance(reference, Persistent) else None
        if not (isinstance(fields, tuple) and len(fields) == 5 and fields[0] == "storage"):
            raise TorchFileError("a tensor refers to something other than a storage")
        _, kind, key, location, n_elements = fields
        if not (isinstance(kind, Name) and kind in _STORAGE_TYPES and isinstance(location, str)):
            raise TorchFileError("a tensor's storage is of a type that cannot be read")
        dtype = _STORAGE_TYPES[kind]
        if not isinstance(key, str) or f"data/{key}" not in self.entries:
            raise TorchFileError(f"storage {shown(key)} is missing from the file")
        if self.dtypes.setdefault(key, dtype) != dtype:
            raise TorchFileError(f"storage {shown(key)} is used with two types")
        buffer = self.entries[f"data/{key}"]
        if not _is_count(n_elements) or n_elements * dtype.itemsize != len(buffer):
            raise TorchFileError(
                f"storage {shown(key)} has {len(buffer)} bytes, expected {shown(n_elements)} "
                f"elements of {dtype}"
            )
        if dtype == np.bool_ and buffer.translate(None, b"\0\1"):
            raise TorchFileError(f"storage {shown(key)} of booleans has bytes other than 0 and 1")
        return key, dtype, buffer


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(map(_is_count, values))


def write(path: Path | str, value: Any) -> None:
    """Write a file for `torch.load`; an existing file is replaced.

    The same value and file name give the same bytes.

    Args:
        path: the file.
        value: nested dict, list and tuple of plain values and arrays. Arrays become contiguous CPU
            tensors of the same dtype.

    Raises:
        TypeError: if a value or an array's dtype does not exist in torch files.
    """
    path = Path(path)
    files.write_bytes(path, serialise(value, path.stem))


def serialise(value: Any, root: str) -> bytes:
    """Return the bytes of a torch file, see `write`; `root` is the folder inside the zip."""
    storages: list[bytes] = []
    pickle = torch_pickle.dump(_to_tree(value, storages))
    entries = {"data.pkl": pickle, "byteorder": b"little"}
    entries.update({f"data/{key}": content for key, content in enumerate(storages)})
    entries["version"] = b"3\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            # Without a date ZipInfo uses a fixed one, so equal values give equal bytes.
            info = zipfile.ZipInfo(f"{root}/{name}")
            start = buffer.tell() + _LOCAL_HEADER_BYTES + len(info.filename.encode()) + 4
            padding = -start % _ALIGNMENT
            info.extra = struct.pack("<HH", _PADDING_FIELD, padding) + b"Z" * padding
            archive.writestr(info, content)
    return buffer.getvalue()


def _to_tree(value: Any, storages: list[bytes]) -> Any:
    """Replace each array in `value` by a call that rebuilds it; append its bytes to `storages`."""
    if isinstance(value, dict):
        return type(value)((key, _to_tree(item, storages)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)([_to_tree(item, storages) for item in value])
    if not isinstance(value, np.ndarray):
        return value
    kinds = {dtype: kind for kind, dtype in _STORAGE_TYPES.items()}
    if value.dtype not in kinds:
        raise TypeError(f"cannot write an array of {value.dtype} into a torch file")
    storage = Persistent(("storage", kinds[value.dtype], str(len(storages)), "cpu", value.size))
    storages.append(value.tobytes())
    stride = tuple(math.prod(value.shape[axis + 1 :]) for axis in range(value.ndim))
    return Call(_REBUILD_TENSOR, (storage, 0, value.shape, stride, False, OrderedDict()))
