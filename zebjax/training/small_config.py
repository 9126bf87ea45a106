"""Settings of policy iteration. Nothing here imports numba, so that `--help` is fast."""

import dataclasses
import math

from zebjax.common import checks
from zebjax.search import Exploration as Exploration
from zebjax.small import MAX_WIDTH

MEAN_WEIGHT = 0.2
"""Weight of the error of a decision's mean over its moves, in the loss of the values of moves. The
error of the differences between moves has weight 1, since they alone choose the move, and the luck
of the deal, which is most of an outcome, is in the mean alone."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run; stored in its folder."""

    rounds: int = 40
    games: int = 10_000
    """Games of a round. The first rounds have fewer: 1/8, 1/4, 1/2 of it."""
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
    seed: int = 0
    explore: Exploration = Exploration()

    def __post_init__(self) -> None:
        checks.at_least(self, "small", 1, "rounds", "window")
        checks.at_least(self, "small", 80, "games")
        checks.at_least(self, "small", 4, "hidden", "second", "move", "move_second")
        checks.positive(self, "small", "passes", "rate", "last_rate")
        checks.at_least(self, "small", 0, "decay")
        if self.rate < self.last_rate:
            raise ValueError(
                f"rate: expected at least last_rate, {self.last_rate:g}, got {self.rate:g}"
            )
        for name in ("hidden", "second", "move", "move_second"):
            if getattr(self, name) % 4:
                raise ValueError(
                    f"small.{name}: expected a multiple of 4, got {getattr(self, name)}"
                )
            if getattr(self, name) > MAX_WIDTH:
                raise ValueError(
                    f"small.{name}: expected at most {MAX_WIDTH}, got {getattr(self, name)}"
                )

    def games_of(self, number: int) -> int:
        """Return the number of games of a round, counted from 0."""
        return math.ceil(self.games / (8 >> min(number, 3)) / 10) * 10

    def rate_of(self, number: int) -> float:
        """Return the learning rate of a round, counted from 0."""
        return max(self.last_rate, self.rate * 0.9**number)
