"""Settings of the exact teacher, in a module that does not import jax, so that `--help` is fast."""

import dataclasses
from typing import Literal

from zebjax.common import bids

Targets = Literal["soft", "one_hot"]
Declare = Literal["make", "pips"]
Value = Literal["make/set", "points"]
Criterion = Literal["points", "win"]
TEMPERATURE, CONTRACT_TEMPERATURE = 1.0, 5.0
"""Defaults of the command: points, and percent with a contract."""
MAX_RANDOM = 0.99
"""Maximum of `Settings.random`."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine the games; stored in the metadata of every file."""

    n: int = 50
    """Worlds per decision."""
    n_trick1: int | None = None
    """Worlds per decision in the first trick; None for n."""
    temperature: float = 1.0
    """Temperature of the soft policy target: in points, or in percent of P(make, set or win)."""
    targets: Targets = "soft"
    """Policy targets: soft, softmax(mean points / temperature), or one_hot, the best move."""
    opponent: str = ""
    """Spec of the teacher's opponent, which is team 1 in games 0, 2, 4, ... of a file and team 0 in
    the others. Empty: the teacher itself."""
    by: str = ""
    """Spec of the teacher: a player that judges every move, see `players.base.Judge`. Empty: E[Q],
    with the worlds and criterion above and below."""
    random: float = 0.0
    """Share of the teacher's moves that are drawn at random instead, so that the games reach more
    positions. The targets are still its own."""
    criterion: Criterion = "points"
    """Of games without a contract. points: E[Q] plays for mean points, and the policy targets come
    from them. win: it plays as the player `eq`, for P(win), and so do the targets; in the value a
    tie at 21 points then counts as lost."""
    seed: int = 0
    games_per_file: int = 250
    contract: str = ""
    """Bids of games with a contract, see `bids.parse_range`: each game has one of them, all equally
    likely, and its first leader must make it. Empty: games without a contract."""
    declare: Declare = "make"
    """How the bidder declares: make, by P(make) over `declare_worlds` worlds that the bundled small
    network plays out, see `auction.declare`; pips, by `contract.declare_by_pips`."""
    declare_worlds: int = 10
    value: Value = "make/set"
    """Of games with a contract. make/set: E[Q] plays to make or set it, and the records hold it.
    points: the same deals and declarations, played for points won, and records without contracts:
    what `make/set` can be compared with."""

    def __post_init__(self) -> None:
        """Raise ValueError for a wrong value, or for what does not fit the rest."""
        if not 0 <= self.random <= MAX_RANDOM:
            raise ValueError(f"--random: expected 0 to {MAX_RANDOM}, got {self.random}")
        for name in ("n", "n_trick1", "criterion", "contract") if self.by else ():
            if getattr(self, name) != getattr(Settings, name):
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option}: not with --by, which says how the teacher plays")
        for name in ("declare", "declare_worlds", "value"):
            if not self.contract and getattr(self, name) != getattr(Settings, name):
                raise ValueError(f"{name}: expected contract with it, as in contract 30-42")
        if self.contract:
            if self.criterion != Settings.criterion:
                raise ValueError("criterion: expected points with a contract, see value")
            try:
                bids.parse_range(self.contract)
            except ValueError as error:
                raise ValueError(f"contract: {error}") from None

    @property
    def has_contracts(self) -> bool:
        """True if the records hold contracts, and E[Q] plays to make or set them."""
        return bool(self.contract) and self.value == "make/set"
