"""The guard: observe, decide, act, until nothing is wanted and nothing is left."""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from zebjax.common import files
from zebjax.operations.rented.decide import decide
from zebjax.operations.rented.model import (
    Action,
    End,
    Instance,
    Memory,
    Note,
    Observation,
    Offer,
    Rent,
    StoreSeen,
    memory_from_json,
    memory_to_json,
)
from zebjax.operations.rented.provider import Provider, ProviderError, Refused
from zebjax.operations.rented.settings import Config

MEMORY, EVENTS = "memory.json", "events.jsonl"
"""Files of the guard in the fleet's folder."""
_MAX_BYTES = 1 << 26


class Guard:
    """Keeps a fleet as it is wanted. One process for a fleet: the caller holds its folder's lock.

    The memory is written before the actions are carried out. A guard that is killed in between has
    remembered rentals that were never made, which the next one finds out, and never the reverse: a
    rental that costs money and is not known. What a lost memory lacks, it takes from the provider.
    """

    def __init__(
        self,
        folder: Path,
        config: Callable[[], Config],
        provider: Provider,
        read_store: Callable[[], StoreSeen],
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Continue from the folder's memory.

        Args:
            folder: the fleet's folder.
            config: returns the settings as they are now.
            provider: of machines.
            read_store: returns the newest heartbeats by worker.
            say: told each event before the actions, which may take minutes.

        Raises:
            ValueError: if the memory's file cannot be read.
        """
        self.folder, self._config = folder, config
        self._provider, self._read_store = provider, read_store
        self._say = say
        self.memory = load_memory(folder)
        self._refusals: dict[str, str] = {}
        self.is_listed_empty = False
        """True if the provider listed no rental at the last observation."""

    def observe(self, config: Config) -> Observation:
        """Look at rentals, offers and heartbeats."""
        instances = self._instances()
        offers: dict[str, tuple[Offer, ...]] = {}
        if instances is not None and not config.wanted.down and not self.memory.going_down:
            for role, target in config.wanted.targets.items():
                if target:
                    try:
                        offers[role] = self._provider.list_offers(role)
                    except ProviderError:
                        continue
        self.is_listed_empty = instances is not None and all(i.state == "ended" for i in instances)
        refusals, self._refusals = self._refusals, {}
        store = self._read_store()
        return Observation(instances, offers, store.beats, refusals, store.has_weights)

    def _instances(self) -> tuple[Instance, ...] | None:
        try:
            return self._provider.list_instances()
        except ProviderError:
            return None

    def step(self, now: float | None = None, dry_run: bool = False) -> tuple[Action, ...]:
        """Observe, decide and act once; return the actions.

        Args:
            now: seconds since the epoch; None: the clock's.
            dry_run: only decide.
        """
        config = self._config()
        seen = self.observe(config)
        now = time.time() if now is None else now
        actions, memory = decide(config, self.memory, seen, now)
        if dry_run:
            return actions
        self.memory = memory
        files.write_json(self.folder / MEMORY, memory_to_json(memory))
        append_events(self.folder / EVENTS, actions, now)
        for action in actions:
            if isinstance(action, Note):
                self._say(describe(action))
        for action in actions:
            self._act(action)
        return actions

    def _act(self, action: Action) -> None:
        try:
            if isinstance(action, Rent):
                self._provider.rent(action.name, action.role, action.offer)
            elif isinstance(action, End):
                self._provider.end(action.name)
        except Refused as error:
            if isinstance(action, Rent):
                self._refusals[action.name] = str(error)
        except ProviderError:
            pass  # the next observation shows what became of it; an end is asked for again

    def is_over(self) -> bool:
        """True if everything was to end, and the provider lists nothing."""
        return bool(self.memory.going_down) and not self.memory.workers and self.is_listed_empty


def load_memory(folder: Path) -> Memory:
    """Read the memory of a fleet's folder; an empty one if there is none.

    Raises:
        ValueError: if the file is not one.
    """
    path = folder / MEMORY
    if not path.exists():
        return Memory()
    try:
        return memory_from_json(files.read_json(path, _MAX_BYTES))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def append_events(path: Path, actions: tuple[Action, ...], now: float) -> None:
    """Append the notes among the actions to a file, one JSON object a line."""
    lines = [json.dumps(event(action, now)) for action in actions if isinstance(action, Note)]
    if not lines:
        return
    with open(path, "ab+") as file:
        torn = (
            file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n"
        )
        # After a crash in the middle of a line, begin a new one.
        file.write(b"\n" * bool(torn) + ("\n".join(lines) + "\n").encode())


def event(note: Note, now: float) -> dict[str, object]:
    """A note as a line of the events' file."""
    facts = note._asdict()
    price = facts.pop("usd_per_hour")
    return {"time_s": round(now, 3), **facts, "price_usd_per_hour": price}


def describe(action: Action) -> str:
    """One line about an action, for people."""
    if isinstance(action, Rent):
        offer = action.offer
        return f"rent {offer.id} ({offer.gpu}, {offer.usd_per_hour:g} USD/h) as {action.name}"
    if isinstance(action, End):
        return f"end {action.name}: {action.why}"
    who = action.name or action.role
    return f"{action.event}{' ' + who if who else ''}: {action.detail}"


def with_wanted(config: Config, **changes: object) -> Config:
    """Return the settings with other wishes."""
    wanted = dataclasses.replace(config.wanted, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(config, wanted=wanted)
