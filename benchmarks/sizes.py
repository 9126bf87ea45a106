"""Fit the error and the strength of transformers of several sizes over what they have read."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from zebjax import network, players
from zebjax.common import charts, checkpoint, cli, files, locks
from zebjax.contract_record import AnyRecord
from zebjax.evaluation import matches, size_law
from zebjax.evaluation.intervals import Z95
from zebjax.evaluation.size_law import Law
from zebjax.players.base import NeedsContract
from zebjax.training import held_out
from zebjax.training.learner_config import LearnerConfig

from . import report, strength
from .scaling import digest_of

_ERROR = "move_value_spread_error"
_BATCH = 128
_DEALS_AT_ONCE = 50  # what an interruption loses of a match
FURTHER = 10
"""How many times as much reading the law is extrapolated to."""
ABOUT = f"""Each RUN is the folder of a run that learns values of moves from the same games, such as
those of `zebjax train values_from_rollouts`; the runs have networks of three sizes or more, and
replay.held_out above 0. Their kept steps (save.keep_every_cycles) are rated: the last, the last
that had read half as much, and so on down to --first. The error of a step is the squared error of
the value of moves, relative to its mean over the moves of a decision, on --n decisions of games
that no run has trained on, the same for all. Its wins are those of `zeb:RUN@STEP,choose=value` in
--deals paired deals against --against.

The law is error = floor + a * parameters^-alpha + b * examples^-beta (Hoffmann et al. 2022), by
least squares, factors not negative. Wins are a line over the error. Both are extrapolated to
{FURTHER} times the examples for each size; in brackets the lowest and the highest error when one
point is left out. The interval of wins has the luck of the deals, not that of the trainings.

A learning rate that does not fall, with an average of the weights (learner.schedule constant,
learner.ema), makes every kept step a point. Errors and margins of finished deals are kept in
--keep, so the same command resumes."""


class Step(NamedTuple):
    """A kept step of a run."""

    run: Path
    cycle: int
    parameters: int
    examples: int

    @property
    def folder(self) -> Path:
        """Where its network is."""
        return checkpoint.step_folder(self.run / "checkpoints", self.cycle)


# ---- what a run holds


def steps_of(run: Path, first: int) -> list[Step]:
    """Return kept steps of a run: the newest, and each that has read half as much as the next.

    Args:
        run: its folder.
        first: number of examples that a step must have read.

    Raises:
        ValueError: if there are none, or the run did not begin with random weights.
    """
    start = _saved(run / "experiment.json").get("start", {}).get("checkpoint")
    if start is not None:
        raise ValueError(f"{run}: expected a run from random weights, this began with {start}")
    found = []
    for cycle in reversed(checkpoint.steps(run / "checkpoints")):
        folder = checkpoint.step_folder(run / "checkpoints", cycle)
        examples = _saved(folder / "training.json").get("trained_examples")
        if type(examples) is not int:
            raise ValueError(f"{folder}/training.json: expected a number as trained_examples")
        if examples >= first and not (found and 2 * examples > found[-1].examples):
            config, params = network.load(folder)
            if not config.move_values:
                raise ValueError(f"{run}: expected a network with network.move_values")
            found.append(Step(run, cycle, network.n_params(params), examples))
    if not found:
        raise ValueError(f"{run}: no kept step has read {first:,} examples")
    return found[::-1]


def _saved(file: Path) -> dict[str, Any]:
    if not isinstance(found := files.read_json(file), dict):
        raise ValueError(f"{file}: expected an object")
    return found


def held_games(runs: Sequence[Path]) -> AnyRecord:
    """Return the games of the newest save of the first run that every run holds out.

    Raises:
        ValueError: if a run holds out none, or has no save.
    """
    shares = []
    for run in runs:
        numbers = checkpoint.steps(run / "state")
        if not numbers:
            raise ValueError(f"{run}: there is no saved state of a run")
        newest = checkpoint.step_folder(run / "state", numbers[-1])
        shares.append(float(_saved(newest / "experiment.json")["replay"]["held_out"]))
        if run == runs[0]:
            games = held_out.load(newest)
    if not (min(shares) and len(games.slots)):
        raise ValueError(f"{runs[shares.index(min(shares))]}: expected replay.held_out above 0")
    return held_out.split(games, min(shares))[1]


# ---- rows


def error_of(step: Step, games: AnyRecord, n: int, keep: Path) -> float:
    """Return the error of a step on n decisions of games, the same for all; from `keep` if known.

    Args:
        step: whose network is measured.
        games: that no run has trained on.
        n: number of decisions, a multiple of `_BATCH`.
        keep: folder of what is finished.
    """
    records, plies = held_out.sample(games, n, (0,), decisions_only=True)
    identity = players.make(f"zeb:{step.folder},choose=value").identity
    arrays = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves((records, plies))]
    place = keep / f"error-{digest_of(identity, *(array.tobytes() for array in arrays))}.json"
    if not place.exists():
        config, params = network.load(step.folder)
        learner = LearnerConfig(batch=_BATCH)
        error = held_out.measure(learner, config, params, records, plies)[_ERROR]
        files.write_json(place, {"value_error": float(error)})
    return float(_saved(place)["value_error"])


def row_of(step: Step, error: float, args: argparse.Namespace) -> tuple[dict[str, Any], np.ndarray]:
    """Play what is left of a step's match; return its row, and the score of each deal."""
    pair = (f"zeb:{step.folder},choose=value", args.against)
    place = strength.keep_file(args.keep, *pair, args.seed)
    kept = strength.read(place)
    with cli.progress(f"{step.run.name}@{step.cycle} against {args.against}") as show:
        while (n := len(kept["margins"])) < args.deals:
            left = min(_DEALS_AT_ONCE, args.deals - n)
            kept = strength.play_some(pair, jax.random.key(args.seed), place, left)
            show(len(kept["margins"]) / args.deals, f"{len(kept['margins']):,} deals")
    margins = np.array(kept["margins"][: args.deals])
    played = strength.row_of(pair, kept | {"margins": margins})
    names = ("deals", "win_rate", "win_rate_ci95", "margin", "margin_ci95")
    row = {"run": step.run.name, "step": step.cycle, "parameters": step.parameters}
    row |= {"examples": step.examples, "value_error": round(error, 6)}
    return row | {name: played[name] for name in names}, matches.pair_scores(margins)


# ---- the law


class Strength(NamedTuple):
    """Win rates as a line over errors, by least squares."""

    errors: np.ndarray
    """float64 `[rows]`."""
    scores: np.ndarray
    """float64 `[rows, deals]`, score of each deal; all rows played the same deals."""

    def interval_at(self, error: float) -> tuple[float, float, float]:
        """Return a win rate and its 95 % interval, which has the luck of the deals."""
        weights = np.array([1, error]) @ np.linalg.pinv(self._terms(self.errors))
        rate, stderr, _ = matches.mean_and_stderr(weights @ self.scores)
        return rate, rate - Z95 * stderr, rate + Z95 * stderr

    @staticmethod
    def _terms(errors: np.ndarray) -> np.ndarray:
        return np.stack([np.ones_like(errors), errors], 1)


def law_of(rows: Sequence[dict[str, Any]], scores: np.ndarray) -> dict[str, Any]:
    """Return the fitted law and what it predicts, as plain data for JSON.

    Raises:
        ValueError: for too few rows, see `size_law.fit`.
    """
    sizes, read, errors = columns(rows)
    law, line, predicted = size_law.fit(sizes, read, errors), Strength(errors, scores), []
    for size in np.unique(sizes):
        for times in (1, FURTHER):
            asked = (float(size), float(times * read.max()))
            error = float(law.at(*asked))
            rate, *ends = np.clip(line.interval_at(error), 0, 1)
            between = size_law.without_one(sizes, read, errors, asked)
            predicted.append(
                {
                    "parameters": int(size),
                    "examples": int(asked[1]),
                    "value_error": round(error, 6),
                    "value_error_without_one": [round(end, 6) for end in between],
                    "win_rate": round(float(rate), 4),
                    "win_rate_ci95": [round(float(end), 4) for end in ends],
                }
            )
    return {
        "formula": "value_error = floor + a * parameters^-alpha + b * examples^-beta",
        **law._asdict(),
        "rms_residual": float(np.sqrt(np.square(law.at(sizes, read) - errors).mean())),
        "win_rate_per_0.001_of_error": round(
            float(line.interval_at(0.001)[0] - line.interval_at(0.0)[0]), 5
        ),
        "predicted": predicted,
    }


def columns(rows: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return parameters, examples and errors of the rows, float64 `[rows]` each."""
    found = [[row[name] for row in rows] for name in ("parameters", "examples", "value_error")]
    sizes, read, errors = np.array(found, float)
    return sizes, read, errors


def sentences(law: dict[str, Any], against: str) -> Iterator[str]:
    """Yield what a law says, for people."""
    yield (
        f"value_error = {law['floor']:.5f} + {law['a']:.4g} * parameters^-{law['alpha']:.3f} + "
        f"{law['b']:.4g} * examples^-{law['beta']:.3f} (residual {law['rms_residual']:.5f})"
    )
    for each in law["predicted"]:
        ends, (low, high) = each["value_error_without_one"], each["win_rate_ci95"]
        yield (
            f"predicted for {each['parameters']:,} parameters and {each['examples']:,} examples: "
            f"value_error {each['value_error']:.5f} ({ends[0]:.5f} to {ends[1]:.5f}), wins against "
            f"{against} {100 * each['win_rate']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        )


# ---- the picture


def plot(path: Path, result: dict[str, Any], scores: np.ndarray) -> None:
    """Draw errors and wins over examples, a colour for each size, with the fits, as PNG."""
    figure = charts.new_figure(11, 5)
    by_error, by_wins = figure.subplots(1, 2)
    sizes, read, errors = columns(result["rows"])
    found = Law(*(result["law"][name] for name in Law._fields))
    line = Strength(errors, scores)
    for number, size in enumerate(np.unique(sizes)):
        own, colour = sizes == size, f"C{number}"
        by_error.plot(read[own], errors[own], "o", color=colour, label=f"{size:,.0f} parameters")
        rows = [row for row, is_own in zip(result["rows"], own, strict=True) if is_own]
        rates = np.array([[row["win_rate"], *row["win_rate_ci95"]] for row in rows]).T
        sides = np.maximum(0, np.stack([rates[0] - rates[1], rates[2] - rates[0]]))
        by_wins.errorbar(
            read[own], 100 * rates[0], yerr=100 * sides, fmt="o", capsize=3, color=colour
        )
        for first, last, style in (
            (read[own].min(), read[own].max(), "-"),
            (read[own].max(), FURTHER * read.max(), "--"),
        ):
            examples = np.geomspace(first, last)
            fitted = found.at(float(size), examples)
            wins = [100 * line.interval_at(float(error))[0] for error in fitted]
            by_error.plot(examples, fitted, style, color=colour)
            by_wins.plot(examples, wins, style, color=colour)
    by_error.set(
        xscale="log",
        yscale="log",
        xlabel="decisions read",
        ylabel="squared error of the value of moves",
        title="dashed: extrapolated",
    )
    by_wins.set(
        xscale="log",
        xlabel="decisions read",
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    opponent = players.make(args.against).choose  # a wrong name is refused before the work
    if isinstance(opponent, NeedsContract):
        raise ValueError(f"--against {args.against}: it plays only games with a contract")
    steps = [step for run in args.runs for step in steps_of(run, args.first)]
    n = args.n // _BATCH * _BATCH
    with locks.locked(args.keep, "wait for it or choose another --keep"):
        games = held_games(args.runs)
        errors = [error_of(step, games, n, args.keep) for step in steps]
        read = [step.examples for step in steps]
        size_law.fit([step.parameters for step in steps], read, errors)  # refused before matches
        result = report.surroundings(args.note) | {
            **{name: getattr(args, name) for name in ("seed", "against", "deals")},
            "decisions": n,
            "held_out_games": len(games.slots),
            "rows": [],
        }
        scores = []
        for step, error in zip(steps, errors, strict=True):
            row, score = row_of(step, error, args)
            report.show(row)
            result["rows"].append(row)
            scores.append(score)
        result["law"] = law_of(result["rows"], np.stack(scores))
        report.write(args.out or report.default_name("sizes"), result)
    for sentence in sentences(result["law"], args.against):
        print(sentence)
    if args.plot:
        plot(args.plot, result, np.stack(scores))


if __name__ == "__main__":
    sys.exit(report.run("sizes", main))
