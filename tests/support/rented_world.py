"""A deterministic simulator of a provider whose machines misbehave, and of the workers on them."""

import dataclasses
from typing import NamedTuple

from zebjax.operations.rented.model import Beat, Instance, Offer
from zebjax.operations.rented.provider import Refused, Unreachable

FAULTS = (
    "loading",  # rents, and never starts
    "dies",  # ends before the first heartbeat
    "gone",  # is listed, and refuses
    "late",  # starts long after the deadline
    "mute",  # runs, and never writes a heartbeat
    "outbid",  # produces, then another renter pays more
    "lost",  # produces, then the provider reports the machine lost
    "vanishes",  # produces, then the provider lists it no more
    "silent",  # produces, then writes no more heartbeats, and runs on
    "idle",  # writes heartbeats, and makes no games
    "tires",  # produces, then makes no more games
    "crash",  # the program ends at its start, on this machine only
    "crash_later",  # the program ends after a while
    "doctor",  # fails doctor
    "dearer",  # the price rises over the cap while it produces
    "sticky",  # produces, then freezes; does not end before the fifth request
)
START_S = 95.0
"""Seconds from the rental to the first heartbeat of a good machine."""
LATER_S = 1500.0
"""Seconds from the rental to a fault of a machine that worked first."""
GAMES_PER_S = {"RTX4070Ti": 4.15, "RTX3070Ti": 2.65}


class Machine(NamedTuple):
    """An offer, and what becomes of it when it is rented."""

    offer: Offer
    fault: str = "good"
    from_s: float = 0.0
    """Offered from this time on."""
    hardware: str = ""
    """The same for two offers of one machine; "": the offer's id."""


@dataclasses.dataclass
class _Rental:
    name: str
    role: str
    machine: Machine
    rented_s: float
    n_ends: int = 0
    ended_s: float | None = None


class World:
    """A provider and the store's heartbeats. `now` is moved by the test."""

    def __init__(self, machines: list[Machine], program_crashes: bool = False) -> None:
        self.now = 0.0
        self.machines = {machine.offer.id: machine for machine in machines}
        self.program_crashes = program_crashes
        self.rentals: dict[str, _Rental] = {}
        self.usd = 0.0
        """What everything really cost so far."""
        self.provider_down = self.store_down = False
        self.most_on_one_machine = 0
        self.n_rented: dict[str, int] = {}

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        alive = self.alive()
        self.usd += sum(self._price(r) for r in alive) * seconds / 3600
        self.now += seconds

    def alive(self) -> list[_Rental]:
        """Rentals that cost money."""
        return [r for r in self.rentals.values() if not self._is_over(r)]

    def producing(self, role: str) -> list[str]:
        """Names of workers that make games now."""
        return [
            r.name
            for r in self.alive()
            if r.role == role and self._games(r, self.now) > self._games(r, self.now - 60)
        ]

    # ---- zebjax.operations.rented.provider.Provider

    def list_offers(self, role: str) -> tuple[Offer, ...]:
        """Machines that are free."""
        self._answer()
        rented = {r.machine.offer.id for r in self.alive()}
        return tuple(
            m.offer
            for m in self.machines.values()
            if m.offer.id not in rented and m.from_s <= self.now
        )

    def list_instances(self) -> tuple[Instance, ...]:
        """Rentals that run, and those that ended within the last hour."""
        self._answer()
        return tuple(
            self._instance(r)
            for r in self.rentals.values()
            if not (r.machine.fault == "vanishes" and self._is_over(r))
            and (r.ended_s is None or self.now - r.ended_s < 3600)
        )

    def rent(self, name: str, role: str, offer: Offer) -> None:
        """Rent a machine."""
        self._answer()
        assert name not in self.rentals, "a name is used once"
        machine = self.machines[offer.id]
        self.n_rented[offer.id] = self.n_rented.get(offer.id, 0) + 1
        if machine.fault == "gone":
            raise Refused("no such ask")
        self.rentals[name] = _Rental(name, role, machine, self.now)
        on_it = sum(r.machine.offer.id == offer.id for r in self.alive())
        self.most_on_one_machine = max(self.most_on_one_machine, on_it)

    def end(self, name: str) -> None:
        """End a rental."""
        self._answer()
        rental = self.rentals[name]
        rental.n_ends += 1
        if rental.ended_s is None and (rental.machine.fault != "sticky" or rental.n_ends >= 5):
            rental.ended_s = self.now

    def list_machines(self) -> tuple[str, ...]:
        """Names of all rentals that cost money."""
        self._answer()
        return tuple(r.name for r in self.alive())

    def close(self) -> None:
        """Nothing to remove."""

    def logs(self, name: str) -> str:
        """The program's last lines."""
        return "log"

    def _answer(self) -> None:
        if self.provider_down:
            raise Unreachable("the provider does not answer")

    # ---- the store

    def beats(self) -> dict[str, Beat]:
        """Heartbeats of all workers that ever wrote one."""
        if self.store_down:
            raise Unreachable("the store does not answer")
        found = {}
        for r in self.rentals.values():
            last = self._last_beat_s(r)
            if last is not None:
                games = self._games(r, last)
                speed = games / max(last - r.rented_s, 1)
                number = r.machine.offer.id
                hardware = r.machine.hardware or number
                found[r.name] = Beat(f"{last:.0f}", games, speed, 5.0, number, hardware)
        return found

    # ---- what a machine does

    def _age(self, r: _Rental, at: float) -> float:
        return at - r.rented_s

    def _end_by_itself_s(self, r: _Rental) -> float | None:
        """When the rental ends without being asked to."""
        if self.program_crashes:
            return r.rented_s + 60
        after = {"dies": 40, "crash": 60, "doctor": 80}.get(r.machine.fault)
        if r.machine.fault in ("outbid", "lost", "vanishes", "crash_later"):
            after = LATER_S
        return None if after is None else r.rented_s + after

    def _is_over(self, r: _Rental) -> bool:
        own = self._end_by_itself_s(r)
        return r.ended_s is not None or (own is not None and self.now >= own)

    def _last_beat_s(self, r: _Rental) -> float | None:
        if r.machine.fault in ("loading", "dies", "mute", "crash", "doctor"):
            return None
        start = r.rented_s + (4000 if r.machine.fault == "late" else START_S)
        end = self.now
        if r.ended_s is not None:
            end = min(end, r.ended_s)
        own = self._end_by_itself_s(r)
        if own is not None:
            end = min(end, own)
        if r.machine.fault in ("silent", "sticky"):
            end = min(end, r.rented_s + LATER_S)
        return None if end < start else start + 5 * ((end - start) // 5)

    def _games(self, r: _Rental, at: float) -> float:
        last = self._last_beat_s(r)
        if last is None or r.machine.fault == "idle":
            return 0.0
        playing = min(at, last) - r.rented_s - START_S
        if r.machine.fault == "tires":
            playing = min(playing, LATER_S - START_S)
        # Whole files of 128 games, as a worker counts them.
        return 128 * max(0.0, playing * GAMES_PER_S[r.machine.offer.gpu] // 128)

    def _price(self, r: _Rental) -> float:
        rises = r.machine.fault == "dearer" and self._age(r, self.now) > LATER_S
        return r.machine.offer.usd_per_hour * (20 if rises else 1)

    def _instance(self, r: _Rental) -> Instance:
        offer, state, reason, status = r.machine.offer, "running", "", None
        if r.machine.fault == "loading" or self._age(r, self.now) < 60:
            state = "starting"
        own = self._end_by_itself_s(r)
        if own is not None and self.now >= own and (r.ended_s is None or r.ended_s > own):
            state = "ended"
            crashed = self.program_crashes or r.machine.fault in ("crash", "crash_later")
            reason = {"dies": "start", "doctor": "exit", "outbid": "outbid"}.get(
                r.machine.fault, "lost"
            )
            status = 66 if r.machine.fault == "doctor" else None
            if crashed:
                reason, status = "exit", 1
        elif r.ended_s is not None:
            state, reason = "ended", "stopped"
        return Instance(
            r.name, r.role, offer.id, offer.gpu, self._price(r), state, reason, status, "", "test"
        )
