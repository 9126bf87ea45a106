"""E[Q] over worlds that are weighted by what the others have played, and by honest rollouts.

The weighted worlds of `inference` are solved exactly, as in `exact`. An exact solution lets every
seat see all hands after the move ("strategy fusion", Frank and Basin 1998). Rollouts by a policy do
not, but play worse; `blend` mixes the two.

With criterion=make a game is won by making or setting its contract. The networks, which model
the others and play the rollouts, were trained on games for points and see no bid.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from zebjax import game, solver, tiles
from zebjax.common.arrays import check
from zebjax.players import Player, base, exact, inference, race, small, transformers
from zebjax.players.inference import Models, Worlds
from zebjax.players.networks import Networks, Policies
from zebjax.players.results import Results, Settings, Values, weighted_means
from zebjax.small import batch

OF_BELIEF = ("candidates", "floor", "power", "temperature", "doubt", "alike", "partner")
"""Options that need a model of the others."""
_DECISIONS_AT_ONCE = 64
"""Decisions that are judged together."""
_ROLL = 3
"""Stream of random numbers, see `batch.seeds_of`."""


def values(
    states: game.GameState,
    keys: np.ndarray,
    nets: tuple[Models | None, Policies | None],
    settings: tuple[inference.Settings, Settings],
    threads: int | None = None,
    need: np.ndarray | int = exact.ENOUGH,
) -> Values:
    """Compute the results of every move over weighted worlds.

    The results depend on what the mover has seen and on the key alone, not on hidden hands and not
    on the place in the batch.

    Args:
        states: N games that are not over, NumPy arrays with a leading axis. Hidden tiles are not
            read.
        keys: uint32 `[N, 2]`, one raw random key per game.
        nets: the models of the others, and the policies of rollouts; None: uniform weights, and
            no rollouts.
        settings: of the worlds, and of the results.
        threads: as for `batch.in_threads`.
        need: points at the end with which the mover's team wins, one integer or `[N]`.

    Raises:
        ValueError: if no game can reach a state, or an argument has a wrong shape or dtype.
    """
    check("keys", keys, ("N", 2), int)
    game.check_state(states, (len(keys),), "states")
    states = jax.tree.map(np.asarray, states)
    (models, policies), (of_worlds, how) = nets, settings
    legal = base.in_chunks(exact.legal_slots, states, keys)
    worlds = inference.worlds_of(states, keys, models, of_worlds, threads, how.adaptive)
    positions = base.gather(states, worlds.decision)._replace(hands=worlds.hands)
    # Other random numbers in each world, the same for all moves of a world.
    place = np.arange(len(worlds.decision)) - np.searchsorted(worlds.decision, worlds.decision)
    seeds = batch.split(batch.seeds_of(keys, _ROLL)[worlds.decision], place)
    share = 0.0 if policies is None else how.blend
    needs = np.broadcast_to(np.asarray(need, np.int64), len(keys))[worlds.decision]

    def judge(rows: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return exact results, wins or points, and points of rollouts; 0 if they do not count."""
        some = base.gather(positions, rows)
        solved, rolled = np.zeros((2, *asked.shape))
        if share < 1:
            solved = _solved(some, asked, how, threads, needs[rows])
        if policies is not None and share > 0:
            rolled = _rolled(policies, some, seeds[rows], how.rollout_temperature, threads, asked)
        return solved, rolled

    if how.adaptive > 1:
        results = np.zeros((2, len(place), tiles.HAND_SIZE))

        def score(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
            results[:, rows] = solved, rolled = judge(rows, asked)
            return (1 - share) * solved + share * (rolled >= needs[rows, None])

        worth = how.price * _seconds(np.asarray(states.ply), share)
        judged, legal = race.run(score, worlds.decision, worlds.weights, legal, worth)
        worlds, positions = worlds.only(judged), base.gather(positions, np.flatnonzero(judged))
        needs = needs[judged]
        solved, rolled = results[:, judged]
    else:
        solved, rolled = judge(np.arange(len(place)), legal[worlds.decision])
    return Values(
        _results(solved, worlds, legal, needs if how.points > 0 else None) if share < 1 else None,
        _results(rolled, worlds, legal, needs) if share > 0 else None,
        positions,
        worlds,
    )


def _rolled(
    policies: Policies,
    positions: game.GameState,
    seeds: np.ndarray,
    temperature: float,
    threads: int | None,
    asked: np.ndarray,
) -> np.ndarray:
    """Return the points of the mover's team after each move and a game to the end, `[M, 7]`."""
    if isinstance(policies, transformers.Policies):
        return transformers.rollouts(policies, positions, seeds, asked)
    return batch.rollouts(policies, batch.read(positions), seeds, temperature, threads, asked)


def _seconds(ply: np.ndarray, share: float) -> np.ndarray:
    """Return the time to judge a move in one world, with this share of rollouts, by ply."""
    # Fits to times of 2.6 GHz cores; `solver.at_least` with several moves at once.
    solving, rolling = 2 + 130 * np.exp(-0.3 * ply), 2.6 * (game.N_PLIES - ply)
    return np.asarray(1e-6 * (solving * (share < 1) + rolling * (share > 0)))


def _solved(
    positions: game.GameState,
    asked: np.ndarray,
    settings: Settings,
    threads: int | None,
    needs: np.ndarray,
) -> np.ndarray:
    """Return 1.0 for each move that wins, or the points if they count; `[M, 7]`."""
    if settings.points == 0:
        # One yes-or-no question per move takes a fifth of the time of its value.
        return solver.at_least(positions, needs, threads, asked).astype(np.float64)
    return np.asarray(solver.solve(positions, threads) + exact.mover_points(positions)[:, None])


def _results(
    results: np.ndarray, worlds: Worlds, legal: np.ndarray, needs: np.ndarray | None
) -> Results:
    """Average points, of which `needs` win a game; for None average wins, 0 or 1."""
    if needs is None:
        return Results(weighted_means(results, worlds, legal), None)
    wins = results >= needs[:, None]  # False for nan
    return Results(weighted_means(wins, worlds, legal), weighted_means(results, worlds, legal))


def player(
    settings: tuple[inference.Settings, Settings],
    networks: Networks,
    criterion: str = "win",
) -> Player:
    """Make the player.

    Args:
        settings: of the worlds, and of the results.
        networks: see `Networks`.
        criterion: "win" or "make", as for `exact.player`.

    Raises:
        ValueError: as `Networks.load`.
    """
    nets = networks.load()
    judges, how = (nets.models, nets.policies), settings[1]

    def judged(
        states: game.GameState, keys: np.ndarray, rows: np.ndarray, needs: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Values]]:
        for first in range(0, len(rows), _DECISIONS_AT_ONCE):
            some = rows[first : first + _DECISIONS_AT_ONCE]
            asked = base.gather(states, some)
            yield some, values(asked, keys[some], judges, settings, need=needs[some])

    def is_opening(states: game.GameState) -> np.ndarray:
        return np.asarray(states.ply) < tiles.N_PLAYERS * networks.opening_tricks

    def choose_needing(
        states: game.GameState, keys: np.ndarray, need: np.ndarray | int
    ) -> np.ndarray:
        if not len(keys):
            return np.zeros(0, np.int32)
        legal = base.in_chunks(exact.legal_slots, states, keys)
        slots = np.array(game.forced_slot(legal))
        needs = np.broadcast_to(need, len(keys))
        if nets.opening is not None:
            rows = np.flatnonzero((slots < 0) & is_opening(states))
            slots[rows] = small.slots(nets.opening.scores, base.gather(states, rows), keys[rows])
        rows = np.flatnonzero(slots < 0)
        for some, found in judged(states, keys, rows, needs):
            slots[some] = found.best_slots(how)
        return slots

    def judge(states: game.GameState, keys: np.ndarray) -> base.Judged:
        slots, late = np.zeros(len(keys), np.int32), np.arange(len(keys))
        p_win, points = np.full((2, len(keys), tiles.HAND_SIZE), np.nan)
        if nets.opening is not None:
            early, late = (np.flatnonzero(is_opening(states) == first) for first in (True, False))
            some = base.gather(states, early)
            slots[early] = small.slots(nets.opening.scores, some, keys[early])
            p_win[early], points[early] = small.predictions(nets.opening.whole, some)
        needs = np.full(len(keys), exact.ENOUGH)
        for rows, found in judged(states, keys, late, needs):
            slots[rows], p_win[rows] = found.best_slots(how), found.scores(how)
            if found.mean_points is not None:
                points[rows] = found.mean_points
        return base.Judged(slots, p_win, points)

    def p_win(states: game.GameState, keys: np.ndarray) -> np.ndarray:
        return judge(states, keys).p_win

    knows_all = criterion == "win" and how.scores_are_p_win
    knows_p_win = knows_all and nets.opening is None
    name = "eq:weighted"
    choose, choose_in_contract = base.by_need(choose_needing, criterion, name)
    return Player(
        name,
        choose,
        # The usual criterion is left out too.
        identity=f"weighted:{inference.VERSION},{settings!r},{nets.identity}"
        + (f",{criterion}" if criterion != "win" else "")
        + (f",alike={alike}" if (alike := settings[0].alike) != inference.Settings.alike else ""),
        choose_in_contract=choose_in_contract,
        prepare=functools.partial(inference.prepare, settings[0]) if nets.models else lambda: None,
        p_win=p_win if knows_p_win else None,
        judge=judge if knows_all else None,
    )


def check_together(options: Mapping[str, object], names: tuple[str, ...], **needed: object) -> None:
    """Check that options are given with another one, the keyword, whose value is None without it.

    Raises:
        ValueError: if one of `names` is in `options` and the other is None.
    """
    (other, value), *_ = needed.items()
    for name in names:
        if name in options and value is None:
            raise ValueError(f"{name}: expected {other} with it, as in {other}=small")


def make(
    n: int = 100, criterion: str | None = None, n_trick1: int | None = None, **options: Any
) -> Player:
    """Make the player of the spec `eq:...`.

    Args:
        n: worlds per decision.
        criterion: as for `exact.player`; with the options below "win" or "make".
        n_trick1: as for `exact.player`.
        **options: fields of `Networks`, `Settings` and `inference.Settings`.

    Raises:
        ValueError: if the options do not fit together.
    """
    if not options:
        return exact.player(n, criterion or "win", n_trick1)
    if criterion == "points":
        raise ValueError(f"criterion=points: not with {next(iter(options))}; expected points=1")
    check_together(options, OF_BELIEF, belief=options.get("belief"))
    check_together(options, ("blend", "opponents"), rollouts=options.get("rollouts"))
    check_together(options, ("opening_tricks", "alike"), opening=options.get("opening"))
    if n_trick1 is not None and "opening" in options:
        raise ValueError("n_trick1: not with opening, which plays the first trick")
    if "price" in options and "adaptive" not in options:
        raise ValueError("price: expected adaptive with it, as in adaptive=4")
    networks = Networks(**_taken(options, Networks))
    models = [path for path in (networks.belief, networks.partner) if path is not None]
    if "temperature" in options and all(map(transformers.is_named, models)):
        raise ValueError(
            f"temperature: not with belief={models[0]}, whose policy is taken as it is"
        )
    settings = Settings(**_taken(options, Settings))
    if settings.adaptive > 1 and transformers.is_named(networks.rollouts or ""):
        # Its price is that of time, which is measured for the small network on CPUs.
        raise ValueError(f"adaptive: not with rollouts={networks.rollouts}; raise n instead")
    weigh = networks.belief is not None
    worlds = inference.settings_of(n, n_trick1, weigh, options, settings.adaptive)
    return player((worlds, settings), networks, criterion or "win")


def _taken(options: dict[str, Any], kind: type) -> dict[str, Any]:
    """Remove from `options` those that are fields of a dataclass, and return them."""
    names = {field.name for field in dataclasses.fields(kind)} & set(options)
    return {name: options.pop(name) for name in names}
