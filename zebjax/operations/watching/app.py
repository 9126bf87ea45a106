"""The terminal program of `zebjax watch`. Everything is reached by keys; 80 x 24 is enough."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import ContentSwitcher, DataTable, Footer, Sparkline, Static

from zebjax.operations import logs as log_files
from zebjax.operations.watching import render, series
from zebjax.operations.watching.following import Follower

_MAX_PROBLEMS = 3
_LOG_LINES = 200


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class WatchApp(App[None]):
    """Shows a run live: its state, its curves, its logs."""

    CSS = """
    #verdict { height: auto; max-height: 3; background: $success-darken-2; color: $text; }
    #verdict.warned { background: $warning-darken-2; }
    #verdict.alarm { background: $error-darken-2; }
    ContentSwitcher { height: 1fr; }
    .curve { height: auto; }
    #facts, #processes { height: auto; }
    #problems { height: auto; color: $warning; }
    Sparkline { height: 3; }
    #charts { scrollbar-size-vertical: 1; }
    """
    TITLE = "zebjax watch"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show('state')", "state"),
        Binding("2", "show('charts')", "charts"),
        Binding("3", "show('logs')", "logs"),
        Binding("n", "next_log", "next log"),
        Binding("r", "poll", "poll now"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, follower: Follower, every_s: float, notes: Sequence[str] = ()) -> None:
        """Make the program; `run` shows it.

        Args:
            follower: of the run, after its first poll.
            every_s: seconds between two polls.
            notes: sentences to show until there are newer ones.
        """
        super().__init__()
        self._follower, self._every_s = follower, every_s
        self._problems = list(notes)
        self._which_log = 0
        self._is_polling = False

    def compose(self) -> ComposeResult:
        """The widgets."""
        yield Static(id="verdict", markup=False)
        with ContentSwitcher(initial="state"):
            with VerticalScroll(id="state"):
                yield Static(id="facts", markup=False)
                yield DataTable(id="processes", cursor_type="none", zebra_stripes=True)
                yield Static(id="problems", markup=False)
            with VerticalScroll(id="charts"):
                for place in range(len(series.curves([]))):
                    with Vertical(id=f"curve-{place}", classes="curve"):
                        yield Static(classes="label", markup=False)
                        yield Sparkline([], summary_function=_mean)
            with VerticalScroll(id="logs"):
                yield Static(id="log", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Show the first state and begin to poll."""
        self._show_all()
        self.query_one("#state").focus()
        self.set_interval(self._every_s, self.action_poll)

    def action_poll(self) -> None:
        """Poll in a thread, so that keys are answered while the store is slow."""
        if not self._is_polling:
            self._is_polling = True
            self.run_worker(self._poll, thread=True)

    def _poll(self) -> None:
        try:
            problems = self._follower.poll()
        finally:
            self._is_polling = False
        self.call_from_thread(self._polled, problems)

    def _polled(self, problems: list[str]) -> None:
        self._problems = [*self._problems, *problems][-_MAX_PROBLEMS:]
        self._show_all()

    def action_show(self, name: str) -> None:
        """Show one of the pages."""
        self.query_one(ContentSwitcher).current = name
        self.query_one(f"#{name}").focus()

    def action_next_log(self) -> None:
        """Show the next log."""
        self._which_log += 1
        self._show_log()
        self.action_show("logs")

    # ---- what is shown

    def _show_all(self) -> None:
        state = self._follower.state
        alarms = self._follower.alarms()
        verdict = self.query_one("#verdict", Static)
        verdict.set_class(bool(alarms), "alarm")
        verdict.set_class(bool(state["warnings"]) and not alarms, "warned")
        verdict.update(f"{render.plain(state['run'], 40)}: {render.verdict(state)}")
        self.query_one("#facts", Static).update("\n".join(render.lines(state)))
        trouble = [self._follower.trouble] if self._follower.trouble else []
        problems = (render.plain(text) for text in (*self._problems, *trouble))
        self.query_one("#problems", Static).update("\n".join(problems))
        self._show_processes()
        self._show_charts()
        self._show_log()

    def _show_processes(self) -> None:
        state = self._follower.state
        table = self.query_one(DataTable)
        place = table.scroll_offset
        table.clear(columns=True)
        names = render.columns(state)
        table.add_columns(*names)
        for process in state["processes"]:
            cells = render.cells(process)
            # Text and not str, in which the table would look for markup.
            table.add_row(*(Text(cells[name]) for name in names))
        table.scroll_to(place.x, place.y, animate=False)

    def _show_charts(self) -> None:
        try:
            rows = self._follower.target.rows()
        except ValueError:  # a damaged file, which the poll has reported
            rows = []
        for place, curve in enumerate(series.curves(rows)):
            box = self.query_one(f"#curve-{place}")
            box.display = curve.is_shown
            box.query_one(Static).update(curve.label())
            box.query_one(Sparkline).data = curve.values

    def _show_log(self) -> None:
        found = series.logs(self._follower.target.folder)
        shown = self.query_one("#log", Static)
        if not found:
            shown.update("no logs here: expected fleet/logs/*.log in the run's folder")
            return
        names = list(found)
        name = names[self._which_log % len(names)]
        heading = f"{name} ({self._which_log % len(names) + 1} of {len(names)}; n: the next one)"
        shown.update("\n".join([render.plain(heading), *log_files.tail(found[name], _LOG_LINES)]))
        self.query_one("#logs", VerticalScroll).scroll_end(animate=False)
