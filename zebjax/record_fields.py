"""GameRecord: one finished game with the search's result at each ply, as plain arrays.

Its values of every move may be missing. `record` replays, checks, writes and reads them.
"""

import enum
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from zebjax.common.arrays import Array, check


class TargetKind(enum.IntEnum):
    """The origin of a ply's policy target. The numbers are those of the file format."""

    FORCED = 0
    """One legal slot; the target is one-hot."""
    SEARCH = 1
    """A tree search whose leaves the network evaluated."""
    TEACHER = 2
    """E[Q], see `training.teacher`."""
    EXACT = 3
    """A tree search with two tricks left or fewer, whose leaf values are exact."""
    NONE = 4
    """No target: a player's move without a policy target and without a root value."""
    ROLLOUT = 5
    """No search: the outcome of moves when all go on by a policy, see `training.labelled_games`, or
    what drew the move, see `search.rollouts`."""


class GameRecord(NamedTuple):
    """One finished game; many with a leading axis. Device arrays or NumPy arrays."""

    hands: Array
    """int8 `[4, 7]` tile ids as dealt."""
    declaration: Array
    """int8."""
    leader: Array
    """int8, the seat that led the first trick."""
    slots: Array
    """int8 `[28]`, the mover's slot at each ply."""
    policy: Array
    """float16 `[28, 7]`, the policy target of each ply's mover."""
    weight: Array
    """float16 `[28]`, weight of the policy target; 0 is none."""
    kind: Array
    """int8 `[28]`, a `TargetKind`: the target's origin."""
    value: Array
    """float16 `[28]`, the root value for the mover, in [-1, 1], or with `ROLLOUT` the outcome after
    the move that was played; 0 where nothing was judged."""
    step_start: Array
    """int32, the training step of the weights at the game's start."""
    step_end: Array
    """int32, the training step of the weights at the game's end."""
    moves: Array | None = None
    """float16 `[28, 7, 2]`, the value of each move of each ply's mover, P(win) - P(lose), and its
    points, (ours - theirs) at the end / `tiles.POINTS_SCALE`; nan where not known or not legal.
    None if the game has none of them. E[Q] that plays to make a contract, or by the criterion
    "win", counts a tie as lost, and no points before the third trick."""


MOVES = "moves"
"""The field that a record or a file need not have."""
FIELDS: dict[str, tuple[type, tuple[int, ...]]] = {
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
"""Dtype and shape of each field of one `GameRecord` that every record has."""
ALL_FIELDS = FIELDS | {MOVES: (np.float16, (28, 7, 2))}
"""The same of all fields."""


def empty(n: int) -> GameRecord:
    """`n` blank records, all zeros."""
    return GameRecord(*(jnp.zeros((n, *shape), dtype) for dtype, shape in FIELDS.values()))


def arrays_of(records: Any) -> dict[str, Any]:
    """Return the arrays of records by name, NumPy arrays: all fields but those that are None."""
    fields = records._asdict().items()
    return {name: np.asarray(field) for name, field in fields if field is not None}


def with_moves(records: Any, is_wanted: bool) -> Any:
    """Return records that have values of moves, all nan if they had none, or records without.

    Args:
        records: `[n]` games: a GameRecord, or what has its fields.
        is_wanted: True for records that have them.
    """
    if not is_wanted:
        return records._replace(moves=None)
    if records.moves is not None:
        return records
    dtype, shape = ALL_FIELDS[MOVES]
    # On the host only for arrays of the host: a ring is many times as large as the games of a file.
    full = np.full if isinstance(records.slots, np.ndarray) else jnp.full
    return records._replace(moves=full((len(records.slots), *shape), np.nan, dtype))


def check_record(records: Any, batch: tuple[int | str, ...] = ()) -> None:
    """Raise an error unless every field has its shape and kind of numbers.

    This checks only shapes and dtypes and works on traced records; `validate` replays the games.

    Args:
        records: one record, or many with leading axes: a GameRecord, or what has its fields.
        batch: the leading axes, as in `("B",)`; empty for one record.

    Raises:
        ValueError: the message names the field, and the expected and the given value.
    """
    for name, (dtype, shape) in ALL_FIELDS.items():
        if name == MOVES and records.moves is None:
            continue
        kind = int if np.issubdtype(dtype, np.integer) else float
        check(f"records.{name}", getattr(records, name), (*batch, *shape), kind)
        # The first field decides the sizes of the leading axes, and the others must agree with it.
        batch = np.shape(records.hands)[: len(batch)]
