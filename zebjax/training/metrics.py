"""Metrics of a run: one JSON object per cycle in `metrics.jsonl`, and curves as a PNG file."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zebjax.common import charts, files

Row = dict[str, Any]
FILE = "metrics.jsonl"
"""Name of the metrics file in a run's folder."""
LOSSES = {
    "policy": "policy_loss",
    "value": "value_loss",
    "belief": "belief_loss",
    "moves": "move_value_error",
    "move differences": "move_value_spread_error",
}
"""Losses and errors in charts: name -> metric, see `losses`. A network need not have all heads."""
WIN_RATE = re.compile(r"eval/vs_(\w+)_win_rate")
"""Names of the win rates; the group is the opponent, see `opponents.name`."""


def append(path: Path, row: Row) -> None:
    """Add one row; a process killed meanwhile leaves at most one broken last line, which `read`
    skips.

    Raises:
        OSError: if it cannot be written whole; then the file is as before.
    """
    with open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            line = json.dumps(row).encode() + b"\n"
            if file.write(line) != len(line):
                raise OSError(f"{path}: cannot be written (no space left on device)")
            os.fsync(file.fileno())
        except OSError:
            # A part of a row, of a full disk, would run into the row that is written next.
            file.truncate(size)
            raise


def read(path: Path) -> list[Row]:
    """Read all rows of the file, in order; none if there is no file.

    Raises:
        ValueError: if a row is not an object of numbers; the message names the file and the row. An
            incomplete last line is skipped.
    """
    if not path.exists():
        return []
    try:
        *lines, unfinished = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    rows = [_parse(line) for line in lines if line.strip()]
    if None in rows:
        raise ValueError(
            f"{path}, row {rows.index(None) + 1}: expected a JSON object of numbers with "
            '"cycle" and "stats/total_games"; repair that line or delete it'
        )
    last = _parse(unfinished)
    return [row for row in (*rows, last) if row is not None]


def _parse(line: bytes) -> Row | None:
    """Return the row in a line; None if the line is not a valid row."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not all(type(value) in (int, float) for value in row.values()):
        return None
    return (
        row if all(type(row.get(name)) is int for name in ("cycle", "stats/total_games")) else None
    )


def repair(path: Path, note: Callable[[str], None]) -> None:
    """Set a damaged metrics file aside and keep its good rows: it is no reason to end a run."""
    try:
        read(path)
    except ValueError as error:
        aside = files.unused_name(path.with_name(f"{path.stem}-damaged{path.suffix}"))
        lines = path.read_bytes().split(b"\n")
        rows = [row for row in map(_parse, lines) if row is not None]
        os.replace(path, aside)
        files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        note(f"{error}; the file is now {aside.name}, and its good rows are kept")


def truncate(path: Path, last_cycle: int) -> None:
    """Remove the rows after `last_cycle`; the run resumes there and will write them again."""
    rows = [row for row in read(path) if row["cycle"] <= last_cycle]
    files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def win_rates(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the evaluated opponents by name, each with the rows that have its win rate."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        for metric in row:
            match = WIN_RATE.fullmatch(metric)
            if match and f"{metric}_ci95" in row:
                found.setdefault(match[1], []).append(row)
    return found


def plot_curves(rows: list[Row], path: Path, title: str) -> None:
    """Draw win rates with their intervals, losses, and belief accuracy.

    Args:
        rows: rows of the metrics file.
        path: the PNG file.
        title: title of the picture.
    """
    figure = charts.new_figure(12, 3.6)
    win, loss, belief = figure.subplots(1, 3)
    figure.suptitle(title)

    # With a teacher no games are played, so use cycles as the time axis.
    played = len({row["stats/total_games"] for row in rows}) > 1
    time, label = ("stats/total_games", "games") if played else ("cycle", "cycle")
    opponents = win_rates(rows)
    for name, evaluated in opponents.items():
        rate, half = (
            [100 * row[f"eval/vs_{name}_win_rate{what}"] for row in evaluated]
            for what in ("", "_ci95")
        )
        win.errorbar(
            [row[time] for row in evaluated], rate, yerr=half, marker="o", capsize=3, label=name
        )
    win.axhline(50, color="grey", linewidth=0.8)
    against = " against random" if list(opponents) == ["random"] else ""
    win.set(title=f"win rate{against}, %", xlabel=label, ylabel="%, 95 % interval")
    if opponents and not against:
        win.legend()

    trained = [row for row in rows if "train/policy_loss" in row]
    x = [row[time] for row in trained]
    for name, metric in LOSSES.items():
        if trained and all(f"train/{metric}" in row for row in trained):
            (line,) = loss.plot(x, [row[f"train/{metric}"] for row in trained], label=name)
            held = [row for row in trained if f"held_out/{metric}" in row]
            loss.plot(
                [row[time] for row in held],
                [row[f"held_out/{metric}"] for row in held],
                color=line.get_color(),
                linestyle=":",
            )
    if any(f"held_out/{metric}" in row for row in trained for metric in LOSSES.values()):
        loss.plot([], [], color="grey", linestyle=":", label="held out")  # one entry for all
    loss.set(title="losses", xlabel=label, ylim=(0, None))

    for name, legend in (
        ("belief_accuracy_hidden", "hidden tiles"),
        ("belief_accuracy_marginal", "hidden tiles, by counting alone"),
        ("belief_accuracy", "all 21 tiles"),
    ):
        if all(f"train/{name}" in row for row in trained):
            belief.plot(x, [100 * row[f"train/{name}"] for row in trained], label=legend)
    belief.set(title="belief accuracy, %", xlabel=label)

    for axes in (loss, belief):
        if axes.lines:
            axes.legend()
    for axes in (win, loss, belief):
        axes.locator_params(axis="x", nbins=5)
    charts.save_figure(figure, path)
