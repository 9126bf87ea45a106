"""What the teacher plays and how it judges moves: deals with or without a contract.

A game with a contract is judged by P(make) or P(set) alone, so its targets and values are never
those of points won. See `teacher`.
"""

from typing import NamedTuple

import jax
import numpy as np

from zebjax import contract, game, tiles
from zebjax.common import bids
from zebjax.contract import Contract
from zebjax.evaluation import matches
from zebjax.players import auction, base, exact
from zebjax.training.teacher_config import Settings

POINT = 0.5
"""Percent of P(make) or P(win) that a mean point counts, so that points decide among equally likely
moves."""


def deals(
    settings: Settings, key: jax.Array, n_games: int
) -> tuple[game.GameState, jax.Array, Contract | None]:
    """Deal the games of one file.

    Args:
        settings: with a contract the bid of each game is drawn, and its leader declares.
        key: of the file; one typed random key.
        n_games: 1 or more. A game does not depend on it.

    Returns:
        New games `[n_games]`, their play keys, and their contracts, int8 NumPy arrays `[n_games]`;
        None if the games are for points won.
    """
    states, play_keys = matches.deals(key, 0, n_games)
    if not settings.contract:
        return states, play_keys, None
    low, high = bids.parse_range(settings.contract)
    leaders = np.asarray(states.leader)
    hands = np.asarray(states.hands)[np.arange(n_games), leaders]
    seed = np.asarray(jax.random.key_data(key)).tolist()
    chosen, declarations = np.zeros((2, n_games), np.int8)
    for index, hand in enumerate(hands):
        # A generator for each game, so that the games do not depend on their number.
        rng = np.random.default_rng([*seed, index])
        chosen[index] = rng.integers(low, high, endpoint=True)
        declarations[index] = _declare(settings, hand, chosen[index], rng)
    ones = np.ones(n_games, np.int8)
    contracts = Contract(leaders.astype(np.int8), declarations, chosen, ones)
    states = states._replace(declaration=declarations)
    return states, play_keys, contracts if settings.has_contracts else None


def _declare(settings: Settings, hand: np.ndarray, bid: int, rng: np.random.Generator) -> int:
    if settings.declare == "pips":
        return contract.declare_by_pips(hand)
    policy = auction.policy_of(auction.BY)
    found, _ = auction.declare(hand[None], np.array([bid]), settings.declare_worlds, rng, policy)
    return int(found[0])


class Judgement(NamedTuple):
    """The teacher's judgement of N decisions."""

    score: np.ndarray
    """float64 `[N, 7]`, nan where not legal: mean points, or P(win), with a contract P(make) or
    P(set), of the mover's team in percent, and `POINT` for a mean point from the third trick on."""
    best: np.ndarray
    """int32 `[N]`, the slots that it plays."""
    value: np.ndarray
    """float64 `[N]` in [-1, 1], P(win) - P(lose) after them, for the mover."""
    moves: np.ndarray
    """float64 `[N, 7, 2]`, value and points of each move, see `GameRecord.moves`; no points
    before the third trick with a contract or the criterion "win", and none from a player that does
    not compute them."""


def judge(
    settings: Settings, states: game.GameState, keys: np.ndarray, contracts: Contract | None
) -> Judgement:
    """Judge the moves of N decisions over sampled worlds.

    Args:
        settings: its numbers of worlds.
        states: NumPy arrays with a leading axis N; all at the same ply.
        keys: uint32 `[N, 2]`.
        contracts: those of the games, `[N]`, or None for points won.
    """
    if contracts is not None:
        need = np.asarray(contract.needs(contracts, base.movers(states)))
        return _judge_by_wins(settings, states, keys, need)
    if settings.criterion == "win":
        return _judge_by_wins(settings, states, keys, np.full(len(keys), exact.ENOUGH))
    values = exact.eq_values(states, keys, settings.n, settings.n_trick1)
    best = values.best_slots()
    moves = _moves(values.value, values.mean_points)
    return Judgement(values.mean_points, best, moves[np.arange(len(best)), best, 0], moves)


def judge_by(judge: base.Judge, states: game.GameState, keys: np.ndarray) -> Judgement:
    """Judge N decisions by another player than E[Q], see `Judgement`.

    A tie at 21 points counts as lost, as with the criterion "win", but half where a network judges.

    Args:
        judge: the player's, see `players.base.Judge`.
        states: NumPy arrays with a leading axis N.
        keys: uint32 `[N, 2]`.
    """
    slots, p_win, points = judge(states, keys)
    score = 100 * p_win + POINT * np.nan_to_num(points)
    moves = _moves(2 * p_win - 1, points)
    return Judgement(score, slots, moves[np.arange(len(slots)), slots, 0], moves)


def _moves(value: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Join values and mean points of the mover's team, `[N, 7]` each."""
    margin = 2 * points - tiles.TOTAL_POINTS
    return np.stack([value, margin / tiles.POINTS_SCALE], axis=-1)


def _judge_by_wins(
    settings: Settings, states: game.GameState, keys: np.ndarray, need: np.ndarray
) -> Judgement:
    """Judge by the share of worlds in which the mover's team has at least `need[N]` points."""
    if states.ply[0] < exact.TIES_FROM_PLY:
        # Points would take five times as long in the first tricks.
        wins, n_worlds = exact.count_wins_and_worlds(
            states, keys, settings.n, settings.n_trick1, need=need
        )
        legal = base.in_chunks(exact.legal_slots, states, keys)
        points, mean_points = np.zeros_like(wins), np.full(wins.shape, np.nan)
    else:
        values = exact.eq_values(states, keys, settings.n, settings.n_trick1)
        wins, n_worlds = values.wins_with(need), values.n_worlds
        legal, points, mean_points = values.legal, values.points, values.mean_points
    best = exact.best_of(legal, wins, points)
    share = wins / n_worlds[:, None]
    score = 100 * share + POINT * points / n_worlds[:, None]
    value = np.where(legal, 2 * share - 1, np.nan)
    at_best = value[np.arange(len(best)), best]
    moves = _moves(value, mean_points)
    return Judgement(np.where(legal, score, np.nan), best, at_best, moves)
