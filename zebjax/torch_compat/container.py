"""The zip file around a torch file: its entries by name, within limits.

`unzip` reads files as torch writes them and refuses all others. `Repacked` also reads a file that
another program has repacked: compressed, or inside further folders.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from zebjax.torch_compat.pickle import TorchFileError, shown

_ENCRYPTED_FLAG = 1
_ENTRY_MARK = b"PK\x01\x02"  # signature of each entry in the central directory
# Exceptions that zipfile raises for damaged archives.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,  # UnicodeDecodeError of names included
    KeyError,
    IndexError,
    RuntimeError,  # encrypted; NotImplementedError included
    OverflowError,
)


class Limits(NamedTuple):
    """Maximum sizes of a torch file. A larger file is refused before that much memory is used."""

    bytes: int = 1 << 30
    """Bytes of the file, and of all its tensors if each were copied (some share a storage)."""
    pickle_bytes: int = 1 << 20
    """Bytes of the pickle; time and memory are linear in it."""
    entries: int = 10_000
    """Number of entries in the zip."""
    values: int = 1_000_000
    """Number of values in the tree; a shared part counts wherever it appears."""
    depth: int = 32
    """Depth of nesting."""


DEFAULT_LIMITS = Limits()


def unzip(data: bytes, limits: Limits) -> dict[str, bytes]:
    """Return the bytes of every entry by its name without the root folder.

    Sizes and checksums are checked.

    Raises:
        TorchFileError: if the file is damaged, or not as torch writes it.
    """
    _check_is_zip(data, limits)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_entries(infos, len(data))
            contents = [archive.read(info) for info in infos]
    except TorchFileError:
        raise
    except _ZIP_ERRORS as error:
        raise TorchFileError(f"damaged or truncated zip file ({shown(str(error))})") from None
    for info, content in zip(infos, contents, strict=True):
        if len(content) != info.file_size:
            raise TorchFileError(f"zip entry {shown(info.filename)} is shorter than it says")
    return {
        info.filename.partition("/")[2]: content
        for info, content in zip(infos, contents, strict=True)
    }


def _check_is_zip(data: bytes, limits: Limits) -> None:
    """Raise TorchFileError for other kinds of files, named if known, and for too many entries."""
    if not data:
        raise TorchFileError("the file is empty; expected a file written by torch.save")
    if not data.startswith(b"PK\x03\x04"):
        raise TorchFileError(_other_kind(data))
    # Count signatures in the raw bytes, before zipfile makes an object for each entry.
    if data.count(_ENTRY_MARK) > limits.entries:
        raise TorchFileError(f"more than the {limits.entries:,} zip entries allowed")


def _other_kind(data: bytes) -> str:
    """Return the kind of a file that is not a zip, and what to do about it."""
    start = data[:1024].lstrip().lower()
    advice = (
        "load it with a trusted copy of torch and save it again with torch.save of torch 1.6 or "
        "newer"
    )
    if start.startswith(b"version https://git-lfs"):
        return (
            "only a Git LFS pointer, not the file itself; run `git lfs pull` in its repository or "
            "download the file"
        )
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return (
            "a web page, not a file of weights; use the link that downloads the file itself (on "
            "the Hub /resolve/ in place of /blob/)"
        )
    if data[257:262] == b"ustar" or data.startswith(b"./PaxHeaders"):
        return f"a tar file, torch's oldest format, is not read here: {advice}"
    if data[:1] == b"\x80":
        return f"a bare pickle, torch's format before 1.6, is not read here: {advice}"
    if data.startswith(b"\x1f\x8b"):
        return "a gzip file; unpack it first"
    return "not a zip file; expected a file written by torch.save (1.6 or newer)"


def _check_entries(infos: list[zipfile.ZipInfo], file_size: int) -> None:
    """Raise TorchFileError for entries that torch never writes.

    These are compressed, encrypted or overlapping entries, odd names, several root folders, and
    duplicate names.
    """
    if not infos:
        raise TorchFileError("an empty zip file; expected a file written by torch.save")
    # Entries are stored uncompressed and are together no larger than the file, so reading them
    # cannot take more memory than that, whatever they claim.
    for info in infos:
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise TorchFileError(
                f"zip entry {shown(info.filename)} is encrypted, which torch.save never does"
            )
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise TorchFileError(
                f"zip entry {shown(info.filename)} is compressed, which torch.save never does"
            )
    if sum(info.file_size for info in infos) > file_size:
        raise TorchFileError("its zip entries overlap or claim more bytes than the file has")
    root = infos[0].filename.partition("/")[0]
    seen = set()
    for info in infos:
        first, *rest = info.filename.split("/")
        strange = info.filename != info.orig_filename or "\\" in info.filename
        if first != root or not rest or strange or {"", ".", ".."} & {first, *rest}:
            raise TorchFileError(
                f"zip entry {shown(info.orig_filename)}: expected a plain path in one root folder"
            )
        if info.filename in seen:
            raise TorchFileError(f"zip entry {shown(info.filename)} is there twice")
        seen.add(info.filename)


class Repacked(Mapping[str, bytes]):
    """The entries of a torch file by name without the root folder; each is read when first used.

    Compressed entries are decompressed to at most `limits.bytes` in all. Folders and the
    `__MACOSX` entries of macOS are ignored.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        """Open the zip; raise TorchFileError unless it has exactly one data.pkl."""
        _check_is_zip(data, limits)
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            infos = self._archive.infolist()
        except _ZIP_ERRORS as error:
            raise TorchFileError(f"damaged or truncated zip file ({shown(str(error))})") from None
        self._limit, self._left = limits.bytes, limits.bytes
        self._read: dict[str, bytes] = {}
        self._infos = self._under_root(infos)

    @staticmethod
    def _under_root(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        ours = [
            info
            for info in infos
            if not info.is_dir() and not info.filename.startswith("__MACOSX/")
        ]
        pickles = [
            PurePosixPath(info.filename)
            for info in ours
            if PurePosixPath(info.filename).name == "data.pkl"
        ]
        if any(PurePosixPath(info.filename).name == "constants.pkl" for info in ours):
            raise TorchFileError(
                "a TorchScript program, not a checkpoint; save its state_dict with torch.save"
            )
        if len(pickles) != 1:
            raise TorchFileError(
                f"it has {len(pickles) or 'no'} data.pkl, expected one; expected a file written by "
                "torch.save"
            )
        root = str(pickles[0].parent)
        prefix = "" if root == "." else f"{root}/"
        found: dict[str, zipfile.ZipInfo] = {}
        for info in ours:
            if not info.filename.startswith(prefix):
                continue
            name = info.filename.removeprefix(prefix)
            if name in found:
                raise TorchFileError(f"zip entry {shown(info.filename)} is there twice")
            found[name] = info
        return found

    def __getitem__(self, name: str) -> bytes:
        """Return the bytes of an entry; its size and checksum are checked."""
        if name not in self._read:
            self._read[name] = self._inflated(self._infos[name])
        return self._read[name]

    def _inflated(self, info: zipfile.ZipInfo) -> bytes:
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise TorchFileError(f"zip entry {shown(info.filename)} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise TorchFileError(
                f"zip entry {shown(info.filename)} is compressed in a way that is not read here; "
                "pack it with deflate or none"
            )
        if info.file_size > self._left:
            raise TorchFileError(f"it holds more than the {self._limit:,} bytes allowed")
        self._left -= info.file_size
        try:
            with self._archive.open(info) as entry:
                # Read one byte more than the stated size: zipfile checks the checksum at the end.
                content = entry.read(info.file_size + 1)
        except _ZIP_ERRORS as error:
            raise TorchFileError(f"damaged or truncated zip file ({shown(str(error))})") from None
        if len(content) != info.file_size:
            raise TorchFileError(f"zip entry {shown(info.filename)} is not as long as it says")
        return content

    def size(self, name: str) -> int:
        """Return the stated size of an entry in bytes; 0 if there is no such entry."""
        return self._infos[name].file_size if name in self._infos else 0

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)
