"""GameRecord: one finished game and what was thought at each ply; about 600 bytes, proved legal by
replay.

A file of records is safetensors with string metadata: it cannot execute anything, and every game in
it is replayed through the rules before it is used.
"""

import dataclasses
import datetime
import enum
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from zebjax import game, tiles
from zebjax.common import files

FORMAT_VERSION = 1
MAX_FILE_BYTES = 256 << 20  # some 400,000 games
_MAX_HEADER_BYTES = 1 << 16
SELFPLAY, EVAL_AUX, TEACHER = SOURCES = ("selfplay-mcts", "eval-eq-zeb", "teacher-eq")
"""Who made games: the original's names for its two streams, and `teach`."""
# A policy target is stored as float16: seven of them may miss 1 by this much.
POLICY_SUM_TOLERANCE = 5e-3


class Kind(enum.IntEnum):
    """What made a ply's policy target."""

    FORCED = 0
    """One legal slot; the target is one-hot."""
    SEARCH = 1
    """A tree search; its leaves were judged by the network."""
    TEACHER = 2
    """E[Q], see `teach`."""
    EXACT = 3
    """A tree search with two tricks left or fewer, whose leaves were exact."""
    UNJUDGED = 4
    """Nothing: somebody played, there is no target and no root value."""


class GameRecord(NamedTuple):
    """One finished game; with a leading axis, many."""

    hands: jax.Array
    """int8 `[4, 7]` tile ids as dealt."""
    declaration: jax.Array
    """int8."""
    leader: jax.Array
    """int8, the seat that led the first trick."""
    slots: jax.Array
    """int8 `[28]`, the mover's slot at each ply."""
    policy: jax.Array
    """float16 `[28, 7]`, the policy target of each ply's mover."""
    weight: jax.Array
    """float16 `[28]`, weight of the policy target; 0 is none."""
    kind: jax.Array
    """int8 `[28]`, a `Kind`: what made the target."""
    value: jax.Array
    """float16 `[28]`, the root value of the search for the mover; 0 where nothing was searched."""
    step_start: jax.Array
    """int32, the training step of the weights that the game began with."""
    step_end: jax.Array
    """int32, and ended with."""


_FIELDS = {
    "hands": (np.int8, (4, 7)),
    "declaration": (np.int8, ()),
    "leader": (np.int8, ()),
    "slots": (np.int8, (28,)),
    "policy": (np.float16, (28, 7)),
    "weight": (np.float16, (28,)),
    "kind": (np.int8, (28,)),
    "value": (np.float16, (28,)),
    "step_start": (np.int32, ()),
    "step_end": (np.int32, ()),
}


class InvalidRecords(ValueError):
    """A record file or batch that must not be used; the message says which game, ply or field and
    why.
    """


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a record file says of itself, as string metadata."""

    source: str
    """One of `SOURCES`."""
    worker: str
    model_step: int
    """The training step of the weights that made the newest game in it."""
    search: dict[str, Any]
    """The search's settings."""
    games: int = 0
    created_at: str = ""
    """UTC, ISO 8601."""
    format_version: int = FORMAT_VERSION


def empty(n: int) -> GameRecord:
    """`n` blank records, all zeros."""
    return GameRecord(*(jnp.zeros((n, *shape), dtype) for dtype, shape in _FIELDS.values()))


def position(record: GameRecord, ply: jax.Array) -> tuple[game.GameState, game.GameState]:
    """The state before `ply` (0..27) of one record, and the finished game."""
    start = game.new_game(record.hands, record.declaration, record.leader)

    def step(carry: tuple[game.GameState, game.GameState], slot: jax.Array):
        state, wanted = carry
        wanted = jax.tree.map(
            lambda now, then: jnp.where(state.ply == ply, now, then), state, wanted
        )
        return (game.play(state, slot), wanted), None

    (final, wanted), _ = jax.lax.scan(step, (start, start), record.slots)
    return wanted, final


def _legal_by_ply(record: GameRecord) -> jax.Array:
    def step(state: game.GameState, slot: jax.Array):
        return game.play(state, slot), game.legal_slots(state)

    return jax.lax.scan(
        step, game.new_game(record.hands, record.declaration, record.leader), record.slots
    )[1]


def _as_array(field: Any) -> np.ndarray:
    try:
        return np.asarray(field)
    except ValueError:  # a ragged list
        return np.asarray(None)


_legal_of_games = jax.jit(jax.vmap(_legal_by_ply))


def validate(records: GameRecord) -> None:
    """Check every field of many records and replay every game through the rules in one call.

    Raises:
        InvalidRecords: naming the first bad game by its index, the ply where there is one, and the
            reason.
    """
    if not isinstance(records, GameRecord):
        raise InvalidRecords(f"expected a GameRecord, got {type(records).__name__}")
    records = GameRecord(*map(_as_array, records))
    n = records.hands.shape[0] if records.hands.ndim else 0
    for name, (dtype, shape) in _FIELDS.items():
        field = getattr(records, name)
        if field.dtype != dtype or field.shape != (n, *shape):
            raise InvalidRecords(
                f"{name}: expected {np.dtype(dtype)} {[n, *shape]}, got {field.dtype} "
                f"{list(field.shape)}"
            )
    if n == 0:
        return

    def refuse(bad: np.ndarray, reason: str) -> None:
        if bad.any():
            where = np.argwhere(bad)[0]
            place = f"game {where[0]}" + (f", ply {where[1]}" if len(where) > 1 else "")
            raise InvalidRecords(f"{place}: {reason}")

    refuse(
        (np.sort(records.hands.reshape(n, 28)) != np.arange(28)).any(1),
        "hands are not each of the 28 tiles once",
    )
    refuse(
        (records.declaration < 0) | (records.declaration >= tiles.N_DECLARATIONS),
        "declaration is not 0..9",
    )
    refuse((records.leader < 0) | (records.leader >= 4), "leader is not a seat 0..3")
    refuse((records.slots < 0) | (records.slots >= 7), "slot is not 0..6")
    refuse(
        ~np.isin(records.kind, list(Kind)),
        "kind is not one of " + ", ".join(f"{kind:d}" for kind in Kind),
    )
    refuse(~np.isfinite(records.value) | (np.abs(records.value) > 1.001), "value is not in [-1, 1]")
    refuse(~((records.weight >= 0) & (records.weight <= 1)), "weight is not in [0, 1]")
    refuse(
        (records.step_start < 0) | (records.step_end < records.step_start),
        "steps are negative or run backwards",
    )

    # Padded to powers of two, so that files of any size share a few compilations.
    padded = 1 << (n - 1).bit_length()
    rows = np.minimum(np.arange(padded), n - 1)
    legal = np.asarray(_legal_of_games(GameRecord(*(field[rows] for field in records))))[:n]
    refuse(
        ~np.take_along_axis(legal, records.slots[..., None].astype(int), 2)[..., 0],
        "the slot played is not legal",
    )
    policy, used = records.policy.astype(np.float32), records.weight > 0
    # Also where its weight is 0: a loss of nan has a gradient of nan, whatever it weighs.
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


def write(path: Path, records: GameRecord, metadata: Metadata) -> None:
    """Write records whole or not at all; `games` and, if empty, `created_at` are filled in.

    Raises:
        OSError: if the disk does not take them; nothing of them is left then.
    """
    path = Path(path)
    arrays = {name: np.ascontiguousarray(field) for name, field in records._asdict().items()}
    created_at = metadata.created_at or datetime.datetime.now(datetime.UTC).isoformat(
        timespec="seconds"
    )
    metadata = dataclasses.replace(metadata, games=len(arrays["slots"]), created_at=created_at)
    strings = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in dataclasses.asdict(metadata).items()
    }
    try:
        files.write_bytes(path, safetensors.numpy.save(arrays, strings))
    except OSError as error:
        raise OSError(error.errno, f"{path}: cannot be written ({error.strerror})") from None


def read(path: Path, max_bytes: int = MAX_FILE_BYTES) -> tuple[GameRecord, Metadata]:
    """Read and validate a record file.

    Raises:
        InvalidRecords: if it is too large, not such a file, of another format version, or holds one
            bad game.
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
    """The games in a record file's bytes, every one replayed; `name` is what messages call it.

    Raises:
        InvalidRecords: as `read`; nothing else, whatever the bytes are.
    """
    header_bytes = int.from_bytes(data[:8], "little")
    if _MAX_HEADER_BYTES < header_bytes <= len(data):  # JSON grows to many times its size in memory
        raise InvalidRecords(
            f"{name}: its header has {header_bytes:,} bytes, more than the {_MAX_HEADER_BYTES:,} "
            "allowed"
        )
    try:
        arrays = safetensors.numpy.load(data)  # it checks lengths and offsets
        header = json.loads(data[8 : 8 + header_bytes])
        metadata = _parse_metadata(header.get("__metadata__", {}))
        if odd := sorted(set(arrays) ^ set(_FIELDS)):
            raise InvalidRecords(f"array {odd[0]} is missing or not expected")
        records = GameRecord(**arrays)
        if records.slots.ndim and metadata.games != len(records.slots):
            raise InvalidRecords(
                f"its metadata says {metadata.games} games, it holds {len(records.slots)}"
            )
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
    return records, metadata


def peek(path: Path) -> Metadata:
    """What a record file says of itself; its games are not looked at.

    Raises:
        InvalidRecords: if it is not such a file.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return _parse_metadata(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
        raise InvalidRecords(f"{path}: not a readable record file: {error}") from None


def _parse_metadata(strings: dict[str, str]) -> Metadata:
    version = strings.get("format_version")
    if version != str(FORMAT_VERSION):
        raise InvalidRecords(f"format_version: expected {FORMAT_VERSION}, got {version}")
    try:
        metadata = Metadata(
            source=strings["source"],
            worker=strings["worker"],
            model_step=int(strings["model_step"]),
            search=json.loads(strings["search"]),
            games=int(strings["games"]),
            created_at=strings["created_at"],
        )
    except (KeyError, ValueError, RecursionError) as error:
        raise InvalidRecords(f"metadata is missing or malformed: {error}") from None
    if not isinstance(metadata.search, dict):
        raise InvalidRecords("metadata is missing or malformed: search is not an object")
    if not 0 <= metadata.model_step < 2**31:
        raise InvalidRecords("model_step: expected 0 to 2**31 - 1")
    if metadata.source not in SOURCES:
        raise InvalidRecords(
            f"source: expected one of {', '.join(SOURCES)}, got {metadata.source!r}"
        )
    return metadata
