"""Settings of a rented fleet."""

import dataclasses
from collections.abc import Mapping

from zebjax.common import checks, parsing
from zebjax.operations.rented.model import ROLES


@dataclasses.dataclass(frozen=True)
class Rules:
    """How the guard judges offers and workers."""

    max_price: float = 0.10
    """Maximum USD per hour of one worker."""
    budget_usd: float = 5.0
    """USD after which everything goes down."""
    deadline_s: float = 600.0
    """Maximum seconds from the rental to the first heartbeat in the store."""
    silent_s: float = 180.0
    """A worker without a new heartbeat for this long is lost."""
    idle_s: float = 900.0
    """A worker that lives but has finished no games for this long is replaced."""
    strike_s: float = 6 * 3600.0
    """Seconds until an offer's first strike expires; each later one lasts twice as long."""
    short_strike_s: float = 900.0
    """The same for an offer that was refused or outbid."""
    crash_budget: int = 5
    """Crashes of a role within `crash_window_s`, without a producing worker, that stop the role."""
    crash_window_s: float = 3600.0
    extra: int = 4
    """Maximum number of further offers that are tried at once after failures; the surplus ends
    when enough workers produce."""
    wind_down_s: float = 180.0
    """Seconds of the whole fleet's price that are kept of the budget for its end."""
    allow: tuple[str, ...] = ()
    """Ids of the only offers that may be rented; empty: all."""

    def __post_init__(self) -> None:
        checks.check(self, "fleet")
        checks.positive(self, "fleet", "max_price", "budget_usd", "deadline_s", "silent_s")
        checks.positive(self, "fleet", "idle_s", "strike_s", "short_strike_s", "crash_window_s")
        checks.at_least(self, "fleet", 1, "crash_budget")
        checks.at_least(self, "fleet", 0, "extra", "wind_down_s")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the user wants of the fleet now; commands change it while the guard runs."""

    targets: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Number of workers by role."""
    cull: tuple[str, ...] = ()
    """Names of workers to end. Others replace them as far as the target asks for it."""
    down: bool = False
    """True to end everything."""
    resume: int = 0
    """Raised to start again after crashes have stopped a role or the budget was spent."""

    def __post_init__(self) -> None:
        for role, target in self.targets.items():
            if role not in ROLES:
                raise ValueError(f"fleet: expected the role {parsing.either(ROLES)}, got {role!r}")
            if not 0 <= target <= 100:
                raise ValueError(f"fleet.{role}: expected 0 to 100 workers, got {target}")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a decision depends on, besides memory and observation."""

    prefix: str
    """The fleet's name; workers are called PREFIX-ROLE-NUMBER."""
    rules: Rules
    wanted: Wanted
    speeds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Known games/s by GPU (`speeds.key`), used until the fleet has measured its own."""
