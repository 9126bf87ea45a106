"""Where a run's games come from and where its weights go: its own self-play here, workers in
`workers_feed`.
"""

import time
from typing import TYPE_CHECKING, Any, Protocol

import jax

from zebjax import tiles
from zebjax.common.console import Row
from zebjax.game import N_PLIES
from zebjax.training import eval_aux, replay, selfplay
from zebjax.training.call_sizer import CallSizer
from zebjax.training.config import Experiment
from zebjax.training.eval_aux import Sifted
from zebjax.training.session import Progress

if TYPE_CHECKING:
    from zebjax.training.run import Run


_RUNNING = 0.1
"""Share of the newest file in the running means of the eval-aux results."""


def count(progress: Progress, counts: dict[str, float]) -> None:
    """Add to what came in this cycle."""
    for name, n in counts.items():
        progress.ingest[name] = progress.ingest.get(name, 0) + n


def count_eval_aux(progress: Progress, sifted: Sifted, facts: dict[str, Any]) -> None:
    """Count an eval-aux file, whose `facts` say how the network fared in it."""
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
        if (
            isinstance(new, int | float) and abs(new) <= tiles.TOTAL_POINTS
        ):  # a stranger's word; nan is not either
            old = progress.eval_stats.get(name, new)
            progress.eval_stats[name] = old + _RUNNING * (new - old)


def eval_aux_row(progress: Progress) -> Row:
    """What came of the eval-aux stream in this cycle, by the original's names."""
    counted = progress.ingest
    names = (
        *(
            "eval_aux_seen_examples",
            "eval_aux_seen_files",
            "eval_aux_kept_examples",
            "eval_aux_kept_files",
        ),
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


class Feed(Protocol):
    """What a run asks for games, and tells of its weights."""

    def begin(self, run: "Run") -> None:
        """The run is there and goes on from now; raises what keeps it from that."""

    def fill(self, run: "Run") -> None:
        """Put games into the run's rings until it may train; raises Stopped when a stop is asked
        for.
        """

    def look(self, run: "Run") -> None:
        """Between two compiled calls: tell what there is to tell; raises what ends the run."""

    def trained(self, run: "Run", last: bool) -> None:
        """A cycle has ended, or the run begins or goes on: its weights may be published."""

    def saved(self, run: "Run") -> None:
        """The run's state is on disk: what it holds need not be kept elsewhere."""

    def row(self, run: "Run") -> Row:
        """What is to stand in the cycle's metrics."""

    def close(self, run: "Run") -> None:
        """The run stops."""


class OwnGames:
    """Everything in one process: the run plays its games itself."""

    def __init__(self, settings: Experiment, report: Any) -> None:
        self._size = CallSizer(
            "self-play", "fewer --selfplay.lanes or --selfplay.search.sims", report
        )

    def begin(self, run: "Run") -> None:
        """Nothing to begin."""

    def fill(self, run: "Run") -> None:
        """Play until the cycle's games are in the ring, and the ring has what training waits for.

        With a teacher the ring was filled at the start, and nothing is played.
        """
        settings, config = run.settings, run.settings.selfplay
        while settings.teacher.folder is None:
            waiting = int(run.state.actor.n_finished)
            if waiting >= config.games_per_cycle:
                actor, records = selfplay.take(config, run.state.actor)
                run.state = run.state._replace(
                    actor=actor, ring=replay.add(run.state.ring, records)
                )
                run.progress.total_games += config.games_per_cycle
                run.progress.games_in_cycle += config.games_per_cycle
                in_ring = int(replay.n_examples(run.state.ring))
                if in_ring >= settings.replay.min_buffer:
                    break
                run.report.note(
                    f"  filling the buffer: {in_ring:,} of {settings.replay.min_buffer:,} examples"
                )
                continue
            run.report.working("self-play", waiting, config.games_per_cycle)
            began = time.monotonic()
            actor = selfplay.advance(
                config,
                settings.network,
                run.state.learner.params,
                run.state.actor,
                run.progress.cycle,
                self._size.n,
            )
            run.state = run.state._replace(actor=jax.block_until_ready(actor))
            self._size.timed(time.monotonic() - began)
            run.progress.play_s += time.monotonic() - began
            run.between_calls()
        if settings.eval_aux.enabled:
            self._play_against_eq(run)

    def _play_against_eq(self, run: "Run") -> None:
        config, cycle = run.settings.eval_aux, run.progress.cycle

        def on_ply(ply: int) -> None:
            run.report.working("plies against E[Q]", ply, N_PLIES)

        began = time.monotonic()
        params = run.state.learner.params
        batch = eval_aux.GamesToPlay(
            cycle, run.settings.seed, number=cycle, n_games=config.games_per_cycle
        )
        records, facts = eval_aux.play(config, run.settings.network, params, batch, on_ply)
        run.state = run.state._replace(aux=replay.add_some(run.state.aux, records))
        run.progress.total_games += config.games_per_cycle
        count_eval_aux(
            run.progress, Sifted(records, config.games_per_cycle, lag=0, weight=1.0), facts
        )
        run.progress.play_s += time.monotonic() - began

    def look(self, run: "Run") -> None:
        """Nothing to tell."""

    def trained(self, run: "Run", last: bool) -> None:
        """Nothing to publish."""

    def saved(self, run: "Run") -> None:
        """Nothing is kept elsewhere."""

    def row(self, run: "Run") -> Row:
        """Self-play, by the names of ingestion."""
        games = run.progress.games_in_cycle
        play_s = max(run.progress.play_s, 1e-9)  # 0 where enough games were waiting already
        return {
            "perf/games_per_s": games / play_s,
            "ingest/selfplay_examples": games * N_PLIES,
            "ingest/selfplay_examples_per_s": games * N_PLIES / play_s,
            **(eval_aux_row(run.progress) if run.settings.eval_aux.enabled else {}),
        }

    def close(self, run: "Run") -> None:
        """Nothing to close."""
