"""Games of the eval-aux stream: E[Q], the exact one, against the network as it is, E[Q] on either
team in turn.
"""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import game, network, players, record
from zebjax.record import GameRecord
from zebjax.training import teacher
from zebjax.training.workers_config import EvalAuxConfig

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

    E[Q] has team 0 in games 0, 2, 4, ... Its decisions have a policy target and a value, see
    `teach`; the network's have none.

    Returns:
        The games; and E[Q]'s settings with `eq_win_rate`, `zeb_win_rate` (a tie is neither) and
        `avg_margin`, E[Q]'s points less the network's.
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


def keep_weight(config: EvalAuxConfig, lag: int) -> float:
    """The probability that an eval-aux game `lag` cycles behind is kept, 0 where it is too
    stale.
    """
    if 0 <= config.max_model_lag < lag:
        return 0.0
    if config.lag_half_life <= 0:
        return 1.0
    return max(config.min_keep_weight, min(1.0, 0.5 ** (lag / config.lag_half_life)))


@dataclasses.dataclass(frozen=True)
class Sifted:
    """What staleness leaves of an eval-aux file."""

    records: GameRecord
    seen: int
    """Games in the file."""
    lag: int
    weight: float

    @property
    def kept(self) -> int:
        """Games left."""
        return len(self.records.slots)


def sift(config: EvalAuxConfig, records: GameRecord, lag: int, seed: int, name: str) -> Sifted:
    """Which games of an eval-aux file, `lag` cycles behind, are kept; the file's name and the run's
    seed decide.
    """
    n = len(records.slots)
    weight = keep_weight(config, lag)
    draws = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(n)
    rows = np.flatnonzero(draws < weight)
    return Sifted(jax.tree.map(lambda field: np.asarray(field)[rows], records), n, lag, weight)


def mix(n_steps: int, fraction: float, has_eval_aux: bool) -> np.ndarray:
    """Which of a cycle's optimiser steps take an eval-aux batch, bool `[n_steps]`.

    `round(n_steps * fraction)` of them, evenly spread, at most `n_steps - 1`: step i (from 1)
    where i is a multiple of `max(1, n_steps // quota)` and quota is left, or where what is left of
    the quota needs all that is left of the steps (the original's rule, SPEC, "The eval-aux
    stream").
    """
    chosen = np.zeros(n_steps, bool)
    if not has_eval_aux:
        return chosen
    quota = min(round(n_steps * fraction), n_steps - 1)
    if quota <= 0:
        return chosen
    every = max(1, n_steps // quota)
    for index in range(n_steps):
        if quota and ((index + 1) % every == 0 or quota >= n_steps - index):
            chosen[index] = True
            quota -= 1
    return chosen
