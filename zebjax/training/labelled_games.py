"""Games with rollouts, the outcome of every move: their files, and as lessons.

`zebjax iterate` and `zebjax teach --rollouts` make them. A file holds the fields of `Games` as
safetensors. `lessons` makes records of them that a network with a head for the values of moves
learns from.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from zebjax import record, tiles
from zebjax.common import files
from zebjax.network.config import POINTS_WEIGHT, VALUE_WEIGHT
from zebjax.record import GameRecord, TargetKind
from zebjax.solver.ranks import RANK_OF_TILE, TILE_OF_RANK

_FACTS = "made_with"
"""Key of the metadata of a file."""


@dataclasses.dataclass(frozen=True)
class Games:
    """Labelled games; leading axis of every field: n games."""

    hands: np.ndarray
    """int8 `[n, 4, 7]`, tile ids."""
    declaration: np.ndarray
    """int8 `[n]`."""
    leader: np.ndarray
    """int8 `[n]`."""
    plays: np.ndarray
    """int8 `[n, 28]`, the rank played at each ply."""
    labels: np.ndarray
    """int8 `[n, 28, 7]`: points of the mover's team at the end, for each legal rank in ascending
    order; -1 after the last, and for a mover without a choice."""

    def where(self, rows: np.ndarray) -> "Games":
        """Select games by row numbers."""
        return Games(**{name: field[rows] for name, field in vars(self).items()})


def join(parts: list[Games]) -> Games:
    """Join games of several parts."""
    return Games(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Games)
        }
    )


# ---- files


def is_file_of(path: Path) -> bool:
    """True for a file of labelled games; False for any other, also if it cannot be read."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return "labels" in file.keys()  # noqa: SIM118  it is no mapping
    except (safetensors.SafetensorError, OSError):
        return False


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        return safetensors.numpy.load(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from None
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"{file}: not a readable safetensors file ({error})") from None


def check_arrays(
    file: Path, arrays: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], dtype: type
) -> None:
    """Raise ValueError unless a file has exactly these arrays, of one dtype."""
    if set(arrays) != set(shapes):
        raise ValueError(f"{file}: expected the arrays {', '.join(shapes)}")
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype != dtype:
            raise ValueError(
                f"{file}: array {name}: expected {np.dtype(dtype)} {shape}, got {found.dtype} "
                f"{found.shape}"
            )


def read(file: Path) -> Games:
    """Read a file of labelled games. Arrays are checked, but the games are not replayed.

    Raises:
        ValueError: if it is damaged or no such file.
    """
    arrays = read_arrays(file)
    n = len(arrays["leader"]) if np.ndim(arrays.get("leader", 0)) else 0
    limits = {
        "hands": ((n, 4, 7), 0, tiles.N_TILES),
        "declaration": ((n,), 0, tiles.N_DECLARATIONS),
        "leader": ((n,), 0, tiles.N_PLAYERS),
        "plays": ((n, 28), 0, tiles.N_TILES),
        "labels": ((n, 28, 7), -1, tiles.TOTAL_POINTS + 1),
    }
    check_arrays(file, arrays, {name: shape for name, (shape, _, _) in limits.items()}, np.int8)
    if not n:
        raise ValueError(f"{file}: expected at least one game")
    for name, (_, low, high) in limits.items():
        if ((arrays[name] < low) | (arrays[name] >= high)).any():
            raise ValueError(f"{file}: array {name}: expected {low}..{high - 1}")
    return Games(**arrays)


def read_first(folder: Path, n: int, on_progress: Callable[[float], None]) -> Games:
    """Read the first n games in the files of labelled games of a folder, by name, and replay them.

    Args:
        folder: may hold other files too.
        n: number of games.
        on_progress: called after each file with the share that is read.

    Raises:
        ValueError: if there are fewer, or a file is damaged or holds a game that is not legal.
    """
    parts: list[Games] = []
    found = 0
    for file in sorted(folder.glob("*.safetensors")):
        if found < n and is_file_of(file):
            parts.append(read(file))
            lessons(parts[-1], 1.0, str(file))  # proves that they are legal
            found += len(parts[-1].leader)
            on_progress(min(1.0, found / n))
    if found < n:
        raise ValueError(f"{folder}: expected {n:,} labelled games, found {found:,}")
    return join(parts).where(np.arange(n))


def write(file: Path, games: Games, facts: Mapping[str, Any] | None = None) -> None:
    """Write a file of labelled games; its folder must exist.

    Args:
        file: its path.
        games: what it holds.
        facts: how they were made, for `facts_of`; values for JSON.

    Raises:
        ValueError: if it cannot be written.
    """
    metadata = None if facts is None else {_FACTS: json.dumps(facts)}
    with files.writing(file):
        files.write_bytes(file, safetensors.numpy.save(vars(games), metadata))


def facts_of(file: Path) -> dict[str, Any]:
    """Return the facts that a file was written with; empty if there are none or it is damaged."""
    try:
        with safetensors.safe_open(file, "numpy") as opened:
            facts = json.loads((opened.metadata() or {}).get(_FACTS, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


# ---- lessons


def lessons(games: Games, temperature: float, source: str) -> GameRecord:
    """Return labelled games as records with the values of moves.

    The value of a move is 1, 0 or -1: the mover's team ends with more points, as many or fewer. The
    policy target of a decision is softmax(score / temperature) over the legal moves, where the
    score is `VALUE_WEIGHT` * value + `POINTS_WEIGHT` * points. The root value is the value of the
    move that was played: another outcome of the same position than that of the game.

    Args:
        games: `[n]`.
        temperature: of the policy targets.
        source: name of the file, for messages.

    Returns:
        `[n]` records of NumPy arrays, proved to be legal.

    Raises:
        ValueError: if a game is not legal, or its labels are not one for each legal move.
    """
    n, rows = len(games.leader), np.arange(len(games.leader))[:, None]
    declarations = games.declaration.astype(np.int64)
    holders = np.argsort(games.hands.reshape(n, tiles.N_TILES), 1)  # [n, tile]: seat * 7 + slot
    seats, slots = np.divmod(holders[rows, TILE_OF_RANK[declarations[:, None], games.plays]], 7)
    records = jax.tree.map(np.asarray, record.empty(n))._replace(
        hands=games.hands,
        declaration=games.declaration,
        leader=games.leader,
        slots=slots.astype(np.int8),
    )
    try:
        record.validate(records)
    except record.InvalidRecords as error:
        raise ValueError(f"{source}: {error}") from None
    legal = record.legal_slots(records)
    n_legal = legal.sum(2)
    has_choice = n_legal > 1
    if ((games.labels >= 0) != (np.arange(7) < np.where(has_choice, n_legal, 0)[..., None])).any():
        raise ValueError(f"{source}: array labels: expected one for each move of a decision")
    # By slot instead of in the order of ranks.
    hands = games.hands[rows, seats]
    ranks = RANK_OF_TILE[declarations[:, None, None], hands]
    place = np.argsort(np.argsort(np.where(legal, ranks, tiles.N_TILES), 2), 2)
    margins = 2.0 * np.take_along_axis(games.labels, place, 2) - tiles.TOTAL_POINTS
    moves = np.stack([np.sign(margins), margins / tiles.POINTS_SCALE], -1)
    is_decided = has_choice[..., None] & legal
    scores = moves @ np.array([VALUE_WEIGHT, POINTS_WEIGHT]) / temperature
    scores = np.where(legal, scores * has_choice[..., None], -np.inf)
    policy = np.exp(scores - scores.max(2, keepdims=True))
    value = np.take_along_axis(moves[..., 0], slots[..., None], 2)[..., 0]
    return records._replace(
        policy=(policy / policy.sum(2, keepdims=True)).astype(np.float16),
        weight=np.ones((n, 28), np.float16),
        kind=np.where(has_choice, TargetKind.ROLLOUT, TargetKind.FORCED).astype(np.int8),
        value=np.where(has_choice, value, 0).astype(np.float16),
        moves=np.where(is_decided[..., None], moves, np.nan).astype(np.float16),
    )
