"""Teacher data without E[Q]: games of a small network in which every legal move is played to the
end, as those of `zebjax iterate`; see `small_games`.

The settings and the number of a file determine its games, as for `teacher`.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zebjax.players import small
from zebjax.small import storage
from zebjax.solver import cached_code
from zebjax.training import labelled_games, small_games
from zebjax.training.small_config import Exploration

_STREAM = 0x7EAD
"""In the seed, so that the deals differ from those of `zebjax iterate`."""
_AT_ONCE = 500
"""Games between two reports of progress."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine the games; stored in the metadata of every file."""

    network: str = storage.BUNDLED_NAME
    """A path as in `small:PATH`. Files store the first digits of its arrays' digest too."""
    seed: int = 0
    games_per_file: int = 250
    explore: Exploration = Exploration()


class Maker:
    """Makes files of these games, see `teacher_files.Maker`."""

    prefix = "rollouts"

    def __init__(self, settings: Settings, threads: int) -> None:
        """Read the network.

        Args:
            settings: see `Settings`.
            threads: number of threads; they do not change the games.

        Raises:
            ValueError: if there is no such network.
        """
        self._net = storage.load(settings.network)
        self._settings, self._threads = settings, threads
        name = f"{Path(settings.network).name} ({small.digest(self._net)[:16]})"
        self.facts: dict[str, Any] = dataclasses.asdict(settings) | {"network": name}
        self.games_per_file = settings.games_per_file

    def read(self, file: Path) -> tuple[int, dict[str, Any]]:
        return len(labelled_games.read(file).leader), labelled_games.facts_of(file)

    def write(self, file: Path, index: int, n: int, on_share: Callable[[float], None]) -> None:
        cached_code.announce("zebjax", "the small network", "60 s", small_games.play_many)
        deals = small_games.deal(self.games_per_file, (_STREAM, self._settings.seed, index))
        parts = []
        for start in range(0, n, _AT_ONCE):
            some = small_games.Deals(*(field[start : min(start + _AT_ONCE, n)] for field in deals))
            parts.append(
                small_games.play_deals(self._net, some, self._settings.explore, self._threads)
            )
            on_share(min(1.0, (start + _AT_ONCE) / n))
        labelled_games.write(file, labelled_games.join(parts), self.facts)
