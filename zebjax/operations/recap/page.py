"""The page of a run: all sections, and the numbers at its top."""

from zebjax import __version__
from zebjax.common import version
from zebjax.operations.recap import (
    about,
    checks,
    fleet,
    learning,
    milestones,
    phases,
    running,
    series,
    text,
)
from zebjax.operations.recap.charts import Marks
from zebjax.operations.recap.document import Document, Figure
from zebjax.operations.recap.read import Facts
from zebjax.training.warnings import holding


def make(facts: Facts) -> Document:
    """Make the recap of a run."""
    found = phases.find(facts.rows)
    ends = [phase.last for phase in found[:-1]]
    begin = facts.rows[0]["cycle"] if facts.rows else 0
    changed = sorted({change.step for change in facts.changes if change.step > begin})
    marks = Marks(ends, changed)
    findings = checks.check(facts.rows, facts.alarms)
    commit = version.commit()
    program = f"zebjax {__version__}{f' ({commit})' if commit else ''}"
    return Document(
        title=f"{facts.name}: recap",
        subtitle=f"{about.state_of(facts)}; last sign {text.moment(facts.last_sign_s)}",
        figures=_figures(facts),
        warnings=[f"{one.title}: {one.text}" for one in holding(findings)],
        sections=[
            about.overview_section(facts),
            about.configuration_section(facts),
            learning.milestones_section(facts, marks),
            learning.phases_section(facts, found),
            learning.final_section(facts),
            learning.belief_section(facts, marks),
            learning.strength_section(facts),
            running.throughput_section(facts, marks),
            running.cost_section(facts),
            running.fleet_section(facts),
            running.warnings_section(findings, checks.history(facts.rows)),
            about.again_section(facts),
        ],
        footer=(f"Made by {program} from {text.clean(facts.where)} on {text.moment(facts.now_s)}."),
    )


def _figures(facts: Facts) -> list[Figure]:
    """The numbers at the top: what is known of win rate, games, time and money."""
    figures = []
    best, rate = milestones.peak(facts.rows), series.last(facts.rows, series.WIN)
    if best is not None and rate is not None:
        figures.append(Figure("against random", text.percent(rate), "newest"))
        figures.append(Figure("peak", text.percent(best.win_rate), f"cycle {best.cycle:,}"))
    games = series.last(facts.rows, series.GAMES)
    if games:
        figures.append(Figure("games", text.count(games)))
    if facts.rows:
        figures.append(Figure("cycles", f"{facts.rows[-1]['cycle']:,}"))
    seconds = about.trained_s(facts)
    if seconds is not None:
        figures.append(Figure("time in cycles", text.duration(seconds)))
    usd = fleet.total_usd(fleet.costs(fleet.spans(facts.events, facts.last_sign_s)))
    if usd is not None:
        figures.append(Figure("cost", text.usd(usd), "rented machines"))
    return figures
