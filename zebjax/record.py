"""GameRecord: one finished game with the search's result at each ply, in about 600 bytes.

With the values of every move it takes about 1,400.

A file of records is safetensors with string metadata, so reading it executes nothing. Every game in
it is replayed through the rules before it is used.
"""

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from zebjax import game, tiles
from zebjax.common import files
from zebjax.common.arrays import Scalar, check
from zebjax.record_fields import ALL_FIELDS as ALL_FIELDS
from zebjax.record_fields import FIELDS as FIELDS
from zebjax.record_fields import MOVES as MOVES
from zebjax.record_fields import GameRecord as GameRecord
from zebjax.record_fields import TargetKind as TargetKind
from zebjax.record_fields import arrays_of as arrays_of
from zebjax.record_fields import check_record as check_record
from zebjax.record_fields import empty as empty
from zebjax.record_fields import with_moves as with_moves
from zebjax.record_metadata import EVAL_AUX as EVAL_AUX
from zebjax.record_metadata import FORMAT_VERSION as FORMAT_VERSION
from zebjax.record_metadata import SELFPLAY as SELFPLAY
from zebjax.record_metadata import SOURCES as SOURCES
from zebjax.record_metadata import TABLE as TABLE
from zebjax.record_metadata import TEACHER as TEACHER
from zebjax.record_metadata import InvalidRecords as InvalidRecords
from zebjax.record_metadata import Metadata as Metadata
from zebjax.record_metadata import parse

MAX_FILE_BYTES = 256 << 20  # about 400,000 games
_MAX_HEADER_BYTES = 1 << 16
POLICY_SUM_TOLERANCE = 5e-3
"""Maximum distance from 1 of a policy target's sum: it is stored as seven float16 numbers."""


_MAX_MOVE = np.array([1, tiles.TOTAL_POINTS / tiles.POINTS_SCALE]) * 1.001
"""Largest value and points of a move, but for rounding."""


def position(record: GameRecord, ply: Scalar) -> tuple[game.GameState, game.GameState]:
    """Replay one game up to a ply, and to its end.

    Args:
        record: one game.
        ply: integer 0..27.

    Returns:
        The state before `ply`, and the finished game.

    Raises:
        ValueError: if `ply` or a field of `record` has a wrong shape or dtype.
    """
    check_record(record)
    check("ply", ply, (), int)
    start = game.new_game(record.hands, record.declaration, record.leader)

    def step(carry: tuple[game.GameState, game.GameState], slot: jax.Array):
        state, wanted = carry
        wanted = jax.tree.map(
            lambda now, then: jnp.where(state.ply == ply, now, then), state, wanted
        )
        return (game.play(state, slot), wanted), None

    (final, wanted), _ = jax.lax.scan(step, (start, start), jnp.asarray(record.slots))
    return wanted, final


def _legal_by_ply(record: GameRecord) -> jax.Array:
    def step(state: game.GameState, slot: jax.Array):
        return game.play(state, slot), game.legal_slots(state)

    start = game.new_game(record.hands, record.declaration, record.leader)
    return jax.lax.scan(step, start, jnp.asarray(record.slots))[1]


def _as_array(field: Any) -> np.ndarray:
    try:
        return np.asarray(field)
    except ValueError:  # a ragged list
        return np.asarray(None)


_legal_of_games = jax.jit(jax.vmap(_legal_by_ply))


def legal_slots(records: GameRecord) -> np.ndarray:
    """Return the legal slots of each ply's mover, bool `[n, 28, 7]`.

    Args:
        records: `[n]` games, NumPy arrays; n is 1 or more.
    """
    # The number of games is padded to a power of two, so that files of any size share a few
    # compiled programs.
    n = len(records.slots)
    rows = np.minimum(np.arange(1 << (n - 1).bit_length()), n - 1)
    needed = (np.asarray(getattr(records, name))[rows] for name in FIELDS)
    return np.asarray(_legal_of_games(GameRecord(*needed)))[:n]


def validate(records: GameRecord) -> None:
    """Check every field of many records, and replay every game through the rules.

    Args:
        records: `[n]` games; n may be 0.

    Raises:
        InvalidRecords: the message names the index of the first bad game, its ply if there is one,
            and the reason.
    """
    if not isinstance(records, GameRecord):
        raise InvalidRecords(f"expected a GameRecord, got {type(records).__name__}")
    fields = {name: _as_array(field) for name, field in records._asdict().items()}
    if records.moves is None:
        del fields[MOVES]
    n = fields["hands"].shape[0] if fields["hands"].ndim else 0
    for name, field in fields.items():
        dtype, shape = ALL_FIELDS[name]
        if field.dtype != dtype or field.shape != (n, *shape):
            raise InvalidRecords(
                f"{name}: expected {np.dtype(dtype)} {[n, *shape]}, got {field.dtype} "
                f"{list(field.shape)}"
            )
    if n == 0:
        return

    def refuse(bad: Any, reason: str) -> None:
        if np.any(bad):
            where = np.argwhere(bad)[0]
            place = f"game {where[0]}" + (f", ply {where[1]}" if len(where) > 1 else "")
            raise InvalidRecords(f"{place}: {reason}")

    refuse(
        (np.sort(fields["hands"].reshape(n, 28)) != np.arange(28)).any(1),
        "hands are not each of the 28 tiles once",
    )
    refuse(
        (fields["declaration"] < 0) | (fields["declaration"] >= tiles.N_DECLARATIONS),
        "declaration is not 0..9",
    )
    refuse((fields["leader"] < 0) | (fields["leader"] >= 4), "leader is not a seat 0..3")
    refuse((fields["slots"] < 0) | (fields["slots"] >= 7), "slot is not 0..6")
    refuse(
        ~np.isin(fields["kind"], list(TargetKind)),
        "kind is not one of " + ", ".join(f"{kind:d}" for kind in TargetKind),
    )
    refuse(
        ~np.isfinite(fields["value"]) | (np.abs(fields["value"]) > 1.001), "value is not in [-1, 1]"
    )
    refuse(~((fields["weight"] >= 0) & (fields["weight"] <= 1)), "weight is not in [0, 1]")
    refuse(
        (fields["step_start"] < 0) | (fields["step_end"] < fields["step_start"]),
        "steps are negative or run backwards",
    )

    legal = legal_slots(GameRecord(**fields))
    refuse(
        ~np.take_along_axis(legal, fields["slots"][..., None].astype(int), 2)[..., 0],
        "the slot played is not legal",
    )
    policy, used = fields["policy"].astype(np.float32), fields["weight"] > 0
    # Also where the weight is 0, because 0 times a nan loss still has a nan gradient.
    refuse(
        (~np.isfinite(policy) | (policy < 0)).any(2), "policy target is not finite and 0 or more"
    )
    refuse(
        used & (np.where(legal, 0, policy) > 0).any(2),
        "policy target is not zero on an illegal slot",
    )
    refuse(
        used & (np.abs(policy.sum(2) - 1) > POLICY_SUM_TOLERANCE), "policy target does not sum to 1"
    )
    if MOVES in fields:
        moves = fields[MOVES]
        refuse(
            (np.abs(moves) > _MAX_MOVE).any((2, 3)),
            f"moves are not in [-1, 1] and [-{_MAX_MOVE[1]:.1f}, {_MAX_MOVE[1]:.1f}]",
        )
        refuse(~(legal[..., None] | np.isnan(moves)).all((2, 3)), "moves: not nan on illegal slots")


def write(
    path: Path,
    records: GameRecord,
    metadata: Metadata,
    others: Mapping[str, np.ndarray] | None = None,
    **strings: str,
) -> None:
    """Write a record file, completely or not at all.

    Args:
        path: the file; an existing one is replaced.
        records: `[n]` games.
        metadata: its `games` is set to n, and an empty `created_at` to the current time.
        others: arrays `[n, ...]` beside those of the games, see `contract_record`.
        **strings: metadata beside `metadata`.

    Raises:
        OSError: if it cannot be written.
    """
    path = Path(path)
    arrays = arrays_of(records) | (dict(others) if others else {})
    arrays = {name: np.ascontiguousarray(field) for name, field in arrays.items()}
    created_at = metadata.created_at or datetime.datetime.now(datetime.UTC).isoformat(
        timespec="seconds"
    )
    metadata = dataclasses.replace(metadata, games=len(arrays["slots"]), created_at=created_at)
    strings |= {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in dataclasses.asdict(metadata).items()
    }
    try:
        files.write_bytes(path, safetensors.numpy.save(arrays, strings))
    except OSError as error:
        raise OSError(error.errno, f"{path}: cannot be written ({error.strerror})") from None


def read(path: Path, max_bytes: int = MAX_FILE_BYTES) -> tuple[GameRecord, Metadata]:
    """Read and validate a record file.

    Args:
        path: the file.
        max_bytes: a larger file is refused before it is parsed.

    Returns:
        The games as NumPy arrays `[n]`, and the file's metadata.

    Raises:
        InvalidRecords: if the file is too large, is not a record file, has another format version,
            or contains a bad game.
    """
    name = str(path) if isinstance(path, str | os.PathLike) else repr(path)
    try:
        with open(Path(path), "rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, TypeError, ValueError) as error:
        raise InvalidRecords(f"{name}: not a readable record file: {error}") from None
    if len(data) > max_bytes:
        raise InvalidRecords(f"{name}: it has more than the {max_bytes} bytes allowed")
    return from_bytes(data, name)


def from_bytes(data: bytes, name: str) -> tuple[GameRecord, Metadata]:
    """Read and validate the bytes of a record file.

    Args:
        data: the whole file.
        name: the file's name, for messages.

    Raises:
        InvalidRecords: as `read`; no other exception, whatever the bytes are.
    """
    return unpack(data, name)[:2]


def unpack(
    data: bytes, name: str, others: Sequence[str] = ()
) -> tuple[GameRecord, Metadata, dict[str, np.ndarray]]:
    """Read and validate as `from_bytes`, with arrays beside those of the games.

    Args:
        data: the whole file.
        name: the file's name, for messages.
        others: names of the other arrays, which the file must hold. They are not checked.

    Raises:
        InvalidRecords: as `from_bytes`.
    """
    header_bytes = int.from_bytes(data[:8], "little")
    if _MAX_HEADER_BYTES < header_bytes <= len(data):  # parsed JSON takes many times its size
        raise InvalidRecords(
            f"{name}: its header has {header_bytes:,} bytes, more than the {_MAX_HEADER_BYTES:,} "
            "allowed"
        )
    try:
        arrays = safetensors.numpy.load(data)  # it checks lengths and offsets
        header = json.loads(data[8 : 8 + header_bytes])
        metadata = parse(header.get("__metadata__", {}))
        if odd := sorted((set(arrays) ^ {*FIELDS, *others}) - {MOVES}):
            if "bidder" in odd:  # another game: its moves aim at another value
                wanted, other = ("a contract", "none") if others else ("no contract", "one")
                raise InvalidRecords(f"expected games with {wanted}, these have {other}")
            raise InvalidRecords(f"array {odd[0]} is missing or not expected")
        beside = {other: arrays.pop(other) for other in others}
        records, slots = GameRecord(**arrays), arrays["slots"]
        if slots.ndim and metadata.games != len(slots):
            raise InvalidRecords(f"its metadata says {metadata.games} games, it holds {len(slots)}")
        validate(records)
    except InvalidRecords as error:
        raise InvalidRecords(f"{name}: {error}") from None
    except (
        safetensors.SafetensorError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise InvalidRecords(f"{name}: not a readable record file: {error}") from None
    return records, metadata, beside


def peek(path: Path) -> Metadata:
    """Read the metadata of a record file; its games are not checked.

    Raises:
        InvalidRecords: if it is not a record file.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return parse(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
        raise InvalidRecords(f"{path}: not a readable record file: {error}") from None
