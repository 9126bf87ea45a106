"""Settings of the exact teacher, in a module that does not import jax, so that `--help` is fast."""

import dataclasses
from typing import Literal

Targets = Literal["soft", "one_hot"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine the games; stored in the metadata of every file."""

    n: int = 50
    """Worlds per decision."""
    n_trick1: int | None = None
    """Worlds per decision in the first trick; None for n."""
    temperature: float = 1.0
    """Temperature of the soft policy target, in points."""
    targets: Targets = "soft"
    """Policy targets: soft, softmax(mean points / temperature), or one_hot, the move played."""
    opponent: str = ""
    """Spec of E[Q]'s opponent, which is team 1 in games 0, 2, 4, ... of a file and team 0 in the
    others. Empty: E[Q] itself."""
    seed: int = 0
    games_per_file: int = 250
