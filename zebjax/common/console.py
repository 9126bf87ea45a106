"""Output for people: consoles, progress bars and live tables in a terminal, lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from zebjax.common import cycle_table

if TYPE_CHECKING:  # rich takes 0.1 s to import, and `--help` does not need it
    from rich.console import Console, Group
    from rich.progress import Progress, ProgressColumn

Row = dict[str, Any]
_LINE_EVERY_S = 10.0
_ROWS_SHOWN = 12
_VS, _WIN_RATE = "eval/vs_", "_win_rate"
_WIDTH = 120
"""Columns of output that does not go to a terminal."""


class Reporter(Protocol):
    """Receives the reports of a run."""

    def note(self, text: str) -> None:
        """Show a sentence."""

    def working(self, what: str, done: int, total: int) -> None:
        """Show the progress of the current work."""

    def cycle(self, row: Row, seconds_left: float | None) -> None:
        """Show the metrics of a finished cycle."""


def warn(text: str) -> None:
    """Print `zebjax: text` to stderr."""
    print(f"zebjax: {text}", file=sys.stderr, flush=True)


Show = Callable[[float, str], None]
"""Called with the completed share, 0 to 1, and a short text about the result so far."""


def is_terminal() -> bool:
    """True if standard output is a terminal."""
    return sys.stdout.isatty()


def make(stream: TextIO | None = None) -> "Console":
    """A console on `stream` (default: standard output) that prints text as it is.

    It is as wide as the terminal; without a terminal it has 120 columns.
    """
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() else _WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False)


def _bar(console: "Console", *columns: "ProgressColumn", transient: bool = False) -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn

    description = TextColumn("{task.description}", markup=False)
    return Progress(description, BarColumn(), *columns, console=console, transient=transient)


@contextlib.contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show progress on stderr: a bar in a terminal, else a line every ten seconds and at the end.

    The bar is drawn only if standard output is a terminal too: if that is redirected to a file,
    stderr often goes to a log.
    """
    if not (is_terminal() and sys.stderr.isatty()):
        last = time.monotonic()

        def line(done: float, text: str) -> None:
            nonlocal last
            if done >= 1 or time.monotonic() - last >= _LINE_EVERY_S:
                last = time.monotonic()
                print(f"{title}: {100 * done:3.0f} %  {text}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.progress import TextColumn, TimeRemainingColumn

    columns = (TimeRemainingColumn(), TextColumn("{task.fields[text]}", markup=False))
    with _bar(make(sys.stderr), *columns, transient=True) as bar:
        task = bar.add_task(title, total=1.0, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 4:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: `1 game`, `2,048 games`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _cells(row: Row, seconds_left: float | None) -> dict[str, str]:
    """Return column name -> text; the text is empty if the row lacks the metric."""

    def number(key: str, form: str, scale: float = 1) -> str:
        return format(scale * row[key], form) if key in row else ""

    wins = {
        name.removeprefix(_VS).removesuffix(_WIN_RATE): f"{100 * rate:.1f} ± "
        f"{100 * row[f'{name}_ci95']:.1f}"
        for name, rate in row.items()
        if name.startswith(_VS) and name.endswith(_WIN_RATE)
    }
    hidden = number("train/belief_accuracy_hidden", ".1f", 100)
    if hidden and "train/belief_accuracy_marginal" in row:
        hidden += f" ({100 * row['train/belief_accuracy_marginal']:.1f})"
    return {
        "cycle": str(row["cycle"]),
        "policy": number("train/policy_loss", ".3f"),
        "value": number("train/value_loss", ".3f"),
        "belief": number("train/belief_loss", ".3f"),
        "moves": number("train/move_value_error", ".3f"),
        "hidden % (counted)": hidden,
        "games": number("stats/total_games", ",.0f"),
        "games/s": number("perf/games_per_s", ".1f"),
        "updates/s": number("perf/updates_per_s", ".1f"),
        "buffer": number("stats/replay_buffer_selfplay", ",.0f"),
        "% vs random": wins.pop("random", ""),
        "% vs others": ", ".join(f"{name} {win}" for name, win in wins.items()),
        "mix(self/eval)": _mix(row),
        "warnings": row.get("warnings", ""),
        "left": "" if seconds_left is None else duration(seconds_left),
    }


def _mix(row: Row) -> str:
    """Updates on self-play and on eval-aux games, and the policy loss's weight for the latter."""
    if "stats/eval_aux_updates" not in row:
        return ""
    mixed = f"{row['stats/selfplay_updates']}/{row['stats/eval_aux_updates']}"
    return f"{mixed} eval_aux_policy_w={row['stats/eval_aux_policy_w']:g}"


class PlainReporter:
    """Prints lines, for logs and pipes."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note(self, text: str) -> None:
        """Print the text."""
        print(text, flush=True)

    def working(self, what: str, done: int, total: int) -> None:
        """Print the progress, at most every ten seconds."""
        if time.monotonic() - self._last >= _LINE_EVERY_S:
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
    """A context manager: a table of the last cycles above a progress bar of the current work."""

    def __init__(self, title: str) -> None:
        from rich.live import Live
        from rich.progress import MofNCompleteColumn

        self._title = title
        self._rows: list[dict[str, str]] = []
        self._console = make()
        self._bar = _bar(self._console, MofNCompleteColumn())
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(self._render(), console=self._console, refresh_per_second=4)

    def __enter__(self) -> "LiveReporter":
        self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.remove_task(self._task)
        self._live.update(self._render())
        self._live.__exit__(*exception)

    def _render(self) -> "Group":
        from rich.console import Group

        table = cycle_table.table(self._title, self._rows, _ROWS_SHOWN, self._console.width)
        return Group(table, self._bar)

    def note(self, text: str) -> None:
        """Print the text above the table."""
        self._live.console.print(text)

    def working(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, description=what, completed=done, total=total)

    def cycle(self, row: Row, seconds_left: float | None) -> None:
        """Add a row."""
        self._rows.append(_cells(row, seconds_left))
        self._live.update(self._render())
