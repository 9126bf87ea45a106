"""The command `python -m zebjax.arena`: two players, a round robin, or the public ladder; tables,
JSON, a picture.
"""

import argparse
import contextlib
import itertools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich.box
from rich.console import Console
from rich.table import Table

from zebjax import players
from zebjax.common import charts, cli, compilation_cache, parsing
from zebjax.evaluation import ladder, matches
from zebjax.evaluation.matches import MatchResult, Progress
from zebjax.players import Player, spec

DEALS = 1000
MOST_DEALS = 100_000
"""With --until and without --deals."""
CACHE = Path("runs/arena-cache")


def _anchor(text: str) -> tuple[str, float]:
    spec, _, rating = text.rpartition("=")  # the last =, since specs have their own
    try:
        value = float(rating)
    except ValueError:
        value = math.nan
    if not spec or not math.isfinite(value):
        raise argparse.ArgumentTypeError(
            f"expected PLAYER=RATING as in eq:n=100=1600, got {text!r}"
        )
    return spec, value


def _parser() -> cli.Parser:
    parser = cli.Parser(
        "arena",
        "Let players meet and say which is stronger and how sure that is.\n"
        "Each deal is played twice with the teams swapped, so --deals 2000 means 4,000 games a "
        "pair. All pairs\n"
        "play the same deals. Finished pairs are kept, so nothing is played twice; an interrupted "
        "command goes on.",
        "heuristic vs random --deals 2000",
        "heuristic vs random --until 0.02",
        "--matrix random heuristic zeb:runs/quickstart --anchor random=1000 --plot matrix.png",
        "--ladder zeb:out/zeb-557k --plot ladder.png",
        usage="(A vs B | --matrix P1 P2 P3 ... | --ladder [P ...]) [options]",
        notes=spec.help_text(),
    )
    add = parser.add_argument
    add(
        "players",
        nargs="*",
        metavar="PLAYER",
        help="A vs B, or the players of a matrix, as listed below",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--matrix",
        "--round-robin",
        action="store_true",
        help="every player against every other: the matrix of win rates, and Bradley-Terry ratings",
    )
    mode.add_argument(
        "--ladder",
        action="store_true",
        help=(
            f"the same for the public ladder, {', '.join(ladder.LADDER)}, and the players given: "
            f"{ladder.LADDER_DEALS} "
            f"deals a pair, {ladder.LADDER_DEALS // ladder.SLOW_SHARE} with E[Q] of "
            f"{ladder.SLOW_WORLDS} worlds or "
            f"more, anchored at {ladder.LADDER_ANCHOR[0]}={ladder.LADDER_ANCHOR[1]:g}"
        ),
    )
    add(
        "--deals",
        type=cli.integer(2, 10**8),
        metavar="N",
        help=f"deals a pair (default {DEALS}); with --until the most, default {MOST_DEALS}",
    )
    add(
        "--until",
        type=cli.checked(parsing.number(0.001, 0.4)),
        metavar="W",
        help="stop a pair as soon as its win rate is known to +-W, 0.01 for 1 %%, by an interval "
        "that allows stopping",
    )
    add(
        "--anchor",
        type=_anchor,
        metavar="P=R",
        help="rate player P at R, as in eq:n=100=1600 (else the mean is 1500)",
    )
    add("--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)")
    add(
        "--batch",
        type=cli.integer(1, 10**6),
        default=matches.BATCH,
        metavar="N",
        help="deals at once (default %(default)s)",
    )
    add("--json", action="store_true", help="print the result as one JSON object")
    add("--plot", type=cli.picture, metavar="FILE.png", help="draw the result with its intervals")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        "--cache",
        type=Path,
        default=CACHE,
        metavar="DIR",
        help="finished pairs (default %(default)s)",
    )
    keep.add_argument("--no-cache", action="store_true", help="play everything, keep nothing")
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse(argv)
    words = arguments.players
    if arguments.matrix or arguments.ladder:
        if "vs" in words:
            parser.error(
                f"{'--matrix' if arguments.matrix else '--ladder'}: expected players without 'vs' "
                "between them"
            )
        if arguments.matrix and len(words) < 2:
            parser.error(f"--matrix: expected 2 players or more, got {len(words)}")
    else:
        if len(words) < 3 and (len(words) < 2 or words[1] == "vs"):
            parser.error(f"expected A vs B, or --matrix, or --ladder, got {' '.join(words)!r}")
        if words[1] != "vs":
            parser.error(f"expected A vs B, got {words[1]!r} in the place of 'vs'")
        if len(words) > 3:
            parser.error(
                f"expected A vs B and nothing more, got {words[3]!r}; for more players add --matrix"
            )
        if arguments.anchor:
            parser.error("--anchor: ratings need --matrix or --ladder")
    if arguments.ladder:
        words[:0] = ladder.LADDER
        arguments.anchor = arguments.anchor or ladder.LADDER_ANCHOR
    if arguments.anchor and arguments.anchor[0] not in words:
        parser.error(f"--anchor: {arguments.anchor[0]!r} is none of the players {', '.join(words)}")
    if arguments.deals is None:
        usual = ladder.LADDER_DEALS if arguments.ladder else DEALS
        arguments.deals = usual if arguments.until is None else MOST_DEALS
    return arguments


# What is shown


def _percent(result: MatchResult) -> str:
    low, high = result.win_rate_interval
    return f"{100 * result.win_rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@contextlib.contextmanager
def _show_progress(title: str) -> Iterator[Progress]:
    with cli.progress(title) as show:

        def on_ply(done: float, result: MatchResult | None) -> None:
            show(
                done,
                "" if result is None else f"wins {_percent(result)} after {result.n_deals:,} deals",
            )

        yield on_ply


def _kind_of_interval(until: float | None) -> str:
    if until is None:
        return "95 % intervals from paired deals, normal approximation"
    return (
        "wins: 95 % confidence sequence from paired deals (empirical Bernstein, Waudby-Smith and "
        "Ramdas 2024), which "
        "holds whenever one stops; points: normal approximation, for a fixed number of deals"
    )


def _match_table(pair: ladder.Played, until: float | None) -> Table:
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
        ("wins, a tie half", _percent(result)),
        ("points a game", f"{result.margin:+.2f} [{low:+.2f}, {high:+.2f}]"),
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


def _rating_table(standings: ladder.Standings) -> Table:
    table = Table(box=rich.box.SIMPLE, title="ratings", title_justify="left")
    for name in ("player", "Elo", "95 % interval", "games"):
        table.add_column(name, justify="left" if name == "player" else "right")
    for row in standings.to_dict()["ratings"]:
        low, high = row["ci95"]
        fixed = standings.anchor is not None and row["player"] == standings.anchor[0]
        interval = "fixed" if fixed else f"[{low:.0f}, {high:.0f}]"
        table.add_row(row["player"], f"{row['elo']:.0f}", interval, f"{row['games']:,}")
    return table


def _matrix_table(standings: ladder.Standings, width: int) -> Table:
    """Wins of the row against the column, in percent with the half-width of the interval if that
    fits, best first.
    """
    order = sorted(range(len(standings.players)), key=lambda i: -standings.ratings[i].elo)
    fits = 2 + max(map(len, standings.players)) + 11 * len(order) + 4 <= width
    cells = {}
    for (i, j), pair in zip(
        itertools.combinations(range(len(order)), 2), standings.pairs, strict=True
    ):
        low, high = pair.result.win_rate_interval
        for row, column, rate in ((i, j, pair.result.win_rate), (j, i, 1 - pair.result.win_rate)):
            cells[row, column] = f"{100 * rate:.1f}" + (f"±{50 * (high - low):.1f}" if fits else "")
    table = Table(box=rich.box.SIMPLE)
    table.add_column("", overflow="fold", min_width=12)
    for rank in range(1, len(order) + 1):
        table.add_column(str(rank), justify="right", no_wrap=True)
    for rank, row in enumerate(order, 1):
        table.add_row(
            f"{rank} {standings.players[row]}", *(cells.get((row, column), "") for column in order)
        )
    return table


def _plot(
    path: Path, pairs: Sequence[MatchResult], standings: ladder.Standings | None, subtitle: str
) -> None:
    """Draw win rates and points of the pairs, and the ratings if there are any, with 95 %
    intervals, as PNG.
    """
    from matplotlib.figure import Figure  # a second to import: only when there is something to draw

    names = [f"{result.a} vs {result.b}" for result in pairs]
    panels: list[tuple[str, list[str], list[tuple[float, ...]], float | None]] = [
        (
            "A's wins, %",
            names,
            [(100 * r.win_rate, *(100 * end for end in r.win_rate_interval)) for r in pairs],
            50,
        ),
        ("A's points a game", names, [(r.margin, *r.margin_ci95) for r in pairs], 0),
    ]
    if standings is not None:
        rated = standings.to_dict()["ratings"]
        panels.insert(
            0,
            (
                "Elo",
                [row["player"] for row in rated],
                [(row["elo"], *row["ci95"]) for row in rated],
                None,
            ),
        )
    figure = Figure(
        figsize=(5.5 * len(panels), 1.6 + 0.3 * max(len(panel[1]) for panel in panels)),
        layout="constrained",
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
        axes.set_yticks(places, labels, fontsize=8)
        axes.set(title=title, ylim=(len(values) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.3)
        if line is not None:
            axes.axvline(line, color="grey", linewidth=0.8)
    charts.save_figure(figure, path)


# The two forms


def _note(text: str) -> None:
    print(f"arena: {text}", file=sys.stderr)


def _match(
    arguments: argparse.Namespace, rules: ladder.Rules, cache: ladder.Cache, console: Console
) -> None:
    a, b = players.make(arguments.players[0]), players.make(arguments.players[2])
    with _show_progress(f"{a.spec} vs {b.spec}") as progress:
        pair = ladder.play(a, b, arguments.deals, rules, cache, progress)
    if arguments.json:
        more = {
            "seed": rules.seed,
            "seconds": pair.seconds,
            "cached": pair.cached,
            "until": rules.until,
        }
        print(json.dumps({**pair.result.to_dict(), **more}))
    else:
        console.print(_match_table(pair, rules.until))
        console.print(_kind_of_interval(rules.until))
    if arguments.plot:
        _plot(arguments.plot, [pair.result], None, _kind_of_interval(rules.until))


def _round_robin(
    arguments: argparse.Namespace, rules: ladder.Rules, cache: ladder.Cache, console: Console
) -> None:
    anchor = arguments.anchor
    contenders = [players.make(spec) for spec in arguments.players]
    n_pairs, number = math.comb(len(contenders), 2), itertools.count(1)

    def deals(a: str, b: str) -> int:
        return ladder.ladder_deals(a, b, arguments.deals) if arguments.ladder else arguments.deals

    def play_pair(
        a: Player, b: Player, n_deals: int, rules: ladder.Rules, cache: ladder.Cache
    ) -> ladder.Played:
        title = f"{next(number)}/{n_pairs} {a.spec} vs {b.spec}"
        with _show_progress(title) as progress:
            pair = ladder.play(a, b, n_deals, rules, cache, progress)
        print(
            f"{title}: {_percent(pair.result)}{', from the cache' if pair.cached else ''}",
            file=sys.stderr,
        )
        return pair

    standings = ladder.round_robin(contenders, deals, rules, cache, anchor, play_pair)
    kind = f"{_kind_of_interval(rules.until)}; ratings: Bradley-Terry by maximum likelihood, a pair is one observation"
    if rules.until is not None:
        kind += ", normal intervals as for a fixed number of deals"
    if arguments.json:
        print(json.dumps({**standings.to_dict(), "seed": rules.seed, "until": rules.until}))
    else:
        console.print(
            "% wins of the row against the column, a tie half (± half the interval, where it fits)"
        )
        console.print(_matrix_table(standings, console.width))
        console.print(_rating_table(standings))
        console.print(kind)
        zero = (
            "the mean of all players is 1500"
            if anchor is None
            else f"{anchor[0]} is fixed at {anchor[1]:g}"
        )
        console.print(f"{zero}; intervals of ratings are of the difference to that")
        if standings.has_prior:
            console.print(
                "some players took every point from others: ratings are held finite by one tied "
                "deal a pair"
            )
    if arguments.plot:
        _plot(arguments.plot, [pair.result for pair in standings.pairs], standings, kind)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`. Returns the exit status: 0, or 2 after one sentence on stderr for
    bad input.
    """
    arguments = _parse(argv)
    compilation_cache.keep()
    rules = ladder.Rules(arguments.seed, arguments.batch, arguments.until)
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    try:
        cache = ladder.Cache(None if arguments.no_cache else arguments.cache, _note)
        (_round_robin if arguments.matrix or arguments.ladder else _match)(
            arguments, rules, cache, console
        )
    except (ValueError, OSError) as error:
        _note(str(error))
        return 2
    except KeyboardInterrupt:
        kept = "" if arguments.no_cache else f"; finished pairs are kept in {arguments.cache}"
        _note(f"interrupted, no result{kept}")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
