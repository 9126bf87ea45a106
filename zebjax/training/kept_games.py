"""The newest games of a run as record files, in the folder `games` of the run.

Another run can begin with them: `--replay.seed-folder runs/NAME/games`. They are copied from the
rings after a save, so a run that is killed and resumed writes each game once. The name of a file,
`selfplay-FIRST-N.safetensors`, has the number of its first game in the ring since the run began,
and the number of its games. Games that were in the rings when the run began are not its own.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zebjax import contract_record, record
from zebjax.game import N_PLIES
from zebjax.training import replay
from zebjax.training.config import Experiment
from zebjax.training.session import Session

_FILES = 100
"""About this many files hold the games to keep."""
_NAME = re.compile(r"(selfplay|evalaux)-(\d{9,})-(\d+)\.safetensors")


class _File(NamedTuple):
    path: Path
    stream: str
    first: int
    n: int


def folder_of(settings: Experiment) -> Path:
    """Return the folder of a run's kept games."""
    return settings.folder / "games"


def _files(folder: Path) -> list[_File]:
    """Return the files of both streams in the order of their games."""
    found = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("*.safetensors")]
    named = [_File(path, match[1], int(match[2]), int(match[3])) for path, match in found if match]
    return sorted(named, key=lambda file: file.first)


def forget_lost(session: Session) -> None:
    """Delete files with games that the resumed run does not have: it makes their numbers again."""
    added = session.progress.ring_games
    for file in _files(folder_of(session.settings)):
        if file.first + file.n > added.get(file.stream, 0):
            file.path.unlink(missing_ok=True)


def write(session: Session, is_last: bool) -> None:
    """Write the games of the rings that are in no file yet, and delete the oldest files.

    Call it after a save.

    Args:
        session: not changed.
        is_last: True to write them although they are few.

    Raises:
        OSError: if a file cannot be written.
    """
    keep, folder = session.settings.replay.keep_games, folder_of(session.settings)
    if not keep:
        return
    files = _files(folder)
    rings = {"selfplay": session.state.ring, "evalaux": session.state.aux}
    for stream, ring in rings.items():
        ours = [file for file in files if file.stream == stream]
        written = ours[-1].first + ours[-1].n if ours else 0
        n_new = session.progress.ring_games.get(stream, 0) - written
        # Before the ring overwrites them; `keep` games are in about a hundred files.
        enough = min(-(-keep // _FILES), -(-len(ring.records.slots) // 2))
        if n_new >= (1 if is_last else enough):
            ours.append(_write(session, stream, ring, min(n_new, keep)))
        n_kept = sum(file.n for file in ours)
        for file in ours[:-1]:
            if n_kept - file.n < keep:
                break
            n_kept -= file.n
            file.path.unlink(missing_ok=True)


def _write(session: Session, stream: str, ring: replay.Ring, n: int) -> _File:
    """Write the newest `n` games of a ring, or as many as it still holds."""
    settings = session.settings
    # The run plays games itself only for points won, so none of these has a contract.
    records = contract_record.without_contract(replay.newest(ring, n))
    if records.moves is not None and not np.isfinite(records.moves).any():
        records = records._replace(moves=None)
    n = len(records.slots)
    first = session.progress.ring_games[stream] - n
    folder = folder_of(settings)
    folder.mkdir(exist_ok=True)
    path = folder / f"{stream}-{first:09d}-{n}.safetensors"
    source = record.SELFPLAY if stream == "selfplay" else record.EVAL_AUX
    newest = int(records.step_end.max())
    facts = {"run": settings.name, "first": first, "examples": n * N_PLIES}
    record.write(path, records, record.Metadata(source, settings.name, newest, facts))
    return _File(path, stream, first, n)
