"""Warnings about a run, from its metrics rows alone.

Each is a pure rule over the newest rows, so a learner, `status` and a recap say the same:

- `memorising`: the value loss on trained examples is below 85 % of that on held-out ones, over
  the last 5 cycles. The original's long run ended this way: 0.10 instead of 0.20.
- `stale`: at the present rate the self-play ring needs more than 60 cycles to be replaced.
- `starving`: a learner with workers waited for games for more than half of the last 3 cycles.
- `belief_at_marginal`: in the last 3 evaluations the belief head was not 0.005 nats per hidden tile
  better than exact counting, and it is not improving by as much either.
- `saturated`: a win rate of 65 % or more stayed within the interval of the first of the last 4
  evaluations, so that opponent no longer shows progress.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zebjax.training.metrics import WIN_RATE, Row

WINDOW = 500
"""Number of newest rows that decide; at least four evaluations should lie in them."""
_MEMORISING_SHARE, _MEMORISING_CYCLES = 0.85, 5
STALE_CYCLES = 60.0
"""Turnover in cycles from which a buffer is stale. The original's was 79 with a million examples,
which it halved."""
_STARVING_SHARE, _STARVING_CYCLES = 0.5, 3
_BELIEF_GAIN, _BELIEF_EVALUATIONS = 0.005, 3
_SATURATED_RATE, _SATURATED_EVALUATIONS = 0.65, 4
_HELD, _TRAINED = "held_out/value_loss", "held_out/trained_value_loss"
_HIDDEN, _MARGINAL = (f"eval/belief_cross_entropy_{name}" for name in ("hidden", "marginal"))
_FILES = "ingest/selfplay_files"
"""Only a learner with workers has it."""


class Warning(NamedTuple):
    """A warning that holds now."""

    name: str
    """One word, see the module."""
    text: str
    """A sentence with the numbers."""
    about: str = ""
    """The opponent of a saturated win rate."""

    @property
    def title(self) -> str:
        """The name, with the opponent: `saturated against random`."""
        return f"{self.name} against {self.about}" if self.about else self.name


class Spell(NamedTuple):
    """A time during which a warning held."""

    name: str
    first_cycle: int
    last_cycle: int
    text: str
    """The sentence of its last cycle."""
    about: str = ""
    """As in `Warning`."""


def find(rows: Sequence[Row]) -> list[Warning]:
    """Return the warnings that hold after the last of these rows.

    Args:
        rows: rows of the metrics file, oldest first; only the last `WINDOW` are read.
    """
    rules = (_memorising, _stale, _starving, _belief_at_marginal, _saturated)
    recent = rows[-WINDOW:]
    return [warning for rule in rules for warning in rule(recent)] if recent else []


def names(found: Sequence[Warning]) -> str:
    """Return the names for a line, without repeats: `memorising, stale`."""
    return ", ".join(dict.fromkeys(warning.name for warning in found))


def history(rows: Sequence[Row]) -> list[Spell]:
    """Return when each warning held, in the order in which they began.

    Args:
        rows: all rows of the metrics file, oldest first.
    """
    spells: list[Spell] = []
    running: dict[tuple[str, str], int] = {}
    for end, row in enumerate(rows, 1):
        now: dict[tuple[str, str], int] = {}
        for name, text, about in find(rows[max(0, end - WINDOW) : end]):
            place = running.get((name, about), len(spells))
            began = spells[place].first_cycle if (name, about) in running else row["cycle"]
            spells[place : place + 1] = [Spell(name, began, row["cycle"], text, about)]
            now[name, about] = place
        running = now
    return spells


def _last(rows: Sequence[Row], n: int, *needed: str) -> list[Row]:
    """Return the last `n` rows that have these metrics, oldest first; none if there are fewer."""
    found: list[Row] = []
    for row in reversed(rows):
        if all(name in row for name in needed):
            found.append(row)
            if len(found) == n:
                return found[::-1]
    return []


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _memorising(rows: Sequence[Row]) -> Iterator[Warning]:
    if recent := _last(rows, _MEMORISING_CYCLES, _HELD, _TRAINED):
        held, trained = _mean(recent, _HELD), _mean(recent, _TRAINED)
        if trained < _MEMORISING_SHARE * held:
            yield Warning(
                "memorising",
                f"the value loss is {trained:.3f} on trained examples and {held:.3f} on held-out "
                "ones; it needs more new games, a larger buffer or fewer updates per cycle",
            )


def _stale(rows: Sequence[Row]) -> Iterator[Warning]:
    turnover = rows[-1].get("stats/buffer_turnover_cycles", 0)
    if turnover > STALE_CYCLES:
        yield Warning(
            "stale",
            f"the buffer needs {turnover:,.0f} cycles to be replaced, more than "
            f"{STALE_CYCLES:.0f}; it needs more workers or a smaller buffer",
        )


def _starving(rows: Sequence[Row]) -> Iterator[Warning]:
    wait, wall = "perf/ingest_time_s", "perf/cycle_wall_time_s"
    recent = [row for row in rows[-_STARVING_CYCLES:] if {_FILES, wait, wall} <= row.keys()]
    if len(recent) == _STARVING_CYCLES:
        waited = _mean(recent, wait) / max(_mean(recent, wall), 1e-9)
        if waited > _STARVING_SHARE:
            yield Warning(
                "starving",
                f"the learner waited for games in {100 * waited:.0f} % of the last "
                f"{_STARVING_CYCLES} cycles; it needs more workers",
            )


def _belief_at_marginal(rows: Sequence[Row]) -> Iterator[Warning]:
    if recent := _last(rows, _BELIEF_EVALUATIONS, _HIDDEN, _MARGINAL):
        gains = [row[_MARGINAL] - row[_HIDDEN] for row in recent]
        if max(gains) < _BELIEF_GAIN and gains[-1] - gains[0] < _BELIEF_GAIN:
            yield Warning(
                "belief_at_marginal",
                f"the belief head gains {gains[-1]:+.4f} nats per hidden tile over exact counting, "
                f"and {gains[0]:+.4f} {_BELIEF_EVALUATIONS - 1} evaluations before: it reads "
                "nothing from the plays",
            )


def _saturated(rows: Sequence[Row]) -> Iterator[Warning]:
    for opponent in _opponents(rows):
        rate = f"eval/vs_{opponent}_win_rate"
        recent = _last(rows, _SATURATED_EVALUATIONS, rate, f"{rate}_ci95")
        if not recent:
            continue
        rates, half = [row[rate] for row in recent], recent[0][f"{rate}_ci95"]
        is_flat = all(abs(one - rates[0]) <= half for one in rates)
        if is_flat and min(rates) >= _SATURATED_RATE:
            yield Warning(
                "saturated",
                f"{100 * rates[-1]:.1f} % against {opponent}: {_SATURATED_EVALUATIONS} evaluations "
                f"within ±{100 * half:.1f} show no more progress; judge against a stronger one "
                "(evaluation.opponents)",
                opponent,
            )


def _opponents(rows: Sequence[Row]) -> list[str]:
    """Return the opponents of the newest evaluation."""
    for row in reversed(rows):
        if found := [match[1] for name in row if (match := WIN_RATE.fullmatch(name))]:
            return found
    return []
