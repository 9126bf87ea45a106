"""The eval-aux stream: games of E[Q] against the network, dropped when stale, and mixed in.

Like the original, a run can train on such games besides its self-play: they hold positions that
self-play does not reach, with targets from E[Q] (see `players.exact`). "Eval-aux" is the original's
name. A game's lag is the number of cycles between the network that played it and the current one.
"""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import contract_record, game, network, players, record
from zebjax.record import GameRecord
from zebjax.training import teacher
from zebjax.training.workers_config import EvalAuxConfig

STATS = ("eq_win_rate", "zeb_win_rate", "avg_margin")


class GamesToPlay(NamedTuple):
    """The games of one file."""

    step: int
    """The training step of the network that plays."""
    seed: int
    number: int
    """Number of the file. `seed` and `number` determine all randomness."""
    n_games: int
    """Number of games in the file."""


def play(
    config: EvalAuxConfig,
    network_config: network.ZebConfig,
    params: network.Params,
    games: GamesToPlay,
    on_ply: Callable[[int], None] | None = None,
) -> tuple[GameRecord, dict[str, Any]]:
    """Play E[Q] against the network.

    E[Q] has team 0 in games 0, 2, 4, ... Its decisions get a policy target and a value, see
    `teacher`; the network's decisions get none.

    Args:
        config: worlds and targets of E[Q], and temperature of the network.
        network_config: the network.
        params: its parameters.
        games: the games to play.
        on_ply: called after every ply with the number of plies played.

    Returns:
        `[n_games]` records of NumPy arrays; and E[Q]'s settings together with the results:
        `eq_win_rate`, `zeb_win_rate` (a tie counts for neither) and `avg_margin` (E[Q]'s points
        minus the network's).
    """
    step, seed, number, n_games = games
    settings = teacher.Settings(
        n=config.worlds,
        temperature=config.target_temperature,
        targets=config.targets,
        opponent="zeb",
        seed=seed,
        games_per_file=n_games,
    )
    zeb = players.zeb(network_config, params, config.temperature)
    cast = teacher.Cast(opponent=zeb, label_opponent=False)
    played = teacher.play_file(settings, cast, number, n_games, on_ply)
    records = contract_record.without_contract(played)  # its settings have none
    records = record.with_moves(records, network_config.move_values)
    steps = np.full(n_games, step, np.int32)
    records = records._replace(step_start=steps, step_end=steps)
    points = np.asarray(_points(records))
    team = np.arange(n_games) % 2
    margin = points[np.arange(n_games), team] - points[np.arange(n_games), 1 - team]
    facts = {
        "worlds": config.worlds,
        "temperature": config.temperature,
        "targets": config.targets,
        "target_temperature": config.target_temperature,
        "seed": seed,
        "index": number,
        "eq_win_rate": float((margin > 0).mean()),
        "zeb_win_rate": float((margin < 0).mean()),
        "avg_margin": float(margin.mean()),
    }
    return records, facts


@jax.jit
def _points(records: GameRecord) -> jax.Array:
    """Return the points by team at the end, int32 `[N, 2]`."""
    finals = jax.vmap(lambda one: record.position(one, 0)[1])(records)
    return jax.vmap(game.points)(finals)


def keep_weight(config: EvalAuxConfig, lag: int) -> float:
    """Return the probability of keeping a game; the rule is the original's.

    Args:
        config: `max_model_lag` (negative: no limit), `lag_half_life`, `min_keep_weight`.
        lag: in cycles.

    Returns:
        0 if the lag is too large, else 0.5 ** (lag / half-life), at least `min_keep_weight`.

    >>> config = EvalAuxConfig(max_model_lag=100, lag_half_life=10, min_keep_weight=0.1)
    >>> [keep_weight(config, lag) for lag in (0, 10, 20, 90, 101)]
    [1.0, 0.5, 0.25, 0.1, 0.0]
    """
    if 0 <= config.max_model_lag < lag:
        return 0.0
    if config.lag_half_life <= 0:
        return 1.0
    return max(config.min_keep_weight, min(1.0, 0.5 ** (lag / config.lag_half_life)))


@dataclasses.dataclass(frozen=True)
class Sifted:
    """The kept games of an eval-aux file."""

    records: GameRecord
    seen: int
    """Number of games in the file."""
    lag: int
    """In cycles."""
    weight: float
    """The probability with which each game was kept."""

    @property
    def kept(self) -> int:
        """Number of kept games."""
        return len(self.records.slots)


def sift(config: EvalAuxConfig, records: GameRecord, lag: int, seed: int, name: str) -> Sifted:
    """Keep each game of an eval-aux file with probability `keep_weight`.

    Args:
        config: see `keep_weight`.
        records: `[n]` games.
        lag: in cycles.
        seed: the run's seed.
        name: the file's name.
    """
    n = len(records.slots)
    weight = keep_weight(config, lag)
    # Seeded by the file's name, not by a running state: a run that reads the file again after a
    # restart keeps the same games.
    draws = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(n)
    rows = np.flatnonzero(draws < weight)
    return Sifted(jax.tree.map(lambda field: np.asarray(field)[rows], records), n, lag, weight)


def mix(n_steps: int, fraction: float, has_eval_aux: bool) -> np.ndarray:
    """Choose the updates of a cycle that take their batch from the eval-aux stream.

    The rule is the original's: `quota = round(n_steps * fraction)` updates, at most `n_steps - 1`,
    spread evenly. Update i (counted from 1) is chosen if i is a multiple of
    `max(1, n_steps // quota)` and quota remains, or if the remaining quota needs all remaining
    updates.

    Args:
        n_steps: number of updates in the cycle.
        fraction: share of updates for the stream, 0 to 1.
        has_eval_aux: False if the stream has no games yet.

    Returns:
        bool `[n_steps]`.

    >>> mix(8, 0.25, True).astype(int).tolist()
    [0, 0, 0, 1, 0, 0, 0, 1]
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
