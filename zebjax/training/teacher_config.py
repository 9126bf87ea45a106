"""Settings of the exact teacher, apart from what plays: help texts do not wait for jax."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that decides what games are made; it stands in the metadata of every file."""

    n: int = 50
    """Worlds a decision."""
    n_trick1: int | None = None
    """The same in the first trick; None for n."""
    temperature: float = 1.0
    """Of the policy target, in points."""
    opponent: str = ""
    """The spec of E[Q]'s opponent, which has team 1 in games 0, 2, 4, ... of a file and team 0 in
    the others. Empty: E[Q] itself."""
    seed: int = 0
    games_per_file: int = 250
