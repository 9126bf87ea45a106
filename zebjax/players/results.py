"""How moves are judged; their results over weighted worlds, their scores, and the best move."""

import dataclasses

import numpy as np

from zebjax import game, solver, tiles
from zebjax.players import base
from zebjax.players.inference import Worlds

_TIE_WORLDS = 50
"""Worlds, with `adaptive`, in which points decide among equals. A value takes 5 times as long as a
yes or no, so in the first trick ties took most of the time."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How moves are judged."""

    points: float = 0.0
    """Weight of one mean point beside P(win). With 0, points only decide among equals, which makes
    exact solutions several times faster."""
    blend: float = 0.5
    """Share of rollouts in the result of a move; the rest comes from exact solutions."""
    rollout_temperature: float = 0.02
    """Temperature of the policy in rollouts, in units of the score."""
    adaptive: int = 1
    """A decision whose moves are close gets up to this many times n worlds, a clear one fewer (see
    `race`). At 1 every decision gets n."""
    price: float = 0.05
    """With `adaptive`: gain of P(win) for which a second of one core is spent."""

    @property
    def scores_are_p_win(self) -> bool:
        """False with `adaptive`, which drops moves before all worlds are seen, and with `points`,
        where a score is not a probability.
        """
        return self.adaptive == 1 and self.points == 0

    def __post_init__(self) -> None:
        if self.adaptive > 1 and self.points:
            raise ValueError(
                f"adaptive={self.adaptive}: not with points={self.points:g}; expected points=0"
            )


@dataclasses.dataclass(frozen=True)
class Results:
    """Mean results of each move over the weighted worlds of N decisions."""

    wins: np.ndarray
    """float64 `[N, 7]`: P(the team gets the points that it needs to win); nan where not legal."""
    points: np.ndarray | None
    """float64 `[N, 7]`: mean points of the mover's team at the end; None: not computed."""


@dataclasses.dataclass(frozen=True)
class Values:
    """Results of the moves of N decisions, and the worlds that they come from."""

    exact: Results | None
    """Results by exact solutions; None if only rollouts count."""
    rollouts: Results | None
    """Results by rollouts; None without them."""
    positions: game.GameState
    """Positions of the M worlds, plays included; leading axis M."""
    worlds: Worlds

    def scores(self, settings: Settings) -> np.ndarray:
        """Return P(win) + points * mean points, blended, float64 `[N, 7]`; nan where not legal."""
        parts = [_score(part, settings) for part in (self.exact, self.rollouts) if part is not None]
        if len(parts) == 1:
            return parts[0]
        solved, rolled = parts
        return solved + settings.blend * (rolled - solved)

    def best_slots(self, settings: Settings, threads: int | None = None) -> np.ndarray:
        """Return the slot with the highest score, then the most mean points, then the lowest.

        The points are those of rollouts, or exact ones without rollouts, with `adaptive` from the
        first worlds alone. int32 `[N]`.
        """
        # Rounded, so that moves with equal results are equal whatever the order of the sums.
        scores = np.nan_to_num(np.round(self.scores(settings), 9), nan=-np.inf)
        best = scores == scores.max(-1, keepdims=True)
        points = self._points(best, _TIE_WORLDS if settings.adaptive > 1 else None, threads)
        return np.where(best, np.round(points, 9), -np.inf).argmax(-1).astype(np.int32)

    @property
    def mean_points(self) -> np.ndarray | None:
        """Mean points of each move, see `Results`; those of rollouts, where there are any."""
        known = self.rollouts or self.exact
        return None if known is None else known.points

    def _points(self, best: np.ndarray, most: int | None, threads: int | None) -> np.ndarray:
        """Return points by which to choose among the slots `best`, float64 `[N, 7]`.

        They are sums over the first `most` worlds, None for all. Those of a decision with one best
        slot mean nothing. Points already taken may be missing: they are equal for all moves.
        """
        if (known := self.mean_points) is not None:
            return known
        decision = self.worlds.decision
        place = np.arange(len(decision)) - np.searchsorted(decision, decision)
        tied = np.flatnonzero((best.sum(-1) > 1)[decision] & (place < (most or len(place))))
        left = np.zeros((len(decision), tiles.HAND_SIZE))
        if len(tied):
            asked = best[decision[tied]]
            left[tied] = solver.solve(base.gather(self.positions, tied), threads, asked)
        return weighted_means(left, self.worlds, best)


def _score(part: Results, settings: Settings) -> np.ndarray:
    if part.points is None or settings.points == 0:
        return part.wins
    return part.wins + settings.points * part.points


def weighted_means(values: np.ndarray, worlds: Worlds, legal: np.ndarray) -> np.ndarray:
    """Return weighted means by decision and slot, float64 `[N, 7]`; nan where not legal.

    Args:
        values: `[M, 7]`; those of slots that are not legal mean nothing.
        worlds: M worlds; the weights of each decision sum to 1.
        legal: bool `[N, 7]`.
    """
    sums = np.zeros(legal.shape)
    np.add.at(sums, worlds.decision, np.nan_to_num(values) * worlds.weights[:, None])
    return np.where(legal, sums, np.nan)
