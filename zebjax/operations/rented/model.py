"""What the guard knows and does, as plain data: offers, rentals, heartbeats, memory, actions."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Role = Literal["selfplay", "evalaux"]
ROLES: tuple[Role, ...] = ("selfplay", "evalaux")
DOCTOR_FAILED = 66
"""Exit status of a worker's program if `zebjax doctor` fails on its host."""


class Offer(NamedTuple):
    """A machine that could be rented."""

    id: str
    gpu: str
    usd_per_hour: float
    cpus: int = 0
    gpus: int = 1
    is_one_machine: bool = True
    """False if an offer is a kind of machine, of which many can be rented."""


class Instance(NamedTuple):
    """A rental, as the provider reports it."""

    name: str
    role: str
    offer: str
    """The offer's id; "" if the provider has not chosen a machine yet."""
    gpu: str
    usd_per_hour: float
    state: Literal["starting", "running", "ending", "ended"]
    reason: Literal["", "capacity", "outbid", "start", "exit", "lost", "stopped"] = ""
    """Why it ended: no machine was free, another renter paid more, the machine did not start, the
    program ended, the machine was lost, somebody stopped it."""
    exit_status: int | None = None
    host: str = ""
    detail: str = ""


class Beat(NamedTuple):
    """The newest heartbeat of a worker in the store."""

    tag: str
    """Different in each heartbeat."""
    games: float = 0.0
    """Games made since the worker started."""
    games_per_s: float = 0.0
    every_s: float = 5.0
    host: str = ""
    machine: str = ""
    """The same for all workers on one machine, see `distributed.machine`; "" if not known."""


class StoreSeen(NamedTuple):
    """What the guard reads in the run's store."""

    beats: Mapping[str, Beat] | None
    """Heartbeats by worker; None if the store does not answer."""
    has_weights: bool = True
    """False if the store answers, and the learner has published no weights yet."""


class Observation(NamedTuple):
    """Everything that the guard sees at one moment."""

    instances: tuple[Instance, ...] | None
    """All rentals of the fleet that are not over, and those that ended lately; None if the provider
    does not answer."""
    offers: Mapping[str, tuple[Offer, ...]]
    """Free offers by role; without a role whose offers are not known."""
    beats: Mapping[str, Beat] | None
    """See `StoreSeen`, also the last field."""
    refusals: Mapping[str, str] = {}
    """Worker -> reason of each rental that was refused since the last observation."""
    has_weights: bool = True


@dataclasses.dataclass(frozen=True)
class Worker:
    """A rental that the guard has asked for or found."""

    name: str
    role: str
    offer: str
    gpu: str
    usd_per_hour: float
    rented_s: float
    """When it was asked for, in seconds since the epoch, as all times here."""
    is_one_machine: bool = True
    cpus: int = 0
    was_listed: bool = False
    """True if the provider has listed it."""
    beat: str = ""
    """Tag of the newest heartbeat."""
    beat_s: float | None = None
    """When the heartbeat last changed; None before the first one."""
    first_beat_s: float | None = None
    progress_s: float | None = None
    """When the number of games last rose."""
    games: float = 0.0
    games_per_s: float = 0.0
    ending_s: float | None = None
    """When the provider was last asked to end it; None if it was not."""
    host: str = ""
    machine: str = ""
    """See `Beat`."""


class Strike(NamedTuple):
    """A bad experience with an offer. An offer with strikes of weight 2 or more is quarantined."""

    offer: str
    why: str
    weight: int
    until_s: float


class Failure(NamedTuple):
    """A program that ended by itself."""

    role: str
    offer: str
    kind: Literal["crash", "doctor"]
    time_s: float


@dataclasses.dataclass(frozen=True)
class Memory:
    """What the guard remembers from one decision to the next, also over a restart."""

    workers: tuple[Worker, ...] = ()
    strikes: tuple[Strike, ...] = ()
    failures: tuple[Failure, ...] = ()
    stopped_roles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Role -> reason, for roles whose crash budget is used up."""
    misses: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Offers in a row that did not become a producing worker, by role."""
    speeds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Measured games/s by `ROLE/GPU`."""
    serial: int = 0
    """The number in the newest worker's name."""
    spent_usd: float = 0.0
    decided_s: float | None = None
    """When the last decision was made."""
    priced_s: float | None = None
    """When the prices were last known."""
    going_down: str = ""
    """The reason for which everything ends; "" if it does not."""
    resumed: int = 0
    """The highest `Wanted.resume` that was obeyed."""
    said: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Lasting conditions that were reported, so that each is reported once."""


class Rent(NamedTuple):
    """Rent this offer under this name."""

    name: str
    role: str
    offer: Offer


class End(NamedTuple):
    """End this rental."""

    name: str
    why: str


class Note(NamedTuple):
    """Record an event."""

    event: str
    role: str = ""
    name: str = ""
    host: str = ""
    gpu: str = ""
    usd_per_hour: float | None = None
    detail: str = ""


Action = Rent | End | Note


class Decision(NamedTuple):
    """What to do now, and what to remember."""

    actions: tuple[Action, ...]
    memory: Memory


def memory_to_json(memory: Memory) -> dict[str, Any]:
    """Return the memory as plain data."""
    plain = dataclasses.asdict(memory)
    for name in ("strikes", "failures"):
        plain[name] = [list(row) for row in getattr(memory, name)]
    return plain


def memory_from_json(plain: dict[str, Any]) -> Memory:
    """The inverse of `memory_to_json`.

    Raises:
        ValueError: if it is not the memory of a guard.
    """
    try:
        return Memory(
            **{
                **plain,
                "workers": tuple(Worker(**row) for row in plain["workers"]),
                "strikes": tuple(Strike(*row) for row in plain["strikes"]),
                "failures": tuple(Failure(*row) for row in plain["failures"]),
            }
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"not the memory of a guard ({error})") from None
