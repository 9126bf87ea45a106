"""Games of the eval-aux stream: E[Q], the exact one, against the network as it is, E[Q] on either team in turn."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import game, network, players, record
from zebjax.experiment import EvalAuxConfig
from zebjax.record import GameRecord
from zebjax.training import teacher

STATS = ("eq_win_rate", "zeb_win_rate", "avg_margin")


class Batch(NamedTuple):
    """Which games."""

    step: int
    """Of the network that plays."""
    seed: int
    number: int
    """With `seed` it decides all that is random."""
    n_games: int


def play(
    config: EvalAuxConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    batch: Batch,
    on_ply: Callable[[int], None] | None = None,
) -> tuple[GameRecord, dict[str, Any]]:
    """The games of a batch, NumPy arrays, and what they say of the network.

    E[Q] has team 0 in games 0, 2, 4, ... Its decisions have a policy target and a value, see `teach`; the network's
    have none.

    Returns:
        The games; and E[Q]'s settings with `eq_win_rate`, `zeb_win_rate` (a tie is neither) and `avg_margin`, E[Q]'s
        points less the network's.
    """
    step, seed, number, n_games = batch
    settings = teacher.Settings(n=config.worlds, opponent="zeb", seed=seed, games_per_file=n_games)
    zeb = players.zeb(network_config, params, config.temperature)
    records = teacher.play_file(settings, zeb, number, n_games, on_ply, judge_opponent=False)
    steps = np.full(n_games, step, np.int32)
    records = records._replace(step_start=steps, step_end=steps)
    points = np.asarray(_points(records))
    team = np.arange(n_games) % 2
    margin = points[np.arange(n_games), team] - points[np.arange(n_games), 1 - team]
    facts = {
        "worlds": config.worlds,
        "temperature": config.temperature,
        "seed": seed,
        "index": number,
        "eq_win_rate": float((margin > 0).mean()),
        "zeb_win_rate": float((margin < 0).mean()),
        "avg_margin": float(margin.mean()),
    }
    return records, facts


@jax.jit
def _points(records: GameRecord) -> jax.Array:
    """Points by team at the end, int32 `[N, 2]`."""
    finals = jax.vmap(lambda one: record.position(one, 0)[1])(records)
    return jax.vmap(game.points)(finals)
