"""Warnings about a run, from its metrics rows alone.

Each is a pure rule over the newest rows, so the learner's line, `status`, `watch` and a recap say
the same:

- `memorising`: the value loss on trained examples is below 85 % of that on held-out ones, over
  the last 5 cycles. The original's long run ended this way: 0.10 instead of 0.20.
- `stale`: at the present rate the self-play ring needs more than 60 cycles to be replaced.
- `starving`: a learner with workers waited for games for more than half of the last 3 cycles.
- `belief_at_marginal`: in the last 3 evaluations the belief head was not 0.005 nats per hidden tile
  better than exact counting, and it is not improving by as much either.
- `saturated`: a win rate of 65 % or more stayed within the interval of the first of the last 4
  evaluations, so that opponent no longer shows progress.

A warning is not an alarm: the run works, but it learns less than it could.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from zebjax.training.metrics import WIN_RATE, Row

WINDOW = 500
"""Number of newest rows that decide; at least four evaluations should lie in them."""
_MEMORISING_SHARE, _MEMORISING_CYCLES = 0.85, 5
STALE_CYCLES = 60.0
"""Turnover in cycles from which a buffer is stale. The original's was 79 with a million examples,
which it halved."""
_ARRIVALS = 10
_STARVING_SHARE, _STARVING_CYCLES = 0.5, 3
_BELIEF_GAIN, _BELIEF_EVALUATIONS = 0.005, 3
_SATURATED_RATE, _SATURATED_EVALUATIONS = 0.65, 4
_HELD, _TRAINED = "held_out/value_loss", "held_out/trained_value_loss"
_HIDDEN, _MARGINAL = (f"eval/belief_cross_entropy_{name}" for name in ("hidden", "marginal"))
_BUFFER, _TURNOVER = "stats/replay_buffer_selfplay", "stats/buffer_turnover_cycles"
_FILES = "ingest/selfplay_files"
"""Only a learner with workers has it."""
_MAX_MOMENTS = 250

State = Literal["warning", "fine", "unknown"]


class Finding(NamedTuple):
    """The result of a rule."""

    name: str
    """One word, see the module."""
    state: State
    text: str
    """What was found, with the numbers; for `unknown` what is missing."""
    rule: str
    """The condition of the warning."""
    about: str = ""
    """The opponent of a saturated win rate."""

    @property
    def title(self) -> str:
        """The name, with the opponent: `saturated against random`."""
        return f"{self.name} against {self.about}" if self.about else self.name


class Spell(NamedTuple):
    """A time during which a warning held."""

    title: str
    """See `Finding`."""
    first_cycle: int
    last_cycle: int
    text: str
    """The sentence of its last cycle."""


def check(rows: Sequence[Row]) -> list[Finding]:
    """Return the result of each rule after the last of these rows.

    Args:
        rows: rows of the metrics file, oldest first; only the last `WINDOW` are read.
    """
    recent = rows[-WINDOW:]
    rules = (_memorising, _stale, _starving, _belief_at_marginal)
    return [*(rule(recent) for rule in rules), *_saturated(recent)]


def holding(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings that are warnings."""
    return [one for one in found if one.state == "warning"]


def find(rows: Sequence[Row]) -> list[Finding]:
    """Return the warnings that hold after the last of these rows; see `check`."""
    return holding(check(rows))


def names(found: Sequence[Finding]) -> str:
    """Return the names for a line, without repeats: `memorising, stale`."""
    return ", ".join(dict.fromkeys(warning.name for warning in found))


def history(
    rows: Sequence[Row], find: Callable[[Sequence[Row]], Sequence[Finding]] = find
) -> list[Spell]:
    """Return when each warning held, in the order in which they began.

    Args:
        rows: all rows of the metrics file, oldest first. At most 250 of them, evenly spaced, are
            taken as ends of what was known.
        find: returns the warnings that hold after some rows.
    """
    n = min(len(rows), _MAX_MOMENTS)
    spells: list[Spell] = []
    running: dict[str, int] = {}
    for end in (len(rows) * moment // n for moment in range(1, n + 1)):
        cycle, now = rows[end - 1]["cycle"], dict[str, int]()
        for one in find(rows[:end]):
            place = running.get(one.title, len(spells))
            began = spells[place].first_cycle if one.title in running else cycle
            spells[place : place + 1] = [Spell(one.title, began, cycle, one.text)]
            now[one.title] = place
        running = now
    return spells


# ---- the rules


def _last(rows: Sequence[Row], n: int, *needed: str) -> list[Row]:
    """Return the last `n` rows that have these metrics, oldest first, or as many as there are."""
    found: list[Row] = []
    for row in reversed(rows):
        if all(name in row and abs(row[name]) < 1e300 for name in needed):  # false for nan too
            found.append(row)
            if len(found) == n:
                break
    return found[::-1]


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _memorising(rows: Sequence[Row]) -> Finding:
    name = "memorising"
    rule = (
        f"the value loss on trained examples is below {100 * _MEMORISING_SHARE:.0f} % of that on "
        f"held-out ones, over {_MEMORISING_CYCLES} cycles"
    )
    recent = _last(rows, _MEMORISING_CYCLES, _HELD, _TRAINED)
    if not recent:
        missing = "there are no losses on held-out games (replay.held_out)"
        return Finding(name, "unknown", missing, rule)
    held, trained = _mean(recent, _HELD), _mean(recent, _TRAINED)
    found = f"the value loss is {trained:.3f} on trained examples and {held:.3f} on held-out ones"
    if len(recent) == _MEMORISING_CYCLES and trained < _MEMORISING_SHARE * held:
        advice = "it needs more new games, a larger buffer or fewer updates per cycle"
        return Finding(name, "warning", f"{found}; {advice}", rule)
    return Finding(name, "fine", found, rule)


def turnover_cycles(rows: Sequence[Row]) -> float | None:
    """Return the cycles in which new games replace the self-play ring; None if it is not known.

    It is the newest metric of that name. Rows without it, of older versions, tell it by the size of
    the ring and the examples that arrived over ten cycles.
    """
    recent = _last(rows, _ARRIVALS, _BUFFER)
    if recent and _TURNOVER in recent[-1]:
        return float(recent[-1][_TURNOVER])
    arrived = _last(recent, _ARRIVALS, "ingest/selfplay_examples")
    if len(arrived) < _ARRIVALS:
        return None
    per_cycle = _mean(arrived, "ingest/selfplay_examples")
    return recent[-1][_BUFFER] / per_cycle if per_cycle > 0 else math.inf


def _stale(rows: Sequence[Row]) -> Finding:
    name, rule = "stale", f"the buffer needs more than {STALE_CYCLES:.0f} cycles to be replaced"
    cycles = turnover_cycles(rows)
    if cycles is None:
        missing = f"the games that arrived in {_ARRIVALS} cycles are not known"
        return Finding(name, "unknown", missing, rule)
    found = f"the buffer needs {cycles:,.0f} cycles to be replaced"
    if math.isinf(cycles):
        found = f"no game arrived in the last {_ARRIVALS} cycles"
    if cycles > STALE_CYCLES:
        advice = "it needs more workers or a smaller buffer"
        return Finding(name, "warning", f"{found}; {advice}", rule)
    return Finding(name, "fine", found, rule)


def _starving(rows: Sequence[Row]) -> Finding:
    name = "starving"
    rule = (
        f"a learner with workers waits for games for more than {100 * _STARVING_SHARE:.0f} % of "
        f"{_STARVING_CYCLES} cycles"
    )
    # Without workers the time of ingest is that of self-play in the same process.
    wait, wall = "perf/ingest_time_s", "perf/cycle_wall_time_s"
    recent = _last(rows[-_STARVING_CYCLES:], _STARVING_CYCLES, _FILES, wait, wall)
    if not recent:
        missing = "only a learner with workers can starve, and the last rows come from none"
        return Finding(name, "unknown", missing, rule)
    waited = _mean(recent, wait) / max(_mean(recent, wall), 1e-9)
    found = f"the learner waited for games in {100 * waited:.0f} % of the last {len(recent)} cycles"
    if len(recent) == _STARVING_CYCLES and waited > _STARVING_SHARE:
        return Finding(name, "warning", f"{found}; it needs more workers", rule)
    return Finding(name, "fine", found, rule)


def _belief_at_marginal(rows: Sequence[Row]) -> Finding:
    name = "belief_at_marginal"
    rule = (
        f"in {_BELIEF_EVALUATIONS} evaluations the belief head is not better than exact counting "
        f"by {_BELIEF_GAIN:g} nats per hidden tile, and does not improve by as much"
    )
    recent = _last(rows, _BELIEF_EVALUATIONS, _HIDDEN, _MARGINAL)
    if not recent:
        return Finding(name, "unknown", "there is no evaluation of a belief head", rule)
    gains = [row[_MARGINAL] - row[_HIDDEN] for row in recent]
    found = f"the belief head gains {gains[-1]:+.4f} nats per hidden tile over exact counting"
    if len(recent) > 1:
        found += f", and {gains[0]:+.4f} {len(recent) - 1} evaluations before"
    is_stuck = max(gains) < _BELIEF_GAIN and gains[-1] - gains[0] < _BELIEF_GAIN
    if len(recent) == _BELIEF_EVALUATIONS and is_stuck:
        return Finding(name, "warning", f"{found}: it reads nothing from the plays", rule)
    return Finding(name, "fine", found, rule)


def _saturated(rows: Sequence[Row]) -> Iterator[Finding]:
    name, n = "saturated", _SATURATED_EVALUATIONS
    rule = (
        f"a win rate of {100 * _SATURATED_RATE:.0f} % or more stays within the interval of the "
        f"first of {n} evaluations"
    )
    opponents = _opponents(rows)
    if not opponents:
        yield Finding(name, "unknown", "there is no evaluation", rule)
    for opponent in opponents:
        rate = f"eval/vs_{opponent}_win_rate"
        recent = _last(rows, n, rate, f"{rate}_ci95")
        if len(recent) < n:
            missing = f"it needs {n} evaluations with intervals; there are {len(recent)}"
            yield Finding(name, "unknown", missing, rule, opponent)
            continue
        rates, half = [row[rate] for row in recent], recent[0][f"{rate}_ci95"]
        found = f"{100 * rates[-1]:.1f} % against {opponent}"
        if min(rates) >= _SATURATED_RATE and all(abs(one - rates[0]) <= half for one in rates):
            found += (
                f": {n} evaluations within ±{100 * half:.1f} show no more progress; judge against "
                "a stronger one (evaluation.opponents)"
            )
            yield Finding(name, "warning", found, rule, opponent)
        else:
            before = f", {100 * rates[0]:.1f} % {n - 1} evaluations before"
            yield Finding(name, "fine", found + before, rule, opponent)


def _opponents(rows: Sequence[Row]) -> list[str]:
    """Return the opponents of the newest evaluation."""
    for row in reversed(rows):
        evaluated = (name for name in row if name.startswith("eval/"))
        if found := [match[1] for name in evaluated if (match := WIN_RATE.fullmatch(name))]:
            return found
    return []
