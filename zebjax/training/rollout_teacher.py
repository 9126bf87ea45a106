"""Teacher data without E[Q]: games of a small network in which every legal move is played to the
end, as those of `zebjax iterate`; see `small_games`.

The settings and the number of a file determine its games, as for `teacher`.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zebjax.players import small
from zebjax.small import storage
from zebjax.solver import cached_code
from zebjax.training import labelled_games, small_games, teacher_files
from zebjax.training.small_config import Exploration

_STREAM = 0x7EAD
"""In the seed, so that the deals differ from those of `zebjax iterate`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine the games; stored in the metadata of every file."""

    network: str = storage.BUNDLED_NAME
    """A path as in `small:PATH`. Files store the digest of the network's arrays instead."""
    seed: int = 0
    games_per_file: int = 250
    explore: Exploration = Exploration()


class Maker:
    """Makes files of these games in a folder, see `teacher_files.Maker`."""

    def __init__(self, settings: Settings, folder: Path, threads: int) -> None:
        """Read the network.

        Args:
            settings: see `Settings`.
            folder: of the files.
            threads: number of threads; they do not change the games.

        Raises:
            ValueError: if there is no such network.
        """
        self._net = storage.load(settings.network)
        self._facts = dataclasses.asdict(settings) | {"network": small.digest(self._net)}
        self._settings, self._folder, self._threads = settings, folder, threads

    def _file(self, index: int) -> Path:
        return self._folder / f"rollouts-{index:06d}.safetensors"

    def is_done(self, index: int, n: int) -> bool:
        file = self._file(index)
        if not file.exists():
            return False
        try:
            games = labelled_games.read(file)
        except ValueError as error:
            print(f"teach: {error}; making it again", file=sys.stderr)
            return False
        teacher_files.check_facts(file, labelled_games.facts_of(file), self._facts)
        return len(games.leader) >= n

    def write(self, index: int, n: int, on_share: Callable[[float], None]) -> None:
        cached_code.announce("zebjax teach", "the small network", "60 s", small_games.play_many)
        how, seed = self._settings, (_STREAM, self._settings.seed, index)
        # All games of the file, since they are dealt together; a file takes a second.
        games = small_games.play(
            self._net, how.games_per_file, seed, how.explore, self._threads
        ).where(np.arange(n))
        labelled_games.write(self._file(index), games, self._facts)
        on_share(1.0)
