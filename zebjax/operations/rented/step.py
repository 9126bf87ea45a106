"""One decision while it is made: a working copy of the memory, and the actions so far."""

import dataclasses

from zebjax.operations.rented import ranking
from zebjax.operations.rented.model import (
    Action,
    Decision,
    End,
    Failure,
    Memory,
    Note,
    Observation,
    Rent,
    Strike,
    Worker,
)
from zebjax.operations.rented.settings import Config

_END_AGAIN_S = 60.0
"""The provider is asked again to end a rental that it still lists after this many seconds."""
_HISTORY_S = 7 * 86_400.0
"""Strikes that expired longer ago than this are forgotten."""


class Step:
    """The inputs of a decision, and what becomes of them. Lives only inside `decide`."""

    def __init__(self, config: Config, memory: Memory, seen: Observation, now: float) -> None:
        self.config, self.rules, self.seen, self.now = config, config.rules, seen, now
        self.before = memory
        self.workers = {worker.name: worker for worker in memory.workers}
        self.strikes = [s for s in memory.strikes if s.until_s > now - _HISTORY_S]
        self.failures = [f for f in memory.failures if f.time_s > now - self.rules.crash_window_s]
        self.stopped_roles = dict(memory.stopped_roles)
        self.misses = dict(memory.misses)
        self.speeds = dict(memory.speeds)
        self.replacing: set[str] = set()
        """Workers that end as soon as that is allowed."""
        self.said = dict(memory.said)
        self.serial, self.spent_usd = memory.serial, memory.spent_usd
        self.going_down, self.resumed = memory.going_down, memory.resumed
        self.actions: list[Action] = []

    def memory(self) -> Memory:
        """The memory as it is now."""
        return Memory(
            workers=tuple(self.workers.values()),
            strikes=tuple(self.strikes),
            failures=tuple(self.failures),
            stopped_roles=self.stopped_roles,
            misses=self.misses,
            speeds=self.speeds,
            serial=self.serial,
            spent_usd=self.spent_usd,
            decided_s=self.now,
            priced_s=self.before.priced_s if self.seen.instances is None else self.now,
            going_down=self.going_down,
            resumed=self.resumed,
            said=self.said,
        )

    def decision(self) -> Decision:
        """The result."""
        return Decision(tuple(self.actions), self.memory())

    # ---- groups of workers

    def live(self, role: str) -> list[Worker]:
        """Workers of a role that were not asked to end."""
        return [w for w in self.workers.values() if w.role == role and w.ending_s is None]

    def beating(self, role: str) -> list[Worker]:
        """Live workers of a role with a heartbeat."""
        return [w for w in self.live(role) if w.first_beat_s is not None]

    def producing(self, role: str) -> list[Worker]:
        """Live workers of a role that have made games, the best games/s per USD first."""
        made = [w for w in self.beating(role) if w.progress_s is not None]
        return sorted(made, key=lambda w: (-ranking.worth(w), w.rented_s, w.name))

    # ---- changes

    def update(self, worker: Worker, **changes: object) -> Worker:
        """Replace fields of a worker."""
        new = dataclasses.replace(worker, **changes)  # type: ignore[arg-type]
        self.workers[worker.name] = new
        return new

    def note(self, event: str, worker: Worker | None = None, detail: str = "") -> None:
        """Record an event, of a worker if one is given."""
        if worker is None:
            self.actions.append(Note(event, detail=detail))
            return
        self.actions.append(
            Note(
                event,
                worker.role,
                worker.name,
                worker.host,
                worker.gpu,
                worker.usd_per_hour,
                detail,
            )
        )

    def say(self, what: str, condition: str, role: str = "") -> None:
        """Record a lasting condition when it changes; "" ends it silently."""
        if condition and self.said.get(what) != condition:
            self.actions.append(Note(what.partition("/")[0], role=role, detail=condition))
        if condition:
            self.said[what] = condition
        else:
            self.said.pop(what, None)

    def strike(self, worker: Worker, why: str, points: int, base_s: float) -> None:
        """Hold a bad experience against the worker's offer."""
        if not worker.offer:
            return
        earlier = sum(s.offer == worker.offer for s in self.strikes)
        until = self.now + base_s * 2 ** min(earlier, 6)
        self.strikes.append(Strike(worker.offer, why, points, until))
        total = ranking.weight(self.memory(), worker.offer, self.now)
        if total >= ranking.QUARANTINE:
            hours = (until - self.now) / 3600
            self.note("quarantined", worker, f"offer {worker.offer} for {hours:.2g} h: {why}")

    def miss(self, worker: Worker) -> None:
        """Count an offer that did not become a producing worker."""
        if worker.progress_s is None:
            self.misses[worker.role] = self.misses.get(worker.role, 0) + 1

    def fail(self, worker: Worker, kind: str) -> None:
        """Count a program that ended by itself."""
        self.failures.append(
            Failure(worker.role, worker.offer, "doctor" if kind == "doctor" else "crash", self.now)
        )

    def forget(self, worker: Worker) -> None:
        """The rental is over."""
        self.workers.pop(worker.name, None)
        self.replacing.discard(worker.name)

    def end(self, worker: Worker, event: str, why: str) -> None:
        """Ask the provider to end a worker, again if it was asked a minute ago."""
        if worker.ending_s is None:
            self.note(event, worker, why)
        elif self.now - worker.ending_s < _END_AGAIN_S:
            return
        self.actions.append(End(worker.name, why))
        self.update(worker, ending_s=self.now)

    def rent(self, role: str, offer: ranking.Offer) -> None:
        """Ask for an offer."""
        self.serial += 1
        name = f"{self.config.prefix}-{role}-{self.serial}"
        worker = Worker(
            name,
            role,
            offer.id,
            offer.gpu,
            offer.usd_per_hour,
            self.now,
            is_one_machine=offer.is_one_machine,
            cpus=offer.cpus,
        )
        self.workers[name] = worker
        self.note("rented", worker, f"offer {offer.id}")
        self.actions.append(Rent(name, role, offer))
