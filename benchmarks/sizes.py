"""Fit the error and the strength of transformers of several sizes over what they have read."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import network, players
from zebjax.common import charts, checkpoint, cli, files, locks
from zebjax.contract_record import AnyRecord
from zebjax.evaluation import matches, size_law, steps
from zebjax.evaluation.power_law import Rates
from zebjax.evaluation.size_law import Law
from zebjax.training import changes, held_out
from zebjax.training.learner_config import LearnerConfig

from . import report, scaling, strength

VERSION = 1
"""Raise it when the same network and games get another error, so that nothing kept is used."""
FURTHER = 10
"""How many times as much reading the law is extrapolated to."""
_ERROR = "move_value_spread_error"
_BATCH = 128
_MOST = 10**15  # a step that says it has read more is damaged
ABOUT = f"""Each RUN is the folder of a finished run that learns values of moves from the same
games, such as those of `zebjax train values_from_player`. The runs have networks of three sizes or
more, random weights at the start, and replay.held_out above 0. Their kept steps
(save.keep_every_cycles) are rated: the last, the last that had read half as much, and so on down to
--first. The error of a step is the squared error of the value of moves, relative to its mean over
the moves of a decision, on --n decisions of games that no run has trained on, the same for all. Its
wins are those of `zeb:RUN@STEP,choose=value` in --deals paired deals against --against.

The law is error = floor + a * parameters^-alpha + b * examples^-beta (Hoffmann et al. 2022), by
least squares, factors not negative, powers from {size_law.LOWEST:g} to {size_law.HIGHEST:g}. Wins
are top + c * error^p, p from {size_law.WIN_POWERS[0]:g} to {size_law.WIN_POWERS[-1]:g}. Both are
predicted for each size at the most examples that any run has read, and extrapolated to {FURTHER}
times as many. In brackets: the lowest and the highest when one point is left out; a point without
which too few sizes are left for a law stays. In the JSON, win_rate_ci95 has the luck of the deals
alone.

A learning rate that does not fall, with an average of the weights (learner.schedule constant,
learner.ema), makes every kept step a point. Errors and margins of finished deals are kept in
--keep, so the same command resumes."""


class Step(NamedTuple):
    """A kept step of a run."""

    run: Path
    cycle: int
    config: network.ZebConfig
    parameters: int
    examples: int

    @property
    def player(self) -> str:
        """The spec of its player, which chooses by the values."""
        return f"zeb:{steps.folder_of(self.run, self.cycle)},choose=value"


# ---- what a run holds


_KINDS: dict[str, tuple[type, ...]] = {
    "a number": (int, float),
    "a whole number": (int,),
    "a path or null": (str, type(None)),
}


def field(file: Path, name: str, kind: str, default: Any) -> Any:
    """Return a field of a JSON file, such as `replay.held_out`; the default if it is not there.

    Args:
        file: the JSON file.
        name: of the field, with a dot between the names of an object and of its field.
        kind: what it must be, one of `_KINDS`.
        default: returned without a check.

    Raises:
        ValueError: naming the file and the field, if it is something else.
    """
    found = files.read_json(file)
    for part in name.split("."):
        if not isinstance(found, Mapping):
            raise ValueError(f"{file}: expected an object with {name}")
        if part not in found:
            return default
        found = found[part]
    if not isinstance(found, _KINDS[kind]) or isinstance(found, bool):
        raise ValueError(f"{file}: {name}: expected {kind}, got {found!r}")
    return found


def changes_of(run: Path) -> list[Any]:
    """Return the settings that a run changed, see `changes`.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    file = run / changes.FILE
    found = files.read_json(file) if file.exists() else []
    if not isinstance(found, list):
        raise ValueError(f"{file}: expected a list of changes")
    return found


def check_run(run: Path) -> None:
    """Check that a run began with random weights, and did not go back or change what it withholds.

    Raises:
        ValueError: naming the run.
    """
    start = field(run / "experiment.json", "start.checkpoint", "a path or null", None)
    if start is not None:
        raise ValueError(f"{run}: expected a run from random weights, this began with {start}")
    if list(run.glob("metrics-before-rollback-*")):
        raise ValueError(f"{run}: expected a run that was not rolled back")
    if any("replay.held_out" in str(change) for change in changes_of(run)):
        raise ValueError(f"{run}: replay.held_out changed, so it may have trained on such games")


def steps_of(run: Path, first: int) -> list[Step]:
    """Return kept steps of a run: the newest, and each that has read half as much as the next.

    Steps that do not say what they have read, of earlier versions, are left out.

    Args:
        run: its folder.
        first: number of examples that a step must have read.

    Raises:
        ValueError: if there are none, or they have no values of moves of games without contracts.
    """
    found: list[Step] = []
    for cycle in reversed(checkpoint.steps(run / "checkpoints")):
        folder = steps.folder_of(run, cycle)
        examples = field(folder / "training.json", "trained_examples", "a whole number", 0)
        if not first <= examples <= _MOST or (found and 2 * examples > found[-1].examples):
            continue
        config, params = network.load(folder)
        if not config.move_values or config.plays_contracts:
            raise ValueError(
                f"{run}: expected a network with network.move_values, for games without contracts"
            )
        found.append(Step(run, cycle, config, network.n_params(params), examples))
    if not found:
        raise ValueError(f"{run}: no kept step says that it has read {first:,} examples")
    return found[::-1]


def held_games(runs: Sequence[Path]) -> tuple[AnyRecord, float]:
    """Return games of the first run that every run holds out, and the smallest share of a run.

    Raises:
        ValueError: if there are none, or their values of moves are not known.
    """
    saves = {run: checkpoint.steps(run / "state") for run in runs}
    if missing := [run for run in runs if not saves[run]]:
        raise ValueError(f"{missing[0]}: there is no saved state of a run")
    newest = [checkpoint.step_folder(run / "state", saves[run][-1]) for run in runs]
    shares = [field(save / "experiment.json", "replay.held_out", "a number", 0) for save in newest]
    if bad := [run for run, share in zip(runs, shares, strict=True) if not 0 < share <= 0.5]:
        raise ValueError(f"{bad[0]}: expected replay.held_out above 0, up to 0.5")
    games = held_out.split(held_out.load(newest[0]), min(shares))[1]
    if not len(games.slots):
        raise ValueError(f"{runs[0]}: it holds out no game that all runs hold out")
    if games.moves is None or not np.isfinite(games.moves).any():
        raise ValueError(f"{runs[0]}: expected games with values of moves, see `zebjax teach`")
    return games, min(shares)


# ---- rows


class Decisions(NamedTuple):
    """The decisions on which errors are measured, the same for all steps."""

    records: AnyRecord
    """`[n]` games, one for each decision."""
    plies: np.ndarray
    """int32 `[n]`."""
    digest: str
    """Names them."""


def decisions_of(games: AnyRecord, n: int) -> Decisions:
    """Draw n decisions of games, a multiple of `_BATCH`."""
    records, plies = held_out.sample(games, n, (0,), decisions_only=True)
    arrays = [np.ascontiguousarray(leaf).tobytes() for leaf in jax.tree.leaves((records, plies))]
    return Decisions(records, plies, report.digest_of(*arrays))


def error_of(step: Step, decisions: Decisions, keep: Path) -> float:
    """Return the error of a step on decisions of games that no run has trained on.

    Args:
        step: whose network is measured.
        decisions: on which.
        keep: folder of what is finished, from which it comes if it is known.
    """
    name = report.digest_of(VERSION, players.make(step.player).identity, decisions.digest)
    place = keep / f"error-{name}.json"
    if not place.exists():
        config, params = network.load(steps.folder_of(step.run, step.cycle))
        learner = LearnerConfig(batch=_BATCH)
        error = held_out.measure(learner, config, params, decisions.records, decisions.plies)[
            _ERROR
        ]
        files.write_json(place, {"value_error": float(error)})
    return float(field(place, "value_error", "a number", math.nan))


def row_of(step: Step, error: float, args: argparse.Namespace) -> tuple[dict[str, Any], np.ndarray]:
    """Play what is left of a step's match; return its row, and the score of each deal."""
    pair = (step.player, args.against)
    with cli.progress(f"{step.run}@{step.cycle} against {args.against}") as show:
        kept = strength.play_rest(pair, args.keep, args.deals, args.seed, show)
    played, names = strength.row_of(pair, kept), ("deals", "win_rate", "win_rate_ci95", "margin")
    row = {"run": str(step.run), "step": step.cycle, "parameters": step.parameters}
    row |= {"examples": step.examples, "value_error": round(error, 6)}
    row |= {name: played[name] for name in (*names, "margin_ci95")}
    return row, matches.pair_scores(np.array(kept["margins"]))


def columns(rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters, examples and errors of rows, float64 `[rows]` each."""
    found = [[row[name] for row in rows] for name in ("parameters", "examples", "value_error")]
    sizes, read, errors = np.array(found, float)
    return sizes, read, errors


# ---- the picture


def plot(path: Path, result: dict[str, Any], rates: Rates) -> None:
    """Draw errors and wins over examples, a colour for each size, with the fits, as PNG.

    Args:
        path: of the file.
        result: what the JSON holds.
        rates: win rates over errors.
    """
    figure = charts.new_figure(11, 5)
    by_error, by_wins = figure.subplots(1, 2)
    sizes, read, errors = columns(result["rows"])
    found = Law(*(result["law"][name] for name in Law._fields))
    for number, size in enumerate(np.unique(sizes)):
        own, color = sizes == size, f"C{number}"
        by_error.plot(read[own], errors[own], "o", color=color, label=f"{size:,.0f} parameters")
        rows = [row for row, is_own in zip(result["rows"], own, strict=True) if is_own]
        scaling.points(by_wins, read[own], rows, color)
        for first, last, style in (
            (read[own].min(), read[own].max(), "-"),
            (read[own].max(), FURTHER * read.max(), "--"),
        ):
            examples = np.geomspace(first, last)
            fitted = found.at(float(size), examples)
            by_error.plot(examples, fitted, style, color=color)
            by_wins.plot(examples, 100 * rates.at(fitted), style, color=color)
    by_error.set(
        xscale="log",
        xlabel="examples read",
        ylabel="squared error of the value of moves",
        title="lines: the fitted law; dashed: extrapolated",
    )
    by_wins.set(
        xscale="log",
        xlabel="examples read",
        ylabel=f"wins against {result['against']}, %",
        title="95 % intervals, paired deals",
    )
    by_error.legend(fontsize=8)
    charts.save_figure(figure, path)


# ---- the command


def parser() -> cli.Parser:
    """The command's parser."""
    made = report.parser_with_json(
        "sizes",
        f"{__doc__}\n\n{ABOUT}",
        "--plot sizes.png runs/values-small runs/values-medium runs/values-large",
    )
    add = made.add_argument
    add("runs", nargs="+", type=cli.folder, metavar="RUN", help="folders of runs")
    for name, kind, default, about in (
        ("first", cli.integer(1, 10**12), 100_000, "examples that a step must have read"),
        ("n", cli.integer(_BATCH, 10**7), 16_384, "decisions for the errors, in batches of 128"),
        ("deals", cli.integer(2, 10**6), 1000, "paired deals of each step"),
        ("seed", cli.integer(0, 2**31), 0, "of deals and play"),
    ):
        text = f"{about} (default {default})"
        add(f"--{name}", type=kind, default=default, metavar="N", help=text)
    add("--against", default="eq:n=10", metavar="PLAYER", help="opponent (default %(default)s)")
    add(
        "--keep",
        type=cli.folder,
        default=Path("runs/sizes"),
        metavar="DIR",
        help="folder of what is finished (default %(default)s)",
    )
    add("--plot", type=cli.picture, metavar="FILE.png", help="draw the result")
    return made


def rated_steps(runs: Sequence[Path], first: int) -> list[Step]:
    """Return the steps of all runs that are rated.

    Raises:
        ValueError: if a run is named twice, or cannot be used, or there are too few for a law.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise ValueError("RUN: the same run is named twice")
    for run in runs:
        check_run(run)
    found = [step for run in runs for step in steps_of(run, first)]
    # Refused before the work.
    size_law.check_enough([step.parameters for step in found], [step.examples for step in found])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    strength.check_opponent(args.against)
    found, n = rated_steps(args.runs, args.first), args.n // _BATCH * _BATCH
    games, share = held_games(args.runs)
    decisions = decisions_of(games, n)
    result = report.surroundings(args.note) | {
        **{name: getattr(args, name) for name in ("seed", "against", "first")},
        "networks": {str(step.run): step.config.stored_fields() for step in found},
        "held_out": {"share": share, "games": len(games.slots), "decisions": n},
        "rows": [],
        "law": None,
    }
    scores = []
    with locks.locked(args.keep, "wait for it or choose another --keep"):
        for step in found:
            row, score = row_of(step, error_of(step, decisions, args.keep), args)
            report.show(row)
            result["rows"].append(row)
            scores.append(score)
            report.write(args.out or report.default_name("sizes"), result)
    points = columns(result["rows"])
    result["law"] = size_law.summary(points, np.stack(scores), FURTHER)
    report.write(args.out or report.default_name("sizes"), result)
    for sentence in size_law.sentences(result["law"], args.against):
        print(sentence)
    if args.plot:
        rates = Rates(points[2], np.stack(scores), -result["law"]["win_power"])
        plot(args.plot, result, rates)


if __name__ == "__main__":
    sys.exit(report.run("sizes", main))
