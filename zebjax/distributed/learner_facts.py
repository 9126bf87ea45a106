"""The facts in a learner's heartbeats: what it does, why it waits, and its newest metrics."""

import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from zebjax.training.metrics import WIN_RATE, Row
from zebjax.training.session import Progress, Session

METRICS = (
    *(f"train/{name}_loss" for name in ("policy", "value", "belief", "total")),
    *("train/move_value_error", "train/move_value_spread_error"),
    *(f"train/belief_accuracy{name}" for name in ("", "_hidden", "_marginal")),
    *("stats/selfplay_updates", "stats/eval_aux_updates", "stats/eval_aux_policy_w"),
    *("stats/replay_buffer_selfplay", "stats/replay_buffer_eval_aux"),
    *("stats/buffer_age_cycles", "stats/buffer_turnover_cycles", "stats/rows_trained_per_row"),
    *("held_out/value_loss", "held_out/trained_value_loss"),
    *("perf/games_per_s", "perf/updates_per_s", "perf/cycle_wall_time_s"),
)
"""Metrics that a heartbeat has, each with its newest value, besides all win rates."""
WARNING = "warning/"
"""Prefix of the facts with the warnings about the metrics that hold now; a text each."""
COMPILE = "compile"
"""The phase of a process that has not finished its first compiled call."""
_CYCLES = 50
"""Number of cycles of which the usual duration is taken."""


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that a heartbeat has: those of `METRICS`, and the win rates."""
    return {
        name: value
        for name, value in row.items()
        if name in METRICS or WIN_RATE.fullmatch(name.removesuffix("_ci95"))
    }


class Waiting(NamedTuple):
    """Why the learner may not train yet."""

    why: str
    have: int | None = None
    """The number of what it waits for that it has."""
    needed: int | None = None


class LearnerFacts:
    """Collects the facts; call `of` whenever they may have changed."""

    def __init__(self, progress: Progress) -> None:
        self._began_at = (progress.cycle, progress.updates_in_cycle)
        self._walls: deque[float] = deque(maxlen=_CYCLES)
        self._newest_cycle = -1
        self._metrics: Row = {}
        self.buffer: int | None = None
        """Examples in the ring of self-play, when they were last counted."""
        self.waits: Waiting | None = None

    def of(self, session: Session) -> dict[str, Any]:
        """Return the facts as names and plain values."""
        progress, settings = session.progress, session.settings
        self._see(progress.row)
        facts: dict[str, Any] = {
            "experiment": settings.name,
            "eval_aux": settings.eval_aux.enabled,
            "step": progress.cycle,
            "last_step": progress.first_cycle + settings.cycles,
            "total_games": progress.total_games,
            "quarantined": progress.quarantined,
            "phase": self._phase(progress),
            "capacity": settings.replay.capacity_examples,
            **self._metrics,
            **{f"{WARNING}{one.title}": one.text for one in session.current_warnings},
        }
        if self.buffer is not None:
            facts["buffer"] = self.buffer
        if self.waits is not None:
            facts |= {"waits_for": self.waits.why, "have": self.waits.have}
            facts["needed"] = self.waits.needed
        if self._walls:
            facts["cycle_s"] = statistics.median(self._walls)
            facts["longest_cycle_s"] = max(self._walls)
        if session.wandb_url:
            facts["wandb_url"] = session.wandb_url
        return facts

    def _phase(self, progress: Progress) -> str:
        # Until the first call has returned, most of its time is compilation.
        has_trained = (progress.cycle, progress.updates_in_cycle) != self._began_at
        return COMPILE if progress.phase == "train" and not has_trained else progress.phase

    def _see(self, row: Row | None) -> None:
        """Keep the metrics of a new row. One without an evaluation leaves the last evaluation."""
        if row is None or row["cycle"] == self._newest_cycle:
            return
        self._newest_cycle = row["cycle"]
        self._metrics |= shown(row)
        if "perf/cycle_wall_time_s" in row:
            self._walls.append(row["perf/cycle_wall_time_s"])
