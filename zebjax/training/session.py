"""What a run and its source of games share: the settings, the arrays, and how far the run is."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import jax

from zebjax import network
from zebjax.common import files, jax_settings
from zebjax.common.console import Reporter
from zebjax.training import learner, replay, selfplay
from zebjax.training.config import Experiment


class Stopped(Exception):
    """A stop was asked for, and the compiled call under way has finished."""


class State(NamedTuple):
    """All arrays of a run. Saved and restored as one pytree."""

    learner: learner.LearnerState
    actor: selfplay.Actor
    ring: replay.Ring
    aux: replay.Ring
    """Ring of the eval-aux stream."""


def fresh_state(settings: Experiment, params: network.Params, step: int) -> State:
    """State of a run that begins with `params`, the weights of training step `step`."""
    root = jax_settings.key(settings.seed)
    return State(
        learner=learner.init(
            settings.learner, settings.network, params, jax.random.fold_in(root, 1)
        ),
        actor=selfplay.init(settings.selfplay, jax.random.fold_in(root, 2), step),
        ring=replay.init(settings.replay.capacity_examples),
        aux=replay.init(settings.eval_aux.capacity_examples),
    )


Phase = Literal["play", "train", "judge"]


@dataclasses.dataclass
class Progress:
    """How far a run is. Saved as JSON beside the arrays."""

    first_cycle: int
    """Training step of the weights that the run began with."""
    cycle: int
    """Cycles completed: the training step of the weights."""
    total_games: int
    phase: Phase = "judge"
    """A run begins by judging the weights that it starts from."""
    games_in_cycle: int = 0
    updates_in_cycle: int = 0
    play_s: float = 0.0
    train_s: float = 0.0
    wall_s: float = 0.0
    """Seconds since the last cycle's row, saving and drawing included; pauses between processes
    are not."""
    wandb_run_id: str | None = None
    cursor: dict[str, str] = dataclasses.field(default_factory=dict)
    """Worker -> its newest file of games that is in the rings."""
    ingest: dict[str, float] = dataclasses.field(default_factory=dict)
    """Counts of what workers sent in this cycle."""
    arrived_examples: int = 0
    """Examples kept since the run began."""
    trained_rows: int = 0
    """Examples trained on since the run began, repeats included."""
    quarantined: int = 0
    """Files refused since the run began."""
    eval_stats: dict[str, float] = dataclasses.field(default_factory=dict)
    """Running means over the eval-aux games."""
    row: dict[str, Any] | None = None
    """The newest metrics row. It is saved before it is reported, so that a killed process reports
    it when it resumes."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the progress from a file.

        Raises:
            ValueError: naming the file, if it holds none.
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
        )
        if progress.phase not in ("play", "train", "judge") or not possible:
            raise ValueError(f"{file}: not the progress of a run: {progress}")
        return progress

    def begin_cycle(self) -> None:
        """Reset the counters of the cycle."""
        self.phase = "play"
        self.games_in_cycle = self.updates_in_cycle = 0
        self.play_s = self.train_s = self.wall_s = 0.0
        self.ingest = {}


@dataclasses.dataclass
class Session:
    """One run in this process. The run and its source of games both read and change it."""

    settings: Experiment
    report: Reporter
    stop_asked: Callable[[], bool]
    state: State
    progress: Progress
    is_new: bool
    """True if the run begins in this process; False if it resumed from a saved state."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.settings.folder

    @property
    def is_complete(self) -> bool:
        """True if the last cycle of the experiment is done."""
        last = self.progress.first_cycle + self.settings.cycles
        return self.progress.cycle >= last and self.progress.phase != "judge"

    def raise_if_stopped(self) -> None:
        """Raise Stopped if a stop was asked for."""
        if self.stop_asked():
            raise Stopped
