"""Which offers are worth their price: self-play by games/s, eval-aux by CPU cores, per USD."""

from collections.abc import Iterable, Mapping

from zebjax.operations.rented.model import Memory, Offer, Worker
from zebjax.operations.rented.settings import Config

QUARANTINE = 2
"""Weight of the strikes that quarantine an offer."""


def key(gpu: str) -> str:
    """A GPU's name without the parts in which spellings differ.

    >>> key("NVIDIA GeForce RTX 4070 Ti") == key("RTX4070Ti")
    True
    """
    name = gpu.lower()
    for part in ("nvidia", "geforce", " ", "-", "_"):
        name = name.replace(part, "")
    return name


def weight(memory: Memory, offer: str, now: float) -> int:
    """The weight of an offer's strikes that have not expired."""
    return sum(s.weight for s in memory.strikes if s.offer == offer and s.until_s > now)


def speed_name(role: str, gpu: str) -> str:
    """The key of a measured speed in the memory."""
    return f"{role}/{key(gpu)}"


def value(config: Config, speeds: Mapping[str, float], role: str, offer: Offer) -> float:
    """Expected games/s per USD and hour; for eval-aux CPU cores per USD and hour.

    A GPU of unknown speed counts as the slowest known one: it is tried when it is cheap.
    """
    price = max(offer.usd_per_hour, 1e-6)
    if role == "evalaux":  # the exact solver runs on all cores
        return offer.cpus / price
    known = speeds.get(speed_name(role, offer.gpu)) or config.speeds.get(key(offer.gpu))
    if known is None:
        known = min([*config.speeds.values(), *speeds.values()], default=1.0)
    return known / price


def ranked(
    config: Config, memory: Memory, role: str, offers: Iterable[Offer], now: float
) -> list[Offer]:
    """The offers that may be rented for a role, the best first.

    Left out: offers over the price cap, outside the allow-list, without a GPU, in quarantine, and
    machines on which a worker already runs.
    """
    taken = {worker.offer for worker in memory.workers if worker.is_one_machine}
    rules = config.rules
    fit = [
        offer
        for offer in offers
        if offer.usd_per_hour <= rules.max_price
        and offer.gpus >= 1
        and offer.id not in taken
        and (not rules.allow or offer.id in rules.allow)
        and weight(memory, offer.id, now) < QUARANTINE
    ]

    def order(offer: Offer) -> tuple[int, float, float, str]:
        worth = value(config, memory.speeds, role, offer)
        return weight(memory, offer.id, now), -worth, offer.usd_per_hour, offer.id

    return sorted(fit, key=order)


def worth(worker: Worker) -> float:
    """Measured games/s per USD and hour of a worker."""
    return worker.games_per_s / max(worker.usd_per_hour, 1e-6)
