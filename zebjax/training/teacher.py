"""Teacher data: games of E[Q], or of a stronger player, as GameRecords.

E[Q] plays against itself or, as one team, against another player. Every decision with more than one
legal move gets targets from the mean points of each move over sampled worlds, each solved exactly
(see `players.exact`); the other player's decisions do too:

- policy target: softmax(mean points / temperature), where a move that is `temperature` points worse
  gets 1/e of the weight; or one-hot, the best move.
- value: P(more points than the other team) - P(fewer) after E[Q]'s best move, for the mover.
- values of moves: the same after each move, and its mean points, see `GameRecord.moves`.

E[Q] plays the move with the most mean points, see `exact.Values.best_slots`. With the criterion
"win" both come from P(win), and E[Q] plays as the player `eq`.

In games with a contract (`Settings.contract`) the targets come from P(make) or P(set) instead of
mean points, E[Q] plays as the player `eq:criterion=make`, and the files hold the contracts; see
`lessons`.

With `Settings.by` another player takes the place of E[Q]: it judges every move, plays its choice,
and the targets come from its P(win), see `lessons.judge_by`.

The settings and the number of a file determine its games, and files are written atomically. So a
stopped run can be repeated: it makes the missing files, and the games are the same.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import contract_record, game, players, record, tiles
from zebjax.common import jax_settings
from zebjax.contract import Contract
from zebjax.contract_record import AnyRecord
from zebjax.evaluation import turns
from zebjax.players import Player, base
from zebjax.record import TargetKind
from zebjax.small import batch
from zebjax.training import lessons
from zebjax.training.teacher_config import Settings as Settings

_STREAM = 0x7EAC
"""Folded into the seed, so that the deals differ from other uses of it, such as evaluation."""
_EXPLORE = 4
"""Stream of random numbers, see `batch.seeds_of`."""


def policy_target(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(scores / temperature).

    Args:
        scores: float `[N, 7]`, mean points or percent; nan for an illegal slot.
        temperature: in the unit of the scores.

    Returns:
        float64 `[N, 7]`; 0 for an illegal slot.

    >>> policy_target(np.array([[3.0, 3.0, np.nan]]), 1.0).tolist()
    [[0.5, 0.5, 0.0]]
    """
    # Relative to the best move, so that exp does not overflow.
    advantage = scores - np.nanmax(scores, axis=-1, keepdims=True)
    weights = np.where(
        np.isnan(advantage), 0, np.exp(np.nan_to_num(advantage, nan=0) / temperature)
    )
    return weights / weights.sum(-1, keepdims=True)


def targets(settings: Settings, scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Return the policy targets of decisions, float64 `[N, 7]`.

    Args:
        settings: `targets` and `temperature`.
        scores: float `[N, 7]`, see `lessons.Judgement`; nan for an illegal slot.
        best: int `[N]`, the slots that the teacher chooses.

    >>> points, best = np.array([[3.0, 3.0, np.nan, 2.0, 0.0, 0.0, 0.0]]), np.array([1])
    >>> targets(Settings(targets="one_hot"), points, best).tolist()
    [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    if settings.targets == "one_hot":
        return np.eye(tiles.HAND_SIZE)[best]
    return policy_target(scores, settings.temperature)


class Cast(NamedTuple):
    """Who plays the games of a teacher."""

    judge: base.Judge | None = None
    """That of the player `Settings.by`; None: E[Q]."""
    opponent: Player | None = None
    """The player of `Settings.opponent`; None: the teacher itself."""
    label_opponent: bool = True
    """True to give the opponent's decisions targets from the teacher too; False to give them none
    (weight 0)."""


def play_file(
    settings: Settings,
    cast: Cast,
    index: int,
    n_games: int,
    on_ply: Callable[[int], None] | None = None,
) -> AnyRecord:
    """Play the first `n_games` games of file number `index`.

    Args:
        settings: see `Settings`.
        cast: see `Cast`.
        index: 0 or more.
        n_games: 1 to `settings.games_per_file`.
        on_ply: called after every ply with the number of plies played.

    Returns:
        `[n_games]` records of NumPy arrays, with their contracts if `settings.has_contracts`.

    Raises:
        ValueError: if the opponent chooses an illegal slot.
    """
    stream = jax.random.fold_in(jax_settings.key(settings.seed), _STREAM)
    states, play_keys, contracts = lessons.deals(
        settings, jax.random.fold_in(stream, index), n_games
    )
    records = record.with_moves(jax.tree.map(np.array, record.empty(n_games)), True)
    records.weight[:] = 1
    team = np.arange(n_games) % 2
    ply, opponent = 0, cast.opponent

    def choose(turn: turns.Turn) -> np.ndarray:
        nonlocal ply
        slots = np.array(game.forced_slot(turn.legal))
        decisions = np.flatnonzero(slots < 0)
        # One-hot for a forced move. A decision's target replaces it below; if it has no target, its
        # weight is 0.
        policy, value = turn.legal.astype(np.float64), np.zeros(n_games)
        of_opponent = (turn.movers[decisions] % 2 != team[decisions]) & (opponent is not None)
        theirs, rows = (
            decisions[of_opponent],
            decisions if cast.label_opponent else decisions[~of_opponent],
        )
        if len(rows):
            states, keys = base.gather(turn.states, rows), turn.keys[rows]
            if cast.judge is not None:
                judged = lessons.judge_by(cast.judge, states, keys)
            else:
                some = None
                if contracts is not None:
                    some = Contract(*(field[rows] for field in contracts))
                judged = lessons.judge(settings, states, keys, some)
            slots[rows] = _explored(settings.random, judged, keys)
            value[rows] = judged.value
            policy[rows] = targets(settings, judged.score, judged.best)
            records.moves[rows, ply] = judged.moves
        records.kind[:, ply] = TargetKind.FORCED
        records.kind[rows, ply] = TargetKind.TEACHER
        if opponent is not None and len(theirs):
            slots[theirs] = turns.ask(opponent, turn, theirs, contracts)
            if not cast.label_opponent:
                records.kind[theirs, ply], records.weight[theirs, ply] = TargetKind.NONE, 0
        records.slots[:, ply], records.policy[:, ply], records.value[:, ply] = slots, policy, value
        ply += 1
        return slots

    turns.play_out(states, play_keys, choose, on_ply)
    records = records._replace(
        hands=np.asarray(states.hands),
        declaration=np.asarray(states.declaration),
        leader=np.asarray(states.leader),
    )
    return records if contracts is None else contract_record.joined(records, contracts)


def _explored(random: float, judged: lessons.Judgement, keys: np.ndarray) -> np.ndarray:
    """Return the slots that are played, `[N]`: this share of them drawn from all that are legal."""
    slots = judged.best.copy()
    if random == 0:
        return slots
    for row, seed in enumerate(batch.seeds_of(keys, _EXPLORE)):
        rng = np.random.default_rng(seed)
        if rng.random() < random:
            slots[row] = rng.choice(np.flatnonzero(~np.isnan(judged.score[row])))
    return slots


def _player(settings: Settings, name: str) -> Player | None:
    """Make the player that this setting names."""
    spec = getattr(settings, name)
    try:
        return players.make(spec) if spec else None
    except ValueError as error:
        raise ValueError(f"--{name}: {error}") from None


_OLDER = {
    name: getattr(Settings(), name)
    for name in (
        *("targets", "contract", "declare", "declare_worlds", "value", "criterion"),
        *("by", "random"),
    )
}
"""The settings that files from before they existed were made with."""


class Maker:
    """Makes files of a teacher's games, see `teacher_files.Maker`."""

    prefix = "teacher"

    def __init__(self, settings: Settings) -> None:
        """Make the players.

        Args:
            settings: see `Settings`. Files store the identities of the players, which change with
                their weights.

        Raises:
            ValueError: if a player's spec is wrong, or the teacher does not judge every move.
        """
        opponent, by = (_player(settings, name) for name in ("opponent", "by"))
        if by is not None and by.judge is None:
            raise ValueError(
                f"--by: player {settings.by!r} does not judge every move; expected eq:... with "
                "belief or rollouts, criterion win, and without adaptive and points"
            )
        self._cast = Cast(by.judge if by else None, opponent)
        self._settings, self.games_per_file = settings, settings.games_per_file
        # `by` comes first, since the error about a folder of other settings names the first that
        # differs, and another teacher has other defaults.
        self.facts: dict[str, Any] = {"by": "", **dataclasses.asdict(settings)}
        self.facts["opponent"] = opponent.identity if opponent else ""
        if by is not None:
            digest = hashlib.sha256(by.identity.encode()).hexdigest()
            self.facts["by"] = f"{settings.by} ({digest[:16]})"

    def read(self, file: Path) -> tuple[int, dict[str, Any]]:
        _, metadata = contract_record.read_any(file)
        return metadata.games, _OLDER | metadata.search

    def write(self, file: Path, index: int, n: int, on_share: Callable[[float], None]) -> None:
        def on_ply(ply: int) -> None:
            on_share(ply / game.N_PLIES)

        records = play_file(self._settings, self._cast, index, n, on_ply)
        run = f"teach-{self._settings.seed}"
        metadata = record.Metadata(record.TEACHER, run, 0, self.facts)
        contract_record.write_any(file, records, metadata)
