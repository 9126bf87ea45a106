"""What a person sees while a run goes on: a live table in a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

Row = dict[str, Any]
_PLAIN_EVERY_S = 15.0
_ROWS_SHOWN = 12


class Reporter(Protocol):
    """Where a run tells of itself."""

    def note(self, text: str) -> None:
        """Say one thing."""

    def working(self, what: str, done: int, total: int) -> None:
        """Tell how far the work under way is."""

    def cycle(self, row: Row, seconds_left: float | None) -> None:
        """Tell of a finished cycle."""


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 4:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _cells(row: Row, seconds_left: float | None) -> dict[str, str]:
    """Column name -> text, for what the row holds."""

    def number(key: str, form: str, scale: float = 1) -> str:
        return format(scale * row[key], form) if key in row else ""

    win = ""
    if "eval/vs_random_win_rate" in row:
        half = 100 * row["eval/vs_random_win_rate_ci95"]
        win = f"{100 * row['eval/vs_random_win_rate']:.1f} ± {half:.1f}"
    hidden = number("train/belief_accuracy_hidden", ".1f", 100)
    if hidden and "train/belief_accuracy_marginal" in row:
        hidden += f" ({100 * row['train/belief_accuracy_marginal']:.1f})"
    return {
        "cycle": str(row["cycle"]),
        "policy": number("train/policy_loss", ".3f"),
        "value": number("train/value_loss", ".3f"),
        "belief": number("train/belief_loss", ".3f"),
        "hidden % (counted)": hidden,
        "games": number("stats/total_games", ",.0f"),
        "games/s": number("perf/games_per_s", ".1f"),
        "updates/s": number("perf/updates_per_s", ".1f"),
        "buffer": number("stats/replay_buffer_selfplay", ",.0f"),
        "% vs random": win,
        "mix(self/eval)": _mix(row),
        "left": "" if seconds_left is None else duration(seconds_left),
    }


def _mix(row: Row) -> str:
    """How many updates were of which stream, and what the policy weighs in the second."""
    if "stats/eval_aux_updates" not in row:
        return ""
    mixed = f"{row['stats/selfplay_updates']}/{row['stats/eval_aux_updates']}"
    return f"{mixed} eval_aux_policy_w={row['stats/eval_aux_policy_w']:g}"


class PlainReporter:
    """Lines, for logs and pipes."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note(self, text: str) -> None:
        """Print the text."""
        print(text, flush=True)

    def working(self, what: str, done: int, total: int) -> None:
        """Print how far it is, every 15 seconds at most."""
        if time.monotonic() - self._last >= _PLAIN_EVERY_S:
            self._last = time.monotonic()
            print(f"  {what} {done:,} of {total:,}", flush=True)

    def cycle(self, row: Row, seconds_left: float | None) -> None:
        """Print one line."""
        self._last = time.monotonic()
        print(
            " | ".join(
                f"{name} {text}" for name, text in _cells(row, seconds_left).items() if text
            ),
            flush=True,
        )


class LiveReporter:
    """A table of the last cycles over a bar of the work under way; a context manager."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._rows: list[dict[str, str]] = []
        self._console = Console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(self._render(), console=self._console, refresh_per_second=4)

    def __enter__(self) -> "LiveReporter":
        self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.remove_task(self._task)
        self._live.update(self._render())
        self._live.__exit__(*exception)

    def _render(self) -> Group:
        table = Table(title=self._title)
        for name in _cells({"cycle": 0}, None):
            table.add_column(name, justify="right")
        for cells in self._rows[-_ROWS_SHOWN:]:
            table.add_row(*cells.values())
        return Group(table, self._bar)

    def note(self, text: str) -> None:
        """Print the text above the table."""
        self._live.console.print(text, highlight=False, markup=False)

    def working(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, description=what, completed=done, total=total)

    def cycle(self, row: Row, seconds_left: float | None) -> None:
        """Add a row."""
        self._rows.append(_cells(row, seconds_left))
        self._live.update(self._render())


def is_terminal() -> bool:
    """Whether a person watches."""
    return sys.stdout.isatty()
