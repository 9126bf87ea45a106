"""Where a run is: what it goes on from besides its arrays."""

import dataclasses
from pathlib import Path
from typing import Literal, Self

from zebjax.common import checkpoint


@dataclasses.dataclass
class Progress:
    """Where a run is; saved as JSON beside the arrays."""

    first_cycle: int
    """The training step of the weights that it began with."""
    cycle: int
    """Cycles completed: the training step of the weights."""
    total_games: int
    phase: Literal["play", "train", "judge"] = "judge"
    """A run begins by judging what it starts from."""
    games_in_cycle: int = 0
    updates_in_cycle: int = 0
    play_s: float = 0.0
    train_s: float = 0.0
    wall_s: float = 0.0
    """Since the row of the cycle before, saving and drawing included; not while no process was
    running."""
    wandb_run_id: str | None = None
    cursor: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of each worker the newest file of games that is in the rings."""
    ingest: dict[str, float] = dataclasses.field(default_factory=dict)
    """What came from the workers in this cycle."""
    arrived_examples: int = 0
    """That were kept, since the run began."""
    trained_rows: int = 0
    quarantined: int = 0
    """Files that were refused, since the run began."""
    eval_stats: dict[str, float] = dataclasses.field(default_factory=dict)
    """Running means over the eval-aux games."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """The progress in a file.

        Raises:
            ValueError: naming the file, if it holds none.
        """
        try:
            progress = cls(**checkpoint.read_json(file))
        except TypeError as error:
            raise ValueError(f"{file}: not the progress of a run ({error})") from None
        of_run = (progress.first_cycle, progress.cycle, progress.total_games)
        counts = (*of_run, progress.games_in_cycle, progress.updates_in_cycle)
        seconds = (progress.play_s, progress.train_s, progress.wall_s)
        possible = all(type(n) is int and n >= 0 for n in counts) and all(
            type(s) in (int, float) for s in seconds
        )
        if progress.phase not in ("play", "train", "judge") or not possible:
            raise ValueError(f"{file}: not the progress of a run: {progress}")
        return progress


class Stopped(Exception):
    """A stop was asked for and the call under way is finished."""
