"""Read the original's example batches as GameRecords: rebuild whole games from rows of plies.

A file holds a batch that a self-play worker of the original wrote: tensors with 28 rows per game,
first the first ply of all games, then the second, and so on (row = ply * games + game), and a
dictionary `metadata`. The rows repeat the same facts many times. So a game is rebuilt from a few of
its tokens (the four hands, the plays) and replayed. Then every token, mask and target of every row
must equal the replay's.

A batch lacks some fields of a record:

- Seats. Tokens hold seats relative to the mover, so the leader becomes seat 0, as in the original's
  self-play.
- The root value of the search. `value` becomes the outcome for the mover, which is the batch's
  value target: then a learner's `root_value_share` changes nothing, where 0 would pull every value
  towards a draw. It is 0 on forced plies, as in all records.
- The policy target of the last ply, which is all zero in the original. It becomes one-hot on the
  only slot, as for every forced ply.

Files of the original's other stream, `eval-eq-zeb`, must follow the same rules. Those whose value
targets are scaled by a bid are refused.
"""

import datetime
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from zebjax import game, record, tiles
from zebjax.common import files
from zebjax.observe import belief_targets, observe
from zebjax.record import GameRecord, InvalidRecords, Metadata, TargetKind
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.pickle import TorchFileError, shown

EXAMPLE_LIMITS = Limits(bytes=256 << 20, pickle_bytes=64 << 10, entries=1000, values=1000, depth=8)
"""Enough for about 6,000 games; the original's workers write up to 256 per file."""
# A batch without one of these sources counts as the first.
_SOURCES = (record.SELFPLAY, record.EVAL_AUX)
_COLUMNS = {
    "observations": (np.int32, (36, 8)),
    "masks": (np.bool_, (36,)),
    "hand_indices": (np.int64, (7,)),
    "hand_masks": (np.bool_, (7,)),
    "policy_targets": (np.float32, (7,)),
    "value_targets": (np.float32, ()),
    "belief_targets": (np.int64, (28,)),
    "belief_mask": (np.bool_, (28,)),
}
_HIGH, _LOW, _DECLARATION = 0, 1, 6  # features of a token
_HAND, _FIRST_PLAY = slice(1, 8), 8  # places among the 36 tokens
_SUM_TOLERANCE = 1e-3
_GAMES_A_CALL = 256
_MAX_STEP = 2**31 - 1


def read(path: Path | str, limits: Limits = EXAMPLE_LIMITS) -> tuple[GameRecord, Metadata]:
    """Read the games of a batch file, and its metadata.

    Nothing in the file is executed. Every game is replayed, and every row is compared with its
    replay.

    Args:
        path: the `.pt` file.
        limits: maximum sizes.

    Returns:
        `[games]` records of NumPy arrays: leader 0, both steps equal to the file's `model_step` (0
        if absent), kind `FORCED` if one slot was legal, else `SEARCH` (`TEACHER` in an
        `eval-eq-zeb` file). And the metadata, whose `search` holds the original's settings under
        the key `original`.

    Raises:
        InvalidRecords: if there is no such file, it is not a torch file, is too large, has another
            layout or one bad game. The message names the file, and the game and ply if one is bad.
    """
    try:
        data = torch_archive.read_bytes(path, limits)
    except TorchFileError as error:
        raise InvalidRecords(str(error)) from None
    return parse(data, path, limits)


def parse(
    data: bytes, source: Path | str, limits: Limits = EXAMPLE_LIMITS
) -> tuple[GameRecord, Metadata]:
    """Read a batch from the file's bytes, as `read`; `source` is its name for messages.

    Raises:
        InvalidRecords: as `read`. No other error is raised, whatever the bytes are.
    """
    try:
        content = torch_archive.parse(data, source, limits)
    except TorchFileError as error:
        raise InvalidRecords(str(error)) from None
    try:
        columns = _columns(content)
        n_games = len(columns["value_targets"])
        metadata = _metadata(content["metadata"], n_games)
        records = _records(columns, metadata)
        record.validate(records)
    except InvalidRecords as error:
        raise InvalidRecords(f"{source}: {error}") from None
    return records, metadata


def convert(
    source: Path | str, folder: Path | str, limits: Limits = EXAMPLE_LIMITS
) -> tuple[Path, Metadata]:
    """Convert a batch file to `<folder>/<its name>.safetensors`, atomically.

    Args:
        source: the `.pt` file.
        folder: created if it does not exist.
        limits: maximum sizes.

    Returns:
        The new file, and its metadata with the number of games.

    Raises:
        InvalidRecords: as `read`, or if the new file exists already.
        ValueError: if the new file cannot be written.
    """
    source = Path(source)
    path = Path(folder) / f"{source.stem}.safetensors"
    if os.path.lexists(path):
        raise InvalidRecords(f"{source}: {path} exists already: remove it or choose another place")
    records, metadata = read(source, limits)
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            record.write(path, records, metadata)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path}: cannot be written ({error})") from None
    return path, metadata


def _columns(content: Any) -> dict[str, np.ndarray]:
    """Return the tensors of a batch as `[games, 28, ...]`; check names, dtypes and shapes only."""
    if not isinstance(content, dict):
        raise InvalidRecords(f"expected a batch of examples, it holds {shown(content)}")
    expected = {*_COLUMNS, "metadata"}
    for key in sorted(content.keys() ^ expected, key=str):
        problem = "is missing; expected" if key in expected else "is not expected; a batch has"
        raise InvalidRecords(f"key {shown(key)} {problem} {', '.join(_COLUMNS)} and metadata")
    observations = content["observations"]
    n = len(observations) if isinstance(observations, np.ndarray) and observations.ndim else 0
    for name, (dtype, shape) in _COLUMNS.items():
        column = content[name]
        got = (
            f"{column.dtype} {list(column.shape)}"
            if isinstance(column, np.ndarray)
            else shown(column)
        )
        if got != f"{np.dtype(dtype)} {[n, *shape]}":
            raise InvalidRecords(
                f"{name}: expected {np.dtype(dtype)} {[n or 'rows', *shape]}, got {got}"
            )
    if n == 0 or n % game.N_PLIES:
        raise InvalidRecords(f"{n} rows: expected whole games of {game.N_PLIES} rows each")
    return {
        name: content[name].reshape(game.N_PLIES, -1, *_COLUMNS[name][1]).swapaxes(0, 1)
        for name in _COLUMNS
    }


def _metadata(facts: Any, n_games: int) -> Metadata:
    """Convert a batch's metadata to ours; a missing value becomes `unknown`, 0 or empty."""
    if not isinstance(facts, dict):
        raise InvalidRecords(f"metadata: expected a dictionary, got {shown(facts)}")
    worker, step, count = (facts.get(key) for key in ("worker_id", "model_step", "n_games"))
    if worker is not None and not isinstance(worker, str):
        raise InvalidRecords(f"metadata: worker_id: expected a text, got {shown(worker)}")
    if step is not None and not (type(step) is int and 0 <= step <= _MAX_STEP):
        raise InvalidRecords(
            f"metadata: model_step: expected an integer 0..{_MAX_STEP}, got {shown(step)}"
        )
    if count is not None and not (type(count) is int and count == n_games):
        raise InvalidRecords(
            f"metadata: n_games is {shown(count)}, but the rows are of {n_games} games"
        )
    source, search = facts.get("source"), facts.get("mcts_config")
    return Metadata(
        source=source if isinstance(source, str) and source in _SOURCES else _SOURCES[0],
        worker=worker or "unknown",
        model_step=step or 0,
        search={"original": _plain(search) if isinstance(search, dict) else {}},
        games=n_games,
        created_at=_time(facts.get("timestamp")),
    )


def _plain(settings: dict) -> dict[str, Any]:
    """Return the settings that JSON can hold."""
    return {
        str(key): value
        for key, value in settings.items()
        if value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and math.isfinite(value))
    }


def _time(seconds: Any) -> str:
    """Format seconds since 1970 as ISO 8601; empty if they are not a valid time."""
    try:
        if type(seconds) in (int, float):
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(
                timespec="seconds"
            )
    except (ValueError, OverflowError, OSError):
        pass
    return ""


def _refuse(bad: np.ndarray | np.bool_, reason: str) -> None:
    """Raise InvalidRecords if any entry of `bad` is True.

    Args:
        bad: bool `[games]` or `[games, 28]`; the message names the first game (and ply).
        reason: the rest of the message.
    """
    if bad.any():
        place = ", ply ".join(map(str, np.argwhere(bad)[0]))
        raise InvalidRecords(f"game {place}: {reason}")


def _records(columns: dict[str, np.ndarray], metadata: Metadata) -> GameRecord:
    """Make the records of a batch's games; check that every row equals its replay."""
    hands, declaration, plays = _deals_and_plays(columns)
    n = len(hands)
    places = np.argsort(hands.reshape(n, tiles.N_TILES), axis=1)  # tile id -> 7 * seat + slot
    seats, slots = np.divmod(np.take_along_axis(places, plays, axis=1), 7)
    replayed = _replay(hands, declaration, slots.astype(np.int8))
    _refuse(seats != replayed.mover, "the tile played was not dealt to the seat that is to move")
    legal = replayed.legal
    _refuse(
        ~np.take_along_axis(legal, slots[..., None], axis=2)[..., 0], "the tile played is not legal"
    )
    _check_rows(columns, replayed)
    policy, forced = _policy(columns["policy_targets"], legal)
    source_kind = TargetKind.SEARCH if metadata.source == _SOURCES[0] else TargetKind.TEACHER
    steps = np.full(n, metadata.model_step, np.int32)
    fields: dict[str, Any] = {
        "hands": hands,
        "declaration": declaration,
        "leader": np.zeros(n, np.int8),
        "slots": slots.astype(np.int8),
        "policy": policy,
        "weight": np.ones((n, game.N_PLIES), np.float16),
        "kind": np.where(forced, TargetKind.FORCED, source_kind).astype(np.int8),
        "value": np.where(forced, 0, replayed.outcome).astype(np.float16),
        "step_start": steps,
        "step_end": steps.copy(),
    }
    return GameRecord(**fields)


def _deals_and_plays(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hands int8 `[games, 4, 7]`, declarations int8 `[games]`, plays int64 `[games, 28]`.

    Plays are tile ids. Hands come from each seat's row in the first trick, and plays from the last
    row, which shows all plays but the last.
    """
    tokens = columns["observations"]
    shown_plays = columns["masks"][..., _FIRST_PLAY:].sum(2)
    _refuse(
        shown_plays != np.arange(game.N_PLIES),
        "its row shows another number of plays; expected all games of one batch, ply by ply (row "
        "= ply * games + game)",
    )
    declaration = tokens[:, 0, 0, _DECLARATION]
    _refuse((declaration < 0) | (declaration >= tiles.N_DECLARATIONS), "declaration is not 0..9")
    hands = _tile_ids(tokens[:, : tiles.N_PLAYERS, _HAND], "a hand token of the first trick")
    hands = hands.reshape(-1, tiles.N_TILES)
    _refuse(
        (np.sort(hands, 1) != np.arange(tiles.N_TILES)).any(1),
        "hands are not each of the 28 tiles once",
    )
    plays = _tile_ids(tokens[:, -1, _FIRST_PLAY:-1], "a play token of the last ply")
    # No token shows the last play: it is the tile id missing from the sum of all 28.
    last = tiles.N_TILES * (tiles.N_TILES - 1) // 2 - plays.sum(1, keepdims=True)
    plays = np.concatenate([plays, last], axis=1)
    _refuse(
        (np.sort(plays, 1) != np.arange(tiles.N_TILES)).any(1),
        "plays are not each of the 28 tiles once",
    )
    return hands.reshape(-1, 4, 7).astype(np.int8), declaration.astype(np.int8), plays


def _tile_ids(tokens: np.ndarray, what: str) -> np.ndarray:
    """Return the tile ids, int64 `[games, ...]`, of tokens `[games, ..., 8]`."""
    high, low = tokens[..., _HIGH].astype(np.int64), tokens[..., _LOW].astype(np.int64)
    bad = (low < 0) | (low > high) | (high > 6)
    _refuse(bad.reshape(len(bad), -1).any(1), f"{what} has pips that no tile has")
    return high * (high + 1) // 2 + low


class _Replayed(NamedTuple):
    """The facts of every ply by the rules; leading axes `[games, 28]`."""

    mover: np.ndarray
    """Seat."""
    legal: np.ndarray
    """bool `[7]`."""
    tokens: np.ndarray
    """int8 `[36, 8]`."""
    mask: np.ndarray
    """bool `[36]`."""
    belief_targets: np.ndarray
    """int32 `[28]`."""
    belief_mask: np.ndarray
    """bool `[28]`."""
    outcome: np.ndarray
    """float32, the game's outcome for the mover."""


@jax.jit
@jax.vmap
def _replay_games(
    hands: jax.Array, declaration: jax.Array, slots: jax.Array
) -> tuple[jax.Array, ...]:
    """Return the fields of `_Replayed`, in order."""

    def step(state: game.GameState, slot: jax.Array):
        seen = observe(state)
        row = (
            game.current_player(state),
            game.legal_slots(state),
            seen.tokens,
            seen.mask,
            *belief_targets(state),
        )
        return game.play(state, slot), row

    final, rows = jax.lax.scan(step, game.new_game(hands, declaration, jnp.int8(0)), slots)
    return *rows, jax.vmap(game.outcome, in_axes=(None, 0))(final, rows[0])


def _replay(hands: np.ndarray, declaration: np.ndarray, slots: np.ndarray) -> _Replayed:
    """Replay games `[games]` that seat 0 leads."""
    parts = []
    # Sizes are powers of two up to `_GAMES_A_CALL`, so that all files share few compiled programs.
    for start in range(0, len(hands), _GAMES_A_CALL):
        n = min(_GAMES_A_CALL, len(hands) - start)
        rows = start + np.minimum(np.arange(1 << (n - 1).bit_length()), n - 1)
        part = _replay_games(hands[rows], declaration[rows], slots[rows])
        parts.append([np.asarray(field)[:n] for field in part])
    return _Replayed(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _check_rows(columns: dict[str, np.ndarray], replayed: _Replayed) -> None:
    """Refuse rows that differ from the replay; masked tokens and beliefs are not compared."""
    mask, belief_mask = replayed.mask, replayed.belief_mask
    differs = {
        "masks": columns["masks"] != mask,
        "observations": (columns["observations"] != replayed.tokens) & mask[..., None],
        "hand_indices": columns["hand_indices"] != np.arange(_HAND.start, _HAND.stop),
        "hand_masks": columns["hand_masks"] != mask[..., _HAND],
        "belief_mask": columns["belief_mask"] != belief_mask,
        "belief_targets": (columns["belief_targets"] != replayed.belief_targets) & belief_mask,
        "value_targets": columns["value_targets"] != replayed.outcome,
    }
    for name, wrong in differs.items():
        by_ply = wrong.reshape(*wrong.shape[:2], -1).any(2)
        _refuse(by_ply, f"{name} differs from the replay of the game")


def _policy(targets: np.ndarray, legal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return policy targets float16 `[games, 28, 7]`, one-hot on forced plies, and forced plies.

    The latter are bool `[games, 28]`.
    """
    # The original's priors covered illegal slots, but its targets are visits, and only legal
    # children are visited: a target on an illegal slot is a fault of the file.
    in_range = (targets >= 0) & (targets <= 1 + _SUM_TOLERANCE)  # False for nan
    _refuse(~in_range.all(2), "policy_targets is not finite and 0 to 1")
    _refuse(
        (np.where(legal, 0, targets) > 0).any(2), "policy_targets is not zero on an illegal slot"
    )
    total = targets.sum(2)
    empty_last = (total == 0) & (np.arange(game.N_PLIES) == game.N_PLIES - 1)
    _refuse(~empty_last & (np.abs(total - 1) > _SUM_TOLERANCE), "policy_targets does not sum to 1")
    forced = legal.sum(2) == 1
    return np.where(forced[..., None], legal, targets).astype(np.float16), forced
