"""A run's fleet over time: its machines, what they made and what they cost.

The events are those of `operations.events`; the workers' heartbeats in the store add their speed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zebjax.operations import events
from zebjax.operations.recap.text import clean, number

FILE = Path("fleet", events.FILE)
BEGINS = ("rented", "adopted", "started", "restarted")
"""Events after which a machine (or a process on it) is there, and is paid for."""
ENDS = (
    *("ended", "stopped", "exited", "fatal", "lost", "outbid", "crashed"),
    *("not_started", "doctor_failed", "refused"),
)
"""Events after which it is gone."""
QUARANTINED = "quarantined"
USUAL = (*BEGINS, "producing", "stopped", "ended")
"""Events of a fleet without trouble."""


class Event(NamedTuple):
    """One line of the file."""

    time_s: float
    role: str
    name: str
    event: str
    host: str
    gpu: str
    price_usd_per_hour: float | None
    detail: str


class Span(NamedTuple):
    """A time during which a machine was there."""

    role: str
    name: str
    gpu: str
    begin_s: float
    end_s: float
    price_usd_per_hour: float | None
    ended_by: str
    """The event that ended it; "" if it goes on."""

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.end_s - self.begin_s) / 3600

    @property
    def usd(self) -> float | None:
        """Its cost; None without a price."""
        return None if self.price_usd_per_hour is None else self.hours * self.price_usd_per_hour


class Worker(NamedTuple):
    """A worker according to its newest heartbeat and the fleet's events."""

    role: str
    name: str
    gpu: str
    host: str
    games: float | None
    games_per_s: float | None
    """Its mean since it started."""
    price_usd_per_hour: float | None
    seen_s: float | None
    """When it wrote its newest heartbeat, by its own clock."""

    @property
    def usd_per_game_per_s(self) -> float | None:
        """USD per hour for one game per second."""
        if self.price_usd_per_hour is None or not self.games_per_s:
            return None
        return self.price_usd_per_hour / self.games_per_s


def read(folder: Path) -> list[Event]:
    """Return the events of the run in `folder`, by time; none if there is no file.

    Lines that are no event are skipped; see `operations.events`.

    Raises:
        ValueError: if the file cannot be read.
    """
    found = [_event(row) for row in events.read(folder / FILE.parent)]
    return sorted((event for event in found if event is not None), key=lambda event: event.time_s)


def _event(row: events.Row) -> Event | None:
    """Return an event without control characters and impossible numbers; None without a time."""
    time_s, price = number(row["time_s"]), number(row.get("price_usd_per_hour"))
    if time_s is None:
        return None
    return Event(
        time_s=time_s,
        **{name: clean(row[name]) for name in ("role", "name", "event", "host", "detail")},
        gpu=clean(row.get("gpu") or ""),
        price_usd_per_hour=price if price is not None and price >= 0 else None,
    )


def spans(events: Sequence[Event], now_s: float) -> list[Span]:
    """Return the times during which the machines of a fleet were there.

    Args:
        events: by time.
        now_s: the end of spans that go on.
    """
    open_since: dict[str, Event] = {}
    found = []

    def close(began: Event, end_s: float, why: str) -> None:
        span = Span(*began[1:3], began.gpu, began.time_s, end_s, began.price_usd_per_hour, why)
        found.append(span)

    for event in events:
        begun = open_since.get(event.name)
        if event.event in BEGINS and event.name:
            if begun is None:
                open_since[event.name] = event
            else:  # it was rented, and now it runs: perhaps more is known of it
                price = event.price_usd_per_hour
                open_since[event.name] = begun._replace(
                    gpu=event.gpu or begun.gpu,
                    price_usd_per_hour=begun.price_usd_per_hour if price is None else price,
                )
        elif event.event in ENDS and begun is not None:
            close(open_since.pop(event.name), event.time_s, event.event)
    for left in open_since.values():
        close(left, max(now_s, left.time_s), "")
    return sorted(found, key=lambda span: (span.begin_s, span.name))


def workers(heartbeats: Sequence[Mapping[str, Any]], events: Sequence[Event]) -> list[Worker]:
    """Return the workers that wrote heartbeats, with the GPU and the price from the events.

    Args:
        heartbeats: the newest of each worker; their values come from other machines.
        events: by time.
    """
    known: dict[str, Event] = {}
    for event in events:
        if event.gpu or event.price_usd_per_hour is not None:
            known[event.name] = event
    found = []
    for beat in heartbeats:
        name = clean(beat.get("name", ""))
        told = known.get(name)
        price = number(beat.get("price_usd_per_hour"))
        if price is None and told is not None:
            price = told.price_usd_per_hour
        found.append(
            Worker(
                role=clean(beat.get("role", "")),
                name=name,
                gpu=clean((told.gpu if told else "") or beat.get("device") or ""),
                host=clean(beat.get("host", "")),
                games=number(beat.get("games")),
                games_per_s=number(beat.get("games_per_s")),
                price_usd_per_hour=price,
                seen_s=number(beat.get("time_s")),
            )
        )
    return sorted(found, key=lambda worker: (worker.role, worker.name))


class Cost(NamedTuple):
    """What the machines of one kind cost."""

    role: str
    gpu: str
    machines: int
    hours: float
    usd: float | None
    """None if no price is known."""
    unpriced_hours: float

    @property
    def usd_per_hour(self) -> float | None:
        """The mean price of an hour whose price is known."""
        priced = self.hours - self.unpriced_hours
        return None if self.usd is None or priced <= 0 else self.usd / priced


def costs(found: Sequence[Span]) -> list[Cost]:
    """Return the cost by role and GPU, the largest first."""
    kinds = sorted({(span.role, span.gpu) for span in found})
    rows = []
    for role, gpu in kinds:
        own = [span for span in found if (span.role, span.gpu) == (role, gpu)]
        paid = [span.usd for span in own if span.usd is not None]
        rows.append(
            Cost(
                role,
                gpu,
                machines=len({span.name for span in own}),
                hours=sum(span.hours for span in own),
                usd=sum(paid) if paid else None,
                unpriced_hours=sum(span.hours for span in own if span.usd is None),
            )
        )
    return sorted(rows, key=lambda row: -(row.usd or 0))


def total_usd(rows: Sequence[Cost]) -> float | None:
    """The cost of all machines whose price is known; None if no price is."""
    paid = [row.usd for row in rows if row.usd is not None]
    return sum(paid) if paid else None
