"""Save and load small networks: one safetensors file, float16."""

from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from zebjax import tiles
from zebjax.common import files
from zebjax.common.tensor_file import SMALL_FORMAT, metadata_of
from zebjax.small import MAX_WIDTH
from zebjax.small.beliefs import N_PLAYS
from zebjax.small.moves import N_ALWAYS, N_MOVE_FEATURES, N_RELATED
from zebjax.small.network import Net, Widths, shapes

BUNDLED_NAME, IMITATOR = "small", "imitator"
"""Paths of the networks that come with zebjax: the one that plays best, and the one that foresees
best what strong players do."""
_BUNDLED = Path(__file__).parents[1] / "bundled"
MAX_BYTES = 100 << 20
"""Maximum size of a file."""
_FORMAT = "4"
_OF_MOVES = ("join", "moves", "move_second", "move_second_bias", "move_last")
"""The arrays of the layers of a move. Files of format 1 have none of them, those of format 2 three:
their networks have one such layer, and no relations. Files of formats 1 to 3 have no beliefs, and
no features of a move by them."""


def save(path: Path, net: Net, facts: dict[str, str]) -> None:
    """Write a network as one file.

    Args:
        path: of the file; its folder must exist.
        net: a network with 56 outputs.
        facts: where it comes from; they become metadata.

    Raises:
        ValueError: if it cannot be written, or a weight is no number of float16.
    """
    with np.errstate(over="ignore"):  # inf is refused below
        arrays = {
            name: np.ascontiguousarray(field, np.float16)
            for name, field in zip(Net._fields, net, strict=True)
        }
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: array {name} is not finite, so nothing is written")
    with files.writing(path):
        files.write_bytes(path, safetensors.numpy.save(arrays, {SMALL_FORMAT: _FORMAT, **facts}))


def load(path: Path | str) -> Net:
    """Read a network.

    Args:
        path: a file that `save` made, or `small` or `imitator` for those that come with zebjax.

    Returns:
        The network with 56 outputs, float32.

    Raises:
        ValueError: if there is no such file, or it is damaged, too large or not finite; the message
            names it.
    """
    is_bundled = str(path) in (BUNDLED_NAME, IMITATOR)
    file = _BUNDLED / f"{path}.safetensors" if is_bundled else Path(path)
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"{file}: cannot be read ({error.strerror}); expected `{BUNDLED_NAME}`, "
            f"`{IMITATOR}`, or a file that `zebjax iterate` or `zebjax imitate` made"
        ) from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"{file}: larger than the {MAX_BYTES:,} bytes allowed")
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{file}: not a readable safetensors file ({error})") from None
    written = str(metadata_of(data).get(SMALL_FORMAT, _FORMAT))
    if written.isdecimal() and int(written[:9]) > int(_FORMAT):
        raise ValueError(
            f"{file}: its format is {written[:9]}, this zebjax reads 1 to {_FORMAT}; update zebjax"
        )
    return _checked(file, arrays)


def _from_format_1(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of the same network: its layers of a move have no units."""
    hidden = arrays["first"].shape[-1] if arrays["first"].ndim else 0
    wanted = shapes(Widths(hidden, 4, 0, 0))
    return arrays | {name: np.zeros(wanted[name], np.float16) for name in (*_OF_MOVES, "beliefs")}


def _more_rows(file: Path, moves: np.ndarray, before: int, rows: int) -> np.ndarray:
    """Return the array `moves` with rows of zeros for new features.

    Raises:
        ValueError: unless it has `before` rows, and up to MAX_WIDTH columns.
    """
    width = moves.shape[1] if moves.ndim == 2 else -1
    if width < 0 or len(moves) != before or width > MAX_WIDTH or width % 4:
        raise ValueError(
            f"{file}: array moves: expected {before} rows and a multiple of 4 up to {MAX_WIDTH} "
            f"columns, got {moves.shape}"
        )
    return np.concatenate([moves, np.zeros((rows - before, width), moves.dtype)])


def _from_format_2(file: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the same network in format 3: the second layer of a move repeats the first."""
    moves = _more_rows(file, arrays["moves"], N_ALWAYS, N_RELATED)
    width = moves.shape[-1]
    return arrays | {
        "moves": moves,
        "move_second": np.eye(width, dtype=np.float16),
        "move_second_bias": np.zeros(width, np.float16),
    }


def _from_format_3(file: Path, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the same network in format 4: its beliefs are what voids and counting tell."""
    moves = _more_rows(file, arrays["moves"], N_RELATED, N_MOVE_FEATURES)
    beliefs = np.zeros((tiles.N_DECLARATIONS, N_PLAYS, tiles.N_TILES), np.float16)
    return arrays | {"moves": moves, "beliefs": beliefs}


def _checked(file: Path, arrays: dict[str, np.ndarray]) -> Net:
    if "first" in arrays and not set(arrays) & {*_OF_MOVES, "beliefs"}:
        arrays = _from_format_1(arrays)
    elif set(Net._fields) - set(arrays) == {"move_second", "move_second_bias", "beliefs"}:
        arrays = _from_format_2(file, arrays)
    if set(Net._fields) - set(arrays) == {"beliefs"}:
        arrays = _from_format_3(file, arrays)
    if set(arrays) != set(Net._fields):
        raise ValueError(
            f"{file}: not a small network; expected the arrays {', '.join(Net._fields)}"
        )
    widths: list[int] = []
    for name, least in (("second", 4), ("move_second", 0)):
        sides = arrays[name].shape
        if len(sides) != 2 or not all(least <= n <= MAX_WIDTH and n % 4 == 0 for n in sides):
            raise ValueError(
                f"{file}: array {name}: expected two multiples of 4 up to {MAX_WIDTH}, got {sides}"
            )
        widths += sides
    if (widths[2] == 0) != (widths[3] == 0):
        raise ValueError(
            f"{file}: array move_second: expected units in both layers of a move or in none, got "
            f"{arrays['move_second'].shape}"
        )
    for name, shape in shapes(Widths(*widths)).items():
        found = arrays[name]
        if found.shape != shape or found.dtype != np.float16:
            raise ValueError(
                f"{file}: array {name}: expected float16 {shape}, got {found.dtype} {found.shape}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"{file}: array {name} is not finite")
    return Net(*(np.ascontiguousarray(arrays[name], np.float32) for name in Net._fields))
