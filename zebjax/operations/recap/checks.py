"""The warnings of `training.warnings` on a run's rows, and two that need more than its newest rows.

`starving` also looks at the alarms of a learner that is alive. `memorising_by_strength` is the sign
that the original's run showed, which had no held-out games; it compares with the best evaluation of
the whole run.
"""

import math
from collections.abc import Sequence

from zebjax.operations.recap import milestones, series, text
from zebjax.training import warnings
from zebjax.training.metrics import Row
from zebjax.training.warnings import Finding, Spell

_MIN_DROP, _MAX_REST = 0.02, 0.75


def check(rows: Sequence[Row], alarms: Sequence[str] = ()) -> list[Finding]:
    """Check a run as it is after the last of these rows.

    Args:
        rows: the metrics, by cycle.
        alarms: the names of the alarms of a learner that is alive.
    """
    found = [_with_alarms(one, alarms) for one in warnings.check(rows)]
    return [found[0], _by_strength(rows), *found[1:]]


def history(rows: Sequence[Row]) -> list[Spell]:
    """Return when each warning held; see `warnings.history`."""
    evaluated = [row for row in rows if series.WIN in row]
    by_strength = warnings.history(evaluated, lambda known: warnings.holding([_by_strength(known)]))
    return [*by_strength, *warnings.history(rows)]


def _with_alarms(one: Finding, alarms: Sequence[str]) -> Finding:
    """Return the finding; `starving` is a warning if no self-play worker produces."""
    if one.name != "starving":
        return one
    rule = f"{one.rule}, or reports that no self-play worker produces"
    lacking = [alarm for alarm in alarms if "selfplay" in alarm]
    if lacking:
        return one._replace(state="warning", text=f"alarm: {', '.join(lacking)}", rule=rule)
    return one._replace(rule=rule)


def _by_strength(rows: Sequence[Row]) -> Finding:
    name = "memorising_by_strength"
    rule = (
        f"since the best evaluation the value loss fell below {100 * _MAX_REST:.0f} % of what it "
        f"was then, and the win rate by more than {100 * _MIN_DROP:g} points and its interval"
    )
    evaluated = [
        row
        for row in rows
        if all(text.number(row.get(metric)) is not None for metric in (series.WIN, series.VALUE))
    ]
    best = milestones.peak(rows)
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
