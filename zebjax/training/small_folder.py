"""The folder of a run of policy iteration: its files, if a run can resume there, and its log."""

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors

from zebjax.common import charts, files

SETTINGS, LOG = "settings.json", "rounds.jsonl"
LOST = "put it back, or start again in another folder"
"""What to do about a file that cannot be made again."""


RATES = ("vs_random", "vs_random_ci95", "vs_start", "vs_start_ci95")
"""Fields of a `Round` that its network's file has too."""


class Round(NamedTuple):
    """What a finished round reports; its fields are the keys of a line of `LOG`.

    Errors are mean squares, see `small_fit.gradient`. They and the time are None for rounds of
    earlier versions, which had no log.
    """

    round: int
    """Number, from 1."""
    games: int
    """Games played in all rounds so far."""
    vs_random: float
    """Win rate of the fitted network against random play, over `small_run.MATCH_DEALS` deals."""
    vs_random_ci95: float
    """Half of the width of its 95 % interval."""
    value_error_before: float | None = None
    """Of the values of moves relative to their mean: of the network that played, on the new games.
    """
    value_error_after: float | None = None
    """The same of the fitted network, in the last tenth of its updates."""
    mean_error_before: float | None = None
    """Of the mean value of the moves of a decision."""
    mean_error_after: float | None = None
    seconds: float | None = None
    """Of the process that finished the round; one that was stopped in it is not counted."""
    vs_start: float | None = None
    """Win rate against the network of `Settings.start`, over `small_run.START_DEALS` deals; None
    without it."""
    vs_start_ci95: float | None = None

    def facts(self) -> dict[str, str]:
        """Return the metadata of the round's network."""
        known = {name: getattr(self, name) for name in RATES}
        rates = {name: f"{rate:.4f}" for name, rate in known.items() if rate is not None}
        return {"round": str(self.round), "games": str(self.games), **rates}


def require_own(out: Path) -> None:
    """Check that a run may begin or resume in a folder. Nothing is written.

    Raises:
        ValueError: if it is a file, holds other files, or lost the settings of its rounds.
    """
    files.require_folder(out)
    if not out.exists() or (out / SETTINGS).exists():
        return
    if any(_last(out, kind) for kind in ("params", "round", "games")):
        raise ValueError(
            f"{out / SETTINGS}: missing, the settings that made the rounds in this folder; {LOST}"
        )
    # Hidden files may be the lock, or what a file manager leaves.
    if found := sorted(path.name for path in out.iterdir() if not path.name.startswith(".")):
        raise ValueError(
            f"{out}: expected a new or empty folder, or one of `zebjax iterate`, found {found[0]} "
            "in it; choose another folder"
        )


def n_finished(out: Path) -> int:
    """Return the number of finished rounds: of those whose state was saved.

    Raises:
        ValueError: if there are files of later rounds, so that their state was saved and is gone.
    """
    n = _last(out, "params")
    # A round writes its games first, then its state, then its network.
    if n < (needed := max(_last(out, "round"), _last(out, "games") - 1)):
        raise ValueError(
            f"{state_file(out, needed - 1)}: missing, the state of the run after round {needed}; "
            f"{LOST}"
        )
    return n


def _last(out: Path, kind: str) -> int:
    """Return the highest round in the names of files of a kind; 0 if there are none."""
    found = (
        re.fullmatch(rf"{kind}_(\d+)(_\d+)?\.safetensors", file.name) for file in out.iterdir()
    )
    return max((int(match[1]) for match in found if match), default=0)


def state_file(out: Path, number: int) -> Path:
    """Return the file of the state after a round, counted from 0 as everywhere but in names."""
    return out / f"params_{number + 1:02}.safetensors"


def network_file(out: Path, number: int) -> Path:
    """Return the file of the network of a round, as `state_file`."""
    return out / f"round_{number + 1:02}.safetensors"


def read_log(out: Path, n: int) -> list[Round]:
    """Read what the first n rounds reported; what a killed process wrote after them is left out.

    Rounds that are not in the log, as those of earlier versions, are known by their networks.

    Raises:
        ValueError: if the log is damaged.
    """
    file, logged = out / LOG, []
    if file.exists():
        try:
            logged = [_parse(line) for line in file.read_text().splitlines()]
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise ValueError(
                f"{file}: damaged; delete it, and the same command makes it again from the "
                "networks, without errors and seconds"
            ) from None
    known = {each.round: each for each in (*_of_networks(out), *logged)}
    return [known[number] for number in sorted(known) if number <= n]


def _parse(line: str) -> Round:
    found = json.loads(line)
    # A later version may report more.
    made = Round(**{name: value for name, value in found.items() if name in Round._fields})
    known = [value for value in made if value is not None]
    if (
        type(made.round) is not int
        or type(made.games) is not int
        or None in (made.vs_random, made.vs_random_ci95)
        or not all(type(value) in (int, float) and math.isfinite(value) for value in known)
    ):
        raise ValueError
    return made


def _of_networks(out: Path) -> list[Round]:
    rounds = []
    for file in out.glob("round_*.safetensors"):
        try:
            with safetensors.safe_open(file, "numpy") as opened:
                facts = opened.metadata() or {}
        except (safetensors.SafetensorError, OSError):  # an old network, damaged: only a line less
            continue
        # Networks of still earlier versions have none, nor has one that was put there.
        if {"round", "games", "vs_random", "vs_random_ci95"} <= set(facts):
            try:
                rates = {name: float(facts[name]) for name in RATES if name in facts}
                rounds.append(Round(int(facts["round"]), int(facts["games"]), **rates))
            except ValueError:
                continue
    return rounds


def write_log(out: Path, rounds: list[Round]) -> None:
    """Write the log; a process that is killed meanwhile leaves the one before.

    Raises:
        ValueError: if it cannot be written.
    """
    with files.writing(out / LOG):
        lines = (json.dumps(each._asdict()) + "\n" for each in rounds)
        files.write_text(out / LOG, "".join(lines))


def draw(out: Path, rounds: list[Round]) -> None:
    """Draw win rates over games, as `curve.png`."""
    games = [each.games for each in rounds]
    rates = 100 * np.array([each.vs_random for each in rounds])
    halves = 100 * np.array([each.vs_random_ci95 for each in rounds])
    figure = charts.new_figure(6, 4)
    axes = figure.subplots()
    axes.errorbar(games, rates, halves, marker="o", capsize=3)
    axes.set(xlabel="games", ylabel="wins against random, %", title=f"policy iteration, {out.name}")
    axes.grid(alpha=0.3)
    charts.save_figure(figure, out / "curve.png")
