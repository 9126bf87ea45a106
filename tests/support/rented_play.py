"""A guard in the simulated world of `rented_world`."""

import json

from tests.support.rented_world import GAMES_PER_S, Machine
from zebjax.operations.rented import guard as guards
from zebjax.operations.rented import ranking
from zebjax.operations.rented.model import Offer, StoreSeen
from zebjax.operations.rented.provider import ProviderError
from zebjax.operations.rented.settings import Config, Rules, Wanted

POLL_S = 30.0
RULES = Rules(budget_usd=100.0)
SPEEDS = {ranking.key(gpu): speed for gpu, speed in GAMES_PER_S.items()}
NEVER_BEAT = ("loading", "dies", "gone", "late", "mute", "crash", "doctor")


def machine(number, fault="good", usd=0.08, gpu="RTX4070Ti", cpus=8, from_s=0.0):
    return Machine(Offer(str(number), gpu, usd, cpus), fault, from_s)


class Play:
    """A guard in a simulated world; it can be killed between any two of its actions."""

    has_weights = True

    def __init__(self, folder, world, targets, rules=RULES):
        self.folder, self.world = folder, world
        self.config = Config("f", rules, Wanted(targets), SPEEDS)
        self.start()

    def start(self):
        self.guard = guards.Guard(self.folder, lambda: self.config, self.world, self.beats)

    def beats(self):
        try:
            return StoreSeen(self.world.beats(), self.has_weights)
        except ProviderError:
            return StoreSeen(None)

    def want(self, **changes):
        self.config = guards.with_wanted(self.config, **changes)

    def step(self):
        actions = self.guard.step(self.world.now)
        self.world.advance(POLL_S)
        return actions

    def until(self, done, limit_s):
        """Step until `done()`; fails after `limit_s`. Returns the seconds that passed."""
        began = self.world.now
        while not done():
            assert self.world.now - began < limit_s, self.report()
            self.step()
        return self.world.now - began

    def is_met(self):
        return all(
            len(self.world.producing(role)) >= n for role, n in self.config.wanted.targets.items()
        )

    def go_down(self, limit_s=1800):
        self.want(down=True)
        self.until(self.guard.is_over, limit_s)
        assert not self.world.alive()

    def events(self):
        lines = (self.folder / guards.EVENTS).read_text().splitlines()
        return [json.loads(line) for line in lines]

    def report(self):
        return "\n".join(
            f"{e['time_s']:7.0f} {e['event']} {e['name']} {e['detail']}" for e in self.events()
        )

    def names(self, event):
        return [e["name"] for e in self.events() if e["event"] == event]


GOOD = [machine(900 + i, usd=0.09, cpus=16) for i in range(4)]
