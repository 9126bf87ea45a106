"""Sources of a run's games: self-play in this process (here), or `distributed.worker_source`."""

import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from zebjax import tiles
from zebjax.common.console import Reporter
from zebjax.game import N_PLIES
from zebjax.record import GameRecord
from zebjax.training import eval_aux, held_out, replay, selfplay
from zebjax.training.ahead import Ahead
from zebjax.training.call_sizer import CallSizer
from zebjax.training.eval_aux import Sifted
from zebjax.training.metrics import Row
from zebjax.training.session import Progress, Session, State

_RUNNING_SHARE = 0.1
"""Weight of the newest file in the running means of the eval-aux results."""


class GameSource(Protocol):
    """The interface between a run and its source of games."""

    def begin(self, session: Session) -> None:
        """Called once, after the run is restored and before its first cycle.

        Raises:
            ValueError: if the run cannot get games this way.
        """

    def complete(self, session: Session) -> None:
        """Called instead of `begin` if the run was complete when the process started."""

    def fill(self, session: Session) -> Iterator[None]:
        """Add games to the run's rings until it may train.

        Yields whenever the session is consistent, so that the run may be saved or stopped.
        """

    def check(self, session: Session) -> None:
        """Called between compiled calls: report news, and raise errors that must end the run."""

    def play_ahead(self, session: Session) -> None:
        """Called at the end of a cycle, before its files are written.

        The source may begin a call of the next cycle that runs meanwhile, see `ahead`. Until `fill`
        takes its result, `session.state` is then a copy on the host.
        """

    def weights_changed(self, session: Session, is_last: bool) -> None:
        """Called at the start of the run and at the end of each cycle, to publish the weights."""

    def saved(self, session: Session) -> None:
        """Called after each save: games in the save need not be kept elsewhere any more."""

    def metrics(self, session: Session) -> Row:
        """Return the metrics of the games of this cycle."""

    def close(self, session: Session) -> None:
        """Called once, when the run ends for any reason."""


class SelfPlaySource:
    """Self-play in the process of the run."""

    def __init__(self, report: Reporter, how_to_shorten: str) -> None:
        self._size = CallSizer("self-play", how_to_shorten, report)
        self._ahead: Ahead | None = None
        """The call that runs ahead; None if none does."""
        self._has_played = False

    def begin(self, session: Session) -> None:
        """Nothing to do."""

    def complete(self, session: Session) -> None:
        """Nothing to do."""

    def fill(self, session: Session) -> Iterator[None]:
        """Play until the ring has the cycle's games and at least `min_buffer` examples.

        With a teacher the ring was filled when the run began, and nothing is played.
        """
        settings, config = session.settings, session.settings.selfplay
        while settings.teacher.folder is None:
            waiting = int(session.state.actor.n_finished)
            if waiting >= config.games_per_cycle:
                actor, records = selfplay.pop_finished(config, session.state.actor)
                session.state = session.state._replace(actor=actor)
                add_selfplay(session, jax.tree.map(np.asarray, records))
                in_ring = int(replay.n_examples(session.state.ring))
                if in_ring >= settings.replay.min_buffer:
                    break
                session.report.note(
                    f"  filling the buffer: {in_ring:,} of {settings.replay.min_buffer:,} examples"
                )
                continue
            session.report.working("self-play", waiting, config.games_per_cycle)
            if self._ahead is not None:
                # Not for the size of calls: the host worked beside it.
                session.progress.play_s += self._ahead.collect(session)
                self._ahead = None
            else:
                began = time.monotonic()
                actor = jax.block_until_ready(self._advance(session, session.state))
                session.state = session.state._replace(actor=actor)
                self._size.timed(time.monotonic() - began)
                session.progress.play_s += time.monotonic() - began
                self._has_played = True
            yield
        if settings.eval_aux.enabled:
            self._play_against_eq(session)

    def _advance(self, session: Session, state: State) -> selfplay.Actor:
        """Dispatch a call of self-play; it takes the actor of `state`."""
        settings = session.settings
        return selfplay.advance(
            settings.selfplay,
            settings.network,
            state.learner.published,
            state.actor,
            session.progress.cycle,
            self._size.n,
        )

    def play_ahead(self, session: Session) -> None:
        """Begin the first call of the next cycle, if there will be one.

        Not before a first call of this process, which compiles: `fill` makes that one.
        """
        plays = session.settings.teacher.folder is None and self._has_played
        if not plays or session.is_complete or session.stop_asked():
            return
        if int(session.state.actor.n_finished) < session.settings.selfplay.games_per_cycle:
            self._ahead = Ahead(session, functools.partial(self._advance, session))

    def _play_against_eq(self, session: Session) -> None:
        config, cycle = session.settings.eval_aux, session.progress.cycle

        def on_ply(ply: int) -> None:
            session.report.working("plies against E[Q]", ply, N_PLIES)
            session.raise_if_stopped()  # nothing of these games is in the session yet

        began = time.monotonic()
        params = session.state.learner.published
        batch = eval_aux.GamesToPlay(
            cycle, session.settings.seed, number=cycle, n_games=config.games_per_cycle
        )
        records, facts = eval_aux.play(config, session.settings.network, params, batch, on_ply)
        add_eval_aux(session, records)
        session.progress.total_games += config.games_per_cycle
        sifted = Sifted(records, config.games_per_cycle, lag=0, weight=1.0)
        count_eval_aux(session.progress, sifted, facts)
        session.progress.play_s += time.monotonic() - began

    def check(self, session: Session) -> None:
        """Nothing to report."""

    def weights_changed(self, session: Session, is_last: bool) -> None:
        """Nothing to publish."""

    def saved(self, session: Session) -> None:
        """Nothing is kept elsewhere."""

    def metrics(self, session: Session) -> Row:
        """Return the metrics of self-play under the original's names for ingested games.

        Rates are per second that calls ran, so a call that ran ahead counts in full, and not only
        the time that the host waited for it. With a teacher nothing is played, and its games are
        not stale because no others arrive.
        """
        progress = session.progress
        games = progress.games_in_cycle
        play_s = max(progress.play_s, 1e-9)  # it is 0 if enough games were finished before
        played = {
            "perf/games_per_s": games / play_s,
            "ingest/selfplay_examples": games * N_PLIES,
            "ingest/selfplay_examples_per_s": games * N_PLIES / play_s,
        }
        return {
            **(played if session.settings.teacher.folder is None else {}),
            **(eval_aux_row(progress, play_s) if session.settings.eval_aux.enabled else {}),
        }

    def close(self, session: Session) -> None:
        """Drop the call that runs ahead, if one does."""
        if self._ahead is not None:
            self._ahead.drop()
            self._ahead = None


# ---- games that arrived, and counts of them, for every source


def add_selfplay(session: Session, records: GameRecord) -> int:
    """Put games of self-play into the ring, except those that are held out, and count them.

    Args:
        session: changed in place.
        records: `[n]` games, NumPy arrays.

    Returns:
        The number of games that went to the ring.
    """
    settings, progress, n = session.settings, session.progress, len(records.slots)
    trained, withheld = held_out.split(records, settings.replay.held_out)
    session.held_out = held_out.added(settings, session.held_out, withheld)
    ring = replay.add_some(session.state.ring, trained, n)
    session.state = session.state._replace(ring=ring)
    kept = len(trained.slots)
    progress.total_games += n
    progress.games_in_cycle += n
    progress.ring_games["selfplay"] = progress.ring_games.get("selfplay", 0) + kept
    count(progress, {"selfplay_kept_examples": kept * N_PLIES})
    return kept


def add_eval_aux(session: Session, records: GameRecord) -> None:
    """Put the kept games of an eval-aux file into their ring; NumPy arrays."""
    aux = replay.add_some(session.state.aux, records)
    session.state = session.state._replace(aux=aux)
    counts = session.progress.ring_games
    counts["evalaux"] = counts.get("evalaux", 0) + len(records.slots)


def count(progress: Progress, counts: Mapping[str, float]) -> None:
    """Add to the counts of this cycle."""
    for name, n in counts.items():
        progress.ingest[name] = progress.ingest.get(name, 0) + n


def count_eval_aux(progress: Progress, sifted: Sifted, facts: dict[str, Any]) -> None:
    """Count an eval-aux file, and update the running means of its results.

    Args:
        progress: changed in place.
        sifted: the file's games.
        facts: the file's results, by the names in `eval_aux.STATS`.
    """
    seen, kept = sifted.seen * N_PLIES, sifted.kept * N_PLIES
    counts = {
        "eval_aux_seen_examples": seen,
        "eval_aux_seen_files": 1,
        "eval_aux_kept_examples": kept,
        "eval_aux_kept_files": int(kept > 0),
        "eval_aux_skipped_stale_examples": 0 if sifted.weight else seen,
        "eval_aux_downweight_dropped_examples": seen - kept if sifted.weight else 0,
        "eval_aux_lag_files": 1,
        "eval_aux_lag_sum": sifted.lag,
        "eval_aux_keep_weight_sum": sifted.weight,
    }
    count(progress, counts)
    progress.ingest["eval_aux_lag_max"] = max(
        progress.ingest.get("eval_aux_lag_max", 0), sifted.lag
    )
    for name in eval_aux.STATS:
        new = facts.get(name)
        # Do not trust a worker's number: the comparison refuses impossible values and nan.
        if isinstance(new, int | float) and abs(new) <= tiles.TOTAL_POINTS:
            # The mean of the cycle weighs games alike, the running mean files.
            sums = {"games": sifted.seen, "sum": sifted.seen * new}
            count(progress, {f"eval_aux_{name}_{which}": n for which, n in sums.items()})
            old = progress.eval_stats.get(name, new)
            progress.eval_stats[name] = old + _RUNNING_SHARE * (new - old)


def count_disabled(progress: Progress, n: int) -> None:
    """Count an eval-aux file of `n` games that was dropped because the stream is disabled."""
    n_examples = n * N_PLIES
    counts = {
        "eval_aux_seen_examples": n_examples,
        "eval_aux_seen_files": 1,
        "eval_aux_skipped_disabled_examples": n_examples,
    }
    count(progress, counts)


def eval_aux_row(progress: Progress, seconds: float) -> Row:
    """Return the metrics of the eval-aux games of this cycle, under the original's names.

    Args:
        progress: its counts.
        seconds: the time in which these games arrived.
    """
    counted = progress.ingest
    names = (
        "eval_aux_seen_examples",
        "eval_aux_seen_files",
        "eval_aux_kept_examples",
        "eval_aux_kept_files",
        "eval_aux_skipped_stale_examples",
        "eval_aux_skipped_disabled_examples",
        "eval_aux_downweight_dropped_examples",
    )
    row: Row = {f"ingest/{name}": counted.get(name, 0) for name in names}
    for what in ("seen", "kept"):
        name = f"ingest/eval_aux_{what}_examples"
        row[f"{name}_per_s"] = row[name] / max(seconds, 1e-9)
    for name in eval_aux.STATS:
        if games := counted.get(f"eval_aux_{name}_games", 0):
            row[f"ingest/eval_aux_{name}_cycle"] = counted[f"eval_aux_{name}_sum"] / games
    if files := counted.get("eval_aux_lag_files", 0):
        row |= {
            "ingest/eval_aux_lag_avg": counted["eval_aux_lag_sum"] / files,
            "ingest/eval_aux_lag_max": counted["eval_aux_lag_max"],
            "ingest/eval_aux_keep_weight_avg": counted["eval_aux_keep_weight_sum"] / files,
        }
    return row
