"""The sections about learning: milestones, phases, final metrics, belief, strength."""

from collections.abc import Callable, Sequence

import numpy as np

from zebjax.operations.recap import charts, milestones, phases, results, series, text
from zebjax.operations.recap.charts import Line, Marks
from zebjax.operations.recap.document import Block, Chart, Missing, Rule, Section, Table, Text
from zebjax.operations.recap.read import Facts
from zebjax.training.metrics import Row

NO_METRICS = (
    "No cycle is complete yet. metrics.jsonl in the run's folder, which the learner writes, gets a "
    "row after each."
)
_HIDDEN = ("eval/belief_accuracy_hidden", "train/belief_accuracy_hidden")
_MARGINAL = ("eval/belief_accuracy_marginal", "train/belief_accuracy_marginal")
_LINES = (
    "In charts over cycles a solid vertical line ends a phase, and a dotted one marks a change of "
    f"settings. A line of more than {series.POINTS} rows shows the means of groups of rows."
)
_N_TRICKS = 7
_MAX_OPPONENTS = 6

Cell = Callable[[Row], str]


def _cell(name: str, show: Callable[[float | None], str]) -> Cell:
    return lambda row: show(text.number(row.get(name)))


def _either(names: Sequence[str], show: Callable[[float | None], str]) -> Cell:
    def cell(row: Row) -> str:
        known = [v for name in names if (v := text.number(row.get(name))) is not None]
        return show(known[0] if known else None)

    return cell


_MILESTONES: tuple[tuple[str, tuple[str, ...], Callable[[float | None], str]], ...] = (
    ("policy", (series.POLICY,), text.fixed),
    ("value", (series.VALUE,), text.fixed),
    ("belief", (series.BELIEF,), text.fixed),
    ("moves", (series.MOVES,), text.fixed),
    ("belief acc", (series.ACCURACY,), text.percent),
    ("hidden", _HIDDEN, text.percent),
    ("counted", _MARGINAL, text.percent),
    ("vs random", (series.WIN,), text.percent),
    ("games", (series.GAMES,), text.count),
    ("buffer", (series.BUFFER,), text.count),
)
"""Columns of the table: name, metrics (the first that a row has), format."""


def milestone_table(rows: Sequence[Row]) -> Table:
    """The milestones; columns without any value are left out, and the peak is stressed."""
    chosen, best = milestones.choose(rows), milestones.peak(rows)
    kept = [(name, _either(keys, show)) for name, keys, show in _MILESTONES]
    kept = [(name, cell) for name, cell in kept if any(cell(r) != text.NONE for r in chosen)]
    names = ("cycle", *(name for name, _ in kept))
    cells = [(f"{row['cycle']}", *(cell(row) for _, cell in kept)) for row in chosen]
    strong = {
        (i, names.index("vs random"))
        for i, row in enumerate(chosen)
        if best is not None and row["cycle"] == best.cycle
    }
    return Table(names, cells, n_words=0, strong=frozenset(strong))


def milestones_section(facts: Facts, marks: Marks) -> Section:
    """Milestones, with the curves of win rates and losses."""
    rows = facts.rows
    if not rows:
        return Section("milestones", "Milestones", [Missing(NO_METRICS)])
    blocks: list[Block] = [milestone_table(rows)]
    if series.first_known(rows, *_HIDDEN):
        blocks.append(
            Text(
                "“belief acc” counts all 21 tiles that were dealt to others, those already played "
                "included; “hidden” only those that cannot be seen; “counted” is exact counting on "
                "the same hidden tiles."
            )
        )
    blocks += [*_win_rates(rows, marks), *_losses(rows, marks), Rule(_LINES)]
    return Section("milestones", "Milestones", blocks)


def _win_rates(rows: Sequence[Row], marks: Marks) -> list[Block]:
    drawn = []
    for name, opponent in list(series.opponents(rows).items())[:_MAX_OPPONENTS]:
        x, y = series.of(rows, name)
        known = {row["cycle"]: text.number(row.get(f"{name}_ci95")) for row in rows}
        half = np.array([known.get(int(cycle)) or 0.0 for cycle in x])
        x, y, half = (series.thin(values) for values in (x, 100 * y, 100 * half))
        band = half if half.any() else None
        drawn.append(Line(f"against {opponent}", x, y, band, has_points=True))
    if not drawn:
        missing = (
            "No evaluation is in the metrics; `evaluation.every_cycles` sets how often one is made."
        )
        return [Missing(missing)]
    svg = charts.lines(drawn, "% of games won", marks)
    return [Chart("Win rate", svg, charts.words(drawn, " %", 1))]


def _losses(rows: Sequence[Row], marks: Marks) -> list[Block]:
    names = {name: label for name, label in phases.MEASURES.items() if name != series.WIN}
    drawn = [
        charts.line(label.removesuffix(" loss"), rows, name)
        for name, label in names.items()
        if series.first_known(rows, name)
    ]
    if not drawn:
        return [Missing("No losses are in the metrics: no cycle has been trained yet.")]
    blocks: list[Block] = [Chart("Losses", charts.lines(drawn, "loss", marks), charts.words(drawn))]
    if series.first_known(rows, series.MOVES):
        of_moves = [
            charts.line(label, rows, name)
            for label, name in (
                ("all", series.MOVES),
                ("differences", series.DIFFERENCES),
                ("held out", "held_out/move_value_error"),
            )
            if series.first_known(rows, name)
        ]
        title = "Error of the values of moves, and of their differences in a position"
        drawing = charts.lines(of_moves, "mean squared error", marks)
        blocks.append(Chart(title, drawing, charts.words(of_moves)))
    held = [
        charts.line(label, rows, f"held_out/{name}")
        for label, name in (("held out", "value_loss"), ("trained", "trained_value_loss"))
        if series.first_known(rows, f"held_out/{name}")
    ]
    if held:
        title = "Value loss on games that are never trained on, and on the buffer's"
        blocks.append(Chart(title, charts.lines(held, "loss", marks), charts.words(held)))
    return blocks


def phases_section(facts: Facts, found: Sequence[phases.Phase]) -> Section:
    """The phases found in the metrics."""
    blocks: list[Block] = [Rule(phases.RULE)]
    if not found:
        missing = "Too few rows to look for phases: they need six with losses or win rates."
        return Section("phases", "Phases found in the data", [Missing(missing), *blocks])
    names = [move.name for move in found[0].moves]
    columns = ("phase", "what moves", "cycles", "games", *(phases.MEASURES[n] for n in names))
    games = {row["cycle"]: text.count(text.number(row[series.GAMES])) for row in facts.rows}
    rows = []
    for place, phase in enumerate(found, 1):
        moves = [
            f"{text.percent(m.before)} → {text.percent(m.after)}"
            if m.name == series.WIN
            else f"{m.before:.3f} → {m.after:.3f}"
            for m in phase.moves
        ]
        played = f"{games.get(phase.first, text.NONE)} → {games.get(phase.last, text.NONE)}"
        cycles = f"{phase.first}–{phase.last}"
        rows.append((str(place), phase.title(), cycles, played, *moves))
    changed = [
        Text(
            f"Phase {place}: {text.clean(change.field, 80)} was changed from "
            f"{text.value(change.before)} to {text.value(change.after)} at cycle {change.step}."
        )
        for place, phase in enumerate(found, 1)
        for change in facts.changes
        if phase.first < change.step <= phase.last or (place == 1 and change.step <= phase.first)
    ]
    n = "one phase" if len(found) == 1 else f"{len(found)} phases"
    return Section(
        "phases",
        "Phases found in the data",
        [
            Text(f"The metrics show {n}."),
            Table(columns, rows, n_words=2),
            *changed[:20],
            *blocks,
        ],
    )


_FINAL: tuple[tuple[str, tuple[str, ...], Callable[[float | None], str]], ...] = (
    ("policy loss", (series.POLICY,), text.fixed),
    ("value loss", (series.VALUE,), text.fixed),
    ("belief loss", (series.BELIEF,), text.fixed),
    ("error of the values of moves", (series.MOVES,), text.fixed),
    ("the same, differences between moves", (series.DIFFERENCES,), text.fixed),
    ("total loss", ("train/total_loss",), text.fixed),
    ("belief accuracy, all 21 tiles", (series.ACCURACY,), text.percent),
    ("belief accuracy, hidden tiles", _HIDDEN, text.percent),
    ("belief accuracy, exact counting", _MARGINAL, text.percent),
    ("policy entropy", ("train/policy_entropy",), text.fixed),
    ("policy KL divergence", ("train/policy_kl_divergence",), text.fixed),
    ("policy top-1 accuracy", ("train/policy_top1_accuracy",), text.percent),
    ("value mean", ("train/value_mean",), text.fixed),
    ("value standard deviation", ("train/value_std",), text.fixed),
    ("gradient norm", ("train/grad_norm",), lambda value: text.fixed(value, 2)),
    ("learning rate", ("train/lr",), lambda v: text.NONE if v is None else f"{v:g}"),
    ("seconds a cycle", (series.WALL,), lambda value: text.fixed(value, 1)),
    ("games a second", (series.SPEED,), lambda value: text.fixed(value, 2)),
    ("examples in the buffer", (series.BUFFER,), text.count),
    ("games", (series.GAMES,), lambda v: text.NONE if v is None else f"{v:,.0f}"),
)


def final_section(facts: Facts) -> Section:
    """The newest value of each metric, beside its value at the peak."""
    rows = facts.rows
    if not rows:
        return Section("final", "Final metrics and peak", [Missing(NO_METRICS)])
    best = milestones.peak(rows)
    at_peak = {} if best is None else best.row
    shown = []
    for name, keys, show in _FINAL:
        newest = show(series.last(rows, *keys))
        if newest != text.NONE:
            shown.append((name, newest, _either(keys, show)(at_peak)))
    for metric, opponent in series.opponents(rows).items():
        both = (text.percent(series.last(rows, metric)), _cell(metric, text.percent)(at_peak))
        shown.append((f"win rate against {opponent}", *both))
    columns = ("metric", "newest", "at the peak")
    if best is None:
        return Section("final", "Final metrics and peak", [Table(columns, shown)])
    half = text.number(best.row.get(series.WIN_CI))
    said = (
        f"The best win rate against random was {text.percent(best.win_rate)}"
        f"{'' if half is None else f' ± {100 * half:.1f}'} at cycle {best.cycle} "
        f"({text.count(text.number(best.row.get(series.GAMES)))} games); the last is "
        f"{text.percent(series.last(rows, series.WIN))}, and the newest cycle {rows[-1]['cycle']}. "
        "The highest of many noisy evaluations is above the true strength."
    )
    return Section("final", "Final metrics and peak", [Text(said), Table(columns, shown)])


def belief_section(facts: Facts, marks: Marks) -> Section:
    """What the belief head knows, beside exact counting."""
    rows, title = facts.rows, "Belief: all tiles, hidden tiles, exact counting"
    if not series.first_known(rows, series.ACCURACY, *_HIDDEN):
        missing = (
            "No belief metrics: the network has no belief head, or nothing was trained yet. "
            "`zebjax belief PATH` measures a network that has one."
        )
        return Section("belief", title, [Missing(missing)])
    blocks: list[Block] = []
    scores = []
    for label, name, show in (
        ("accuracy", "accuracy", text.percent),
        ("cross-entropy, nats a tile", "cross_entropy", lambda v: text.fixed(v, 4)),
        ("Brier score", "brier", lambda v: text.fixed(v, 4)),
        ("calibration error", "calibration_error", lambda v: text.fixed(v, 4)),
    ):
        everything = show(series.last(rows, series.ACCURACY)) if name == "accuracy" else text.NONE
        ours = show(series.last(rows, f"eval/belief_{name}_hidden", f"train/belief_{name}_hidden"))
        counted = series.last(rows, f"eval/belief_{name}_marginal", f"train/belief_{name}_marginal")
        if (everything, ours) != (text.NONE, text.NONE):
            scores.append((label, everything, ours, show(counted)))
    columns = ("score", "all 21 tiles", "hidden tiles", "exact marginal")
    blocks.append(Table(columns, scores))
    if not series.first_known(rows, *_HIDDEN):
        blocks.append(
            Missing(
                "The accuracy on hidden tiles is not in these metrics. That on all tiles counts "
                "tiles already played, which are visible. `zebjax belief PATH` measures both."
            )
        )
    drawn = [
        charts.line(label, rows, name, 100)
        for label, name in (
            ("all 21 tiles", series.first_known(rows, series.ACCURACY)),
            ("hidden", series.first_known(rows, *_HIDDEN)),
            ("exact marginal", series.first_known(rows, *_MARGINAL)),
        )
        if name is not None
    ]
    svg = charts.lines(drawn, "% of tiles", marks)
    blocks.append(Chart("Belief accuracy", svg, charts.words(drawn, " %", 1)))
    return Section("belief", title, [*blocks, *_by_trick(rows)])


def _by_trick(rows: Sequence[Row]) -> list[Block]:
    tricks = []
    for trick in range(1, _N_TRICKS + 1):
        names = [f"eval/belief_cross_entropy_{of}_trick_{trick}" for of in ("hidden", "marginal")]
        ours, counted = (series.last(rows, name) for name in names)
        if ours is not None and counted is not None:
            gain = text.signed(counted - ours, 4)
            tricks.append((str(trick), text.fixed(ours, 4), text.fixed(counted, 4), gain))
    columns = ("trick", "network", "exact marginal", "gain")
    title = "Cross-entropy on hidden tiles by trick, nats a tile"
    return [Table(columns, tricks, title)] if tricks else []


def strength_section(facts: Facts) -> Section:
    """Ratings and matches of the arena."""
    title = "Ladder and head-to-head"
    if not facts.arena:
        missing = (
            "No results of the arena. `zebjax arena --ladder zeb:RUN --json` prints some, and "
            "`zebjax arena --run RUN eq:n=100 --json` ratings of the run's steps: save them as a "
            f"file in {results.FOLDER}/ of the run, or name the file with --arena."
        )
        return Section("strength", title, [Missing(missing)])
    found = results.combine(facts.arena)
    return Section("strength", title, [*_ratings(found.ratings), *_matches(found.matches)])


def _ratings(found: results.Ratings | None) -> list[Block]:
    if found is None:
        return [Missing("No ratings: the matches do not connect two players.")]
    rows = []
    for one in found.players:
        interval = text.NONE
        if one.interval is not None:
            low, high = one.interval
            interval = f"[{low:.0f}, {high:.0f}]" if high > low else "fixed"
        games = text.NONE if one.games is None else f"{one.games:,}"
        rows.append((one.player, f"{one.elo:.0f}", interval, games))
    table = Table(("player", "Elo", "95 % interval", "games"), rows)
    drawn = [(one.player, one.elo, one.interval) for one in found.players]
    words = "; ".join(f"{player} {elo:.0f}" for player, elo, _ in drawn) + "."
    blocks: list[Block] = [
        Text(f"Bradley-Terry ratings by maximum likelihood; {found.anchor}."),
        table,
        Chart("Ratings", charts.ratings(drawn), words),
    ]
    steps = sorted(
        (step, one.elo) for one in found.players if (step := results.step_of(one.player))
    )
    if len(steps) > 1:
        x, y = np.array(steps, float).T
        rating = [Line("Elo", x, y, has_points=True)]
        svg = charts.lines(rating, "Elo", Marks(), "step of the checkpoint")
        blocks.append(Chart("Rating over steps", svg, charts.words(rating, "", 0)))
    return blocks


def _matches(matches: Sequence[results.Match]) -> list[Block]:
    heads = results.belief_heads(matches, results.config_of)
    words = {True: "with", False: "without", None: text.NONE}
    # A network with a belief head against one without says what the head is worth.
    differ = [len({heads.get(m.a), heads.get(m.b)} - {None}) == 2 for m in matches]
    rows = []
    for match, _ in sorted(zip(matches, differ, strict=True), key=lambda pair: not pair[1]):
        interval = ""
        if match.interval is not None:
            low, high = match.interval
            interval = f" [{100 * low:.1f}, {100 * high:.1f}]"
        belief = f"{words[heads.get(match.a)]} / {words[heads.get(match.b)]}"
        margin = text.NONE if match.margin is None else text.signed(match.margin, 2)
        won = f"{text.percent(match.win_rate)}{interval}"
        rows.append((match.a, match.b, won, margin, f"{match.n_deals:,}", belief))
    columns = ("A", "B", "A wins (95 %)", "points a game", "deals", "belief head A / B")
    blocks: list[Block] = [Table(columns, rows, "Head-to-head", n_words=2)] if rows else []
    if not any(differ):
        blocks.append(
            Missing(
                "No match of a network with a belief head against one without: "
                "`zebjax arena zeb:WITH vs zeb:WITHOUT --json` plays one."
            )
        )
    return blocks
