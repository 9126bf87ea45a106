"""The state that a run and its source of games share: settings, arrays and progress."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import jax

from zebjax import network
from zebjax.common import files, jax_settings
from zebjax.common.console import Reporter
from zebjax.common.last_warning import LastWarning
from zebjax.contract_record import AnyRecord
from zebjax.training import held_out, learner, replay, selfplay, warnings
from zebjax.training.config import Experiment


class Stopped(Exception):
    """A stop was requested, and the current compiled call has finished."""


class State(NamedTuple):
    """All arrays of a run. Saved and restored as one pytree."""

    learner: learner.LearnerState
    actor: selfplay.Actor
    ring: replay.Ring
    aux: replay.Ring
    """Ring of the eval-aux stream."""


def fresh_state(settings: Experiment, params: network.Params, step: int) -> State:
    """Make the state of a new run.

    Args:
        settings: the experiment.
        params: the network's first parameters.
        step: their training step.
    """
    root, network_config = jax_settings.key(settings.seed), settings.network
    keeps_moves = network_config.move_values
    return State(
        learner=learner.init(settings.learner, network_config, params, jax.random.fold_in(root, 1)),
        actor=selfplay.init(settings.selfplay, jax.random.fold_in(root, 2), step),
        ring=replay.init(
            settings.replay.capacity_examples, network_config.plays_contracts, keeps_moves
        ),
        aux=replay.init(settings.eval_aux.capacity_examples, with_moves=keeps_moves),
    )


Phase = Literal["play", "train", "judge"]


@dataclasses.dataclass
class Progress:
    """The progress of a run. Saved as JSON beside the arrays."""

    first_cycle: int
    """Training step of the weights that the run began with."""
    cycle: int
    """Training step of the weights: `first_cycle` plus the number of completed cycles."""
    total_games: int
    """Number of games so far, those of the start checkpoint included."""
    phase: Phase = "judge"
    """Phase of the cycle, see `run`. A run begins with an evaluation of its first weights."""
    games_in_cycle: int = 0
    updates_in_cycle: int = 0
    play_s: float = 0.0
    """Seconds spent on getting games in this cycle: of self-play those that its calls ran, also
    while the host saved the cycle before."""
    train_s: float = 0.0
    """Seconds spent on updates in this cycle."""
    wall_s: float = 0.0
    """Seconds since the last metrics row, including saves and drawing, but not the time between two
    processes of the run."""
    wandb_run_id: str | None = None
    cursor: dict[str, str] = dataclasses.field(default_factory=dict)
    """Worker -> its newest file whose games are in the rings."""
    ingest: dict[str, float] = dataclasses.field(default_factory=dict)
    """Counts of the games that arrived in this cycle, by name; see `sources`."""
    arrived_examples: int = 0
    """Number of examples kept since the run began."""
    trained_rows: int = 0
    """Number of examples trained on since the run began, repeats included."""
    quarantined: int = 0
    """Number of files refused since the run began."""
    eval_stats: dict[str, float] = dataclasses.field(default_factory=dict)
    """Running means over the eval-aux games."""
    ring_games: dict[str, int] = dataclasses.field(default_factory=dict)
    """Number of games that the run has put into each ring, by stream; see `kept_games`."""
    arrivals: list[int] = dataclasses.field(default_factory=list)
    """Examples of self-play that arrived in each of the last cycles; see `cycle_row`."""
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The settings that changed since the run began; see `changes`."""
    row: dict[str, Any] | None = None
    """The newest metrics row. It is saved before it is reported, so that a process which resumes
    after a kill can report it."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the progress from a JSON file.

        Raises:
            ValueError: if the file does not hold the progress of a run; the message names it.
        """
        try:
            progress = cls(**files.read_json(file))
        except TypeError as error:
            raise ValueError(f"{file}: not the progress of a run ({error})") from None
        of_run = (progress.first_cycle, progress.cycle, progress.total_games)
        counts = (*of_run, progress.games_in_cycle, progress.updates_in_cycle)
        seconds = (progress.play_s, progress.train_s, progress.wall_s)
        possible = (
            all(type(n) is int and n >= 0 for n in counts)
            and all(type(s) in (int, float) for s in seconds)
            and (progress.row is None or isinstance(progress.row, dict))
            and all(isinstance(change, dict) for change in progress.changes)
        )
        if progress.phase not in ("play", "train", "judge") or not possible:
            raise ValueError(f"{file}: not the progress of a run: {progress}")
        return progress

    def is_complete(self, cycles: int) -> bool:
        """True if the last cycle of a run of this many cycles is complete."""
        return self.cycle >= self.first_cycle + cycles and self.phase != "judge"

    def begin_cycle(self) -> None:
        """Start the phase `play`, and reset the counters of the cycle."""
        self.phase = "play"
        self.games_in_cycle = self.updates_in_cycle = 0
        self.play_s = self.train_s = self.wall_s = 0.0
        self.ingest = {}


@dataclasses.dataclass
class Session:
    """One run in this process. `Run` and its source of games both read and change it."""

    settings: Experiment
    report: Reporter
    stop_asked: Callable[[], bool]
    state: State
    """The arrays. While a call of self-play runs ahead, NumPy copies of those from before it; see
    `ahead`."""
    progress: Progress
    is_new: bool
    """True if the run begins in this process; False if it resumed from a saved state."""
    held_out: AnyRecord = dataclasses.field(default_factory=held_out.none)
    """Games that are never trained on; NumPy arrays, the oldest first. Saved with the state."""
    current_warnings: list[warnings.Finding] = dataclasses.field(default_factory=list)
    """The warnings after the newest metrics row."""
    warning: LastWarning = dataclasses.field(default_factory=LastWarning)
    """The last warning of this process, which a learner's heartbeats contain."""
    wandb_url: str | None = None
    """The page of the W&B run; None without one."""
    has_changed: bool = False
    """True if it resumed with other settings than the saved ones."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.settings.folder

    @property
    def is_complete(self) -> bool:
        """True if the last cycle of the experiment is complete."""
        return self.progress.is_complete(self.settings.cycles)

    def warn(self, text: str) -> None:
        """Report a problem that does not end the run."""
        self.warning.set(text)
        self.report.note(text)

    def raise_if_stopped(self) -> None:
        """Raise Stopped if a stop was requested."""
        if self.stop_asked():
            raise Stopped
