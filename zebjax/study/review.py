"""What each decision of a game has cost, by what its seat could know and by the true deal.

A decision is a play with two or more legal moves by a seat whose hand is known. What the seat could
know is judged by E[Q] (see `players.exact`); the true deal by exact play with all hands known,
which no player can know: a good move may lose there.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from zebjax import position_arrays, solver, tiles
from zebjax.players import exact
from zebjax.position import Position
from zebjax.study import analysis


@dataclasses.dataclass(frozen=True)
class Option:
    """One legal move of a decision; probabilities and points of the mover's team at the end."""

    tile: int
    p_win: float
    """Over E[Q]'s worlds, see `analysis.Move`."""
    points: float
    """Mean over E[Q]'s worlds."""
    deal_points: int | None
    """In the true deal, if all play after it is perfect; None if a hand is not known."""


@dataclasses.dataclass(frozen=True)
class Decision:
    """One decision and its cost."""

    before: Position
    played: Option
    options: tuple[Option, ...]
    """In the order of the hand's slots, `played` included."""

    @property
    def ply(self) -> int:
        """0..27."""
        return len(self.before.plays)

    @property
    def seat(self) -> int:
        """The seat that decided."""
        return self.before.mover

    @functools.cached_property
    def best(self) -> Option:
        """The highest P(win), then the most points; the move played wins ties."""
        return self._best(lambda option: (option.p_win, option.points))

    @functools.cached_property
    def deal_best(self) -> Option:
        """The most points in the true deal; the move played wins ties. `played` if not known."""
        return self._best(lambda option: (option.deal_points or 0,))

    def _best(self, score) -> Option:  # noqa: ANN001  a function of an Option
        return max(self.options, key=lambda option: (*score(option), option is self.played))

    @property
    def p_win_lost(self) -> float:
        """P(win) of the best move less that of the move played; 0 or more."""
        return self.best.p_win - self.played.p_win

    @property
    def points_lost(self) -> float:
        """Mean points of the best move less those of the move played; may be negative, since the
        best move is the one that wins most often.
        """
        return self.best.points - self.played.points

    @property
    def deal_lost(self) -> int | None:
        """Points lost in the true deal, 0 or more; None if a hand is not known."""
        if self.played.deal_points is None or self.deal_best.deal_points is None:
            return None
        return self.deal_best.deal_points - self.played.deal_points

    @property
    def turned(self) -> bool:
        """True if the move lost in the true deal what another move would have won."""
        enough = analysis.needed(self.before)
        best, played = self.deal_best.deal_points, self.played.deal_points
        return best is not None and played is not None and played < enough <= best


def review(
    game: Position, n: int = 100, seed: int = 0, seats: Sequence[int] = range(4)
) -> list[Decision]:
    """Judge the decisions of a game, finished or not.

    Args:
        game: the game; a seat whose hand is not known is not judged.
        n: worlds of E[Q] for each decision.
        seed: of the worlds, 0..2**32 - 1.
        seats: whose decisions are judged.
    """
    before = [game.before(ply) for ply in range(len(game.plays))]
    before = [each for each in before if each.mover in seats and len(each.legal) > 1]
    if not before:
        return []
    views = [each.seen_by(each.mover) for each in before]
    # Each decision has worlds of its own, so that their errors do not add up.
    keys = analysis.raw_keys([seed] * len(views))
    keys[:, 0] = [len(each.plays) for each in views]
    values = exact.eq_values(position_arrays.to_states(views), keys, n)
    shares, points = analysis.win_shares(values, views), values.mean_points
    in_deal = None
    if all(game.hands):
        in_deal = solver.solve(position_arrays.to_states(before))
    made = []
    for row, each in enumerate(before):
        options = {}
        for slot, tile in enumerate(each.hands[each.mover]):
            if tile in each.legal:
                deal_points = None
                if in_deal is not None:
                    deal_points = each.points[each.mover % 2] + int(in_deal[row, slot])
                options[tile] = Option(
                    tile, float(shares[row, slot]), float(points[row, slot]), deal_points
                )
        played = options[game.plays[len(each.plays)]]
        made.append(Decision(each, played, tuple(options.values())))
    return made


@dataclasses.dataclass(frozen=True)
class Total:
    """The decisions of one seat together."""

    seat: int
    decisions: int
    p_win_lost: float
    points_lost: float
    deal_lost: int | None


def totals(decisions: Sequence[Decision]) -> list[Total]:
    """Sum the costs of each seat that has decided anything."""
    made = []
    for seat in sorted({decision.seat for decision in decisions}):
        own = [decision for decision in decisions if decision.seat == seat]
        deal = [decision.deal_lost for decision in own]
        made.append(
            Total(
                seat,
                len(own),
                float(np.sum([decision.p_win_lost for decision in own])),
                float(np.sum([decision.points_lost for decision in own])),
                None if None in deal else sum(lost or 0 for lost in deal),
            )
        )
    return made


def to_json(decision: Decision) -> dict[str, object]:
    """One decision as JSON data."""
    return {
        "ply": decision.ply,
        "seat": decision.seat,
        "played": _option(decision.played),
        "best": _option(decision.best),
        "deal_best": None if decision.deal_lost is None else _option(decision.deal_best),
        "p_win_lost": round(decision.p_win_lost, 6),
        "points_lost": round(decision.points_lost, 6),
        "deal_points_lost": decision.deal_lost,
        "turned": decision.turned,
        "options": [_option(option) for option in decision.options],
    }


def _option(option: Option) -> dict[str, object]:
    fields = dataclasses.asdict(option) | {"tile": tiles.TILE_NAMES[option.tile]}
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in fields.items()
    }
