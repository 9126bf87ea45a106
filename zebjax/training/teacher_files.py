"""The files of teacher data: which are missing in a folder, made one after the other."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

Progress = Callable[[float, float], None]
"""Called with the share of the games that is there, 0 to 1, and the number of games made by this
call, as a fraction."""


class Maker(Protocol):
    """Makes the files of one kind of games."""

    prefix: str
    """Of the names of its files."""
    facts: dict[str, Any]
    """The settings that determine the games."""
    games_per_file: int

    def read(self, file: Path) -> tuple[int, dict[str, Any]]:
        """Read a file of this kind.

        Returns:
            The number of its games, and the facts that it was made with.

        Raises:
            ValueError: if it is damaged.
        """

    def write(self, file: Path, index: int, n: int, on_share: Callable[[float], None]) -> None:
        """Make a file.

        Args:
            file: its path.
            index: its number, which with the facts determines its games.
            n: number of games, the first of the file.
            on_share: called with the share of them that is played.

        Raises:
            ValueError: if it cannot be written.
        """


def make(
    maker: Maker, folder: Path, games: int, progress: Progress | None = None
) -> tuple[int, int]:
    """Make the missing files in a folder, until it has `games` games.

    Args:
        maker: makes the files.
        folder: where they are; created if it does not exist.
        games: 1 or more; the last file may have fewer games than the others.
        progress: see `Progress`; None: not called.

    Returns:
        Number of games found, and number of games made.

    Raises:
        ValueError: if `folder` is a run's or has other games, or a file cannot be written.
    """
    if (folder / "experiment.json").exists():
        raise ValueError(
            f"{folder} is the folder of a training run; choose another place for the games"
        )
    others = (file.name for file in folder.glob("*.safetensors") if not file.name.startswith("."))
    if other := next((name for name in sorted(others) if not name.startswith(maker.prefix)), None):
        raise ValueError(
            f"{folder} holds files of another kind ({other}); choose another folder, since a "
            "training reads all games of one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    size = maker.games_per_file
    wanted = [min(size, games - start) for start in range(0, games, size)]
    files = [folder / f"{maker.prefix}-{index:06d}.safetensors" for index in range(len(wanted))]
    missing = [index for index, n in enumerate(wanted) if not is_done(maker, files[index], n)]
    found = games - sum(wanted[index] for index in missing)
    made = 0
    for index in missing:

        def show(share: float, n: int = wanted[index], made: int = made) -> None:
            if progress is not None:
                progress((found + made + share * n) / games, made + share * n)

        maker.write(files[index], index, wanted[index], show)
        made += wanted[index]
    return found, made


def is_done(maker: Maker, file: Path, n: int) -> bool:
    """True if a file has at least n games; False if it does not exist or is damaged.

    Raises:
        ValueError: if its games were made with other settings; it names the first that differs.
    """
    if not file.exists():
        return False
    try:
        found, made = maker.read(file)
    except ValueError as error:
        print(f"zebjax: {error}; making it again", file=sys.stderr)
        return False
    if made != maker.facts:
        odd = next((name for name in maker.facts if made.get(name) != maker.facts[name]), "fields")
        raise ValueError(
            f"{file} was made with other settings ({odd} {made.get(odd)!r}, here "
            f"{maker.facts.get(odd)!r}); choose another folder, or the same settings to continue"
        )
    return found >= n
