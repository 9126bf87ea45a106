"""Show results of matches and round robins as tables and as a picture."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import rich.box
from rich.table import Table

from zebjax.common import charts
from zebjax.evaluation import contracts, ladder, marks, matches
from zebjax.evaluation.matches import MatchResult

_LONG_NAME = 24
"""Letters of a player's name above which the pairs in a picture have numbers."""
_INCHES_A_LETTER = 0.065
_HOW_DECLARED = {
    "make": "highest P(make) over {} worlds",
    "pips": "longest suit of the bidder's hand",
    "special": "none; the seat of the highest P(make) over {} worlds bids",
}


def percent(result: MatchResult) -> str:
    """Format A's win rate with its 95 % interval, as `53.2 % [51.0, 55.4]`."""
    low, high = result.win_rate_interval
    return f"{100 * result.win_rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def kind_of_interval(until: float | None) -> str:
    """Return a sentence that says how the intervals were computed."""
    if until is None:
        return "95 % intervals from paired deals, normal approximation"
    return (
        "wins: 95 % confidence sequence from paired deals (empirical Bernstein, Waudby-Smith and "
        "Ramdas 2024), valid whenever the match stops; points: normal approximation, valid for a "
        "fixed number of deals"
    )


def match_table(pair: ladder.Played, until: float | None) -> Table:
    """Make a table of one match; `until` is the half-width at which it should stop, if any."""
    result = pair.result
    low, high = result.margin_ci95
    table = Table(
        box=rich.box.SIMPLE,
        show_header=False,
        title=f"{result.a} vs {result.b}",
        title_justify="left",
    )
    speed = f"{2 * result.n_deals / pair.seconds:,.0f}" if pair.seconds else "-"
    rows = [
        ("wins (a tie counts 1/2)", percent(result)),
        ("points per game", f"{result.margin:+.2f} [{low:+.2f}, {high:+.2f}]"),
        ("deals, each played twice", f"{result.n_deals:,}"),
        ("standard error of wins", f"{100 * result.win_rate_stderr:.2f} %"),
        ("deals for +-1 %", f"{result.deals_for_1_percent:,}"),
        ("games/s", f"{speed} (from the cache)" if pair.cached else speed),
    ]
    if until is not None:
        rows.insert(
            3,
            (
                f"known to +-{100 * until:g} %",
                "yes"
                if matches.half_width(result.win_rate_interval) <= until
                else "no: out of deals",
            ),
        )
    for row in rows:
        table.add_row(*row)
    return table


def _rate(rate: float, interval: tuple[float, float]) -> str:
    return f"{100 * rate:.1f} % [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _made(counts: dict[str, int]) -> str:
    """The hands in which a contract was bid and made."""
    shares = (
        f"{who} {counts[f'{who.lower()}_makes']:,} of {counts[f'{who.lower()}_bids']:,}"
        for who in ("A", "B")
    )
    return f"made: {', '.join(shares)}"


def marks_table(result: marks.Result, seconds: float, cached: bool) -> Table:
    """Make a table of one match of whole games; `seconds` is what it took to play."""
    terms, (low, high) = result.terms, result.margin_ci95
    table = Table(
        box=rich.box.SIMPLE,
        show_header=False,
        title=f"{result.a} vs {result.b}, {result.value}",
        title_justify="left",
    )
    speed = f"{seconds / (2 * result.n_deals):,.1f}"
    for row in (
        ("games won by A", _rate(result.win_rate, result.win_rate_ci95)),
        ("marks per game", f"{result.margin:+.2f} [{low:+.2f}, {high:+.2f}]"),
        ("A wins both, B both", f"{result.a_wins_both:,}, {result.b_wins_both:,} pairs"),
        ("McNemar's exact test", f"p = {result.mcnemar_p:.3g}"),
        ("bidders of both sides", f"P(make) >= {terms.theta:g} over {terms.worlds} worlds"),
        *((name, _made(counts)) for name, counts in result.contracts.items()),
        ("games, each played twice", f"{result.n_deals:,}"),
        ("s a game", f"{speed} (from the cache)" if cached else speed),
    ):
        table.add_row(*row)
    return table


def contract_table(result: contracts.Result, seconds: float, cached: bool) -> Table:
    """Make a table of one match with contracts; `seconds` is what it took to play."""
    terms = result.terms
    bid = f"{terms.bid}" if terms.marks == 1 else f"{terms.marks} marks"
    how = _HOW_DECLARED["special" if terms.special else terms.declare].format(terms.worlds)
    table = Table(
        box=rich.box.SIMPLE,
        show_header=False,
        title=f"{result.a} vs {result.b}, contract {terms.special or bid}",
        title_justify="left",
    )

    speed = f"{2 * result.n_deals / seconds:,.0f}" if seconds else "-"
    for row in (
        ("value", f"{result.value}: makes its own contract, or sets the other's"),
        ("wins of A", _rate(result.win_rate, result.win_rate_ci95)),
        ("A makes", _rate(result.makes, result.makes_ci95)),
        ("B makes", _rate(result.other_makes, result.other_makes_ci95)),
        ("only A makes, only B", f"{result.only_a_makes:,}, {result.only_b_makes:,} deals"),
        ("McNemar's exact test", f"p = {result.mcnemar_p:.3g}"),
        ("declaration", how),
        ("deals, each played twice", f"{result.n_deals:,}"),
        ("games/s", f"{speed} (from the cache)" if cached else speed),
    ):
        table.add_row(*row)
    return table


def rating_table(standings: ladder.Standings) -> Table:
    """Make a table of ratings, best first, with the numbers of `matrix_table`."""
    table = Table(box=rich.box.SIMPLE, title="ratings", title_justify="left")
    table.add_column("player", overflow="fold")
    for name in ("Elo", "95 % interval", "games"):
        table.add_column(name, justify="right", no_wrap=True)
    for rank, row in enumerate(standings.to_dict()["ratings"], 1):
        low, high = row["ci95"]
        fixed = standings.anchor is not None and row["player"] == standings.anchor[0]
        interval = "fixed" if fixed else f"[{low:.0f}, {high:.0f}]"
        player = f"{rank} {row['player']}"
        table.add_row(player, f"{row['elo']:.0f}", interval, f"{row['games']:,}")
    return table


def matrix_table(standings: ladder.Standings, width: int) -> Table:
    """Make a table of win rates of row against column in percent, best player first.

    Where `width` columns are too few, it leaves out the half-widths of the intervals, then the
    players' names (the numbers are those of `rating_table`), then the decimals.
    """
    order = sorted(range(len(standings.players)), key=lambda i: -standings.ratings[i].elo)
    labels = [f"{rank} {standings.players[row]}" for rank, row in enumerate(order, 1)]
    numbers = [str(rank) for rank in range(1, len(order) + 1)]

    def fits(labels: list[str], cell: str) -> bool:
        gap = 3
        return max(map(len, labels)) + gap + (len(cell) + gap) * len(order) + 1 <= width

    has_intervals, has_names = fits(labels, "64.6±3.8"), fits(labels, "64.6")
    decimals = 1 if has_names or fits(numbers, "64.6") else 0
    cells = {}
    for (i, j), pair in zip(
        itertools.combinations(range(len(order)), 2), standings.pairs, strict=True
    ):
        low, high = pair.result.win_rate_interval
        half = f"±{50 * (high - low):.1f}" if has_intervals else ""
        for row, column, rate in ((i, j, pair.result.win_rate), (j, i, 1 - pair.result.win_rate)):
            cells[row, column] = f"{100 * rate:.{decimals}f}{half}"
    table = Table(box=rich.box.SIMPLE)
    table.add_column("", no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    for row, label in zip(order, labels if has_names else numbers, strict=True):
        table.add_row(label, *(cells.get((row, column), "") for column in order))
    return table


def plot(
    path: Path, pairs: Sequence[MatchResult], standings: ladder.Standings | None, subtitle: str
) -> None:
    """Draw win rates, points and ratings (if any) with 95 % intervals as a PNG file.

    Pairs of players with long names are named by numbers, those in the list of ratings.
    """
    rated = [] if standings is None else standings.to_dict()["ratings"]
    names = {row["player"]: row["player"] for row in rated}
    if any(len(name) > _LONG_NAME for name in names):
        names = {name: str(number) for number, name in enumerate(names, 1)}
    panels: list[tuple[str, list[str], list[tuple[float, ...]], float | None]] = [
        (
            "A's wins, %",
            [f"{names.get(r.a, r.a)} vs {names.get(r.b, r.b)}" for r in pairs],
            [(100 * r.win_rate, *(100 * end for end in r.win_rate_interval)) for r in pairs],
            50,
        ),
        ("A's points per game", [], [(r.margin, *r.margin_ci95) for r in pairs], 0),
    ]
    if rated:
        labels = [name if name == short else f"{name}   {short}" for name, short in names.items()]
        panels.insert(0, ("Elo", labels, [(row["elo"], *row["ci95"]) for row in rated], None))
    letters = sum(max(map(len, labels), default=0) for _, labels, _, _ in panels)
    figure = charts.new_figure(
        3.5 * len(panels) + _INCHES_A_LETTER * letters,
        1.6 + 0.3 * max(len(values) for _, _, values, _ in panels),
    )
    figure.suptitle(subtitle, fontsize=9)
    for axes, (title, labels, values, line) in zip(
        figure.subplots(1, len(panels)), panels, strict=True
    ):
        places = range(len(values))
        sides = [
            [value - low for value, low, _ in values],
            [high - value for value, _, high in values],
        ]
        sides = [[max(0.0, side) for side in row] for row in sides]
        axes.errorbar([value for value, _, _ in values], places, xerr=sides, fmt="o", capsize=3)
        # The rows of points are those of wins.
        axes.set_yticks(places, labels or [""] * len(values), fontsize=8)
        axes.set(title=title, ylim=(len(values) - 0.5, -0.5))
        axes.grid(alpha=0.3)
        if line is not None:
            axes.axvline(line, color="grey", linewidth=0.8)
    charts.save_figure(figure, path)
