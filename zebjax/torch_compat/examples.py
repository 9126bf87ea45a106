"""The original's example batches as GameRecords: whole games, rebuilt from the rows of their plies.

A file is a batch as a self-play worker of the original writes it: tensors with 28 rows for each
game, first every game's first ply, then every game's second and so on (row = ply * games + game),
and a dictionary `metadata`. The rows repeat the same facts many times. So a game is rebuilt from a
few of its tokens (the four hands, the plays) and replayed, and every token, mask and target of
every row must then equal what the replay gives.

What a batch does not say, and what stands in the records for it:

- The seats. Tokens only know seats relative to the mover, so the leader is seat 0, as it was in the
  original's self-play.
- The root value of a search. A record's `value` is the outcome for the mover instead, which is the
  value target that the batch has: with 0, a learner's `root_value_share` would pull every value
  towards a draw; with the outcome it changes nothing. It is 0 on forced plies, as everywhere.
- The target of the last ply, which the original leaves all zero: one-hot on the only slot, as of
  any forced ply.

Files of its other stream, `eval-eq-zeb`, are held to the same rules: those whose value targets are
scaled by a bid, instead of being the outcome, are refused.
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
"""Some 6,000 games: the original's workers write up to 256 at a time."""
# The first is assumed where a batch names none of them.
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
_LARGEST_STEP = 2**31 - 1


def read(path: Path | str, limits: Limits = EXAMPLE_LIMITS) -> tuple[GameRecord, Metadata]:
    """The games of a batch file of the original, `[games]`, and the file's metadata.

    Nothing in the file is executed. Every game has been replayed, and every row agrees with its
    replay.

    Args:
        path: the `.pt` file.
        limits: what reading it may cost.

    Returns:
        NumPy records with leader 0, both steps the file's `model_step` (0 if none), kind `FORCED`
        where one slot was legal, else `SEARCH` (`TEACHER` in an `eval-eq-zeb` file); and metadata
        whose `search` is the original's own settings under the key `original`.

    Raises:
        InvalidRecords: in one sentence with the path: if there is no such file, it is no torch
            file, too large, of another layout, or holds one bad game, then with the game and ply.
    """
    try:
        data = torch_archive.read_bytes(path, limits)
    except TorchFileError as error:
        raise InvalidRecords(str(error)) from None
    return parse(data, path, limits)


def parse(
    data: bytes, source: Path | str, limits: Limits = EXAMPLE_LIMITS
) -> tuple[GameRecord, Metadata]:
    """As `read`, from the file's bytes; `source` is the name for messages. No other error, whatever
    the bytes are.
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
    """Write the games of a batch file of the original as `<folder>/<its name>.safetensors`, whole
    or not at all.

    Returns:
        The new file, and its metadata with the number of games.

    Raises:
        InvalidRecords: as `read`, or if the new file exists already.
        ValueError: if it cannot be written.
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
    """The tensors of a batch as `[games, 28, ...]`. Only names, types and shapes are checked."""
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
    """A batch's metadata as ours; a missing value becomes `unknown`, 0 or empty."""
    if not isinstance(facts, dict):
        raise InvalidRecords(f"metadata: expected a dictionary, got {shown(facts)}")
    worker, step, count = (facts.get(key) for key in ("worker_id", "model_step", "n_games"))
    if worker is not None and not isinstance(worker, str):
        raise InvalidRecords(f"metadata: worker_id: expected a text, got {shown(worker)}")
    if step is not None and not (type(step) is int and 0 <= step <= _LARGEST_STEP):
        raise InvalidRecords(
            f"metadata: model_step: expected an integer 0..{_LARGEST_STEP}, got {shown(step)}"
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
    """The settings that JSON can hold."""
    return {
        str(key): value
        for key, value in settings.items()
        if value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and math.isfinite(value))
    }


def _time(seconds: Any) -> str:
    """Seconds since 1970 as ISO 8601; empty if they are not a valid time."""
    try:
        if type(seconds) in (int, float):
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(
                timespec="seconds"
            )
    except (ValueError, OverflowError, OSError):
        pass
    return ""


def _refuse(bad: np.ndarray | np.bool_, reason: str) -> None:
    """Raise InvalidRecords for the first marked game, and ply.

    Args:
        bad: bool `[games]` or `[games, 28]`.
        reason: what is wrong with it.
    """
    if bad.any():
        place = ", ply ".join(map(str, np.argwhere(bad)[0]))
        raise InvalidRecords(f"game {place}: {reason}")


def _records(columns: dict[str, np.ndarray], metadata: Metadata) -> GameRecord:
    """The records of a batch's games, after checking that every row equals its replay."""
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
    judge = TargetKind.SEARCH if metadata.source == _SOURCES[0] else TargetKind.TEACHER
    steps = np.full(n, metadata.model_step, np.int32)
    fields: dict[str, Any] = {
        "hands": hands,
        "declaration": declaration,
        "leader": np.zeros(n, np.int8),
        "slots": slots.astype(np.int8),
        "policy": policy,
        "weight": np.ones((n, game.N_PLIES), np.float16),
        "kind": np.where(forced, TargetKind.FORCED, judge).astype(np.int8),
        "value": np.where(forced, 0, replayed.outcome).astype(np.float16),
        "step_start": steps,
        "step_end": steps.copy(),
    }
    return GameRecord(**fields)


def _deals_and_plays(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hands int8 `[games, 4, 7]`, declarations int8 `[games]` and tiles played int64 `[games, 28]`,
    each tile once.

    Hands are taken from each seat's row in the first trick, plays from the last row, which shows
    all but the last.
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
    last = tiles.N_TILES * (tiles.N_TILES - 1) // 2 - plays.sum(
        1, keepdims=True
    )  # the tile that no token shows
    plays = np.concatenate([plays, last], axis=1)
    _refuse(
        (np.sort(plays, 1) != np.arange(tiles.N_TILES)).any(1),
        "plays are not each of the 28 tiles once",
    )
    return hands.reshape(-1, 4, 7).astype(np.int8), declaration.astype(np.int8), plays


def _tile_ids(tokens: np.ndarray, what: str) -> np.ndarray:
    """Tile ids int64 `[games, ...]` of tokens `[games, ..., 8]`."""
    high, low = tokens[..., _HIGH].astype(np.int64), tokens[..., _LOW].astype(np.int64)
    bad = (low < 0) | (low > high) | (high > 6)
    _refuse(bad.reshape(len(bad), -1).any(1), f"{what} has pips that no tile has")
    return high * (high + 1) // 2 + low


class _Replayed(NamedTuple):
    """Every ply by the rules; leading axes `[games, 28]`."""

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
    """float32, for the mover."""


@jax.jit
@jax.vmap
def _replay_games(
    hands: jax.Array, declaration: jax.Array, slots: jax.Array
) -> tuple[jax.Array, ...]:
    """The fields of `_Replayed`, in order."""

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
    """Replay games `[games]` that seat 0 leads, in parts of a few sizes, so that all files share a
    few compiled programs.
    """
    parts = []
    for start in range(0, len(hands), _GAMES_A_CALL):
        n = min(_GAMES_A_CALL, len(hands) - start)
        rows = start + np.minimum(np.arange(1 << (n - 1).bit_length()), n - 1)
        part = _replay_games(hands[rows], declaration[rows], slots[rows])
        parts.append([np.asarray(field)[:n] for field in part])
    return _Replayed(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _check_rows(columns: dict[str, np.ndarray], replayed: _Replayed) -> None:
    """Refuse rows that are not what the replay gives; masked tokens and the mover's own tiles may
    be anything.
    """
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
        _refuse(by_ply, f"{name} is not what the replay of the game gives")


def _policy(targets: np.ndarray, legal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Policy targets float16 `[games, 28, 7]`, one-hot on forced plies; and which plies are forced,
    bool `[games, 28]`.

    The original's priors covered illegal slots, but its targets are visits, and only legal children
    are ever visited: mass elsewhere is a fault of the file.
    """
    in_range = (targets >= 0) & (targets <= 1 + _SUM_TOLERANCE)  # false for NaN
    _refuse(~in_range.all(2), "policy_targets is not finite and 0 to 1")
    _refuse(
        (np.where(legal, 0, targets) > 0).any(2), "policy_targets is not zero on an illegal slot"
    )
    total = targets.sum(2)
    empty_last = (total == 0) & (np.arange(game.N_PLIES) == game.N_PLIES - 1)
    _refuse(~empty_last & (np.abs(total - 1) > _SUM_TOLERANCE), "policy_targets does not sum to 1")
    forced = legal.sum(2) == 1
    return np.where(forced[..., None], legal, targets).astype(np.float16), forced
