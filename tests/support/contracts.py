"""Finished games as records with contracts, without a network and without a search."""

import numpy as np

from tests.support.playouts import positions
from zebjax import contract, record


def finished(n, seed=0):
    """n finished random games: states, and their records without policy targets."""
    states = positions(n, [28], seed)
    records = record.GameRecord(
        *(np.zeros((n, *shape), dtype) for dtype, shape in record.FIELDS.values())
    )
    seats = (np.repeat(states.trick_leaders, 4, 1) + np.arange(28) % 4) % 4
    hands = states.hands[np.arange(n)[:, None], seats]
    return states, records._replace(
        hands=states.hands,
        declaration=states.declaration,
        leader=states.leader,
        slots=(hands == states.history[..., None]).argmax(-1).astype(np.int8),
        kind=np.full((n, 28), record.TargetKind.NONE, np.int8),
    )


def contracts_of(states, bid=30, marks=1):
    """The contracts of games whose first leaders all bid the same."""
    n = len(states.leader)
    return contract.Contract(
        states.leader,
        states.declaration,
        np.full(n, bid, np.int8),
        np.full(n, marks, np.int8),
    )
