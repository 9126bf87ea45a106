"""The sections about running: throughput, cost, the fleet over time, warnings."""

from collections.abc import Sequence

from zebjax.operations.recap import charts, fleet, series, text
from zebjax.operations.recap.charts import Marks
from zebjax.operations.recap.document import Block, Chart, Missing, Rule, Section, Table, Text
from zebjax.operations.recap.read import Facts
from zebjax.training import warnings

_MAX_ROWS = 60
_UNKNOWN_GPU = "unknown GPU"
NO_EVENTS = (
    f"No events of a fleet: {fleet.FILE.as_posix()} in the run's folder, which `zebjax fleet` "
    "writes, holds them."
)
_MARKS = {"warning": "⚠ warning", "fine": "fine", "unknown": "not checked"}


def _gpu(name: str) -> str:
    return name or _UNKNOWN_GPU


def throughput_section(facts: Facts, marks: Marks) -> Section:
    """Games per second: over time, by worker, by type of GPU."""
    rows, blocks = facts.rows, list[Block]()
    drawn = [
        charts.line(label, rows, name)
        for label, name in (("games", series.SPEED), ("updates", "perf/updates_per_s"))
        if series.first_known(rows, name)
    ]
    for one in drawn:
        svg = charts.lines([one], f"{one.label} a second", marks, from_zero=True)
        blocks.append(Chart(f"{one.label.capitalize()} a second", svg, charts.words([one], "", 2)))
    if not drawn:
        blocks.append(Missing("The metrics hold no speeds (perf/games_per_s)."))
    blocks += _buffer(facts, marks)
    found = fleet.workers(facts.workers, facts.events)
    if not found:
        missing = (
            "No heartbeats of workers: the games were made in the learner's process, or the store "
            "was not read. `zebjax recap STORE/NAME` reads it."
        )
        return Section("throughput", "Throughput", [*blocks, Missing(missing)])
    return Section("throughput", "Throughput", [*blocks, _by_worker(found), *_by_gpu(found)])


def _buffer(facts: Facts, marks: Marks) -> list[Block]:
    rows, blocks = facts.rows, list[Block]()
    drawn = [
        charts.line(label, rows, name, 1e-3)
        for label, name in (
            ("self-play", series.BUFFER),
            ("eval-aux", "stats/replay_buffer_eval_aux"),
        )
        if series.first_known(rows, name)
    ]
    if drawn:
        svg = charts.lines(drawn, "thousand examples", marks, from_zero=True)
        blocks.append(Chart("Replay buffers", svg, charts.words(drawn, " K", 0)))
    mix = "stats/eval_aux_mix_ratio"
    if series.first_known(rows, mix):
        share = [charts.line("eval-aux", rows, mix, 100)]
        svg = charts.lines(share, "% of updates", marks, from_zero=True)
        blocks.append(Chart("Updates on eval-aux games", svg, charts.words(share, " %", 1)))
    return blocks


def _by_worker(found: Sequence[fleet.Worker]) -> Table:
    columns = ("worker", "role", "GPU", "host", "games", "games/s", "USD/h", "last seen")
    rows = [
        (
            *(worker.name, worker.role, _gpu(worker.gpu), worker.host or text.NONE),
            text.NONE if worker.games is None else f"{worker.games:,.0f}",
            text.fixed(worker.games_per_s, 2),
            text.fixed(worker.price_usd_per_hour, 3),
            text.moment(worker.seen_s),
        )
        for worker in found
    ]
    title = "By worker, from its newest heartbeat"
    return Table(columns, rows, title, n_words=4, is_folded=len(rows) > 12)


def _by_gpu(found: Sequence[fleet.Worker]) -> list[Block]:
    kinds = sorted({(worker.role, worker.gpu) for worker in found})
    rows, fastest = list[tuple[str, ...]](), list[float]()
    for role, gpu in kinds:
        own = [worker for worker in found if (worker.role, worker.gpu) == (role, gpu)]
        speeds = [w.games_per_s for w in own if w.games_per_s]
        prices = [w.price_usd_per_hour for w in own if w.price_usd_per_hour is not None]
        worth = [w.usd_per_game_per_s for w in own if w.usd_per_game_per_s is not None]
        per_s = (text.spread(speeds, 1), text.fixed(sum(speeds), 1) if speeds else text.NONE)
        usd = (text.spread(prices, 3), text.spread(worth, 3))
        rows.append((_gpu(gpu), role, str(len(own)), *per_s, *usd))
        fastest.append(max(speeds, default=0.0))
    order = sorted(range(len(rows)), key=lambda place: -fastest[place])
    columns = ("GPU", "role", "workers", "games/s each", "in all", "USD/h", "USD per game/s")
    blocks: list[Block] = [Table(columns, [rows[i] for i in order], "By type of GPU", n_words=2)]
    if any(not worker.gpu for worker in found):
        blocks.append(
            Missing(
                "The GPU of some workers is not known: neither their heartbeats nor the fleet's "
                "events name it."
            )
        )
    return blocks


def cost_section(facts: Facts) -> Section:
    """What the machines cost."""
    found = fleet.spans(facts.events, facts.last_sign_s)
    if not found:
        return Section("cost", "Cost", [Missing(NO_EVENTS)])
    rows = fleet.costs(found)
    total, hours = fleet.total_usd(rows), sum(row.hours for row in rows)
    shown = [
        (
            *(_gpu(row.gpu), row.role, str(row.machines), f"{row.hours:.1f}"),
            *(text.fixed(row.usd, 2), text.fixed(row.usd_per_hour, 3)),
        )
        for row in rows
    ]
    shown.append(("in all", "", "", f"{hours:.1f}", text.fixed(total, 2), text.NONE))
    columns = ("GPU", "role", "machines", "hours", "USD", "USD/h")
    blocks: list[Block] = [Table(columns, shown, n_words=2)]
    games = games_made(facts)
    if total is not None and games:
        blocks.insert(
            0,
            Text(
                f"{text.usd(total)} for {text.count(games)} games: "
                f"{text.usd(1e6 * total / games)} per million games."
            ),
        )
    unpriced = sum(row.unpriced_hours for row in rows)
    if unpriced:
        blocks.append(
            Missing(
                f"The price of {unpriced:.1f} of {hours:.1f} hours is not known (an event without "
                "price_usd_per_hour), so it is not counted."
            )
        )
    blocks.append(
        Rule(
            "A machine is paid for from its first event (rented, started) to that which ends it, "
            "or to the run's last sign of life. The provider's bill decides."
        )
    )
    return Section("cost", "Cost", blocks)


def games_made(facts: Facts) -> float | None:
    """Games made in this run, those of its first weights not counted."""
    played = series.of(facts.rows, series.GAMES)[1]
    return float(played[-1] - played[0]) if len(played) > 1 else None


def fleet_section(facts: Facts) -> Section:
    """The fleet over time, and its troubles."""
    events, title = facts.events, "Fleet over time"
    if not events:
        return Section("fleet", title, [Missing(NO_EVENTS)])
    spans, blocks = fleet.spans(events, facts.last_sign_s), list[Block]()
    begin_s = events[0].time_s
    kinds = sorted({event.event for event in events})
    counted = {kind: sum(event.event == kind for event in events) for kind in kinds}
    said = ", ".join(f"{n} {kind}" for kind, n in counted.items())
    blocks.append(Text(f"From {text.moment(begin_s)} to {text.moment(events[-1].time_s)}: {said}."))
    if spans:
        svg = charts.timeline(spans, events, begin_s)
        roles = sorted({span.role for span in spans})
        words = (
            f"{len(spans)} spans of {len({span.name for span in spans})} machines or processes "
            f"({', '.join(roles)}); crosses mark troubles, which the table below lists."
        )
        blocks.append(Chart("Machines over time", svg, words, is_wide=True))
    odd = [event for event in events if event.event not in fleet.USUAL]
    rows = [
        (
            event.event,
            event.name or event.role or text.NONE,
            *(_gpu(event.gpu), event.host or text.NONE),
            *(event.detail or text.NONE, f"{(event.time_s - begin_s) / 3600:.2f}"),
        )
        for event in odd[-_MAX_ROWS:]
    ]
    columns = ("event", "name", "GPU", "host", "detail", "hour")
    if rows:
        left_out = len(odd) - len(rows)
        more = f" (the last {len(rows)} of {len(odd)})" if left_out else ""
        table = Table(columns, rows, f"Quarantines and other troubles{more}", n_words=5)
        blocks.append(table)
    if fleet.QUARANTINED not in counted:
        blocks.append(Text("Nothing was quarantined."))
    return Section("fleet", title, blocks)


def warnings_section(
    found: Sequence[warnings.Finding], spells: Sequence[warnings.Spell]
) -> Section:
    """The warnings that hold and held, with their rules."""
    held: dict[str, list[str]] = {}
    for spell in spells:
        held.setdefault(spell.title, []).append(f"{spell.first_cycle}–{spell.last_cycle}")
    order = {"warning": 0, "fine": 1, "unknown": 2}
    listed = sorted(found, key=lambda one: order[one.state])
    rows = [
        (
            *(_MARKS[one.state], one.title, one.text),
            ", ".join(held.get(one.title, ())) or text.NONE,
        )
        for one in listed
    ]
    rules = list(dict.fromkeys((one.name, one.rule) for one in listed))
    return Section(
        "warnings",
        "Warnings",
        [
            Table(("now", "check", "found", "warned in cycles"), rows, n_words=4),
            Table(("check", "warns if"), rules, "Rules of the checks", n_words=2, is_folded=True),
        ],
    )
