"""Warnings about a run, each by a stated rule over its metrics."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from zebjax.evaluation.intervals import Z95
from zebjax.operations.recap import milestones, series, text
from zebjax.training.metrics import Row

HELD_OUT_VALUE = ("heldout/value_loss", "eval/heldout_value_loss")
"""Names of the value loss on games that are never trained on."""
TURNOVER = "stats/buffer_turnover_cycles"
RECENT = 20
"""Rows that a check of the present looks at."""
MAX_GAP, MAX_TURNOVER, MAX_WAIT, MIN_GAIN = 0.05, 200.0, 0.5, 0.005
_MIN_EVALUATIONS = 6
_MIN_DROP, _MAX_REST = 0.02, 0.75

State = Literal["warning", "fine", "unknown"]


class Finding(NamedTuple):
    """The result of a check."""

    name: str
    state: State
    found: str
    """What was found; for `unknown` what is missing and how to get it."""
    rule: str


def check(rows: Sequence[Row], alarms: Sequence[str]) -> list[Finding]:
    """Check a run.

    Args:
        rows: the metrics, by cycle.
        alarms: the names of the alarms of a learner that is alive.
    """
    return [
        _memorising(rows),
        _forgetting(rows),
        _stale(rows),
        _starving(rows, alarms),
        _belief(rows),
        _saturated(rows),
    ]


def _memorising(rows: Sequence[Row]) -> Finding:
    name = "memorising"
    rule = f"value loss on held-out games above that of training by more than {MAX_GAP:g}"
    held = series.first_known(rows, *HELD_OUT_VALUE)
    if held is None:
        missing = "there are no metrics of held-out games; they need games that are not trained on"
        return Finding(name, "unknown", missing, rule)
    recent = [row for row in rows if held in row and series.VALUE in row][-RECENT:]
    if not recent:
        return Finding(name, "unknown", "no row has both losses", rule)
    gaps = [row[held] - row[series.VALUE] for row in recent]
    gap = float(np.mean(gaps))
    found = f"the gap is {text.signed(gap)} (mean of {len(recent)} rows)"
    return Finding(name, "warning" if gap > MAX_GAP else "fine", found, rule)


def _forgetting(rows: Sequence[Row]) -> Finding:
    """The sign that the original's run showed, which had no held-out games."""
    name = "memorising, by strength"
    rule = (
        f"since the best evaluation the value loss fell below {100 * _MAX_REST:.0f} % of what it "
        f"was then, and the win rate by more than {100 * _MIN_DROP:g} points and its intervals: a "
        "sign of memorising"
    )
    best = milestones.peak(rows)
    evaluated = [row for row in rows if series.WIN in row and series.VALUE in row]
    if best is None or not evaluated or text.number(best.row.get(series.VALUE)) is None:
        return Finding(name, "unknown", "no row has both a win rate and a value loss", rule)
    now = evaluated[-1]
    drop = best.win_rate - now[series.WIN]
    rest = now[series.VALUE] / max(best.row[series.VALUE], 1e-12)
    noise = math.hypot(best.row.get(series.WIN_CI, 0.0), now.get(series.WIN_CI, 0.0))
    is_bad = drop > max(_MIN_DROP, noise) and rest < _MAX_REST
    found = (
        f"from cycle {best.cycle} to {now['cycle']} the value loss went from "
        f"{best.row[series.VALUE]:.3f} to {now[series.VALUE]:.3f}, the win rate from "
        f"{text.percent(best.win_rate)} to {text.percent(now[series.WIN])}"
    )
    return Finding(name, "warning" if is_bad else "fine", found, rule)


def turnover_cycles(rows: Sequence[Row]) -> float | None:
    """Cycles in which the newest games replace the whole buffer; None if it is not known.

    It is the metric of that name, else the buffer's examples divided by those that arrive in a
    cycle, both in the newest rows.
    """
    recent = [row for row in rows if series.BUFFER in row][-RECENT:]
    if recent and (known := text.number(recent[-1].get(TURNOVER))) is not None:
        return known
    arrived = series.mean(recent, "ingest/selfplay_examples")
    if arrived is None:
        return None
    held = float(recent[-1][series.BUFFER])
    return held / arrived if arrived > 0 else math.inf


def _stale(rows: Sequence[Row]) -> Finding:
    name, rule = "stale", f"the buffer turns over in more than {MAX_TURNOVER:g} cycles"
    cycles = turnover_cycles(rows)
    if cycles is None:
        missing = "the metrics lack the buffer's size or the games that arrive (ingest/...)"
        return Finding(name, "unknown", missing, rule)
    if math.isinf(cycles):
        return Finding(name, "warning", f"no game arrived in the last {RECENT} cycles", rule)
    state: State = "warning" if cycles > MAX_TURNOVER else "fine"
    return Finding(name, state, f"it turns over in {cycles:,.0f} cycles", rule)


def _starving(rows: Sequence[Row], alarms: Sequence[str]) -> Finding:
    name = "starving"
    rule = (
        f"the learner waits for games for more than {100 * MAX_WAIT:.0f} % of its time, or reports "
        "that no self-play worker produces"
    )
    lacking = [alarm for alarm in alarms if "selfplay" in alarm]
    if lacking:
        return Finding(name, "warning", f"alarm: {', '.join(lacking)}", rule)
    # Without workers the time of ingest is that of self-play in the same process.
    recent = [row for row in rows if "ingest/selfplay_files" in row and series.WALL in row]
    recent = recent[-RECENT:]
    if not recent:
        missing = "only a learner with workers can starve, and no row comes from one"
        return Finding(name, "unknown", missing, rule)
    waited = sum(row.get("perf/ingest_time_s", 0.0) for row in recent)
    share = waited / max(sum(row[series.WALL] for row in recent), 1e-9)
    found = f"it waited {100 * share:.0f} % of the time (last {len(recent)} cycles)"
    return Finding(name, "warning" if share > MAX_WAIT else "fine", found, rule)


def _belief(rows: Sequence[Row]) -> Finding:
    name = "belief at the marginal"
    rule = (
        "on hidden tiles the network's cross-entropy is not below that of exact counting by "
        f"{MIN_GAIN:g} nats"
    )
    names = ("eval/belief_cross_entropy_hidden", "eval/belief_cross_entropy_marginal")
    both = [row for row in rows if all(name in row for name in names)]
    if not both:
        missing = "no evaluation of the belief head is in the metrics; `zebjax belief` makes one"
        return Finding(name, "unknown", missing, rule)
    ours, counted = (float(both[-1][name]) for name in names)
    found = f"{ours:.4f} against {counted:.4f} nats, a gain of {text.signed(counted - ours, 4)}"
    return Finding(name, "warning" if counted - ours < MIN_GAIN else "fine", found, rule)


def _saturated(rows: Sequence[Row]) -> Finding:
    name = "win rate saturated"
    rule = (
        "the mean of the last third of the evaluations against random is not above that of the "
        "third before by more than the 95 % interval of the difference"
    )
    rates = series.of(rows, series.WIN)[1]
    if len(rates) < _MIN_EVALUATIONS:
        missing = f"it needs {_MIN_EVALUATIONS} evaluations, there are {len(rates)}"
        return Finding(name, "unknown", missing, rule)
    third = len(rates) // 3
    before, now = rates[-2 * third : -third], rates[-third:]
    stderr = math.sqrt(before.var(ddof=1) / third + now.var(ddof=1) / third)
    gain = float(now.mean() - before.mean())
    found = (
        f"{text.percent(float(before.mean()))}, then {text.percent(float(now.mean()))}: a gain of "
        f"{text.signed(100 * gain, 1)} ± {100 * Z95 * stderr:.1f} points"
    )
    if gain <= Z95 * stderr:
        found += "; judge by stronger opponents, such as `zebjax arena` against eq:n=10"
        return Finding(name, "warning", found, rule)
    return Finding(name, "fine", found, rule)
