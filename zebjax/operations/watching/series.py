"""The curves and logs that `watch` shows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from zebjax.distributed import heartbeat
from zebjax.operations.watching.render import number
from zebjax.training.metrics import Row

_MAX_POINTS = 500
_MAX_LOGS = 50


class Curve(NamedTuple):
    """One curve: its title, and its newest values, oldest first."""

    title: str
    values: list[float]
    is_shown: bool = True
    """False if the run has no such metric, and need not have it."""

    def label(self) -> str:
        """The title with the newest value and the range."""
        if not self.values:
            return f"{self.title}: nothing yet"
        newest, low, high = (
            number(value, ".3f") for value in (self.values[-1], min(self.values), max(self.values))
        )
        return f"{self.title}: {newest}  (from {low} to {high})"


_CURVES = {
    "win rate against random, %": ("eval/vs_random_win_rate", 100.0),
    "policy loss": ("train/policy_loss", 1.0),
    "value loss": ("train/value_loss", 1.0),
    "belief loss": ("train/belief_loss", 1.0),
    "error of values of moves": ("train/move_value_error", 1.0),
    "the same, differences": ("train/move_value_spread_error", 1.0),
    "games/s": ("perf/games_per_s", 1.0),
}


_OPTIONAL = ("error of values of moves", "the same, differences")


def curves(rows: Sequence[Row]) -> list[Curve]:
    """Return the curves of a run, always as many; one without any value has no points."""
    found = {title: _values(rows, name, scale) for title, (name, scale) in _CURVES.items()}
    return [
        Curve(title, values[-_MAX_POINTS:], bool(values) or title not in _OPTIONAL)
        for title, values in found.items()
    ]


def _values(rows: Iterable[Row], name: str, scale: float) -> list[float]:
    found = (row.get(name) for row in rows)
    return [scale * value for value in found if heartbeat.is_number(value)]


def logs(folder: Path | None) -> dict[str, Path]:
    """Return the logs of a fleet on this machine, name -> file, in order of the names."""
    if folder is None:
        return {}
    found = sorted((folder / "fleet" / "logs").glob("*.log"))
    return {path.stem: path for path in found[:_MAX_LOGS]}
