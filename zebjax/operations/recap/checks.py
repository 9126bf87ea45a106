"""Warnings about a run, each by a stated rule over its metrics: what holds now, what held when."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from zebjax.operations.recap import milestones, series, text
from zebjax.training.metrics import Row

HELD_OUT, TRAINED = "held_out/value_loss", "held_out/trained_value_loss"
"""The value loss on games that are never trained on, and on trained ones, measured alike."""
TURNOVER = "stats/buffer_turnover_cycles"
_CROSS_ENTROPIES = tuple(f"eval/belief_cross_entropy_{of}" for of in ("hidden", "marginal"))
_MEMORISING_SHARE, _MEMORISING_ROWS = 0.85, 5
_STALE_CYCLES, _ARRIVALS = 60.0, 10
_STARVING_SHARE, _STARVING_ROWS = 0.5, 3
_BELIEF_GAIN, _BELIEF_EVALUATIONS = 0.005, 3
_SATURATED_RATE, _SATURATED_EVALUATIONS = 0.65, 4
_MIN_DROP, _MAX_REST = 0.02, 0.75
_TIMES = 60
"""Moments of a run at which it is checked."""
_WINDOW = 500
"""Newest rows that a check of a moment looks at."""

State = Literal["warning", "fine", "unknown"]


class Finding(NamedTuple):
    """The result of a check."""

    name: str
    state: State
    found: str
    """What was found; for `unknown` what is missing and how to get it."""
    rule: str


class Spell(NamedTuple):
    """Cycles between which a warning held, as far as the checked moments tell."""

    first: int
    last: int


def check(rows: Sequence[Row], alarms: Sequence[str] = ()) -> list[Finding]:
    """Check a run as it is after the last of these rows.

    Args:
        rows: the metrics, by cycle.
        alarms: the names of the alarms of a learner that is alive.
    """
    recent = rows[-_WINDOW:]
    return [
        _memorising(recent),
        _too_good(rows),
        _stale(recent),
        _starving(recent, alarms),
        _belief(recent),
        _saturated(recent),
    ]


def history(rows: Sequence[Row]) -> dict[str, list[Spell]]:
    """Return when each warning held, by the checks' names, in at most 60 moments of the run."""
    ends = sorted({round(end) for end in np.linspace(1, len(rows), _TIMES)}) if rows else []
    spells: dict[str, list[Spell]] = {}
    running: set[str] = set()
    for end in ends:
        cycle, now = int(rows[end - 1]["cycle"]), set[str]()
        for name in [one.name for one in check(rows[:end]) if one.state == "warning"]:
            before = spells.setdefault(name, [])
            if name in running:
                before[-1] = Spell(before[-1].first, cycle)
            else:
                before.append(Spell(cycle, cycle))
            now.add(name)
        running = now
    return spells


def _last(rows: Sequence[Row], n: int, *names: str) -> list[Row]:
    """The last `n` rows with all these metrics, or fewer if there are not so many."""
    return [row for row in rows if all(name in row for name in names)][-n:]


def _memorising(rows: Sequence[Row]) -> Finding:
    name = "memorising"
    rule = (
        f"the value loss on trained examples is below {100 * _MEMORISING_SHARE:.0f} % of that on "
        f"held-out ones, over {_MEMORISING_ROWS} cycles"
    )
    recent = _last(rows, _MEMORISING_ROWS, HELD_OUT, TRAINED)
    if not recent:
        missing = "there are no losses on held-out games: a share of games must be held out"
        return Finding(name, "unknown", missing, rule)
    held, trained = (float(np.mean([row[one] for row in recent])) for one in (HELD_OUT, TRAINED))
    found = f"{trained:.3f} on trained examples, {held:.3f} on held-out ones"
    is_bad = len(recent) == _MEMORISING_ROWS and trained < _MEMORISING_SHARE * held
    return Finding(name, "warning" if is_bad else "fine", found, rule)


def _too_good(rows: Sequence[Row]) -> Finding:
    """The sign that the original's run showed, which had no held-out games."""
    name = "memorising, by strength"
    rule = (
        f"since the best evaluation the value loss fell below {100 * _MAX_REST:.0f} % of what it "
        f"was then, and the win rate by more than {100 * _MIN_DROP:g} points and its interval"
    )
    best, evaluated = milestones.peak(rows), _last(rows, 1, series.WIN, series.VALUE)
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

    It is the metric of that name, else the buffer's examples divided by those that arrived in a
    cycle, over the newest ten.
    """
    recent = _last(rows, _ARRIVALS, series.BUFFER)
    if recent and (known := text.number(recent[-1].get(TURNOVER))) is not None:
        return known
    arrived = series.mean(recent, "ingest/selfplay_examples")
    if arrived is None:
        return None
    held = float(recent[-1][series.BUFFER])
    return held / arrived if arrived > 0 else math.inf


def _stale(rows: Sequence[Row]) -> Finding:
    name, rule = "stale", f"the buffer needs more than {_STALE_CYCLES:g} cycles to be replaced"
    cycles = turnover_cycles(rows)
    if cycles is None:
        missing = "the metrics lack the buffer's size or the games that arrive (ingest/...)"
        return Finding(name, "unknown", missing, rule)
    if math.isinf(cycles):
        return Finding(name, "warning", f"no game arrived in the last {_ARRIVALS} cycles", rule)
    state: State = "warning" if cycles > _STALE_CYCLES else "fine"
    return Finding(name, state, f"it needs {cycles:,.0f} cycles", rule)


def _starving(rows: Sequence[Row], alarms: Sequence[str]) -> Finding:
    name = "starving"
    rule = (
        f"a learner with workers waits for games for more than {100 * _STARVING_SHARE:.0f} % of "
        f"{_STARVING_ROWS} cycles, or reports that no self-play worker produces"
    )
    lacking = [alarm for alarm in alarms if "selfplay" in alarm]
    if lacking:
        return Finding(name, "warning", f"alarm: {', '.join(lacking)}", rule)
    # Without workers the time of ingest is that of self-play in the same process.
    wait = "perf/ingest_time_s"
    recent = _last(rows, _STARVING_ROWS, "ingest/selfplay_files", wait, series.WALL)
    if not recent:
        missing = "only a learner with workers can starve, and no row comes from one"
        return Finding(name, "unknown", missing, rule)
    share = sum(row[wait] for row in recent) / max(sum(row[series.WALL] for row in recent), 1e-9)
    found = f"it waited {100 * share:.0f} % of the last {len(recent)} cycles"
    is_bad = len(recent) == _STARVING_ROWS and share > _STARVING_SHARE
    return Finding(name, "warning" if is_bad else "fine", found, rule)


def _belief(rows: Sequence[Row]) -> Finding:
    name = "belief at the marginal"
    rule = (
        f"in {_BELIEF_EVALUATIONS} evaluations the belief head is not better than exact counting "
        f"by {_BELIEF_GAIN:g} nats a hidden tile, and does not improve by as much"
    )
    recent = _last(rows, _BELIEF_EVALUATIONS, *_CROSS_ENTROPIES)
    if not recent:
        missing = "no evaluation of the belief head is in the metrics; `zebjax belief` makes one"
        return Finding(name, "unknown", missing, rule)
    ours, counted = ([float(row[one]) for row in recent] for one in _CROSS_ENTROPIES)
    gains = [b - a for a, b in zip(ours, counted, strict=True)]
    found = f"{ours[-1]:.4f} against {counted[-1]:.4f} nats, a gain of {text.signed(gains[-1], 4)}"
    is_bad = max(gains) < _BELIEF_GAIN and gains[-1] - gains[0] < _BELIEF_GAIN
    state: State = "warning" if is_bad and len(recent) == _BELIEF_EVALUATIONS else "fine"
    return Finding(name, state, found, rule)


def _saturated(rows: Sequence[Row]) -> Finding:
    name = "win rate saturated"
    rule = (
        f"a win rate of {100 * _SATURATED_RATE:.0f} % or more stays within the interval of the "
        f"first of {_SATURATED_EVALUATIONS} evaluations"
    )
    n = _SATURATED_EVALUATIONS
    said, is_flat, known = [], False, False
    for metric, opponent in series.opponents(rows).items():
        recent = _last(rows, n, metric, f"{metric}_ci95")
        if len(recent) < n:
            continue
        rates, half = [row[metric] for row in recent], recent[0][f"{metric}_ci95"]
        known = True
        if min(rates) >= _SATURATED_RATE and all(abs(one - rates[0]) <= half for one in rates):
            is_flat = True
            said.append(f"{text.percent(rates[-1])} against {opponent}, within ±{100 * half:.1f}")
    if not known:
        return Finding(name, "unknown", f"it needs {n} evaluations with intervals", rule)
    if not is_flat:
        return Finding(name, "fine", f"it moves over the last {n} evaluations", rule)
    found = f"{'; '.join(said)}: judge by a stronger opponent, such as eq:n=10"
    return Finding(name, "warning", found, rule)
