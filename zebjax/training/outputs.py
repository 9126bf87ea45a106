"""The outputs of a run: the metrics file, W&B, the curves, the console.

A run is saved before it reports, and no failure of an output ends it, be it a full disk, a lost
terminal or a broken matplotlib backend. Each kind of failure is noted once.
"""

from collections.abc import Callable
from typing import Any

from zebjax.training import kept_games, metrics, wandb_run, warnings
from zebjax.training.session import Session


class Outputs:
    """Writes the rows of a run to all outputs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._file = session.folder / metrics.FILE
        self._wandb: Any = None
        self._recent: list[metrics.Row] = []
        self._unwritten: list[metrics.Row] = []
        self._failed: set[str] = set()

    def open(self, with_wandb: bool) -> None:
        """Open W&B if it is wanted, and report the row that a killed process saved and did not."""
        session, progress = self._session, self._session.progress
        # Rows after the newest save belong to cycles that will run again. In the phase `judge` the
        # row of the current cycle is not yet saved.
        metrics.truncate(self._file, progress.cycle - (progress.phase == "judge"))
        if with_wandb:
            self._open_wandb(session, progress.wandb_run_id)
        rows = metrics.read(self._file)
        self._recent = rows[-warnings.WINDOW :]
        self._attempt("warnings", self._warn)
        if progress.row is not None and (not rows or rows[-1]["cycle"] < progress.row["cycle"]):
            self.row(progress.row, None, is_drawn=True)

    def _open_wandb(self, session: Session, run_id: str | None) -> None:
        assert run_id is not None
        settings, note = session.settings, session.report.note
        try:
            config = wandb_run.config_of(session)
            more = {"config": config, "tags": wandb_run.tags_of(settings, config)}
            self._wandb = wandb_run.open_run(
                session.folder, settings.tracking, settings.name, run_id, note, more
            )
            session.wandb_url = wandb_run.write_address(session.folder, self._wandb, note)
        except Exception as error:  # not installed on this machine, out of order
            session.warn(f"W&B: {error}; the run continues without it")

    def row(self, row: metrics.Row, seconds_left: float | None, is_drawn: bool) -> None:
        """Report a finished cycle.

        Args:
            row: its metrics.
            seconds_left: estimated time until the run is complete, if known.
            is_drawn: True to draw the curves too.
        """
        self._unwritten.append(row)
        self._attempt("metrics", self._write)
        if self._wandb is not None:
            self._attempt("W&B", lambda: self._wandb.log(row))
        self._recent = [*self._recent, row][-warnings.WINDOW :]
        self._attempt("warnings", self._warn)
        found = warnings.names(self._session.current_warnings)
        shown = {**row, "warnings": found} if found else row
        self._attempt("console", lambda: self._session.report.cycle(shown, seconds_left))
        if is_drawn:
            self._attempt("curves", self._draw)
            if self._wandb is not None:
                self._attempt("W&B", self._summarise)

    def keep_games(self) -> None:
        """Write the games that came into the rings since the last call; see `kept_games`."""
        session = self._session
        self._attempt("games", lambda: kept_games.write(session, session.is_complete))

    def close(self) -> None:
        """Finish W&B."""
        if self._wandb is not None:
            self._attempt("W&B", self._wandb.finish)

    def _warn(self) -> None:
        """Find the warnings that hold now, and report those that begin or end."""
        session, found = self._session, warnings.find(self._recent)
        before = {warning.title for warning in session.current_warnings}
        for warning in found:
            if warning.title not in before:
                session.report.note(f"  WARNING {warning.name}: {warning.text}")
        for title in sorted(before - {warning.title for warning in found}):
            session.report.note(f"  no longer {title}")
        session.current_warnings = found

    def _write(self) -> None:
        while self._unwritten:  # first the rows that a full disk refused earlier
            metrics.append(self._file, self._unwritten[0])
            del self._unwritten[0]

    def _draw(self) -> None:
        session = self._session
        curves = session.folder / "curves.png"
        metrics.plot_curves(metrics.read(self._file), curves, session.settings.name)

    def _summarise(self) -> None:
        self._wandb.summary.update(wandb_run.summary_of(metrics.read(self._file)))

    def _attempt(self, what: str, report: Callable[[], object]) -> None:
        try:
            report()
        except Exception as error:  # matplotlib, W&B or a terminal must not end the run
            if what not in self._failed:
                self._failed.add(what)
                reason = str(error).strip().split("\n")[0] or type(error).__name__
                self._session.warn(f"{what}: {reason}; the run continues without it")
