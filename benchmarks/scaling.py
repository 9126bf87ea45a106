"""Measure what more labelled games or more units give the small network: errors and strength."""

import argparse
import dataclasses
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import safetensors

from zebjax.common import charts, cli, locks, parsing
from zebjax.evaluation import matches, power_law
from zebjax.small import MAX_WIDTH, storage
from zebjax.small.network import Widths, shapes
from zebjax.training import (
    labelled_games,
    rollout_teacher,
    small_descent,
    small_fit,
    small_run,
    teacher_files,
)
from zebjax.training.labelled_games import Games
from zebjax.training.small_config import Exploration, Settings
from zebjax.training.small_descent import Fit

from . import report, strength

FIT = Fit(passes=2, games=80, rate=6e-3, decay=0.2)
"""Of all networks, as in NOTES, "Features of a move, and a faster descent"."""
TIMES = (2, 10)
"""Multiples of the largest number of games for which the curve is extrapolated."""
VERSION = 1
"""Raise it when the same games and settings give another network, or the same network and seed
other games, so that nothing kept before is used."""
_LOW, _HIGH = power_law.POWERS[[0, -1]]

ABOUT = f"""Every legal move of the games was played to the end by the network --by, as `zebjax
iterate` does. A network is fitted from nothing ({FIT.passes:g} passes, {FIT.games} games an update,
rate {FIT.rate:g}, decay {FIT.decay:g}) to each number of games at one width of its first layer,
--width, and to the largest number at each width of --hidden. The first games are held out. Errors
on them are mean squares, as those of `zebjax iterate`: of the value of moves (-1, 0 or 1) and of
their points (in units of 20), relative to the mean over the moves of a decision, which alone choose
the move; then of that mean; and the log-loss of the beliefs of hidden tiles, in nats a tile. Luck
of the deal is in all of them, so none can become 0. Each network plays --deals paired deals, the
same for all, against --against.

The curve is error = floor + a * games^-b for the value of moves, by least squares (b from
{_LOW:g} to {_HIGH:g}), and win rate = top + c * games^-b with the same b. It is extrapolated to
{TIMES[0]} and {TIMES[1]} times the games. In brackets after an error: the lowest and the highest
extrapolation when one number of games is left out. The interval of a win rate contains the luck of
the deals, not that of the fits, and takes b as known. Another network may make better games: the
curve is about more games of the same one.

Games, networks and margins of finished deals are kept in --keep, so the same command resumes. Times
are CPU time of this process; with other programs on the machine they are too high."""


# ---- games


def make_games(keep: Path, by: str, n: int, per_file: int, seed: int) -> Games:
    """Return n games of the network `by`, as `zebjax teach --rollouts` makes them; some are kept.

    Args:
        keep: folder of what is kept.
        by: path of a network, `small` or `imitator`.
        n: number of games.
        per_file: games of a file.
        seed: of deals and play.
    """
    settings = rollout_teacher.Settings(by, seed, per_file)
    maker = rollout_teacher.Maker(settings, _threads())
    folder = keep / f"games-{report.digest_of(VERSION, maker.facts)}"
    with cli.progress(f"games of {by}") as show:
        teacher_files.make(
            maker, folder, n, lambda share, _: show(share, f"{round(share * n):,} of {n:,}")
        )
    return read_games(folder, n)


def read_games(folder: Path, n: int) -> Games:
    """Return the first n games in the files of labelled games of a folder, by name.

    Raises:
        ValueError: as `labelled_games.read_first`.
    """
    with cli.progress(f"reading {folder}") as show:
        return labelled_games.read_first(folder, n, lambda done: show(done, f"of {n:,} games"))


def _part(games: Games, start: int, n: int) -> Games:
    return games.where(np.arange(start, start + n))


def _threads() -> int:
    return int(numba.config.NUMBA_NUM_THREADS)


# ---- networks


def widths_of(hidden: int) -> Widths:
    """Return the widths of a network with this first layer; the others as `zebjax iterate` has."""
    return small_run.widths_of(Settings(hidden=hidden))


def fit(keep: Path, games: Games, hidden: int, seed: int) -> Path:
    """Fit a network of this width to games, from nothing, unless it is kept; return its file."""
    arrays = hashlib.sha256(b"".join(array.tobytes() for array in vars(games).values()))
    wanted = shapes(widths_of(hidden))
    file = (
        keep / f"net-{report.digest_of(VERSION, arrays.hexdigest(), FIT, wanted, seed)}.safetensors"
    )
    if file.exists():
        return file
    _compile(games)
    params = small_descent.init(widths_of(hidden), seed)
    with cli.progress(f"fit to {len(games.leader):,} games, {hidden} wide") as show:
        start = time.process_time()
        small_fit.fit(
            params, games, FIT, (seed, 1), _threads(), lambda done: show(done, "of the updates")
        )
        facts = {"fit_cpu_s": f"{time.process_time() - start:.3f}"}
    storage.save(file, small_descent.net_of(params), facts)
    return file


def _compile(games: Games) -> None:
    """Compile what a fit needs, so that it is not in its time."""
    few = games.where(small_descent.balanced(games.declaration)[:, 0])
    small_fit.fit(small_descent.init(Widths(4, 4, 4, 4), 0), few, Fit(passes=1), 0, 1)


def describe(file: Path, held_out: Games) -> dict[str, Any]:
    """Return the part of a row about a fitted network as it is on the disk, in float16."""
    net = storage.load(file)
    with safetensors.safe_open(file, "numpy") as opened:
        facts = opened.metadata()
    names = (
        *("value_error", "points_error", "value_mean_error", "points_mean_error"),
        "belief_log_loss",
    )
    errors = small_fit.judge(net, held_out, _threads())
    return {
        "parameters": sum(field.size for field in net),
        "bytes": file.stat().st_size,
        "fit_cpu_s": round(float(facts["fit_cpu_s"]), 1),
        **{name: round(float(error), 6) for name, error in zip(names, errors, strict=True)},
    }


# ---- strength


def play(keep: Path, file: Path, against: str, deals: int, seed: int) -> dict[str, Any]:
    """Return what is kept of a network's first deals (`strength.read`), after playing the rest."""
    with cli.progress(f"{file.name} against {against}") as show:
        return strength.play_rest((f"small:{file}", against), keep, deals, seed, show)


def played(file: Path, against: str, kept: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a row that is about a match."""
    known = strength.row_of((f"small:{file}", against), kept)
    names = ("deals", "win_rate", "win_rate_ci95", "margin", "margin_ci95")
    microseconds = 1e6 * kept["a_cpu_s"] / max(1, kept["a_decisions"])
    return {name: known[name] for name in names} | {"us_per_decision": round(microseconds, 1)}


# ---- the picture


def plot(path: Path, result: dict[str, Any], scores: np.ndarray) -> None:
    """Draw win rates over games, with the fitted curve, and over size, as PNG.

    Args:
        path: of the file.
        result: what the JSON holds.
        scores: of the rows of the width --width, as for `power_law.summary`.
    """
    figure = charts.new_figure(11, 5)
    by_games, by_size = figure.subplots(1, 2, sharey=True)
    rows, curve = of_width(result), result["curve"]
    points(by_games, [row["games"] for row in rows], rows, "C0")
    if curve is not None:
        games = np.array(curve["games"], float)
        rates, largest = power_law.Rates(games, scores, curve["b"]), games.max()
        for first, last, line, name in (
            (games.min(), largest, "-", "fitted"),
            (largest, TIMES[-1] * largest, "--", "extrapolated"),
        ):
            n = np.geomspace(first, last)
            middle, low, high = 100 * np.array([rates.interval_at(each) for each in n]).T
            by_games.plot(n, middle, line, color="C1", label=name)
            by_games.fill_between(n, low, high, color="C1", alpha=0.12, linewidth=0)
        by_games.legend(fontsize=8, loc="lower right")
    largest = max(row["games"] for row in result["rows"])
    rows = [row for row in result["rows"] if row["games"] == largest]
    sizes = [row["parameters"] / 1e6 for row in rows]
    points(by_size, sizes, rows, "C0")
    for size, row in zip(sizes, rows, strict=True):
        by_size.annotate(
            f"{row['hidden']} wide\n{row['us_per_decision']:.0f} us",
            (size, 100 * row["win_rate_ci95"][1]),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    by_size.margins(x=0.15, y=0.15)
    by_games.set(
        xscale="log",
        xlabel="labelled games",
        ylabel=f"wins against {result['against']}, %",
        title=f"{result['width']} wide; 95 % intervals, paired deals",
    )
    by_size.set(
        xlabel="million parameters; CPU time of a decision", title=f"{largest:,} labelled games"
    )
    charts.save_figure(figure, path)


def points(
    axes: Any, places: Sequence[float] | np.ndarray, rows: Sequence[dict[str, Any]], color: str
) -> None:
    """Draw win rates of rows in percent, with their intervals."""
    rates = np.array([row["win_rate"] for row in rows])
    ends = np.array([row["win_rate_ci95"] for row in rows]).T
    sides = 100 * np.maximum(0, np.stack([rates - ends[0], ends[1] - rates]))
    axes.errorbar(places, 100 * rates, yerr=sides, fmt="o", capsize=3, color=color)
    axes.axhline(50, color="gray", linewidth=0.8)


# ---- the command


def of_width(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the curve: those of the width --width."""
    return [row for row in result["rows"] if row["hidden"] == result["width"]]


def curve_of(result: dict[str, Any], scores: np.ndarray) -> dict[str, Any] | None:
    """Return the curve of the rows of the width --width; see `power_law.summary`."""
    rows = of_width(result)
    games, errors = [row["games"] for row in rows], [row["value_error"] for row in rows]
    return power_law.summary(games, errors, scores, TIMES)


def cases(args: argparse.Namespace) -> list[tuple[int, int]]:
    """Return what is fitted: pairs of a number of games and a width."""
    games = sorted(set(args.games))
    wider = sorted(set(args.hidden) - {args.width})
    return [(n, args.width) for n in games] + [(games[-1], hidden) for hidden in wider]


def measure(args: argparse.Namespace, games: Games, result: dict[str, Any]) -> None:
    """Fit and play all networks; write the JSON after each row, and the picture at the end.

    Args:
        args: from `parser`.
        games: those held out first, then those of the largest fit.
        result: receives rows and curve.
    """
    held_out, scores = _part(games, 0, args.held_out), []
    for n, hidden in cases(args):
        file = fit(args.keep, _part(games, args.held_out, n), hidden, args.seed)
        row = {"games": n, "hidden": hidden, **describe(file, held_out)}
        kept = play(args.keep, file, args.against, args.deals, args.seed)
        row |= played(file, args.against, kept) | {"network": file.name}
        report.show(row)
        result["rows"].append(row | {"widths": widths_of(hidden)._asdict()})
        if hidden == args.width:
            scores.append(matches.pair_scores(np.array(kept["margins"])))
            result["curve"] = curve_of(result, np.stack(scores))
        report.write(args.out or report.default_name("scaling"), result)
    for sentence in power_law.sentences(result["curve"]):
        print(sentence)
    if args.plot:
        plot(args.plot, result, np.stack(scores))


def _width(text: str) -> int:
    """Parse a width of a layer."""
    number = parsing.integer(4, MAX_WIDTH)(text)
    if number % 4:
        raise ValueError(f"expected a multiple of 4, got {text!r}")
    return number


def parser() -> cli.Parser:
    """The command's parser."""
    made = report.parser_with_json(
        "scaling",
        f"{__doc__}\n\n{ABOUT}",
        "--games 500 1000 2000 --held-out 500 --per-file 500 --deals 100 --plot scaling.png",
    )
    add = made.add_argument
    whole, width = cli.integer(10, 10**8), cli.checked(_width)
    for name, kind, default, about in (
        ("games", whole, (12_000, 25_000, 50_000, 100_000, 200_000), "numbers of games of a fit"),
        ("hidden", width, (32, 128, 256), "widths with the largest number of games"),
    ):
        listed = " ".join(map(str, default))
        text = f"{about} (default {listed})"
        add(f"--{name}", nargs="+", type=kind, default=default, metavar="N", help=text)
    source = made.add_mutually_exclusive_group()
    source.add_argument(
        "--by",
        default=storage.BUNDLED_NAME,
        metavar="PATH",
        help="network that makes the games, as in small:PATH (default %(default)s)",
    )
    source.add_argument(
        "--read",
        type=cli.folder,
        metavar="DIR",
        help="make none: read the files of labelled games in this folder, such as one of `zebjax "
        "iterate`, by name; all games should be of one network",
    )
    for name, kind, default, about in (
        ("width", width, 128, "width of the first layer with each number of games"),
        ("held-out", cli.integer(10, 10**6), 4000, "the first games, for the errors"),
        ("per-file", cli.integer(10, 10**6), 2000, "games of a file that is made"),
        ("deals", cli.integer(2, 10**6), 1000, "paired deals of each network"),
        ("seed", cli.integer(0, 2**31), 0, "of games, fits, deals and play"),
    ):
        add(
            f"--{name}",
            type=kind,
            default=default,
            metavar="N",
            help=f"{about} (default {default})",
        )
    add("--against", default="small", metavar="PLAYER", help="opponent (default %(default)s)")
    add(
        "--keep",
        type=cli.folder,
        default=Path("runs/scaling"),
        metavar="DIR",
        help="folder of what is finished (default %(default)s)",
    )
    add("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    strength.check_opponent(args.against)  # a wrong name is refused before the work
    n = args.held_out + max(args.games)
    with locks.locked(args.keep, "wait for it or choose another --keep"):
        games = (
            read_games(args.read, n)
            if args.read
            else make_games(args.keep, args.by, n, args.per_file, args.seed)
        )
        made = {"by": args.by, "per_file": args.per_file} | dataclasses.asdict(Exploration())
        result = report.surroundings(args.note) | {
            "games_from": {"read": str(args.read)} if args.read else made,
            **{name: getattr(args, name) for name in ("seed", "held_out", "width", "against")},
            "fit": dataclasses.asdict(FIT),
            "rows": [],
            "curve": None,
        }
        measure(args, games, result)


if __name__ == "__main__":
    sys.exit(report.run("scaling", main))
