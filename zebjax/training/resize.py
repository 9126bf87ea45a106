"""Fit the arrays of a resumed run to settings that have changed: its rings and its lanes.

A ring of another capacity keeps its newest games.

Games in progress may not simply be dropped with their lanes: at any moment a long game is more
likely to be in progress than a short one (the inspection paradox), so the games that remain would
be too short on average, whatever lanes are chosen. Therefore the games of surplus lanes are played
to their end when the run resumes, with the weights and the search of that moment. Then every game
that was started counts, and that set does not depend on how long its games are: the number of
started games is a stopping time, so by Wald's identity means over them have no bias. A game without
a move is dropped: nothing is known of it yet.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from zebjax import contract_record, game
from zebjax.common import devices
from zebjax.record import GameRecord
from zebjax.training import held_out, replay, selfplay, sources
from zebjax.training.config import Experiment
from zebjax.training.resume import CannotContinue
from zebjax.training.session import Session

_STREAM = 0x7E52
"""Folded into the actor's key, for the games that are played to their end."""


def fit(session: Session) -> None:
    """Fit the arrays of a resumed run to its settings; nothing happens if they fit.

    Finished games that wait for their cycle, and those of surplus lanes, go to the ring at once.

    Args:
        session: changed in place. If this is interrupted, the saved run is as it was.

    Raises:
        CannotContinue: if games of a teacher would be lost.
        Stopped: if a stop was requested while games are played to their end.
    """
    settings, state = session.settings, session.state
    _refuse_fewer_lessons(session)
    ring = replay.resized(state.ring, settings.replay.capacity_examples)
    aux = replay.resized(state.aux, settings.eval_aux.capacity_examples)
    for name, old, new in (("replay", state.ring, ring), ("eval_aux", state.aux, aux)):
        if old is not new:
            session.report.note(
                f"{name}.capacity_examples: the ring keeps its newest {int(new.size):,} of "
                f"{int(old.size):,} games"
            )
    ring, aux = _placed(ring, state.ring.next), _placed(aux, state.aux.next)
    games = contract_record.without_contract(held_out.none())
    if not _has_sizes_of(state.actor, settings.selfplay):
        actor, games = _with_other_lanes(session)
        session.report.note(
            f"selfplay: {settings.selfplay.n_lanes:,} lanes from now on; {len(games.slots):,} "
            "finished games went to the ring"
        )
        state = state._replace(actor=_placed(actor, state.actor.n_finished))
    session.state = state._replace(ring=ring, aux=aux)
    none = held_out.none(settings.network.plays_contracts)
    session.held_out = held_out.added(settings, session.held_out, none)
    if len(games.slots):
        sources.add_selfplay(session, games)


def _placed(tree: Any, like: jax.Array) -> Any:
    """Put host arrays where `like` is, so that the compiled functions take them as they took it."""
    if isinstance(jax.tree.leaves(tree)[0], np.ndarray):
        tree = jax.device_put(tree, like.sharding)
    return devices.everywhere(tree)


def _refuse_fewer_lessons(session: Session) -> None:
    settings, held = session.settings, int(session.state.ring.size)
    lost = held * game.N_PLIES > settings.replay.capacity_examples
    if settings.teacher.folder is not None and lost:
        raise CannotContinue(
            f"{settings.folder}: replay.capacity_examples: the ring holds "
            f"{held * game.N_PLIES:,} examples of the teacher, which are read only once; expected "
            f"at least as many, got {settings.replay.capacity_examples:,}"
        )


def _has_sizes_of(actor: selfplay.Actor, config: Any) -> bool:
    n_buffer = config.games_per_cycle + config.n_lanes
    return len(actor.states.ply) == config.n_lanes and len(actor.finished.slots) == n_buffer


def _with_other_lanes(session: Session) -> tuple[selfplay.Actor, GameRecord]:
    """Return the actor with the lanes of the settings, and finished games as NumPy arrays.

    The first lanes stay, new ones start a game, and the games of surplus ones are finished.
    """
    settings, progress, old = session.settings, session.progress, session.state.actor
    lanes = settings.selfplay.n_lanes
    waiting = jax.tree.map(lambda leaf: np.asarray(leaf)[: int(old.n_finished)], old.finished)
    running = jax.tree.map(np.asarray, (old.states, old.records))
    has_begun = running[0].ply[lanes:] > 0
    surplus = jax.tree.map(lambda leaf: leaf[lanes:][has_begun], running)
    drain_key, init_key, key = (jax.random.fold_in(old.key, _STREAM + i) for i in range(3))

    def between(done: int, total: int) -> None:
        session.report.working("games of surplus lanes", done, total)
        session.raise_if_stopped()

    ended = finish(
        settings, session.state.learner.published, surplus, progress.cycle, drain_key, between
    )
    fresh = selfplay.init(settings.selfplay, init_key, progress.cycle)
    states, records = _first_replaced((fresh.states, fresh.records), running, lanes)
    actor = fresh._replace(states=states, records=records, key=key)
    return actor, jax.tree.map(lambda *parts: np.concatenate(parts), waiting, ended)


def _first_replaced(fresh: Any, kept: Any, n: int) -> Any:
    """Return `fresh` with its first lanes replaced by up to `n` lanes of `kept`; NumPy arrays."""
    n = min(n, len(jax.tree.leaves(kept)[0]))
    return jax.tree.map(
        lambda new, old: np.concatenate([old[:n], np.asarray(new)[n:]]), fresh, kept
    )


def finish(
    settings: Experiment,
    params: Any,
    running: tuple[game.GameState, GameRecord],
    step: int,
    key: jax.Array,
    between: Callable[[int, int], None],
) -> GameRecord:
    """Play games in progress to their end, with the compiled function of self-play.

    Args:
        settings: its self-play and network.
        params: the network's parameters.
        running: `[n]` games, each at a decision, and their records so far; NumPy arrays.
        step: training step of `params`.
        key: one typed random key.
        between: called before each move with the number of finished games, and n.

    Returns:
        `[n]` finished games, in the order in which they ended; NumPy arrays.
    """
    config, n = settings.selfplay, len(running[0].ply)
    ended = [jax.tree.map(lambda leaf: leaf[:0], running[1])]
    for start in range(0, n, config.n_lanes):
        group = jax.tree.map(lambda leaf: leaf[start : start + config.n_lanes], running)  # noqa: B023
        # The other lanes play new games, which are dropped, finished or not.
        actor = selfplay.init(config, jax.random.fold_in(key, start), step)
        states, records = _first_replaced((actor.states, actor.records), group, config.n_lanes)
        actor = actor._replace(
            states=_placed(states, actor.n_finished), records=_placed(records, actor.n_finished)
        )
        wanted = set(map(_deal_of, group[1].hands))
        while wanted:
            between(sum(len(part.slots) for part in ended), n)
            actor = selfplay.advance(config, settings.network, params, actor, step, 1)
            n_finished = int(actor.n_finished)
            found = jax.tree.map(lambda leaf: np.asarray(leaf)[:n_finished], actor.finished)  # noqa: B023
            ours = np.array([_deal_of(hands) in wanted for hands in found.hands], bool)
            ended.append(jax.tree.map(lambda leaf: leaf[ours], found))  # noqa: B023
            wanted -= set(map(_deal_of, found.hands))
            if n_finished >= config.games_per_cycle:
                actor, _ = selfplay.pop_finished(config, actor)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *ended)


def _deal_of(hands: np.ndarray) -> bytes:
    """Return what tells a game from all others: 28 tiles in order, one of 28! deals."""
    return hands.tobytes()
