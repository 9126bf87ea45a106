"""Settings of policy iteration. Nothing here imports numba, so that `--help` is fast."""

import dataclasses
import math
from collections.abc import Callable

from zebjax.search import Exploration as Exploration
from zebjax.small import MAX_WIDTH

MEAN_WEIGHT = 0.2
"""Weight of the error of a decision's mean over its moves, in the loss of the values of moves. The
error of the differences between moves has weight 1, since they alone choose the move, and the luck
of the deal, which is most of an outcome, is in the mean alone."""


def option_of(name: str) -> str:
    """Return the option of `zebjax iterate` for a field of `Settings`."""
    return f"--{name.replace('_', '-')}"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run; stored in its folder."""

    rounds: int = 40
    games: int = 10_000
    """Games of a round. From nothing the first rounds have fewer: 1/8, 1/4, 1/2 of it."""
    window: int = 8
    """Rounds whose games are fitted."""
    hidden: int = 128
    """Width of the first layer, a multiple of 4."""
    second: int = 32
    """Width of the second layer, a multiple of 4."""
    move: int = 128
    """Width of the first layer of a move, a multiple of 4."""
    move_second: int = 32
    """Width of the second layer of a move, a multiple of 4."""
    passes: float = 0.6
    """Times that each game of the window is read in a round."""
    rate: float = 6e-3
    """Learning rate of the first round; it falls by a tenth each round down to `last_rate`."""
    last_rate: float = 3e-3
    decay: float = 0.2
    """Weight decay of AdamW."""
    batch: int = 80
    """Games of one update, a multiple of 10."""
    start: str = ""
    """A network as in `small:PATH` that plays the first round and whose weights the fit of that
    round begins with; all rounds are full. Empty: a network that knows nothing."""
    anew: bool = False
    """True to fit a new network in every round, from nothing."""
    seed: int = 0
    explore: Exploration = Exploration()

    def __post_init__(self) -> None:
        self._check(lambda value: value >= 1, "at least 1", "rounds", "window")
        self._check(lambda value: value >= 80, "at least 80", "games")
        self._check(lambda value: value >= 10 and value % 10 == 0, "a multiple of 10", "batch")
        self._check(
            lambda value: 4 <= value <= MAX_WIDTH and value % 4 == 0,
            f"a multiple of 4 from 4 to {MAX_WIDTH}",
            *("hidden", "second", "move", "move_second"),
        )
        # Comparisons with nan are False, so it is refused too.
        self._check(lambda value: 0 < value < math.inf, "a positive number", "passes", "last_rate")
        self._check(lambda value: 0 <= value < math.inf, "0 or more", "decay")
        self._check(
            lambda value: self.last_rate <= value < math.inf,
            f"at least --last-rate ({self.last_rate:g})",
            "rate",
        )

    def _check(self, is_right: Callable[[float], bool], expected: str, *names: str) -> None:
        """Raise ValueError for the first of these fields that is wrong, by its option's name."""
        for name in names:
            if not is_right(value := getattr(self, name)):
                raise ValueError(f"{option_of(name)}: expected {expected}, got {value}")

    def games_of(self, number: int) -> int:
        """Return the number of games of a round, counted from 0."""
        share = 1 if self.start else 8 >> min(number, 3)
        return math.ceil(self.games / share / 10) * 10

    def rate_of(self, number: int) -> float:
        """Return the learning rate of a round, counted from 0."""
        return max(self.last_rate, self.rate * 0.9**number)
