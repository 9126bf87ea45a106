"""The files of teacher data: which are missing in a folder, made one after the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

Progress = Callable[[float, float], None]
"""Called with the share of the games that is there, 0 to 1, and the number of games made by this
call, as a fraction."""


class Maker(Protocol):
    """Knows and makes the files of one kind of games."""

    def is_done(self, index: int, n: int) -> bool:
        """True if file number `index` has at least n games; False if it is damaged.

        Raises:
            ValueError: if its games were made with other settings.
        """

    def write(self, index: int, n: int, on_share: Callable[[float], None]) -> None:
        """Make file number `index` with its first n games, and call `on_share` with the share of
        them that is played.
        """


def make(
    maker: Maker, folder: Path, games: int, games_per_file: int, progress: Progress | None
) -> tuple[int, int]:
    """Make the missing files in `folder`, until it has `games` games.

    Args:
        maker: of the files.
        folder: created if it does not exist.
        games: 1 or more; the last file may have fewer games than the others.
        games_per_file: 1 or more.
        progress: see `Progress`; None: not called.

    Returns:
        Number of games found, and number of games made.

    Raises:
        ValueError: if `folder` is a run's or has games of other settings.
        OSError: if a file cannot be written.
    """
    if (folder / "experiment.json").exists():
        raise ValueError(
            f"{folder} is the folder of a training run; choose another place for the games"
        )
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, games, games_per_file)
    wanted = [min(games_per_file, games - start) for start in starts]
    missing = [index for index, n in enumerate(wanted) if not maker.is_done(index, n)]
    found = games - sum(wanted[index] for index in missing)
    made = 0
    for index in missing:

        def show(share: float, n: int = wanted[index], made: int = made) -> None:
            if progress is not None:
                progress((found + made + share * n) / games, made + share * n)

        maker.write(index, wanted[index], show)
        made += wanted[index]
    return found, made


def check_facts(file: Path, made: dict[str, Any], facts: dict[str, Any]) -> None:
    """Check that a file was made with the settings `facts`.

    Raises:
        ValueError: if not; it names the first setting that differs.
    """
    if made != facts:
        odd = next((name for name in facts if made.get(name) != facts[name]), "fields")
        raise ValueError(
            f"{file} was made with other settings ({odd} {made.get(odd)!r}, here "
            f"{facts.get(odd)!r}); choose another folder, or the same settings to continue"
        )
