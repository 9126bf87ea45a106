"""What each move of a finished hand has cost."""

from typing import Any

import numpy as np

from zebjax import game, position_arrays, solver
from zebjax.players import exact
from zebjax.table import HINT_WORLDS, state
from zebjax.table.state import Table


def review(table: Table, n: int = HINT_WORLDS) -> dict[str, Any]:
    """Compare every move that had an alternative with the best one.

    Args:
        table: its hand must be over.
        n: worlds per decision.

    Returns:
        `worlds`: n. `moves`: for each decision `ply`, `seat`, `tile`; `best`, the best tile by
        what the seat could know (E[Q]: highest P(win), then most mean points); `p_win_loss` and
        `points_loss`, what the tile played is worth less than that one by the same worlds;
        `deal_best` and `deal_loss`, the best tile and the points lost in the true deal, if all
        play after the move is perfect. Losses are 0 or more, except `points_loss`, which is
        negative if the tile has more points but wins less often. JSON data.

    Raises:
        ValueError: if the hand is not over.
    """
    if not table.game.is_over:
        raise ValueError("review: this hand is not over")
    every = [state.request(table, ply) for ply in range(game.N_PLIES)]
    asked = {ply: one for ply, one in enumerate(every) if len(one.seen.legal) > 1}
    if not asked:
        return {"worlds": n, "moves": []}
    keys = np.array([one.seed for one in asked.values()], np.uint32)
    seen = position_arrays.to_states([one.seen for one in asked.values()])
    values = exact.eq_values(seen, keys, n)
    true = solver.solve(position_arrays.to_states([table.game.before(ply) for ply in asked]))
    moves = []
    for row, (ply, one) in enumerate(asked.items()):
        hand, tile = one.hand, table.game.plays[ply]
        played = hand.index(tile)
        score = list(zip(values.wins[row], values.points[row], strict=True))
        slots = [slot for slot, each in enumerate(hand) if each in one.seen.legal]
        # The tile that was played wins ties.
        best = max(slots, key=lambda slot: (*score[slot], slot == played))
        deal_best = max(slots, key=lambda slot: (true[row, slot], slot == played))
        moves.append(
            {
                "ply": ply,
                "seat": one.seat,
                "tile": tile,
                "best": hand[best],
                "p_win_loss": float(values.p_win[row, best] - values.p_win[row, played]),
                "points_loss": float(
                    values.mean_points[row, best] - values.mean_points[row, played]
                ),
                "deal_best": hand[deal_best],
                "deal_loss": float(true[row, deal_best] - true[row, played]),
            }
        )
    return {"worlds": n, "moves": moves}
