"""Where a run's games come from: its own self-play here, workers in `distributed.worker_source`."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import jax

from zebjax import tiles
from zebjax.common.console import Reporter
from zebjax.game import N_PLIES
from zebjax.training import eval_aux, replay, selfplay
from zebjax.training.call_sizer import CallSizer
from zebjax.training.eval_aux import Sifted
from zebjax.training.metrics import Row
from zebjax.training.session import Progress, Session

_RUNNING_SHARE = 0.1
"""Share of the newest file in the running means of the eval-aux results."""


class GameSource(Protocol):
    """What a run asks for games, and informs about its weights."""

    def begin(self, session: Session) -> None:
        """Called once, after the run is restored and before its first cycle.

        Raises:
            ValueError: if the run cannot get games this way.
        """

    def complete(self, session: Session) -> None:
        """Called instead of `begin` if the run was complete when the process started."""

    def fill(self, session: Session) -> Iterator[None]:
        """Put games into the run's rings until it may train.

        Yields whenever the session is consistent: the run may then be saved or stopped.
        """

    def check(self, session: Session) -> None:
        """Called between two compiled calls: report news, and raise what must end the run."""

    def weights_changed(self, session: Session, is_last: bool) -> None:
        """Called at the end of each cycle, and once at the beginning: the place to publish."""

    def saved(self, session: Session) -> None:
        """Called after each save: what the save holds need not be kept elsewhere."""

    def metrics(self, session: Session) -> Row:
        """Metrics of the games of this cycle."""

    def close(self, session: Session) -> None:
        """Called once, when the run ends for whatever reason."""


class SelfPlaySource:
    """Everything in one process: the run plays its games itself."""

    def __init__(self, report: Reporter) -> None:
        self._size = CallSizer(
            "self-play", "fewer --selfplay.lanes or --selfplay.search.sims", report
        )

    def begin(self, session: Session) -> None:
        """Nothing to do."""

    def complete(self, session: Session) -> None:
        """Nothing to do."""

    def fill(self, session: Session) -> Iterator[None]:
        """Play until the cycle's games are in the ring and the ring has what training waits for.

        With a teacher the ring was filled when the run began, and nothing is played.
        """
        settings, config = session.settings, session.settings.selfplay
        while settings.teacher.folder is None:
            waiting = int(session.state.actor.n_finished)
            if waiting >= config.games_per_cycle:
                actor, records = selfplay.take(config, session.state.actor)
                session.state = session.state._replace(
                    actor=actor, ring=replay.add(session.state.ring, records)
                )
                session.progress.total_games += config.games_per_cycle
                session.progress.games_in_cycle += config.games_per_cycle
                in_ring = int(replay.n_examples(session.state.ring))
                if in_ring >= settings.replay.min_buffer:
                    break
                session.report.note(
                    f"  filling the buffer: {in_ring:,} of {settings.replay.min_buffer:,} examples"
                )
                continue
            session.report.working("self-play", waiting, config.games_per_cycle)
            began = time.monotonic()
            actor = selfplay.advance(
                config,
                settings.network,
                session.state.learner.params,
                session.state.actor,
                session.progress.cycle,
                self._size.n,
            )
            session.state = session.state._replace(actor=jax.block_until_ready(actor))
            self._size.timed(time.monotonic() - began)
            session.progress.play_s += time.monotonic() - began
            yield
        if settings.eval_aux.enabled:
            self._play_against_eq(session)

    def _play_against_eq(self, session: Session) -> None:
        config, cycle = session.settings.eval_aux, session.progress.cycle

        def on_ply(ply: int) -> None:
            session.report.working("plies against E[Q]", ply, N_PLIES)
            session.raise_if_stopped()  # nothing of these games is in the session yet

        began = time.monotonic()
        params = session.state.learner.params
        batch = eval_aux.GamesToPlay(
            cycle, session.settings.seed, number=cycle, n_games=config.games_per_cycle
        )
        records, facts = eval_aux.play(config, session.settings.network, params, batch, on_ply)
        session.state = session.state._replace(aux=replay.add_some(session.state.aux, records))
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
        """Self-play by the names of ingestion."""
        progress = session.progress
        games = progress.games_in_cycle
        play_s = max(progress.play_s, 1e-9)  # 0 where enough games were waiting already
        return {
            "perf/games_per_s": games / play_s,
            "ingest/selfplay_examples": games * N_PLIES,
            "ingest/selfplay_examples_per_s": games * N_PLIES / play_s,
            **(eval_aux_row(progress) if session.settings.eval_aux.enabled else {}),
        }

    def close(self, session: Session) -> None:
        """Nothing to close."""


# ---- counting what arrived, for every source


def count(progress: Progress, counts: Mapping[str, float]) -> None:
    """Add to the counts of this cycle."""
    for name, n in counts.items():
        progress.ingest[name] = progress.ingest.get(name, 0) + n


def count_eval_aux(progress: Progress, sifted: Sifted, facts: dict[str, Any]) -> None:
    """Count an eval-aux file; `facts` are its results, as `eval_aux.STATS` names them."""
    seen, kept = sifted.seen * N_PLIES, sifted.kept * N_PLIES
    counts = {
        "eval_aux_seen_examples": seen,
        "eval_aux_seen_files": 1,
        "eval_aux_kept_examples": kept,
        "eval_aux_kept_files": int(kept > 0),
        "eval_aux_skipped_stale_examples": 0 if sifted.weight else seen,
        "eval_aux_downweight_dropped_examples": seen - kept if sifted.weight else 0,
        "eval_aux_lag_sum": sifted.lag,
        "eval_aux_keep_weight_sum": sifted.weight,
    }
    count(progress, counts)
    progress.ingest["eval_aux_lag_max"] = max(
        progress.ingest.get("eval_aux_lag_max", 0), sifted.lag
    )
    for name in eval_aux.STATS:
        new = facts.get(name)
        # A worker's word is not trusted: it must be a possible number, and nan is not.
        if isinstance(new, int | float) and abs(new) <= tiles.TOTAL_POINTS:
            old = progress.eval_stats.get(name, new)
            progress.eval_stats[name] = old + _RUNNING_SHARE * (new - old)


def eval_aux_row(progress: Progress) -> Row:
    """Metrics of the eval-aux games of this cycle, by the original's names."""
    counted = progress.ingest
    names = (
        *("eval_aux_seen_examples", "eval_aux_seen_files"),
        *("eval_aux_kept_examples", "eval_aux_kept_files"),
        *("eval_aux_skipped_stale_examples", "eval_aux_downweight_dropped_examples"),
    )
    row: Row = {f"ingest/{name}": counted.get(name, 0) for name in names}
    if files := counted.get("eval_aux_seen_files", 0):
        row |= {
            "ingest/eval_aux_lag_avg": counted["eval_aux_lag_sum"] / files,
            "ingest/eval_aux_lag_max": counted["eval_aux_lag_max"],
            "ingest/eval_aux_keep_weight_avg": counted["eval_aux_keep_weight_sum"] / files,
        }
    return row
