"""Advice to the person: what each tile is worth, and who may hold the hidden tiles.

Both use only what the person's seat has seen.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from zebjax import game, network, observe, position_arrays, worlds
from zebjax.players import exact
from zebjax.table import HINT_WORLDS
from zebjax.table.request import Request


@dataclasses.dataclass(frozen=True)
class Believer:
    """A network with a belief head."""

    name: str
    config: network.ZebConfig
    params: network.Params


def believer(path: str) -> Believer:
    """Load the network whose beliefs are shown.

    Raises:
        ValueError: if there is no network at `path`, or it has no belief head.
    """
    config, params = network.load(path)
    if not config.belief_head:
        raise ValueError(f"{path}: this network has no belief head")
    return Believer(path, config, params)


def hint(asked: Request, n: int = HINT_WORLDS) -> dict[str, Any]:
    """The value of each tile that may be played, by E[Q] (see `players.exact`).

    Args:
        asked: the decision.
        n: worlds; all of them if there are fewer.

    Returns:
        `worlds`: their number. `tiles`: for each legal tile its `tile`, `p_win` (probability of
        more points than the other team), `points` (mean points of the own team at the end) and
        `best` (True for the tile with the highest p_win, then the most points). JSON data.
    """
    states = position_arrays.to_states([asked.seen])
    values = exact.eq_values(states, np.array([asked.seed], np.uint32), n)
    rows = [
        {
            "tile": tile,
            "p_win": float(values.p_win[0, slot]),
            "points": float(values.mean_points[0, slot]),
        }
        for slot, tile in enumerate(asked.hand)
        if tile in asked.seen.legal
    ]
    top = max((row["p_win"], row["points"]) for row in rows)
    return {
        "worlds": int(values.n_worlds[0]),
        "tiles": [{**row, "best": (row["p_win"], row["points"]) == top} for row in rows],
    }


@functools.partial(jax.jit, static_argnames="config")
def _network_belief(
    config: network.ZebConfig, params: network.Params, state: game.GameState
) -> jax.Array:
    seen = observe.observe(state, config.tokenizer)
    seen = jax.tree.map(lambda leaf: leaf[None], seen)
    return jax.nn.softmax(network.apply(config, params, seen).belief_logits)[0]


@jax.jit
def _exact_belief(state: game.GameState) -> tuple[jax.Array, jax.Array]:
    return worlds.marginals(state), worlds.count(state)


def beliefs(asked: Request, by: Believer | None) -> dict[str, Any]:
    """Who may hold each hidden tile, as far as the seat can know.

    Args:
        asked: the decision.
        by: a network, or None for the exact marginal alone.

    Returns:
        `worlds`: number of ways to deal the hidden tiles. `seats`: the seats left, partner and
        right. `network`: name of the network, or None. `tiles`: for each hidden tile its `tile`,
        `exact` (probability by seat, all consistent worlds equally likely) and `network` (the
        same by the belief head, or None). JSON data.
    """
    here = position_arrays.to_state(asked.seen)
    marginals, count = (np.asarray(part) for part in _exact_belief(here))
    belief = None
    if by is not None:
        belief = np.asarray(_network_belief(by.config, by.params, here))
    return {
        "worlds": int(count),
        "seats": [(asked.seat + step) % 4 for step in (1, 2, 3)],
        "network": by.name if by is not None else None,
        "tiles": [
            {
                "tile": tile,
                "exact": [round(float(share), 4) for share in marginals[tile]],
                "network": None
                if belief is None
                else [round(float(share), 4) for share in belief[tile]],
            }
            for tile in asked.seen.hidden
        ],
    }
