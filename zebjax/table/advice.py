"""Advice to the person as JSON data: hint, beliefs, and the review of a finished hand.

Hint and beliefs use only what the person's seat has seen. All numbers are those of `study`.
"""

import dataclasses
from typing import Any

from zebjax.protocol import Request
from zebjax.study import analysis
from zebjax.study import review as reviews
from zebjax.study.analysis import Analysis, Network
from zebjax.table import HINT_WORLDS, state
from zebjax.table.state import Table


@dataclasses.dataclass(frozen=True)
class Believer:
    """A network with a belief head."""

    name: str
    network: Network


def believer(path: str) -> Believer:
    """Load the network whose beliefs are shown.

    Raises:
        ValueError: if there is no network at `path`, or it has no belief head.
    """
    loaded = analysis.load(path)
    if not loaded.config.belief_head:
        raise ValueError(f"{path}: this network has no belief head")
    return Believer(path, loaded)


def _analysed(asked: Request, n: int, by: Network | None = None) -> Analysis:
    assert asked.position is not None
    (found,) = analysis.analyse([asked.position], [asked.seed], n, by)
    return found


def hint(asked: Request, n: int = HINT_WORLDS) -> dict[str, Any]:
    """The value of each tile that may be played, by E[Q].

    Args:
        asked: the decision.
        n: worlds; all of them if there are fewer.

    Returns:
        `worlds`: their number. `tiles`: for each legal tile, the best first, its `tile`, `p_win`
        (probability of more points than the other team), `points` (mean points of the own team at
        the end) and `best` (True if no tile is better).
    """
    found = _analysed(asked, n)
    top = found.moves[0]
    return {
        "worlds": found.n_worlds,
        "tiles": [
            {
                "tile": move.tile,
                "p_win": move.p_win,
                "points": move.points,
                "best": (move.p_win, move.points) == (top.p_win, top.points),
            }
            for move in found.moves
        ],
    }


def beliefs(asked: Request, by: Believer | None, n: int = HINT_WORLDS) -> dict[str, Any]:
    """Who may hold each hidden tile, as far as the seat can know.

    Args:
        asked: the decision.
        by: a network, or None for exact counting alone.
        n: as of `hint`, so that one compiled program serves both; it does not change the result.

    Returns:
        `worlds`: number of ways to deal the hidden tiles. `seats`: the seats left, partner and
        right. `network`: name of the network, or None. `tiles`: for each hidden tile its `tile`,
        `exact` (probability by seat, all consistent worlds equally likely) and `network` (the
        same by the belief head, or None).
    """
    found = _analysed(asked, n, None if by is None else by.network)
    seat = found.position.mover
    return {
        "worlds": found.all_worlds,
        "seats": [(seat + step) % 4 for step in (1, 2, 3)],
        "network": None if by is None else by.name,
        "tiles": [
            {"tile": each.tile, "exact": each.marginal, "network": each.network}
            for each in found.holders
        ],
    }


def review(table: Table, n: int = HINT_WORLDS) -> dict[str, Any]:
    """What each move of a finished hand that had an alternative has cost; see `study.review`.

    Args:
        table: its hand must be over.
        n: worlds per decision.

    Returns:
        `worlds`: n. `moves`: for each decision `ply`, `seat`, `tile`; `best`, the best tile by
        what the seat could know; `p_win_loss` and `points_loss`, what the tile played is worth
        less by the same worlds; `deal_best` and `deal_loss`, the best tile and the points lost in
        the true deal.

    Raises:
        ValueError: if the hand is not over.
    """
    if not table.game.is_over:
        raise ValueError("review: this hand is not over")
    moves = [
        {
            "ply": each.ply,
            "seat": each.seat,
            "tile": each.played.tile,
            "best": each.best.tile,
            "p_win_loss": each.p_win_lost,
            "points_loss": each.points_lost,
            "deal_best": each.deal_best.tile,
            "deal_loss": each.deal_lost,
        }
        for each in reviews.review(table.game, n, state.decision_seed(table, 0))
    ]
    return {"worlds": n, "moves": moves}
